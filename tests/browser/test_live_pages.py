"""Pages that are open stay true: by themselves, without a reload, and without taking anything from whoever reads them."""

import asyncio
import re
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, expect

from tests.browser.screen import Site, listening, screen, see
from tests.manage.pages.visitor import Person
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_a_first_ping_turns_the_page_up_and_silence_down_without_a_reload(
    site: Site, window: Browser, anna: Person
) -> None:
    """The empty project shows a line to run; the ping it sends appears, then its silence as an incident, then its return."""
    world = site.world
    async with screen(window, site, anna) as page:
        await see(page, site.project)
        await expect(page.get_by_role("heading", name="Waiting for your first ping")).to_be_visible()
        await expect(page.locator("#live")).to_have_text("Live")
        await page.evaluate("window.mark = 1")
        line = await page.locator("#first-ping").text_content()
        assert line is not None
        path = line.split('"')[1].split("/ping/")[1]
        assert (await world.client.get(f"/ping/{path}")).status_code == 201
        await expect(page.locator(".standing")).to_contain_text("1 up")
        await world.advance(86400 + 3600 + 10)
        await world.sweep()
        await expect(page.locator(".standing")).to_contain_text("1 down")
        await expect(page.locator(".incident")).to_contain_text("my-first-job")
        await expect(page).to_have_title("(1) Overview · Test · Missedbeat")
        assert (await world.client.get(f"/ping/{path}")).status_code == 200
        await expect(page.locator(".standing")).to_contain_text("1 up")
        await expect(page.locator(".incident")).to_have_count(0)
        assert await page.evaluate("window.mark") == 1, "it was loaded anew"


async def test_a_filter_answers_while_somebody_types_and_keeps_its_place(site: Site, window: Browser, anna: Person) -> None:
    """The table follows, the address holds the filter, the keyboard stays in the field; a reload shows the same. What happens
    meanwhile comes in, and takes no letter away."""
    world = site.world
    for name in ("backup of db", "backup of files", "report"):
        await world.ping(await world.check(name=name))
    async with screen(window, site, anna) as page:
        await see(page, f"{site.project}/monitors")
        rows = page.locator("#checks tbody tr")
        await expect(rows).to_have_count(3)
        find = page.get_by_label("Find")
        await find.press_sequentially("backup")
        await expect(rows).to_have_count(2)
        await expect(find).to_be_focused()
        await expect(page).to_have_url(re.compile(r"words=backup"))
        await page.get_by_label("Choose backup of files").check()
        await find.focus()
        await world.ping(await world.check(name="backup of mail"), "/fail")
        await expect(rows).to_have_count(3)
        await expect(rows.first).to_contain_text("backup of mail")
        await expect(page.locator("input:checked")).to_have_count(1)
        await expect(page.get_by_label("Choose backup of files")).to_be_checked()
        await expect(find).to_have_value("backup")
        await expect(find).to_be_focused()
        await page.reload()
        await expect(rows).to_have_count(3)
        await page.get_by_label("State").select_option("down")
        await expect(rows).to_have_count(1)


async def test_whoever_comes_back_sees_what_is_so_and_a_session_that_ended_is_said(
    site: Site, window: Browser, anna: Person
) -> None:
    """A page in the background keeps no stream open. Signed out elsewhere, it goes to the sign-in and shows nothing any more."""
    world = site.world
    check = await world.check(name="nightly")
    await world.ping(check)
    async with screen(window, site, anna) as page:
        await see(page, site.project)
        await expect(page.locator("#live")).to_have_text("Live")
        hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true}); "
        await page.evaluate(hide % "true" + "document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page.locator("#live")).to_have_text("Paused")
        await world.ping(check, "/fail")
        async with asyncio.timeout(60):
            while world.web.live.streams:
                await asyncio.sleep(0.1)
        await expect(page.locator(".standing")).to_contain_text("1 up")
        await page.evaluate(hide % "false" + "document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page.locator(".standing")).to_contain_text("1 down")
        await world.run("DELETE FROM user_sessions")
        await world.ping(check)
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_a_page_says_soon_that_the_service_is_away_and_is_true_again_when_it_is_back(
    calm: World, window: Browser, anna: Person
) -> None:
    """It says so though it has nothing to ask for; what happened meanwhile comes in without a reload."""
    check = await calm.check(name="nightly")
    await calm.ping(check)
    async with AsyncExitStack() as open_window:
        async with listening(calm) as site:
            page = await open_window.enter_async_context(screen(window, site, anna))
            await see(page, site.project)
            await expect(page.locator("#live")).to_have_text("Live")
            await page.evaluate("window.mark = 1")
        await expect(page.locator("#live")).to_have_text("Reconnecting")
        await calm.ping(check, "/fail")
        async with listening(calm, urlsplit(site.url).port or 0):
            await expect(page.locator("#live")).to_have_text("Live")
            await expect(page.locator(".standing")).to_contain_text("1 down")
            assert await page.evaluate("window.mark") == 1, "it was loaded anew"


async def test_without_scripts_everything_is_there_by_reload(site: Site, window: Browser, anna: Person) -> None:
    """The overview, the filter with its button, boxes and their buttons, the axis; no button that would do nothing."""
    world = site.world
    check = await world.check(name="nightly", timeout=3600)
    async with screen(window, site, anna, scripts=False) as page:
        await see(page, site.project)
        await expect(page.locator(".standing")).to_contain_text("1 new")
        await world.ping(check)
        await page.reload()
        await expect(page.locator(".standing")).to_contain_text("1 up")
        await page.get_by_role("link", name="Checks").click()
        await page.get_by_label("Find").fill("night")
        await page.get_by_role("button", name="Show").click()
        await page.get_by_label("Choose nightly").check()
        await page.get_by_role("button", name="Pause").click()
        await expect(page.locator("#checks")).to_contain_text("1 paused")
        await page.get_by_role("link", name="24 hours").click()
        await expect(page.locator(".axis tbody tr")).to_have_count(1)
        assert await page.get_by_role("button", name="Copy").count() == 0
