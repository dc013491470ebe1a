"""The account: sessions, password, address, zone and theme."""

import asyncio
from urllib.parse import quote_plus
from uuid import uuid4

import pytest

from app.domain.attempt import SIGN_IN_ACCOUNT
from app.store import user_sessions, users
from tests.manage.pages.mailbox import Mailbox, mailing, pressed
from tests.manage.pages.visitor import PASSWORD, Browser, Person, signed_up
from tests.world import World

pytestmark = pytest.mark.anyio

NEW = "another walk by the lake"
SESSIONS = "SELECT id::text FROM user_sessions ORDER BY created_at"
ELEVEN_MINUTES = 660


async def signed_in(world: World, person: Person, *others: Browser) -> None:
    """In each of these browsers."""
    for browser in others:
        assert (await browser.sign_in(person)).status == 303


async def test_somebody_sees_where_they_are_signed_in_and_signs_one_or_all_others_out(
    world: World, anna: Person, browser: Browser
) -> None:
    """An id that is not theirs is none; what a browser says of itself is shown as text."""
    bob = await signed_up(world, "bob@example.org")
    async with Browser(world) as phone, Browser(world) as tablet, Browser(world) as bobs:
        phone.client.headers["user-agent"] = "<script>alert(1)</script>"
        await signed_in(world, bob, bobs)
        await signed_in(world, anna, browser, phone, tablet)
        page = await browser.see("/account")
        assert page.text.count("last seen") == 3
        assert page.text.count("this browser") == 1
        assert "<script>alert(1)</script>" in page.text
        assert "<script" not in page.html
        theirs, _, phones, _ = [row["id"] for row in await world.rows(SESSIONS)]
        for wrong in (theirs, str(uuid4()), "x", ""):
            assert (await browser.send("/account/sessions", {"session": wrong})).goes_to == "/account"
        assert (await bobs.see("/account")).status == 200
        assert (await browser.send("/account/sessions", {"session": phones})).goes_to == "/account?done=sessions"
        assert (await phone.see("/account")).goes_to == "/login?next=%2Faccount"
        assert (await tablet.see("/account")).status == 200
        await browser.send("/account/sessions", {"session": "others"})
        assert (await tablet.see("/account")).status == 303
        assert (await bobs.see("/account")).status == 200
        assert "They are signed out." in (await browser.see("/account?done=sessions")).text
    entries = await world.rows("SELECT actor FROM audit_entries WHERE action = 'user.session_revoked'")
    assert entries == [{"actor": anna.email}] * 2


async def test_a_new_password_needs_the_old_one_however_short_ago_somebody_signed_in(
    world: World, anna: Person, browser: Browser
) -> None:
    """Whoever found the browser open has so many tries, as at the sign-in; what is wrong with the new one is said first."""
    await browser.sign_in(anna)
    assert (await browser.see("/account/password")).value("present") == ""
    page = await browser.send("/account/password", {"present": PASSWORD, "password": "short"})
    assert (page.status, "use at least 8 characters" in page.text) == (400, True)
    for n in range(SIGN_IN_ACCOUNT.at_once):
        page = await browser.send("/account/password", {"present": ("", "wrong", NEW)[n % 3], "password": NEW})
        assert (page.status, "This is not the password of your account." in page.text) == (400, True)
    page = await browser.send("/account/password", {"present": PASSWORD, "password": NEW})
    assert (page.status, "Too many attempts. Try again in " in page.text) == (429, True)
    world.sleep(SIGN_IN_ACCOUNT.every)
    page = await browser.send("/account/password", {"present": PASSWORD, "password": NEW})
    assert (page.status, page.goes_to) == (303, "/account?done=password")
    assert (await browser.see("/account/password")).value("present") == "", "it is asked for again"
    assert (await browser.sign_in(anna)).status == 400


async def test_a_forgotten_password_is_replaced_within_ten_minutes_of_a_mailed_link(dsn: str, anyio_backend: str) -> None:
    """The link is the proof, for as long as a form stays open; after that the present one is asked for again."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as browser:
        await browser.send("/login/link", {"email": "first@example.org", "next": "/account/password"})
        assert (await pressed(browser, await mailbox.link())).goes_to == "/account/password"
        world.sleep(ELEVEN_MINUTES)
        assert (await browser.see("/account/password")).value("present") == ""
        await browser.send("/login/link", {"email": "first@example.org", "next": "/account/password"})
        await pressed(browser, await mailbox.link())
        assert (await browser.see("/account/password")).value("present") is None
        world.sleep(ELEVEN_MINUTES)
        page = await browser.send("/account/password", {"password": NEW})
        assert page.goes_to == "/account?done=password", "the form was opened in time"
        async with Browser(world) as other:
            assert (await other.send("/login", {"email": "first@example.org", "password": NEW})).status == 303


async def test_an_account_without_password_is_given_one_and_proves_itself_by_a_link(dsn: str, anyio_backend: str) -> None:
    """Whoever finds the browser open sets none: after ten minutes a link is asked for, which leads back."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as browser:
        await browser.sign_in(Person(world.project.id, "first@example.org", PASSWORD))
        await world.run("UPDATE users SET password_hash = NULL")
        assert (await browser.see("/account/password")).value("present") is None
        world.sleep(2 * ELEVEN_MINUTES)
        for page in (
            await browser.see("/account/password"),
            await browser.send("/account/password", {"password": NEW}, referer="http://missedbeat.test/account/password"),
        ):
            assert page.goes_to == "/confirm?next=%2Faccount%2Fpassword"
        page = await browser.see(page.goes_to)
        asked = {"email": page.value("email"), "next": page.value("next")}
        assert (page.value("password"), asked) == (None, {"email": "first@example.org", "next": "/account/password"})
        page = await browser.send("/login/link", asked)
        assert (await pressed(browser, await mailbox.link())).goes_to == "/account/password"
        assert (await browser.send("/account/password", {"password": NEW})).goes_to == "/account?done=password"
        assert len(await world.rows(SESSIONS)) == 1


async def test_a_session_that_ended_while_it_changed_the_password_changes_nothing(
    world: World, anna: Person, browser: Browser
) -> None:
    """Of two who change it at once the first ends the other's session: the second does not come after it."""
    await browser.sign_in(anna)
    async with world.sessions() as session:
        await users.locked(session, anna.id)
        changing = asyncio.create_task(browser.send("/account/password", {"present": PASSWORD, "password": NEW}))
        async with asyncio.timeout(30):
            while not await world.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%users%'"):
                await asyncio.sleep(0.02)
        await user_sessions.end_all(session, anna.id)
        await session.commit()
    page = await changing
    assert (page.status, page.goes_to.partition("?")[0]) == (303, "/login")
    assert (await browser.sign_in(anna)).status == 303


async def test_a_new_password_ends_all_that_the_old_one_opened(dsn: str, anyio_backend: str) -> None:
    """Other sessions, links on their way; a letter tells; only the new one signs in."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as browser, Browser(world) as thief:
        first = Person(world.project.id, "first@example.org", PASSWORD)
        await signed_in(world, first, browser, thief)
        await thief.send("/login/link", {"email": first.email})
        path = await mailbox.link()
        assert (await browser.send("/account/password", {"present": PASSWORD, "password": NEW})).status == 303
        assert (await thief.see("/account")).status == 303
        assert (await thief.see(path)).status == 410
        assert (await browser.see("/account")).status == 200
        assert [mail[:2] for mail in await mailbox.mails()] == [(first.email, "Your password was changed")]
        assert (await thief.sign_in(first)).status == 400
        assert (await thief.send("/login", {"email": first.email, "password": NEW})).status == 303
        entries = await world.rows("SELECT action, address FROM audit_entries WHERE action = 'user.password_changed'")
        assert entries == [{"action": "user.password_changed", "address": "203.0.113.9"}]


async def asked(browser: Browser, mailbox: Mailbox, email: str) -> str:
    """The path of the link to a new address."""
    page = await browser.send("/account/address", {"email": email})
    assert (page.status, "a letter is on its way" in page.text) == (200, True)
    return await mailbox.link()


async def test_a_new_address_is_confirmed_by_its_mail_and_the_old_one_is_told(dsn: str, anyio_backend: str) -> None:
    """Until then nothing changes; the link is for its owner, in the browser that asked, once."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as browser, Browser(world) as other:
        first = Person(world.project.id, "first@example.org", PASSWORD)
        bob = await signed_up(world, "bob@example.org")
        await signed_in(world, first, browser)
        path = await asked(browser, mailbox, "New@example.org")
        await signed_in(world, bob, other)
        assert (await other.see(path)).status == 410
        assert (await other.send("/account/address/confirm", {"token": path.partition("token=")[2]})).status == 410
        assert "New@example.org" not in (await browser.see("/account")).text
        assert "From now on you sign in as New@example.org." in (await browser.see(path)).text
        page = await pressed(browser, path)
        assert page.goes_to == "/account?done=address"
        assert "New@example.org" in (await browser.see("/account")).text
        assert (await browser.see(path)).status == 410
        assert [mail[:2] for mail in await mailbox.mails()] == [("first@example.org", "Your address was changed")]
        async with Browser(world) as third:
            assert (await third.sign_in(first)).status == 400
            assert (await third.send("/login", {"email": "new@example.org", "password": PASSWORD})).status == 303


async def test_in_a_browser_that_several_people_use_a_link_stays_its_owners(dsn: str, anyio_backend: str) -> None:
    """Whoever signs in after they left can neither take it nor use it up."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as browser:
        anna, bob = await signed_up(world), await signed_up(world, "bob@example.org")
        await browser.sign_in(anna)
        await browser.send("/account/address", {"email": "new@example.org"})
        token = {"token": (await mailbox.link()).partition("token=")[2]}
        await browser.send("/logout")
        await browser.sign_in(bob)
        assert (await browser.send("/account/address/confirm", token)).status == 410
        await browser.send("/logout")
        await browser.sign_in(anna)
        assert (await browser.send("/account/address/confirm", token)).goes_to == "/account?done=address"


async def test_an_address_that_has_an_account_is_neither_taken_nor_told(dsn: str, anyio_backend: str) -> None:
    """Who asks reads the same as for any other; nothing is mailed. One that was taken meanwhile is refused."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as browser:
        await signed_up(world, "bob@example.org")
        await signed_in(world, Person(world.project.id, "first@example.org", PASSWORD), browser)
        page = await browser.send("/account/address", {"email": "BOB@example.org"})
        free = await browser.send("/account/address", {"email": "eve@example.org"})
        assert (page.status, page.text.replace("BOB", "")) == (free.status, free.text.replace("eve", ""))
        path = await mailbox.link()
        await signed_up(world, "eve@example.org")
        token = (await browser.see(path)).value("token")
        assert (await browser.send("/account/address/confirm", {"token": token})).status == 409


async def test_what_matters_in_an_account_is_done_by_who_proved_just_now_who_they_are(
    world: World, anna: Person, browser: Browser
) -> None:
    """After ten minutes pages ask for the password, however long somebody takes to type it, and lead back; a form that was opened
    in time may be sent ten minutes later."""
    await browser.sign_in(anna)
    paths = ("/account/address", "/account/delete", "/account/second-step")
    assert [(await browser.see(path)).status for path in paths] == [200] * 3
    world.sleep(ELEVEN_MINUTES)
    for path in paths:
        page = await browser.see(path)
        assert (page.status, page.goes_to) == (303, f"/confirm?next={quote_plus(path)}")
    page = await browser.send("/account/address", {"email": "no address"})
    assert (page.status, page.value("email")) == (400, "no address")
    world.sleep(ELEVEN_MINUTES)
    for path in (*paths, *(f"/account/second-step/{name}" for name in ("on", "off", "codes"))):
        page = await browser.send(path, {"email": "x@example.org"}, referer=f"http://missedbeat.test{path}?a=b")
        assert page.goes_to == f"/confirm?next={quote_plus(f'{path}?a=b' if path in paths else '/account/second-step')}"
    assert (await browser.send("/account/delete")).goes_to == "/confirm?next=%2F"
    assert "Password of anna@example.org" in (await browser.see("/confirm?next=/account/address")).text
    world.sleep(120)
    page = await browser.send("/confirm", {"password": "wrong", "next": "/account/address"})
    assert (page.status, page.value("next"), page.value("password")) == (400, "/account/address", "")
    world.sleep(120)
    page = await browser.send("/confirm", {"password": PASSWORD, "next": "/account/address"})
    assert page.goes_to == "/account/address"
    assert [(await browser.see(path)).status for path in paths] == [200] * 3
    assert await world.rows("SELECT email FROM users") == [{"email": anna.email}]


async def test_a_service_without_mail_takes_an_address_at_its_owners_word(world: World, anna: Person, browser: Browser) -> None:
    """One that is somebody's is refused in words, and comes back."""
    await signed_up(world, "bob@example.org")
    await browser.sign_in(anna)
    page = await browser.send("/account/address", {"email": "bob@example.org"})
    assert (page.status, page.value("email"), "cannot be used" in page.text) == (400, "bob@example.org", True)
    assert (await browser.send("/account/address", {"email": "anna2@example.org"})).goes_to == "/account?done=address"
    assert [row["email"] for row in await world.rows("SELECT email FROM users ORDER BY email")] == [
        "anna2@example.org", "bob@example.org",
    ]  # fmt: skip


async def test_zone_and_theme_are_kept_and_the_theme_is_there_at_the_first_paint(
    world: World, anna: Person, browser: Browser
) -> None:
    """In a cookie, also in another browser once they sign in; what is none is refused."""
    await browser.sign_in(anna)
    page = await browser.send("/account/look", {"zone": "Europe/Nowhere", "theme": "pink"})
    assert page.status == 400
    assert "choose a zone of the list" in page.text
    page = await browser.send("/account/look", {"zone": "Asia/Tokyo", "theme": "dark"})
    assert page.goes_to == "/account?done=look"
    page = await browser.see("/account?done=look")
    assert 'data-theme="dark"' in page.html
    assert "<option selected>Asia/Tokyo</option>" in page.html
    async with Browser(world) as other:
        assert "data-theme" not in (await other.see("/login")).html
        await other.sign_in(anna)
        assert 'data-theme="dark"' in (await other.see("/account")).html
    await browser.send("/account/look", {"zone": "UTC", "theme": "auto"})
    assert "data-theme" not in (await browser.see("/account")).html
