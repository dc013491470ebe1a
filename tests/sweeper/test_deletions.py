"""A project whose week is over goes in small batches: all of it, nothing else, and nobody waits meanwhile."""

import asyncio

import pytest
from sqlalchemy import text

from app.domain.audit_action import AuditAction
from app.domain.role import Role
from app.store import audit_entries, deletions, invitations, pauses
from app.store.accounts import NewProject
from app.store.audit_entries import COMMAND_LINE, Entry
from app.store.tables import Base
from app.sweeper.audit import audit_once
from app.sweeper.prune import prune_once
from tests.manage.pages.visitor import joined, signed_up
from tests.world import World

pytestmark = pytest.mark.anyio

OF_PROJECTS = {name for name, table in Base.metadata.tables.items() if "project_id" in table.columns}
KEPT = "signal, run_id, exit_status, duration, scheme, method, remote_addr, user_agent, body, body_truncated, reported_at"
PAST_THE_DOORS = (  # what takes days, or a program of its own, to come about
    f"INSERT INTO check_ins_kept (project_id, monitor_id, n, received_at, {KEPT})"
    f" SELECT project_id, monitor_id, n, received_at, {KEPT} FROM check_ins WHERE project_id = :project"
    " AND monitor_id IN (SELECT id FROM monitors)",
    "INSERT INTO reported_runs SELECT project_id, id, 'r', '{}', now() FROM monitors WHERE project_id = :project",
    "INSERT INTO unheard SELECT project_id, id, now(), now(), now(), 0, now() FROM monitors WHERE project_id = :project",
    "INSERT INTO syncs SELECT id, 'celery:shop', now(), '{}' FROM projects WHERE id = :project",
)


async def fill(world: World, project: NewProject) -> list[str]:
    """Something in every table that hangs on a project; returns the ids of its checks."""
    ids = []
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"}, project.api_key)
    for n in range(6):
        body = {"name": f"{n}", "channels": "*", "aliases": [{"service": "cronitor", "token": f"{n}"}]}
        ids.append((await world.api("POST", "checks/", body, project.api_key)).json()["uuid"])
        for suffix in ("/fail", "", "/start", "/fail")[n % 4 :]:
            headers = {"Idempotency-Key": f"{suffix} {n}"}
            assert (await world.client.get(f"/ping/{ids[-1]}{suffix}", headers=headers)).status_code == 200
    await world.api("DELETE", f"checks/{ids.pop()}", key=project.api_key)
    for sql in PAST_THE_DOORS:
        await world.run(sql, project=project.id)
    anna = await signed_up(world, f"{project.id}@example.org")
    await joined(world, anna, Role.OWNER, project.id)
    async with world.sessions() as session:
        now = await world.now()
        await invitations.make(session, project.id, "bob@example.org", Role.VIEWER, anna.id, now)
        await pauses.note(session, project.id, ["0"], "anna", now)
        await audit_entries.write(session, COMMAND_LINE, Entry(AuditAction.PROJECT_DELETING, project=project.id), now)
        await session.commit()
    return ids


async def left(world: World, project: NewProject) -> dict[str, int]:
    """The tables that hold rows of a project, and how many."""
    count = "SELECT count(*)::int AS n FROM {} WHERE project_id = :project"
    found = {name: (await world.rows(count.format(name), project=project.id))[0]["n"] for name in OF_PROJECTS}
    return {name: n for name, n in found.items() if n}


async def overdue(world: World, project: NewProject) -> None:
    """Its week is over."""
    await world.run("UPDATE projects SET delete_at = missedbeat_now() WHERE id = :project", project=project.id)


async def a_batch(world: World, limit: int) -> int:
    """One transaction of the worker; returns how many rows went."""
    async with world.sessions() as session:
        gone = await deletions.go_on(session, await world.now(), limit)
        await session.commit()
    return gone


async def test_of_a_deleted_project_nothing_is_left_and_of_others_all(world: World) -> None:
    """Every table that names projects, those to come too; a row at a time, and after none of them an audit finds fault."""
    gone, stays = world.project, await world.new_project("stays")
    for project in (gone, stays):
        await fill(world, project)
    before = await left(world, stays)
    assert set(await left(world, gone)) == set(before) == OF_PROJECTS
    await overdue(world, gone)
    batches = 0
    while await a_batch(world, 1):
        batches += 1
        await world.run("DELETE FROM audits")  # else the next round of them comes in a minute
        found = await audit_once(world.sessions)
        assert found
        assert not any(found.values()), (batches, found, await left(world, gone))
    assert batches > sum((await left(world, stays)).values()) / 3
    await prune_once(world.sessions, 90)
    assert await left(world, gone) == {}
    assert await world.rows("SELECT 1 FROM projects WHERE id = :gone", gone=gone.id) == []
    assert await left(world, stays) == before


async def test_from_the_first_batch_on_keys_and_ping_urls_are_unknown_ones(world: World) -> None:
    """All of them, by id, by slug, by another service's name, and the API: the answers of ids that nobody has."""
    (one, *_) = await fill(world, world.project)
    await overdue(world, world.project)
    await prune_once(world.sessions, 90)
    nobodys = "6f1d0c86-98b5-4b3e-b5fb-2f0d9b5c1b11"
    pings = [await world.client.get(f"/ping/{id_}") for id_ in (one, nobodys)]
    pings += [await world.client.get(f"/ping/{key}/0") for key in (world.project.ping_key, "x" * 22)]
    assert {(answer.status_code, answer.text) for answer in pings} == {(404, pings[0].text)}
    for key in (world.project.api_key, world.project.api_key_readonly):
        answer = await world.api("GET", "checks/", key=key)
        assert (answer.status_code, answer.json()) == (401, {"error": "wrong api key"})


async def test_while_a_batch_is_under_way_neither_pings_nor_sweeps_wait(world: World) -> None:
    """Nor does it wait for a check that somebody has in hand: that one comes in the next."""
    other = await world.new_project("other")
    theirs = (await world.api("POST", "checks/", {"timeout": 60, "grace": 30}, other.api_key)).json()
    checks = [await world.check(name=f"{n}", timeout=60, grace=30) for n in range(4)]
    for check in (*checks, theirs):
        await world.ping(check)
    await world.run("DELETE FROM addresses WHERE project_id = :project", project=world.project.id)
    await world.run("DELETE FROM api_keys WHERE project_id = :project", project=world.project.id)
    await overdue(world, world.project)
    await world.advance(200)
    async with world.sessions() as batch, world.sessions() as another:
        assert await deletions.go_on(batch, await world.now(), 20) == 2
        assert await deletions.go_on(another, await world.now(), 20) == 0, "two workers do not get into each other's way"
        async with asyncio.timeout(30):
            swept = await world.sweep()
            assert (await world.ping(theirs)).status_code == 200
        await batch.commit()
    assert swept.looked_at == 3, "the two that nobody holds, and the other project's"
    async with world.sessions() as holding:
        (held, *_) = await world.rows("SELECT id FROM monitors WHERE project_id = :project", project=world.project.id)
        await holding.execute(text("SELECT FROM monitors WHERE id = :id FOR UPDATE"), {"id": held["id"]})
        async with asyncio.timeout(30):
            assert await a_batch(world, 1000) == 1
    await prune_once(world.sessions, 90)
    assert await left(world, world.project) == {}
