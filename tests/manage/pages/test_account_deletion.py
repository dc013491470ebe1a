"""Deleting an account."""

import pytest

from app.domain.role import Role
from tests.manage.pages.visitor import PASSWORD, Browser, Person, joined, signed_up
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_an_account_goes_with_its_sessions_and_the_projects_that_nobody_else_is_in(
    world: World, anna: Person, browser: Browser
) -> None:
    """At once; the page names them before. Projects of others stay as they are."""
    bob = await signed_up(world, "bob@example.org")
    shared, bobs = await world.new_project("Shared"), await world.new_project("<i>Bobs</i>")
    await joined(world, anna, Role.OWNER)
    for person, role in ((anna, Role.OWNER), (bob, Role.OWNER)):
        await joined(world, person, role, shared.id)
    await joined(world, bob, Role.OWNER, bobs.id)
    await joined(world, anna, Role.MEMBER, bobs.id)
    async with Browser(world) as phone:
        await browser.sign_in(anna)
        await phone.sign_in(anna)
        page = await browser.see("/account/delete")
        assert "they are deleted with it".capitalize() in page.text
        assert ("Test" in page.text, "Shared" in page.text) == (True, False)
        page = await browser.send("/account/delete", {"address": "bob@example.org"})
        assert (page.status, page.value("address"), "type your address" in page.text) == (400, "bob@example.org", True)
        page = await browser.send("/account/delete", {"address": anna.email.upper()})
        assert (page.status, page.goes_to) == (303, "/login")
        assert "missedbeat" not in browser.client.cookies
        assert (await phone.see("/account")).status == 303
        assert (await browser.sign_in(anna)).status == 400
    due = await world.rows("SELECT name FROM projects WHERE delete_at <= missedbeat_now()")
    assert due == [{"name": "Test"}]
    members = await world.rows("SELECT DISTINCT user_id FROM memberships")
    assert members == [{"user_id": bob.id}]


async def test_the_only_owner_of_a_project_with_others_stays_until_somebody_else_owns_it(
    world: World, anna: Person, browser: Browser
) -> None:
    """In words that say what to do; nothing is changed."""
    bob = await signed_up(world, "bob@example.org")
    await joined(world, anna, Role.OWNER)
    await joined(world, bob, Role.MANAGER)
    await world.run("UPDATE projects SET name = '<b>Test</b>'")
    await browser.sign_in(anna)
    page = await browser.see("/account/delete")
    assert "You are the only owner" in page.text
    assert "<b>Test</b>" in page.text
    page = await browser.send("/account/delete", {"address": anna.email})
    assert (page.status, "Make somebody else an owner of each first, or remove the others from it:" in page.text) == (409, True)
    assert f'href="/projects/{world.project.id}/members"' in page.html
    assert len(await world.rows("SELECT 1 FROM users")) == 2
    assert await world.rows("SELECT 1 FROM projects WHERE delete_at IS NOT NULL") == []
    await world.run("UPDATE memberships SET role = 'owner'")
    assert (await browser.send("/account/delete", {"address": anna.email})).goes_to == "/login"
    assert await world.rows("SELECT 1 FROM projects WHERE delete_at IS NOT NULL") == []


async def test_a_browser_left_open_deletes_nothing(world: World, anna: Person, browser: Browser) -> None:
    """Ten minutes after the sign-in the password is asked for."""
    await browser.sign_in(anna)
    world.sleep(1260)
    page = await browser.send("/account/delete", {"address": anna.email}, referer="http://missedbeat.test/account/delete")
    assert page.goes_to == "/confirm?next=%2Faccount%2Fdelete"
    assert len(await world.rows("SELECT 1 FROM users")) == 1
    await browser.send("/confirm", {"password": PASSWORD})
    assert (await browser.send("/account/delete", {"address": anna.email})).goes_to == "/login"
    assert await world.rows("SELECT 1 FROM users") == []
