"""Pages that are open stay true: by themselves, without a reload, and without taking anything from whoever reads them."""

import pytest
from playwright.async_api import Browser, expect

from tests.browser.screen import Site, screen
from tests.manage.pages.visitor import Person

pytestmark = pytest.mark.anyio


async def test_a_first_ping_turns_the_page_up_and_silence_down_without_a_reload(
    site: Site, window: Browser, anna: Person
) -> None:
    """The empty project shows a line to run; the ping it sends appears, then its silence as an incident, then its return."""
    world = site.world
    async with screen(window, site, anna) as page:
        await page.goto(site.project)
        await expect(page.get_by_role("heading", name="Waiting for your first ping")).to_be_visible()
        await expect(page.locator("#live")).to_have_text("Live")
        await page.evaluate("window.mark = 1")
        line = await page.locator("#first-ping").text_content()
        assert line is not None
        path = line.split('"')[1].split("/ping/")[1]
        assert (await world.client.get(f"/ping/{path}")).status_code == 201
        await expect(page.locator(".standing")).to_contain_text("1 up")
        await world.advance(86400 + 3600 + 1)
        await world.sweep()
        await expect(page.locator(".standing")).to_contain_text("1 down")
        await expect(page.locator(".incident")).to_contain_text("my-first-job")
        await expect(page).to_have_title("(1) Overview · Test · Missedbeat")
        assert (await world.client.get(f"/ping/{path}")).status_code == 200
        await expect(page.locator(".standing")).to_contain_text("1 up")
        await expect(page.locator(".incident")).to_have_count(0)
        assert await page.evaluate("window.mark") == 1, "it was loaded anew"
