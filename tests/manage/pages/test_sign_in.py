"""Signing in by password, seeing a page, signing out."""

import asyncio
import hashlib

import pytest
from argon2 import PasswordHasher

from app.domain.attempt import SIGN_IN_ACCOUNT, SIGN_IN_ADDRESS
from app.domain.role import Role
from app.manage.passwords import hash_of
from app.store import users
from tests.manage.pages.visitor import PASSWORD, Browser, Person, joined, signed_up
from tests.world import World, living

pytestmark = pytest.mark.anyio

SESSIONS = "SELECT encode(hash, 'hex') AS hash, address, user_agent, expires_at - created_at AS lasts FROM user_sessions"


async def test_somebody_signs_in_sees_their_projects_and_signs_out(world: World, browser: Browser, anna: Person) -> None:
    """From end to end: the first page sends to the form, the form back to it, and after the last click nothing opens any more."""
    await joined(world, anna, Role.OWNER)
    page = await browser.see("/?all")
    assert (page.status, page.goes_to) == (303, "/login")
    page = await browser.see("/login")
    assert (page.status, page.value("email"), page.value("password")) == (200, "", "")
    page = await browser.sign_in(anna)
    assert (page.status, page.goes_to) == (303, "/")
    page = await browser.see("/?all")
    assert page.status == 200
    assert f"{anna.email} Sign out Projects Test owner" in page.text
    token = browser.client.cookies["missedbeat"]
    page = await browser.send("/logout")
    assert (page.status, page.goes_to) == (303, "/login")
    assert "missedbeat" not in browser.client.cookies
    browser.client.cookies.set("missedbeat", token)
    assert (await browser.see("/")).goes_to == "/login", "whoever kept the token is out too"
    entries = await world.rows("SELECT actor, action, details, address FROM audit_entries ORDER BY id")
    assert entries == [
        {"actor": anna.email, "action": "user.signed_in", "details": {"by": "password"}, "address": "203.0.113.9"},
        {"actor": anna.email, "action": "user.signed_out", "details": {}, "address": "203.0.113.9"},
    ]


async def test_the_database_holds_a_hash_of_the_session_and_the_cookie_is_out_of_reach(
    world: World, browser: Browser, anna: Person
) -> None:
    """Who reads the table cannot sign in; no script and no other site gets at the cookie."""
    page = await browser.sign_in(anna)
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Max-Age=2592000"} <= page.cookie("missedbeat")
    token = browser.client.cookies["missedbeat"]
    assert len(token) == 43
    (row,) = await world.rows(SESSIONS)
    assert row["hash"] == hashlib.sha256(token.encode()).hexdigest()
    assert (row["address"], row["user_agent"], row["lasts"].days) == ("203.0.113.9", "Mozilla/5.0 (test)", 30)


async def test_over_https_the_cookie_is_for_https_and_this_host_alone(dsn: str, anyio_backend: str) -> None:
    """`__Host-`, Secure, and HSTS on every answer; also behind a path."""
    async with living(dsn, base_url="https://beat.example/mb") as world:
        anna = await signed_up(world)
        async with Browser(world, base_url="https://beat.example") as browser:
            page = await browser.see("/mb/login")
            assert 'action="/mb/login"' in page.html
            assert page.headers["strict-transport-security"] == "max-age=31536000"
            page = await browser.send("/mb/login", {"email": anna.email, "password": PASSWORD, "next": "/"})
            assert page.goes_to == "/mb/"
            for name in ("__Host-missedbeat", "__Host-missedbeat-known"):
                assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= page.cookie(name)
            assert (await browser.see("/mb/")).status == 200
            assert (await browser.see("/mb")).status == 200


async def test_an_address_without_account_is_answered_like_a_wrong_password(world: World, browser: Browser, anna: Person) -> None:
    """Words, status, headers; what was typed comes back, the password does not; so is an address that nobody proved theirs."""
    unproved = await signed_up(world, "unproved@example.org", verified=False)
    answers = []
    for email, password in ((anna.email, "wrong"), ("no@example.org", PASSWORD), (unproved.email, PASSWORD), ("", "")):
        page = await browser.send("/login", {"email": email, "password": password})
        assert page.value("email") == email
        assert page.value("password") == ""
        headers = {name: value for name, value in page.headers.items() if name != "content-length"}
        answers.append((page.status, page.text, headers))
    assert answers[0][0] == 400
    assert "do not belong together" in answers[0][1]
    assert answers[1:] == answers[:1] * 3
    assert await world.rows(SESSIONS) == []


async def test_the_address_counts_however_its_letters_are_cased(world: World, browser: Browser, anna: Person) -> None:
    """And with a blank that a phone put behind it."""
    page = await browser.send("/login", {"email": " ANNA@Example.org ", "password": PASSWORD})
    assert page.status == 303


async def test_a_session_is_new_at_each_sign_in_and_the_old_one_is_over(world: World, browser: Browser, anna: Person) -> None:
    """A token that somebody planted before opens nothing after."""
    browser.client.cookies.set("missedbeat", "planted", domain="missedbeat.test")
    await browser.sign_in(anna)
    first = dict(browser.client.cookies)["missedbeat"]
    assert first != "planted"
    await browser.sign_in(anna)
    assert len(await world.rows(SESSIONS)) == 1
    async with Browser(world) as other:
        other.client.cookies.set("missedbeat", first)
        assert (await other.see("/")).goes_to == "/login"


async def test_a_session_ends_thirty_days_after_it_was_last_seen(world: World, browser: Browser, anna: Person) -> None:
    """Each look puts it off, noted once a minute; without one it is over."""
    await browser.sign_in(anna)
    for _ in range(2):
        world.sleep(29 * 86400)
        assert (await browser.see("/?all")).status == 200
    (before,) = await world.rows("SELECT last_seen_at FROM user_sessions")
    await browser.see("/")
    assert await world.rows("SELECT last_seen_at FROM user_sessions") == [before]
    world.sleep(30 * 86400 + 61)
    assert (await browser.see("/")).goes_to == "/login"


async def test_whoever_wanted_a_page_comes_to_it_and_nowhere_else(world: World, browser: Browser, anna: Person) -> None:
    """`next` leads to a page of ours; what looks like another site leads to the first page."""
    page = await browser.see(f"/projects/{world.project.id}/members?sort=role")
    assert page.goes_to == f"/login?next=%2Fprojects%2F{world.project.id}%2Fmembers%3Fsort%3Drole"
    for wanted, comes in (
        ("/x?a=b&c=d", "/x?a=b&c=d"), ("//evil.example", "/"), ("/\\evil.example", "/"), ("https://evil.example", "/"),
        ("", "/"), ("/a\r\nSet-Cookie: a=b", "/"), ("/é", "/%C3%A9"),
    ):  # fmt: skip
        page = await browser.sign_in(anna, next=wanted)
        assert page.goes_to == comes
        page = await browser.see("/login?next=" + wanted.replace("?", "%3F").replace("&", "%26").replace("\r\n", "%0D%0A"))
        assert page.goes_to == comes


async def test_guesses_at_one_account_are_slowed_down_wherever_they_come_from(world: World, anna: Person) -> None:
    """Ten, then one a minute; whoever knows the password then owes nothing. An account that does not exist is no different."""
    for email in (anna.email, "no@example.org"):
        for n in range(SIGN_IN_ACCOUNT.at_once):
            async with Browser(world, f"198.51.100.{n}") as browser:
                assert (await browser.send("/login", {"email": email, "password": "guess"})).status == 400
        async with Browser(world, "198.51.100.99") as browser:
            page = await browser.send("/login", {"email": email.upper(), "password": PASSWORD})
            assert (page.status, page.value("email")) == (429, email.upper())
            assert 0 < int(page.headers["retry-after"]) <= SIGN_IN_ACCOUNT.every
            assert "Too many attempts. Try again in" in page.text
    world.sleep(SIGN_IN_ACCOUNT.every)
    async with Browser(world) as browser:
        assert (await browser.sign_in(anna)).status == 303
    async with Browser(world) as browser:  # one that was never signed in: the other is counted by itself by now
        for _ in range(SIGN_IN_ACCOUNT.at_once):
            assert (await browser.send("/login", {"email": anna.email, "password": "typo"})).status == 400


async def test_guesses_from_one_address_are_slowed_down_whatever_it_says_of_itself(world: World, anna: Person) -> None:
    """A forged X-Forwarded-For is nobody's word; of IPv6 the /64 counts."""
    for addresses in (["203.0.113.7"] * 40, [f"2001:db8:1:2::{n:x}" for n in range(40)]):
        statuses = []
        for n, address in enumerate(addresses[: SIGN_IN_ADDRESS.at_once + 1]):
            async with Browser(world, address) as browser:
                page = await browser.send(
                    "/login", {"email": f"{n}@example.org", "password": "guess"}, x_forwarded_for=f"192.0.2.{n}"
                )
                statuses.append(page.status)
        assert statuses == [400] * SIGN_IN_ADDRESS.at_once + [429]
    async with Browser(world, "203.0.113.8") as browser:
        assert (await browser.sign_in(anna)).status == 303


async def test_behind_a_proxy_of_ours_the_address_it_names_counts(dsn: str, anyio_backend: str) -> None:
    """Else one visitor could lock all others out."""
    async with living(dsn, trusted_proxies="10.0.0.0/8") as world:
        anna = await signed_up(world)
        async with Browser(world, "10.1.2.3") as browser:
            for n in range(SIGN_IN_ADDRESS.at_once + 1):
                page = await browser.send("/login", {"email": f"{n}@example.org"}, x_forwarded_for="192.0.2.1")
            assert page.status == 429
            page = await browser.send(
                "/login", {"email": anna.email, "password": PASSWORD}, x_forwarded_for="192.0.2.1, 198.51.100.4"
            )
            assert page.status == 303
        assert [row["address"] for row in await world.rows(SESSIONS)] == ["198.51.100.4"]


async def test_a_hash_with_old_parameters_is_renewed_when_its_owner_signs_in(
    world: World, browser: Browser, anna: Person
) -> None:
    """Then alone is the password known; it stays the same."""
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    await world.run("UPDATE users SET password_hash = :old", old=old)
    assert (await browser.sign_in(anna)).status == 303
    (row,) = await world.rows("SELECT password_hash FROM users")
    assert row["password_hash"] != old
    assert "m=19456,t=2,p=1" in row["password_hash"]
    assert (await browser.sign_in(anna)).status == 303


async def test_a_password_changed_while_somebody_signs_in_with_the_old_one_lets_nobody_in(
    world: World, browser: Browser, anna: Person
) -> None:
    """Whoever changes it ends all sessions: none may begin a moment later with what is not their password any more."""
    changed = hash_of("another long walk")
    async with world.sessions() as session:
        await users.set_password_hash(session, anna.id, changed)
        signing_in = asyncio.create_task(browser.sign_in(anna))
        async with asyncio.timeout(30):
            while not await world.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%users%'"):
                await asyncio.sleep(0.05)
        await session.commit()
    assert (await signing_in).status == 400
    assert await world.rows(SESSIONS) == []
