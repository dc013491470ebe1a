"""A real browser before the real service: Debian's chromium, driven by Playwright, and the service listening on a port.

async with screen(site, anna) as page:        # signed in
    await page.goto("/")
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import uvicorn
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

from app.connection import configured
from app.serve import open_socket
from tests.manage.pages.visitor import Browser as Visitor
from tests.manage.pages.visitor import Person
from tests.world import World

CHROMIUM = shutil.which("chromium") or "chromium"
PATIENCE = 20_000  # milliseconds: for a machine that is busy with other tests
WIDTHS = {"phone": 390, "laptop": 1280, "wide": 1920}
expect.set_options(timeout=PATIENCE)


@dataclass(frozen=True, slots=True)
class Site:
    """The service of a world where a browser finds it."""

    world: World
    url: str

    @property
    def project(self) -> str:
        """The path of the world's project."""
        return f"/projects/{self.world.project.id}"


@asynccontextmanager
async def listening(world: World, port: int = 0) -> AsyncIterator[Site]:
    """The service of this world, on a port of its own, or again on the one that it had."""
    config = configured(world.web)
    config.lifespan = "off"  # the world has begun it already
    server = uvicorn.Server(config)
    world.web.live.leaving = lambda: server.should_exit
    listener = open_socket("127.0.0.1", port, "")
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield Site(world, f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def screen(
    browser: Browser,
    site: Site,
    person: Person | None = None,
    theme: Literal["light", "dark"] = "light",
    width: int = 1280,
    scripts: bool = True,
) -> AsyncIterator[Page]:
    """A window, signed in where somebody is named. What goes wrong in the page, or is asked of another host, fails the test."""
    context = await browser.new_context(
        base_url=site.url, color_scheme=theme, java_script_enabled=scripts, reduced_motion="reduce",
        viewport={"width": width, "height": 900},
    )  # fmt: skip
    context.set_default_timeout(PATIENCE)
    if person is not None:
        await context.add_cookies([{"name": "missedbeat", "value": await token(site, person), "url": site.url}])
    page = await context.new_page()
    wrong: list[str] = []

    def foreign(request: Request) -> None:
        if not request.url.startswith((site.url, "data:")):
            wrong.append(f"asked {request.url}")

    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda line: wrong.append(f"{line.type}: {line.text}") if _is_wrong(line) else None)
    page.on("request", foreign)
    try:
        yield page
        assert not wrong, wrong
    finally:
        await context.close()


async def see(page: Page, path: str) -> None:
    """Go to a page; again as a person would where the machine stood still and it says that it is back in a moment."""
    async with asyncio.timeout(60):
        while (answer := await page.goto(path)) is None or answer.status == 503:
            await asyncio.sleep(0.5)


def _is_wrong(line: ConsoleMessage) -> bool:
    """A form may be refused; a 503 is asked for again, by the page or by us, and so is what does not answer."""
    fine = ("status of 400", "status of 503", "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING")
    return line.type in ("error", "warning") and not any(words in line.text for words in fine)


async def token(site: Site, person: Person) -> str:
    """Of a session of theirs."""
    async with Visitor(site.world) as visitor:
        await visitor.sign_in(person)
        return str(visitor.client.cookies["missedbeat"])
