"""Keys on their page, proving again who one is, the log, what is told of pauses, and deletion with a week to repent."""

import re
from datetime import timedelta

import pytest

from app.domain.role import Role
from app.notify.pauses import tell_pauses_once
from app.store.vault import Vault
from app.sweeper.prune import prune_once
from tests.manage.pages.visitor import PASSWORD, Browser, Person, joined, signed_up
from tests.world import SECRET_KEY, World

pytestmark = pytest.mark.anyio

ELEVEN_MINUTES = timedelta(minutes=11).total_seconds()
WEEK = timedelta(days=7).total_seconds()


@pytest.fixture
async def owner(world: World, browser: Browser, anna: Person) -> Person:
    """Anna, signed in as the owner of the world's project."""
    await joined(world, anna, Role.OWNER)
    await browser.sign_in(anna)
    return anna


async def told(world: World) -> int:
    """A round of telling what was paused; returns how many projects it was of."""
    return await tell_pauses_once(world.sessions, Vault(SECRET_KEY), "http://missedbeat.test", True)


async def test_a_key_is_shown_once_opens_what_it_says_and_nothing_once_revoked(
    world: World, browser: Browser, owner: Person
) -> None:
    """The page says who made it and when the API last saw it, to the minute."""
    mine = f"/projects/{world.project.id}/keys"
    made = await browser.send(mine, {"name": "<b>deploy", "scope": "ro"})
    found = re.search(r"mb_ro_\w{36}", made.html)
    assert found is not None, made.text
    key = found[0]
    page = await browser.see(mine)
    assert key not in page.html
    assert "<b>deploy read" in page.text
    assert f"{owner.email} never" in page.text
    assert (await world.api("GET", "checks/", key=key)).status_code == 200
    (row,) = await world.rows("SELECT id, last_used_at FROM api_keys WHERE name = '<b>deploy'")
    assert row["last_used_at"] is not None
    await world.api("GET", "checks/", key=key)
    (again,) = await world.rows("SELECT id, last_used_at FROM api_keys WHERE name = '<b>deploy'")
    assert again == row, "once a minute"
    assert (await browser.send(f"{mine}/{row['id']}/revoke")).status == 303
    assert (await world.api("GET", "checks/", key=key)).status_code == 401
    log = (await browser.see(f"/projects/{world.project.id}/log")).text
    assert "made the key" in log
    assert "revoked the key" in log


async def test_the_last_read_write_key_stays(world: World, browser: Browser, owner: Person) -> None:
    """In clear words, on the page of the keys."""
    (row,) = await world.rows("SELECT id FROM api_keys WHERE scope = 'rw'")
    page = await browser.send(f"/projects/{world.project.id}/keys/{row['id']}/revoke")
    assert page.status == 409
    assert "This is the last read-write key of the project" in page.text


async def test_what_matters_asks_who_it_is_after_ten_minutes(world: World, browser: Browser, owner: Person) -> None:
    """A wrong password changes nothing; the right one leads back."""
    mine = f"/projects/{world.project.id}"
    await world.advance(ELEVEN_MINUTES)
    for page in (await browser.see(f"{mine}/keys/new"), await browser.see(f"{mine}/delete")):
        assert page.goes_to.startswith("/confirm?next=")
    await world.advance(ELEVEN_MINUTES)
    asked = await browser.send(f"{mine}/keys", {"scope": "rw"}, referer=f"http://missedbeat.test{mine}/keys/new")
    assert asked.goes_to.startswith("/confirm?next=")
    assert len(await world.rows("SELECT 1 FROM api_keys")) == 2
    wrong = await browser.send("/confirm", {"password": "no", "next": f"{mine}/keys/new"})
    assert (wrong.status, wrong.value("next")) == (400, f"{mine}/keys/new")
    assert (await browser.see(f"{mine}/keys/new")).status == 303
    right = await browser.send("/confirm", {"password": PASSWORD, "next": f"{mine}/keys/new"})
    assert right.goes_to == f"{mine}/keys/new"
    assert (await browser.see(f"{mine}/keys/new")).status == 200
    away = await browser.send("/confirm", {"password": PASSWORD, "next": "//evil.example"})
    assert away.goes_to == "/"


async def test_what_programs_do_stands_in_the_log_by_their_key(world: World, browser: Browser, owner: Person) -> None:
    """Keys, channels, checks; no ping id, no secret."""
    check = await world.check(name="<i>nightly")
    own = f"checks/{check['uuid']}"
    await world.api("POST", f"{own}/pause")
    await world.api("POST", f"{own}/pause")
    await world.api("POST", f"{own}/resume")
    await world.api("DELETE", own)
    made = (await world.api("POST", "channels/", {"kind": "email", "name": "ops", "address": "ops@example.org"})).json()
    await world.api("POST", f"channels/{made['id']}", {"name": "all"})
    await world.api("DELETE", f"channels/{made['id']}")
    rows = await world.rows(
        "SELECT actor, action, e::text AS whole FROM audit_entries e WHERE project_id IS NOT NULL ORDER BY id"
    )
    assert [row["action"] for row in rows] == [
        "monitor.paused", "monitor.resumed", "monitor.deleted", "channel.created", "channel.changed", "channel.deleted",
    ]  # fmt: skip
    assert {row["actor"] for row in rows} == {f"key {world.project.api_key[:10]}…"}
    assert not any(check["uuid"] in row["whole"] for row in rows)
    page = await browser.see(f"/projects/{world.project.id}/log")
    assert "<i>nightly" in page.text
    assert "<i>" not in page.html


async def test_members_are_told_of_pauses_in_one_letter_a_minute(world: World, browser: Browser, owner: Person) -> None:
    """Once nobody goes on pausing, and at the latest after a minute; what comes after that in the next; nothing twice."""
    await joined(world, await signed_up(world, "bob@example.org"), Role.VIEWER)
    checks = [await world.check(name=f"job {n}") for n in range(4)]
    await world.api("POST", f"checks/{checks[0]['uuid']}/pause")
    assert await told(world) == 0, "more may come"
    await world.advance(11)
    assert await told(world) == 1
    assert len(await world.rows("SELECT 1 FROM letters")) == 2
    for check in checks[1:]:
        await world.api("POST", f"checks/{check['uuid']}/pause")
    await world.advance(30)
    assert await told(world) == 0
    await world.advance(31)
    assert await told(world) == 1
    assert await told(world) == 0
    assert len(await world.rows("SELECT 1 FROM letters WHERE kind = 'monitor_paused'")) == 4
    assert await world.rows("SELECT 1 FROM pauses") == []


async def test_a_deleted_project_goes_on_for_a_week_and_can_be_kept(world: World, browser: Browser, owner: Person) -> None:
    """Its name must be typed; pings are heard; kept, nothing has happened; after the week nothing of it is left."""
    check, other = await world.check(name="job"), await world.new_project("Other")
    mine = f"/projects/{world.project.id}"
    page = await browser.send(f"{mine}/delete", {"name": "Toast"})
    assert (page.status, "Nobody is written to" in page.text) == (400, True), "a service without mail does not say that it writes"
    for _ in range(2):
        assert (await browser.send(f"{mine}/delete", {"name": "Test"})).status == 303
    assert "will be deleted on" in (await browser.see(f"{mine}/members")).text
    ((going,),) = (await world.api("GET", "projects/")).json().values()
    (row,) = await world.rows("SELECT delete_at FROM projects WHERE delete_at IS NOT NULL")
    assert going["delete_at"] == row["delete_at"].isoformat()
    assert (await browser.send(f"{mine}/keep")).status == 303
    assert await world.rows("SELECT 1 FROM projects WHERE delete_at IS NOT NULL") == []
    await browser.send(f"{mine}/delete", {"name": "Test"})
    await prune_once(world.sessions, 90)
    assert (await world.ping(check)).status_code == 200
    await world.advance(WEEK + 1)
    await prune_once(world.sessions, 90)
    assert [row["id"] for row in await world.rows("SELECT id FROM projects")] == [other.id]
    for table in ("monitors", "addresses", "api_keys", "memberships", "check_ins", "runs"):
        assert await world.rows(f"SELECT 1 FROM {table} WHERE project_id = :project", project=world.project.id) == [], table
    assert (await world.ping(check)).status_code == 404
    assert (await browser.see(f"{mine}/settings")).status == 404


async def test_once_the_week_is_over_a_project_cannot_be_kept(world: World, browser: Browser, owner: Person) -> None:
    """It is too late, in words, though not all of it is gone yet."""
    mine = f"/projects/{world.project.id}"
    await browser.send(f"{mine}/delete", {"name": "Test"})
    await world.advance(WEEK + 1)
    page = await browser.send(f"{mine}/keep")
    assert page.status == 409
    assert "It is too late" in page.text
