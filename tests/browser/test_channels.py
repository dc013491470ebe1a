"""Whom to tell, and that they were told: channels made and tested in a browser, with real receivers of mail and HTTP; an incident
from its opening to its close."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
from playwright.async_api import Browser, Page, expect

from app.domain.role import Role
from app.notify.email import Mailer
from tests.browser.screen import Site, listening, screen, see
from tests.manage.pages.visitor import Person, joined, signed_up
from tests.receivers import HttpReceiver, MailReceiver, Reply
from tests.world import World, living

pytestmark = pytest.mark.anyio

EVIL = '<img src=x onerror="window.evil=1">'


@dataclass(frozen=True, slots=True)
class Office:
    """The service with a worker, its owner, and those who are told."""

    site: Site
    owner: Person
    mails: MailReceiver
    hooks: HttpReceiver

    @property
    def world(self) -> World:
        """What the service stands on."""
        return self.site.world


@asynccontextmanager
async def working(world: World) -> AsyncIterator[None]:
    """A worker that sends what is due."""

    async def work() -> None:
        while True:
            await world.deliver()
            await asyncio.sleep(0.1)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def office(dsn: str, anyio_backend: str) -> AsyncIterator[Office]:
    """All of it."""
    async with MailReceiver() as mails, HttpReceiver() as hooks:
        mailer = Mailer("127.0.0.1", mails.port, tls="none", sender="Missedbeat <beat@example.com>")
        async with (
            living(dsn, mailer, guard_seconds=30, smtp_host="127.0.0.1") as world,
            working(world),
            listening(world) as site,
        ):
            owner = await signed_up(world)
            await joined(world, owner, Role.OWNER)
            yield Office(site, owner, mails, hooks)


async def make(page: Page, kind: str, **fields: str) -> None:
    """Make a channel by its form, beginning at the list, and stay on its page."""
    await page.get_by_role("link", name="Channels", exact=True).click()
    await page.get_by_role("link", name=kind, exact=True).click()
    for label, text in fields.items():
        await page.get_by_label(label.replace("_", " "), exact=True).fill(text)
    await page.get_by_role("button", name="Make the channel").click()


async def test_a_channel_of_each_kind_is_made_tested_and_heard(office: Office, window: Browser) -> None:
    """By hand, with the answer of the receiver on the page without a reload."""
    async with screen(window, office.site, office.owner) as page:
        await see(page, office.site.project)
        await make(page, "E-mail", Name="On call", Address="ops@example.org")
        await page.get_by_role("button", name="Send a test").click()
        await expect(page.locator("#test")).to_contain_text("The receiver took the test message")
        await expect(page.locator("#test")).to_contain_text("kept as 4711")
        assert office.mails.recipients == ["ops@example.org"]
        await make(page, "Slack", Name=EVIL, URL=office.hooks.url("/slack"))
        await page.get_by_role("button", name="Send a test").click()
        await expect(page.locator("#test")).to_contain_text("ok")
        await expect(page.get_by_role("heading", name=EVIL)).to_be_visible()
        assert office.hooks.requests[0].target == "/slack"
        await make(
            page, "Webhook", Name="pager", URL=office.hooks.url("/own"), Headers="Authorization: Bearer letmein",
            Body_when_something_is_down='{"who": "$NAME"}',
        )  # fmt: skip
        await expect(page.locator("#made")).to_contain_text("whsec_")
        await page.get_by_role("link", name="Go on to the channel").click()
        await page.get_by_role("button", name="Send a test").click()
        await expect(page.locator("#test")).to_contain_text("The receiver took the test message")
        request = office.hooks.requests[1]
        assert (request.headers["authorization"], request.json()) == ("Bearer letmein", {"who": ""})
        assert "whsec_" not in await page.content()
        await page.get_by_role("link", name="Channels", exact=True).click()
        await expect(page.locator("tbody tr")).to_have_count(3)
        await expect(page.locator(".way-works")).to_have_count(3)
        assert await page.evaluate("window.evil") is None


async def test_a_refusal_is_quoted_and_a_private_address_refused_beside_its_field(office: Office, window: Browser) -> None:
    """Words that say what to do; what was typed is still there. With scripts off, as all of it works so."""
    async with screen(window, office.site, office.owner, scripts=False) as page:
        await see(page, office.site.project)
        await make(page, "Slack", Name="chat", URL="http://10.0.0.7/hook")
        await expect(page.locator("#url-wrong")).to_contain_text("10.0.0.7 is not a public address")
        await expect(page.get_by_label("URL")).to_have_attribute("aria-describedby", "url-wrong")
        await expect(page.get_by_label("Name")).to_have_value("chat")
        office.hooks.always = Reply(400, body=b"invalid_token <b>")
        await page.get_by_label("URL").fill(office.hooks.url())
        await page.get_by_role("button", name="Make the channel").click()
        await page.get_by_role("button", name="Send a test").click()
        await expect(page.locator("#test")).to_contain_text("was not delivered")
        await expect(page.locator("#test")).to_contain_text("invalid_token <b>")
        await page.get_by_role("link", name="Change", exact=True).click()
        await page.get_by_role("button", name="Delete this channel").click()
        await expect(page.locator(".empty")).to_contain_text("There is no channel yet")


async def test_an_incident_is_told_seen_and_closed_before_ones_eyes(office: Office, window: Browser) -> None:
    """Down, told, acknowledged, up, closed: the page that is open says each of it, and is never loaded anew."""
    world = office.world
    made = {"kind": "webhook", "name": "pager", "url": office.hooks.url()}
    assert (await world.api("POST", "channels/", made)).status_code == 201
    check = await world.check(name=EVIL, timeout=3600, grace=60, channels="*")
    await world.ping(check)
    async with screen(window, office.site, office.owner) as page:
        await see(page, f"{office.site.project}/incidents")
        await expect(page.locator("#live")).to_have_text("Live")
        await expect(page.locator(".empty")).to_contain_text("Nothing was ever down")
        await world.advance(3600 + 60 + 31)
        await world.sweep()
        await expect(page.locator("tbody tr")).to_contain_text(EVIL)
        await page.get_by_role("link", name=EVIL).click()
        await expect(page.locator("#live")).to_have_text("Live")
        await page.evaluate("window.mark = 1")
        await expect(page.locator(".step-delivered")).to_contain_text("pager was told of this")
        await expect(page.locator(".facts")).to_contain_text("every 1 h")
        await page.get_by_role("button", name="I have seen it").click()
        await expect(page.locator(".step-seen")).to_contain_text(f"Seen by {office.owner.email}")
        await expect(page.locator("#live")).to_have_text("Live")
        await page.evaluate("window.mark = 2")
        await world.ping(check)
        await expect(page.locator(".step-up")).to_contain_text("It was heard again")
        await expect(page.locator(".steps")).to_contain_text("pager was told of the recovery")
        await expect(page.locator(".standing")).to_contain_text("was down for")
        assert await page.evaluate("[window.mark, window.evil]") == [2, None]


async def test_the_filter_answers_while_somebody_types(office: Office, window: Browser) -> None:
    """The list follows, and the address with it; the file holds the same."""
    world = office.world
    for name in ("nightly backup", "rotate logs"):
        await world.ping(await world.check(name=name), "/fail")
    async with screen(window, office.site, office.owner) as page:
        await see(page, f"{office.site.project}/incidents")
        await expect(page.locator("tbody tr")).to_have_count(2)
        await page.get_by_label("Find").press_sequentially("back")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.locator("tbody tr")).to_contain_text("nightly backup")
        assert "words=back" in page.url
        async with page.expect_download() as download:
            await page.get_by_role("link", name="These as CSV").click()
        saved = (await (await download.value).path()).read_text()
        assert "nightly backup" in saved
        assert "rotate logs" not in saved
