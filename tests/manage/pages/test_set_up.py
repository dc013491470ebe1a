"""The first account of a service, in a browser."""

import asyncio

import pytest

from app.store.vault import Vault, set_up_token
from app.welcome import set_up_words
from tests.manage.pages.visitor import PASSWORD, Browser
from tests.world import SECRET_KEY, World

pytestmark = pytest.mark.anyio

ANNA = {"email": "anna@example.org", "password": PASSWORD}


def token() -> str:
    """What `serve` shows."""
    return set_up_token(Vault(SECRET_KEY))


async def test_whoever_sees_the_terminal_makes_the_first_account_and_owns_what_is_there(world: World, browser: Browser) -> None:
    """The sign-in and the sign-up lead there while there is nobody; after it there is no set-up any more."""
    assert "Nobody has an account here yet" in (await browser.see("/login")).text
    assert (await browser.see("/signup")).goes_to == "/setup"
    page = await browser.see(f"/setup?token={token()}")
    assert page.value("token") == token()
    page = await browser.send("/setup", {**ANNA, "token": token(), "password": "short"})
    assert (page.status, page.value("email"), page.value("token")) == (400, "anna@example.org", token())
    assert "use at least 8 characters" in page.text
    page = await browser.send("/setup", {**ANNA, "token": token()})
    assert (page.status, page.goes_to) == (303, "/")
    assert "anna@example.org Sign out Projects Test owner" in (await browser.see("/?all")).text
    log = (await browser.see(f"/projects/{world.project.id}/log")).text
    assert "anna@example.org joined role: owner" in log
    async with Browser(world) as other:
        assert (await other.see(f"/setup?token={token()}")).goes_to == "/login"
        page = await other.send("/setup", {"email": "eve@example.org", "password": PASSWORD, "token": token()})
        assert page.goes_to == "/login"
        assert "Nobody has an account" not in (await other.see("/login")).text
        assert (await other.see("/")).goes_to == "/login"
    assert [row["email"] for row in await world.rows("SELECT email FROM users")] == ["anna@example.org"]


async def test_nobody_else_sets_a_public_service_up(world: World) -> None:
    """Not from this machine either: behind a proxy everybody is there."""
    for address in ("203.0.113.9", "127.0.0.1", "::1"):
        async with Browser(world, address) as browser:
            page = await browser.see("/setup")
            assert (page.status, page.value("token")) == (200, None)
            for wrong in ("", "x", token()[:-1], token() + "x", "é"):
                page = await browser.see(f"/setup?token={wrong}")
                assert (page.value("token"), token() in page.html) == (None, False)
                assert (await browser.send("/setup", {**ANNA, "token": wrong})).status == 403
    assert await world.rows("SELECT 1 FROM users") == []


async def test_of_two_who_set_it_up_at_once_one_is_the_first(world: World) -> None:
    """The other is sent to sign in, and owns nothing."""
    async with Browser(world) as one, Browser(world) as other:
        pages = await asyncio.gather(
            one.send("/setup", {**ANNA, "token": token()}),
            other.send("/setup", {"email": "bob@example.org", "password": PASSWORD, "token": token()}),
        )
    assert sorted(page.goes_to for page in pages) == ["/", "/login"]
    assert len(await world.rows("SELECT 1 FROM users")) == 1
    assert len(await world.rows("SELECT 1 FROM memberships")) == 1


async def test_the_terminal_shows_the_link_and_another_service_has_another(world: World) -> None:
    """The token is of the service's key; nothing of it is kept anywhere."""
    assert f"http://missedbeat.test/setup?token={token()}\n" in set_up_words(world.settings)
    assert set_up_token(Vault("another secret key, 32 characters and more")) != token()
