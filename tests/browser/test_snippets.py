"""The part of a page that shows what there is to copy."""

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from axe_playwright_python.async_playwright import Axe
from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from playwright.async_api import Browser, expect

from app.domain.schedule import Every
from app.domain.snippets import snippets, target
from app.manage.pages.frame import HEADERS, TEMPLATES, url
from app.manage.pages.static import static_path
from app.web import shared
from tests.browser.screen import WIDTHS, Site, screen, see
from tests.browser.test_gallery import KEPT

pytestmark = pytest.mark.anyio

PAGE = """{% extends 'frame.html' %}{% block title %}Trial{% endblock %}
{% block head %}
<script defer src="{{ static('idiomorph.js') }}"></script>
<script defer src="{{ static('live.js') }}"></script>
{% endblock %}
{% block main %}<h1>Trial</h1>{% include 'snippets.html' %}{% endblock %}"""
TO_COPY = snippets(target("https://beat.example", uuid4(), "pk", "nightly-backup", "Nightly backup", Every(timedelta(hours=1))))
KUBERNETES = next(one for one in TO_COPY if one.key == "kubernetes")


async def trial(request: Request) -> Response:
    """A page with that part, as a monitor's has it."""
    house = shared(request)
    given = {"url": lambda path: url(house, path), "static": lambda name: url(house, static_path(name))}
    html = TEMPLATES.from_string(PAGE).render(given, visitor=None, theme="", snippets=TO_COPY)
    return HTMLResponse(html, headers=HEADERS)


@pytest.mark.parametrize("scripts", [True, False])
async def test_one_kind_is_open_at_a_time_with_and_without_scripts(site: Site, window: Browser, scripts: bool) -> None:
    """The first to begin with; by keys as well. Only with scripts is there a button, which copies the text as it stands."""
    site.world.web.app.add_api_route("/trial", trial)
    async with screen(window, site, scripts=scripts) as page:
        await see(page, "/trial")
        shown = page.locator(".snippets pre:visible")
        await expect(shown).to_have_text(TO_COPY[0].text)
        await page.get_by_text("Kubernetes", exact=True).focus()
        await page.keyboard.press("Enter")
        await expect(shown).to_have_text(KUBERNETES.text.rstrip())
        button = page.get_by_role("button", name="Copy")
        if scripts:
            await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
            await button.click()
            await expect(page.get_by_role("button", name="Copied")).to_be_visible()
            assert await page.evaluate("navigator.clipboard.readText()") == KUBERNETES.text.strip()
        else:
            await expect(button).to_have_count(0)


async def test_what_there_is_to_copy_fits_and_is_accessible(site: Site, window: Browser) -> None:
    """All of it open, in both themes, on a phone and a laptop."""
    site.world.web.app.add_api_route("/trial", trial)
    for width in (WIDTHS["phone"], WIDTHS["laptop"]):
        async with screen(window, site, theme="dark" if width == WIDTHS["phone"] else "light", width=width) as page:
            await see(page, "/trial")
            opened = "document.querySelectorAll('details').forEach((one) => { one.removeAttribute('name'); one.open = true; })"
            await page.evaluate(opened)
            assert not await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
            if KEPT:
                await page.screenshot(path=Path(KEPT) / f"snippets-{width}.png", full_page=True)
            assert not (await Axe().run(page)).response["violations"]
