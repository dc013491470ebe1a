"""Signing in by a link that is mailed, or printed by the command line."""

import asyncio
import subprocess

import pytest

from tests.journeys.running import COMMAND, environment
from tests.manage.pages.mailbox import mailing, pressed
from tests.manage.pages.visitor import PASSWORD, Browser, Person, signed_up
from tests.world import World

pytestmark = pytest.mark.anyio

SESSIONS = "SELECT address FROM user_sessions"


async def test_somebody_without_their_password_gets_a_link_and_is_signed_in(dsn: str, anyio_backend: str) -> None:
    """Also who has no password at all; it leads on to the page that they wanted, and shows that the address is theirs."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as browser:
        await signed_up(world, "anna@example.org", verified=False)
        await world.run("UPDATE users SET password_hash = NULL WHERE email_key = 'anna@example.org'")
        assert (await browser.see("/login/link?next=/account")).value("next") == "/account"
        page = await browser.send("/login/link", {"email": " ANNA@example.org", "next": "/account"})
        assert "on its way" in page.text
        ((to, subject, path),) = await mailbox.mails()
        assert (to, subject) == ("anna@example.org", "Your link to sign in")
        assert "You will be signed in as anna@example.org." in (await browser.see(path)).text
        page = await pressed(browser, path)
        assert (page.status, page.goes_to) == (303, "/account")
        assert "anna@example.org" in (await browser.see("/?all")).text
        assert await world.rows("SELECT verified_at FROM users WHERE verified_at IS NULL") == []
        assert await world.rows("SELECT details FROM audit_entries") == [{"details": {"by": "link"}}]


async def test_an_address_without_account_is_answered_the_same_and_nothing_is_kept(dsn: str, anyio_backend: str) -> None:
    """Words, status, headers; no letter, no link."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as browser, Browser(world) as other:
        known = await browser.send("/login/link", {"email": "first@example.org"})
        unknown = await other.send("/login/link", {"email": "other@example.org"})
        assert (known.status, known.text.replace("first", "")) == (unknown.status, unknown.text.replace("other", ""))
        assert set(known.headers) == set(unknown.headers)
        assert [mail[0] for mail in await mailbox.mails()] == ["first@example.org"]
        assert await world.rows("SELECT email_key FROM links") == [{"email_key": "first@example.org"}]


async def test_a_link_opens_once_in_its_browser_and_not_after_ten_minutes(dsn: str, anyio_backend: str) -> None:
    """Whoever asks for a link to somebody else's account, and waits until they open it, gets nothing; nor do they."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as thief, Browser(world, "203.0.113.10") as browser:
        await thief.send("/login/link", {"email": "first@example.org"})
        path = await mailbox.link()
        token = path.partition("token=")[2]
        for _ in range(2):
            await browser.client.head(path)
            assert (await browser.see(path)).status == 410
        assert (await browser.send("/login/link/open", {"token": token})).status == 410
        assert await world.rows(SESSIONS) == []
        await browser.send("/login/link", {"email": "first@example.org"})
        path = await mailbox.link()
        assert (await pressed(browser, path)).status == 303
        assert (await browser.send("/login/link/open", {"token": path.partition("token=")[2]})).status == 410
        assert len(await world.rows(SESSIONS)) == 1
        await browser.send("/login/link", {"email": "first@example.org"})
        path = await mailbox.link()
        world.sleep(601)
        assert (await browser.see(path)).status == 410


async def test_a_link_used_twice_at_once_opens_one_session(dsn: str, anyio_backend: str) -> None:
    """A double click is not two people."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as browser:
        await browser.send("/login/link", {"email": "first@example.org"})
        token = (await mailbox.link()).partition("token=")[2]
        pages = await asyncio.gather(*(browser.send("/login/link/open", {"token": token}) for _ in range(3)))
        assert sorted(page.status for page in pages) == [303, 410, 410]
        assert len(await world.rows(SESSIONS)) == 1


async def test_a_planted_session_is_not_the_one_that_a_link_opens(dsn: str, anyio_backend: str) -> None:
    """The token is new, and what this browser had before is over."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as browser:
        first = Person(world.project.id, "first@example.org", "a long walk by the sea")
        await browser.sign_in(first)
        before = browser.client.cookies["missedbeat"]
        await browser.send("/login/link", {"email": first.email})
        await pressed(browser, await mailbox.link())
        assert dict(browser.client.cookies)["missedbeat"] != before
        assert len(await world.rows(SESSIONS)) == 1


async def test_over_https_the_cookies_are_for_this_host_alone(dsn: str, anyio_backend: str) -> None:
    """That of the asking browser too: nobody plants it from a neighbour's domain."""
    async with (
        mailing(dsn, base_url="https://beat.example/mb") as (world, _),
        Browser(world, base_url="https://beat.example") as browser,
    ):
        page = await browser.send("/mb/login/link", {"email": "first@example.org"})
        assert page.headers["set-cookie"].startswith("__Host-missedbeat-browser=")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(page.headers["set-cookie"].split("; "))


async def test_whoever_has_a_shell_prints_a_link_where_there_is_no_mail(world: World, anna: Person, browser: Browser) -> None:
    """It opens once, in any browser, within ten minutes."""

    async def command(address: str) -> subprocess.CompletedProcess[str]:
        settings = environment(DATABASE_URL=world.dsn, MISSEDBEAT_BASE_URL="http://missedbeat.test")
        words = [COMMAND, "user", "link", address]
        return await asyncio.to_thread(subprocess.run, words, env=settings, capture_output=True, text=True, check=False)

    done = await command("ANNA@example.org")
    assert done.returncode == 0, done.stderr
    path = done.stdout.strip().removeprefix("http://missedbeat.test")
    page = await pressed(browser, path)
    assert page.goes_to == "/account"
    assert (await browser.see(path)).status == 410
    done = await command("nobody@example.org")
    assert (done.returncode, done.stderr) == (1, "missedbeat-server: nobody@example.org has no account\n")
    entries = await world.rows("SELECT actor, action FROM audit_entries ORDER BY id LIMIT 1")
    assert entries == [{"actor": "command line", "action": "user.link_made"}]


async def test_every_way_to_sign_in_leads_on_to_the_page_that_was_wanted(dsn: str, anyio_backend: str) -> None:
    """Whoever changes their mind on the way, or asks for the letter again, comes to the invitation all the same."""
    there, wanted = "?next=%2Finvitations%2Fx", "/invitations/x"
    async with mailing(dsn, registration="open") as (world, _), Browser(world) as browser:
        for path, others in (("/login", ("/login/link", "/signup")), ("/login/link", ("/login",)), ("/signup", ("/login",))):
            page = await browser.see(path + there)
            assert page.value("next") == wanted
            for other in others:
                assert f'href="{other}{there}"' in page.html, path
        for path in ("/login/link", "/signup"):
            fields = {"email": "anna@example.org", "password": PASSWORD, "next": wanted}
            assert f'href="{path}{there}"' in (await browser.send(path, fields)).html
