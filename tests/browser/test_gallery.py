"""Every page in both themes and three widths: nothing hangs out of the window, nothing is out of reach for who cannot see or
point. With SCREENS=folder the pictures are kept there, to be looked at."""

import os
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page

from tests.browser.past import in_every_state
from tests.browser.screen import WIDTHS, Site, screen, see
from tests.manage.pages.visitor import Person

pytestmark = pytest.mark.anyio

PAGES = {
    "overview": "", "checks": "/monitors", "day": "/monitors?view=day", "wall": "/tv",
    "incidents": "/incidents", "channels": "/channels", "new channel": "/channels/new?kind=webhook",
    "settings": "/settings", "members": "/members", "keys": "/keys", "log": "/log", "badges": "/badges",
}  # fmt: skip
PUBLIC = {"guide": "/docs", "guide start": "/docs/start", "guide table": "/docs/pings", "guide code": "/docs/self-hosting"}
KEPT = os.environ.get("SCREENS", "")
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


async def of_checks(site: Site) -> dict[str, str]:
    """The pages of a check that is down and of one that runs, and of its form."""
    rows = await site.world.rows("SELECT unique_key, name FROM monitors")
    paths = {row["name"]: f"/monitors/{row['unique_key']}" for row in rows}
    down, running = paths["nightly backup"], paths["invoice export"]
    return {
        "check": running, "check-down": f"{down}?days=30", "check-edit": f"{running}/edit", "check-new": "/monitors/new",
        "check-delete": f"{down}/delete",
    }  # fmt: skip


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
    pages, complaints = PAGES | await of_checks(site) | await of_things(site), list[str]()
    for theme in THEMES:
        for size, width in WIDTHS.items():
            async with screen(window, site, anna, theme, width) as page:
                for name, path in pages.items():
                    complaints += await looked_at(page, f"{name} {theme} {size}", site.project + path)
    assert not complaints, "\n".join(complaints)


@pytest.mark.timeout(180)
async def test_every_public_page_fits_and_is_accessible(site: Site, window: Browser) -> None:
    """The same for what is seen without an account."""
    complaints = []
    for theme in THEMES:
        for size, width in WIDTHS.items():
            async with screen(window, site, None, theme, width) as page:
                for name, path in PUBLIC.items():
                    complaints += await looked_at(page, f"{name} {theme} {size}", path)
    assert not complaints, "\n".join(complaints)


async def looked_at(page: Page, name: str, path: str) -> list[str]:
    """What is wrong with a page."""
    await see(page, path)
    if KEPT:
        await page.screenshot(path=Path(KEPT) / f"{name.replace(' ', '-')}.png", full_page=True)
    complaints = []
    if await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
        complaints.append(f"{name}: scrolls sideways")
    if name.endswith("laptop"):
        found = (await Axe().run(page)).response["violations"]
        complaints += [f"{name}: {one['id']} {one['nodes'][0]['html'][:150]}" for one in found]
    return complaints
