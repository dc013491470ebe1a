"""The second step of a sign-in: turned on, asked for, used once, turned off."""

import asyncio
import re
from dataclasses import dataclass

import pyotp
import pytest

from app.domain.attempt import CODE_ACCOUNT
from tests.manage.pages.mailbox import mailing, pressed
from tests.manage.pages.visitor import PASSWORD, Browser, Page, Person
from tests.world import World

pytestmark = pytest.mark.anyio

SESSIONS = "SELECT 1 FROM user_sessions"
STEP = "/account/second-step"


@dataclass
class App:
    """Somebody's app for codes, and the codes that they wrote down."""

    world: World
    secret: str
    recovery_codes: list[str]

    async def code(self) -> str:
        """What it shows; time passes first, so that no code was used before."""
        self.world.sleep(30)
        return pyotp.TOTP(self.secret).at(await self.world.now())


async def turned_on(world: World, browser: Browser) -> App:
    """By whoever is signed in in this browser, just now."""
    page = await browser.send(STEP)
    assert page.status == 200, page.text
    found = re.search(r"type its secret: ((?:[A-Z2-7]{4} ?){8})", page.text)
    assert found is not None
    app = App(world, found[1].replace(" ", ""), [])
    assert "<svg" in page.html
    page = await browser.send(f"{STEP}/on", {"code": await app.code()})
    assert page.status == 200, page.text
    assert "The second step is on, and all other browsers are signed out." in page.text
    app.recovery_codes = re.findall(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}", page.text)
    assert len(app.recovery_codes) == 10
    return app


async def with_code(browser: Browser, code: str, **fields: str) -> Page:
    """The second page of a sign-in."""
    return await browser.send("/login/code", {"code": code, **fields})


async def test_a_password_is_not_enough_any_more(world: World, anna: Person, browser: Browser) -> None:
    """From end to end: after it a code is asked for, and the page that was wanted is reached. In the tables stand neither the
    secret nor the codes."""
    async with Browser(world) as other, Browser(world) as third:
        await other.sign_in(anna)
        await browser.sign_in(anna)
        app = await turned_on(world, browser)
        assert (await other.see("/account")).status == 303, "who was in before is asked for a code now"
        (row,) = await world.rows("SELECT u::text AS whole FROM users u")
        assert app.secret not in row["whole"]
        assert app.recovery_codes[0].replace("-", "") not in row["whole"]
        assert "10 recovery codes left" in (await browser.see(STEP)).text
        page = await third.sign_in(anna, next="/account")
        assert (page.status, page.goes_to) == (303, "/login/code?next=%2Faccount")
        assert "missedbeat" not in third.client.cookies
        assert len(await world.rows(SESSIONS)) == 1
        page = await third.see(page.goes_to)
        assert (page.status, page.value("next")) == (200, "/account")
        page = await with_code(third, await app.code(), next="/account")
        assert (page.status, page.goes_to) == (303, "/account")
        assert (await third.see("/account")).status == 200
        assert (await third.see("/login/code")).goes_to == "/login"
    entries = await world.rows("SELECT action, details FROM audit_entries ORDER BY id DESC LIMIT 2")
    assert entries[0] == {"action": "user.signed_in", "details": {"by": "password and code"}}
    assert entries[1] == {"action": "user.totp_on", "details": {}}


async def test_a_code_opens_once_and_only_after_the_first_step(world: World, anna: Person, browser: Browser) -> None:
    """Who looked over a shoulder comes too late, also with the code that turned it on; at once one gets in."""
    await browser.sign_in(anna)
    app = await turned_on(world, browser)
    code = await app.code()
    async with Browser(world) as one, Browser(world) as other:
        page = await with_code(one, code)
        assert page.goes_to == "/login"
        assert (await one.see("/login/code")).goes_to == "/login"
        await one.sign_in(anna)
        pages = await asyncio.gather(*(with_code(one, code) for _ in range(3)))
        assert sorted(page.goes_to for page in pages).count("/") == 1
        await other.sign_in(anna)
        page = await with_code(other, code)
        assert (page.status, page.value("code"), "may have run out or been used" in page.text) == (400, code, True)
        for wrong in ("", "000", "x" * 100, "<b>"):
            assert (await with_code(other, wrong)).status in (400, 429)
    assert len(await world.rows(SESSIONS)) == 2


async def test_whoever_knows_the_password_too_ends_nobody_elses_step(world: World, anna: Person, browser: Browser) -> None:
    """Else who stole a password, and has no code, keeps its owner from giving theirs by signing in again and again."""
    await browser.sign_in(anna)
    app = await turned_on(world, browser)
    async with Browser(world) as hers, Browser(world, "198.51.100.9") as thief:
        await hers.sign_in(anna)
        await thief.sign_in(anna)
        assert (await with_code(hers, await app.code())).goes_to == "/"
        assert (await with_code(thief, "000000")).status == 400


async def test_a_recovery_code_opens_once_however_it_is_typed(world: World, anna: Person, browser: Browser) -> None:
    """The log tells of it, and the account of how many are left; new ones end the old."""
    await browser.sign_in(anna)
    app = await turned_on(world, browser)
    one, two, three, *_ = app.recovery_codes
    for code, status in ((one.upper().replace("-", " "), 303), (one, 400), (two, 303)):
        async with Browser(world) as other:
            await other.sign_in(anna)
            assert (await with_code(other, code)).status == status
    assert "8 recovery codes left" in (await browser.see(STEP)).text
    used = await world.rows("SELECT 1 FROM audit_entries WHERE action = 'user.recovery_code_used'")
    assert len(used) == 2
    page = await browser.send(f"{STEP}/codes", {"code": await app.code()})
    assert (page.status, "The codes before open nothing any more." in page.text) == (200, True)
    fresh = re.findall(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}", page.text)
    assert len(set(fresh)) == 10
    async with Browser(world) as other:
        await other.sign_in(anna)
        assert (await with_code(other, three)).status == 400
        assert (await with_code(other, fresh[0])).status == 303


async def test_guesses_at_a_code_are_slowed_down_wherever_they_come_from(world: World, anna: Person, browser: Browser) -> None:
    """Who stole the password has five, then one in two minutes."""
    await browser.sign_in(anna)
    app = await turned_on(world, browser)
    for n in range(CODE_ACCOUNT.at_once):
        async with Browser(world, f"198.51.100.{n}") as other:
            await other.sign_in(anna)
            assert (await with_code(other, "000000")).status == 400
    async with Browser(world) as other:
        await other.sign_in(anna)
        page = await with_code(other, await app.code())
        assert page.status == 429
        assert int(page.headers["retry-after"]) > 0
        world.sleep(CODE_ACCOUNT.every)
        assert (await with_code(other, await app.code())).status == 303


async def test_a_link_by_mail_is_not_enough_either_and_a_new_password_ends_a_step_half_done(dsn: str, anyio_backend: str) -> None:
    """Who reads somebody's mail is not them; who gave the old password and waits with the code is out."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as browser, Browser(world) as other:
        first = Person(world.project.id, "first@example.org", PASSWORD)
        await browser.sign_in(first)
        app = await turned_on(world, browser)
        await other.send("/login/link", {"email": first.email, "next": "/account"})
        page = await pressed(other, await mailbox.link())
        assert page.goes_to == "/login/code?next=%2Faccount"
        fields = {"present": PASSWORD, "password": "another walk by the lake"}
        assert (await browser.send("/account/password", fields)).status == 303
        assert (await with_code(other, await app.code())).goes_to == "/login"
        await other.send("/login", {"email": first.email, "password": "another walk by the lake"})
        world.sleep(601)
        assert (await with_code(other, await app.code())).goes_to == "/login", "half an hour later it is forgotten"


async def test_it_is_turned_off_by_who_proves_both(world: World, anna: Person, browser: Browser) -> None:
    """A browser left open turns nothing off, and shows no secret."""
    await browser.sign_in(anna)
    page = await browser.send(STEP)
    world.sleep(1260)
    for path in (f"{STEP}/on", STEP):
        page = await browser.send(path, {"code": "000000"}, referer=f"http://missedbeat.test{path}")
        assert page.goes_to == "/confirm?next=%2Faccount%2Fsecond-step", "it was shown too long ago"
    await browser.send("/confirm", {"password": PASSWORD})
    assert "<svg" in (await browser.send(STEP)).html
    app = await turned_on(world, browser)
    assert (await browser.send(STEP)).goes_to == STEP
    for fields in ({}, {"code": "000000"}):
        page = await browser.send(f"{STEP}/off", fields)
        assert (page.status, "does not open it" in page.text) == (400, True)
    world.sleep(1260)
    assert (await browser.send(f"{STEP}/off", {"code": await app.code()})).goes_to.startswith("/confirm")
    await browser.send("/confirm", {"password": PASSWORD})
    page = await browser.send(f"{STEP}/off", {"code": await app.code()})
    assert page.goes_to == "/account?done=second-step-off"
    async with Browser(world) as other:
        assert (await other.sign_in(anna)).goes_to == "/"
    (row,) = await world.rows("SELECT totp_secret, totp_last_step, cardinality(recovery_codes) AS codes FROM users")
    assert row == {"totp_secret": None, "totp_last_step": None, "codes": 0}


async def test_a_wrong_first_code_turns_nothing_on_and_the_secret_stays(world: World, anna: Person, browser: Browser) -> None:
    """Nobody is locked out by an app that was not set up."""
    await browser.sign_in(anna)
    first = await browser.send(STEP)
    page = await browser.send(f"{STEP}/on", {"code": "000000"})
    assert page.status == 400
    assert "Is your device's clock right?" in page.text
    secret = re.search(r"type its secret: ((?:[A-Z2-7]{4} ?){8})", page.text)
    assert secret is not None
    assert secret[1] in first.text
    async with Browser(world) as other:
        assert (await other.sign_in(anna)).goes_to == "/"
