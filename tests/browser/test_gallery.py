"""Every page in both themes and three widths: nothing hangs out of the window, nothing is out of reach for who cannot see or
point. With SCREENS=folder the pictures are kept there, to be looked at."""

import os
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser

from tests.browser.past import in_every_state
from tests.browser.screen import WIDTHS, Site, screen
from tests.manage.pages.visitor import Person

pytestmark = pytest.mark.anyio

PAGES = {
    "overview": "", "checks": "/monitors", "day": "/monitors?view=day", "wall": "/tv",
    "incidents": "/incidents", "channels": "/channels", "new channel": "/channels/new?kind=webhook",
    "settings": "/settings", "members": "/members", "keys": "/keys", "log": "/log",
}  # fmt: skip
KEPT = os.environ.get("SCREENS", "")


async def of_things(site: Site) -> dict[str, str]:
    """The pages of single things."""
    await site.world.deliver()
    (incident,) = await site.world.rows("SELECT id FROM incidents ORDER BY opened_at DESC LIMIT 1")
    (channel,) = await site.world.rows("SELECT id FROM channels WHERE NOT fallback")
    one = f"/channels/{channel['id']}"
    return {"incident": f"/incidents/{incident['id']}", "channel": one, "change channel": f"{one}/edit"}


@pytest.mark.timeout(180)
async def test_every_page_fits_and_is_accessible(site: Site, window: Browser, anna: Person) -> None:
    """WCAG 2.2 AA as far as a program can tell (axe), in light and dark; phones scroll down and never sideways."""
    await in_every_state(site.world)
    await site.world.sweep()
    walked = PAGES | await of_things(site)
    complaints = []
    for theme in ("light", "dark"):
        for size, width in WIDTHS.items():
            async with screen(window, site, anna, theme, width) as page:
                for name, path in walked.items():
                    await page.goto(site.project + path)
                    if KEPT:
                        await page.screenshot(path=Path(KEPT) / f"{name}-{theme}-{size}.png", full_page=True)
                    if await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
                        complaints.append(f"{name} {theme} {size}: scrolls sideways")
                    if size == "laptop":
                        found = (await Axe().run(page)).response["violations"]
                        complaints += [f"{name} {theme}: {one['id']} {one['nodes'][0]['html'][:150]}" for one in found]
    assert not complaints, "\n".join(complaints)
