"""What a growing service must not do: read a large table from end to end, or send a statement for each row.

Every call is made through the door that people, jobs and the worker use, on tables of 100,000 rows and more; each statement is
explained where it is sent, with what it really read.
"""

import random
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.clock import monotonic
from app.domain.role import Role
from app.domain.state import Signal
from app.ingest.ping import Ping, Target
from app.ingest.record import record
from app.store import blackouts, claims, deletions
from app.store.accounts import NewProject
from app.store.addresses import Address
from app.store.claims import Room
from app.sweeper.audit import audit_once
from app.sweeper.breaker import Breaker
from app.sweeper.count import count_once
from app.sweeper.prune import BATCH, keep_partitions, prune_once
from app.sweeper.sweep import sweep
from tests.events.saying import Program, entry
from tests.large import Size
from tests.manage.pages.visitor import Browser, joined, signed_up
from tests.plans import Asked, plans
from tests.world import MARGIN, World

pytestmark = pytest.mark.anyio

WAITS = timedelta(seconds=30)  # a margin that no load reaches
MOST = 3_000  # rows that a statement may read of a large table: it lists 500 at most
LARGE = {
    "addresses", "canaries", "check_ins", "check_ins_kept", "deliveries", "idempotency", "incidents", "monitors", "reported_runs",
    "runs", "subscriptions", "ticks", "transitions",
}  # fmt: skip
LATELY = "interval '3 h'"  # the audits look at what turned in the last two: what other tests here turned is not counted
MOMENTS = ("satisfied", "anchor", "due", "deadline", "wake_at", "last_end_at", "last_applied_at", "last_success_at")
EARLIER = ", ".join(f"{column} = {column} - interval '3 d'" for column in MOMENTS)
MANY = """
    INSERT INTO monitors SELECT (jsonb_populate_record(m, jsonb_build_object('id', gen_random_uuid(), 'tags', 'other',
        'status', 'paused', 'unique_key', gen_random_uuid(), 'badge_key', gen_random_uuid()))).*
    FROM monitors m, generate_series(1, :more) WHERE m.id = :one"""
Call = Callable[[], Awaitable[Any]]


def complaints(sent: Iterable[Asked]) -> list[str]:
    """What of these statements reads too much."""
    found = []
    for asked in sent:
        much = {table for table in LARGE if asked.read.get(table, 0) > MOST} | LARGE & asked.scanned
        if much:
            found.append(f"{sorted(much)}, rows read {dict(asked.read)}\n{asked.statement}\n{asked.plan}")
    return found


async def hold(*calls: Call) -> None:
    """Each call succeeds, sends something, and reads little."""
    for call in calls:
        with plans() as sent:
            answer = await call()
        assert not isinstance(answer, httpx.Response) or answer.status_code in (200, 201), answer.text
        assert sent
        assert complaints(sent) == []


async def mine(world: World, status: str = "up") -> list[dict[str, Any]]:
    """The monitors of the project that asks, but for its scheduler."""
    query = "SELECT * FROM monitors WHERE project_id = :project AND status = :status AND beat_of = '' ORDER BY id"
    return await world.rows(query, project=world.project.id, status=status)


async def let_fall_silent(world: World, ids: Iterable[UUID]) -> None:
    """As if nothing had been heard of them for three days."""
    await world.run(f"UPDATE monitors SET {EARLIER} WHERE id = ANY(:ids)", ids=list(ids))


# ---- Nothing reads a large table


async def test_what_the_api_shows_is_read_by_index(grown: World) -> None:
    """Lists, single things, history, badges, metrics of a project: each reads what it shows, whatever else there is."""
    check = (await mine(grown))[0]
    one, key = f"checks/{check['id']}", {"Authorization": f"Bearer {grown.project.api_key_readonly}"}
    (incident, *_) = (await grown.api("GET", "incidents/")).json()["incidents"]
    channel = f"channels/{(await grown.api('GET', 'channels/')).json()['channels'][0]['id']}"
    (delivery,) = await grown.rows("SELECT id FROM deliveries WHERE project_id = :project LIMIT 1", project=grown.project.id)
    ago = f"?before={await grown.now() - timedelta(hours=40):%Y-%m-%dT%H:%M:%SZ}"
    badges = (await grown.api("GET", "badges/")).json()["badges"]
    paths = [
        "checks/", "checks/?tag=prod", f"checks/?slug={check['slug']}", one, f"checks/{check['unique_key']}", f"{one}/pings/",
        f"{one}/flips/", f"{one}/flips/?seconds=86400", f"{one}/transitions/", f"{one}/transitions/{ago}", f"{one}/runs/",
        f"{one}/runs/{ago}", f"{one}/incidents/", "incidents/", f"incidents/{ago}", f"incidents/{incident['id']}/explain",
        f"incidents/{incident['id']}/deliveries", f"deliveries/{delivery['id']}", "channels/", f"{channel}/deliveries", "keys/",
        "projects/", "badges/", "blackouts/", "status/",
    ]  # fmt: skip
    await hold(*(lambda path=path: grown.api("GET", path) for path in paths))
    await hold(lambda: grown.api("POST", f"{one}/simulate/", {"timeout": 300}))
    urls = [badges["*"]["svg"], badges["prod"]["json3"], f"/b/2/{check['badge_key']}.svg"]
    await hold(*(lambda url=url: grown.client.get(url) for url in urls))
    await hold(lambda: grown.client.get(f"/projects/{grown.project.id}/metrics/", headers=key))
    (spoken,) = await grown.rows("SELECT max(n) AS n FROM check_ins WHERE monitor_id = :id AND body IS NOT NULL", id=check["id"])
    if spoken["n"]:
        await hold(lambda: grown.api("GET", f"{one}/pings/{spoken['n']}/body"))


async def test_what_the_pages_of_checks_show_is_read_by_index(grown: World) -> None:
    """One check with its days, runs, log and months, older pages of it, its form, and the lists."""
    check = (await mine(grown))[0]
    one, own = f"monitors/{check['unique_key']}", f"/projects/{grown.project.id}"
    ago = f"{await grown.now() - timedelta(hours=40):%Y-%m-%dT%H:%M:%SZ}"
    person = await signed_up(grown, "plans@example.org")
    await joined(grown, person, Role.OWNER)
    async with Browser(grown) as browser:
        await browser.sign_in(person)
        paths = [one, f"{one}?days=30", f"{one}?runs={ago}", f"{one}?log=5", f"{one}/edit", f"{one}/delete", "monitors/new"]
        await hold(*(lambda path=path: browser.client.get(f"{own}/{path}") for path in paths))


async def test_a_replay_reads_its_own_check_ins_page_by_page(grown: World) -> None:
    """Of a job that is heard all the time the newest 20,000, whatever else was heard in these days."""
    check = await grown.check(timeout=60, grace=60)
    await grown.run(
        """INSERT INTO check_ins (project_id, monitor_id, n, received_at, signal, scheme, method, remote_addr, user_agent)
            SELECT project_id, id, n, missedbeat_now() - (22000 - n) * interval '15 s', 'success', '', '', '', ''
            FROM monitors, generate_series(1, 22000) AS n WHERE id = :id""",
        id=UUID(check["uuid"]),
    )
    await grown.run("UPDATE monitors SET heard = 22000 WHERE id = :id", id=UUID(check["uuid"]))
    with plans() as sent:
        answer = await grown.api("POST", f"checks/{check['uuid']}/simulate/")
    assert (answer.status_code, answer.json()["check_ins"], answer.json()["alerts"]) == (200, 20_000, [])
    pages = [asked for asked in sent if "check_in_log" in asked.statement]
    assert len(pages) == 10
    assert complaints(sent) == []
    await grown.api("DELETE", f"checks/{check['uuid']}")


async def test_what_the_api_changes_is_found_by_index(grown: World) -> None:
    """Made, made unless it is there, edited, paused, resumed, deleted, synced; channels too."""
    edited, deleted = (await mine(grown))[1:3]
    one, key = f"checks/{edited['id']}", {"X-Api-Key": grown.project.api_key}
    slack = {"kind": "slack", "name": "more", "url": "https://hooks.example.com/more"}
    jobs = [{"key": f"job {n}", "schedule": "0 3 * * *"} for n in range(20)]
    synced = {"source": "plans", "mode": "reconcile", "monitors": jobs}
    await hold(
        lambda: grown.api("POST", "checks/", {"name": "plans", "slug": "plans", "channels": "*", "expect_first": True}),
        lambda: grown.api("POST", "checks/", {"name": "plans", "unique": ["name"]}),
        lambda: grown.api("POST", "checks/", {"slug": "plans", "unique": ["slug"], "grace": 60}),
        lambda: grown.client.post("/api/v1/checks/", json={"name": "plans"}, headers=key),
        lambda: grown.api("POST", one, {"name": "other", "grace": 7200, "channels": "*"}),
        lambda: grown.client.post(f"/api/v1/{one}", json={"name": "another"}, headers=key),
        lambda: grown.api("POST", f"{one}/pause"),
        lambda: grown.api("POST", f"{one}/resume"),
        lambda: grown.api("DELETE", f"checks/{deleted['id']}"),
        lambda: grown.client.post("/api/sync", json=synced, headers=key),
        lambda: grown.client.post("/api/sync", json={**synced, "monitors": jobs[:5]}, headers=key),
        lambda: grown.api("POST", "channels/", slack),
    )
    made = (await grown.api("GET", "channels/")).json()["channels"][-1]["id"]
    await hold(lambda: grown.api("POST", f"channels/{made}", {"name": "less"}), lambda: grown.api("DELETE", f"channels/{made}"))


async def test_check_ins_find_their_monitors_by_index(grown: World) -> None:
    """By id, by slug, with a key, made by their ping, repeated, reported afterwards; starts, ends and fails; events."""
    check, failing = (await mine(grown))[3:5]
    ping, slugs = {"uuid": check["id"]}, f"/ping/{grown.project.ping_key}"
    again, key = {"Idempotency-Key": "again"}, {"X-Api-Key": grown.project.api_key}
    then = {"at": (await grown.now() - timedelta(hours=2)).isoformat()}
    program = Program(grown, app="shop")
    started = await program.run("started", monitor=f"check:{check['slug']}")
    await hold(
        lambda: grown.ping(ping),
        lambda: grown.ping(ping, "/start", params={"rid": "7d0f0ea3-2f6a-4b3e-8a3b-000000000001"}),
        lambda: grown.ping(ping, "/7", params={"rid": "7d0f0ea3-2f6a-4b3e-8a3b-000000000001"}),
        lambda: grown.ping(ping, headers=again),
        lambda: grown.ping(ping, headers=again),
        lambda: grown.ping({"uuid": failing["id"]}, "/fail", content=b"said"),
        lambda: grown.ping({"uuid": failing["id"]}),
        lambda: grown.ping(ping, params=then, headers=key),
        lambda: grown.client.get(f"{slugs}/{check['slug']}"),
        lambda: grown.client.get(f"{slugs}/plans-made", params={"create": "1"}),
        lambda: program.send(started),
    )


async def test_the_worker_reads_what_is_due_and_no_more(grown: World) -> None:
    """An idle sweep, one with mass silence of 400 jobs and as many that were heard of late, the sender, the audits, the house."""
    await grown.run(f"UPDATE transitions SET noticed_at = noticed_at - {LATELY} WHERE noticed_at > missedbeat_now() - {LATELY}")
    await hold(lambda: sweep(grown.sessions, MARGIN, Breaker()))
    await count_once(grown.sessions)
    silent = [row["id"] for row in (await mine(grown))[100:400]]
    await let_fall_silent(grown, silent)
    passed = "UPDATE monitors SET wake_at = missedbeat_now() - interval '1 min' WHERE id IN (SELECT id FROM seed WHERE i < 1500)"
    await grown.run(f"{passed} AND status = 'up' AND wake_at > missedbeat_now()")
    with plans() as sent:
        swept = await sweep(grown.sessions, MARGIN, Breaker())
    assert swept.turned >= 200
    assert complaints(sent) == []
    await hold(
        grown.deliverer.deliver_once,
        lambda: audit_once(grown.sessions),
        lambda: prune_once(grown.sessions, 90),
        lambda: keep_partitions(grown.sessions, 90, 1000),
    )


async def test_a_log_is_listed_without_reading_what_came_with_it(grown: World) -> None:
    """Large bodies are stored apart, and their size is known without them. What came with the check-in that is told of is
    looked for on its day and after, not in all days before."""
    check = (await mine(grown))[5]
    for _ in range(40):
        assert (await grown.ping({"uuid": check["id"]}, content=random.randbytes(80_000))).status_code == 200
    with plans() as sent:
        assert len((await grown.api("GET", f"checks/{check['id']}/pings/")).json()["pings"]) > 40
    assert max(asked.blocks for asked in sent) < 40 * 80_000 / 8192
    await grown.run("UPDATE deliveries SET state = 'suppressed', settled_at = now() WHERE state IN ('waiting', 'sending')")
    await grown.ping({"uuid": check["id"]}, "/fail", content=random.randbytes(80_000))
    with plans() as sent:
        await grown.deliverer.deliver_once()
    (told,) = [asked for asked in sent if "monitor.down" in asked.statement]
    assert told.skipped >= Size().days - 1
    assert complaints(sent) == []


async def test_operators_ask_by_index_and_what_must_be_counted_is_counted_apart(grown: World) -> None:
    """/metrics, /healthz/deep and /readyz read what the worker counted; that alone reads monitors from end to end."""
    await grown.run("DELETE FROM counts")
    with plans() as sent:
        assert await count_once(grown.sessions)
    assert {table for asked in sent for table in asked.scanned & LARGE} == {"monitors"}
    bearer = {"Authorization": f"Bearer {'t' * 20}"}
    await hold(lambda: grown.client.get("/metrics", headers=bearer))
    for path in ("/healthz/deep", "/readyz"):
        with plans() as sent:
            await grown.client.get(path, headers=bearer)
        assert complaints(sent) == []
    text = (await grown.client.get("/metrics", headers=bearer)).text
    (up,) = await grown.rows("SELECT count(*) AS n FROM monitors WHERE status = 'up'")
    (delivered,) = await grown.rows("SELECT count(*) AS n FROM deliveries WHERE state = 'delivered'")
    assert f'missedbeat_monitors{{status="up"}} {up["n"]}' in text
    assert f'missedbeat_deliveries{{state="delivered"}} {delivered["n"]}' in text


async def test_an_index_that_is_gone_is_noticed(grown: World) -> None:
    """So that none of the above passes whatever it reads."""
    (check, *_) = await mine(grown)
    (made,) = await grown.rows("SELECT indexdef FROM pg_indexes WHERE indexname = 'monitors_badge_key'")
    await grown.run("DROP INDEX monitors_badge_key")
    with plans() as sent:
        assert (await grown.client.get(f"/b/2/{check['badge_key']}.svg")).status_code == 200
    await grown.run(made["indexdef"])
    assert "monitors" in complaints(sent)[0]


# ---- Nothing sends a statement for each row


async def told(call: Awaitable[Any]) -> int:
    """How many statements a call sends; one of many rows at once counts for each of them."""
    with plans() as sent:
        answer = await call
    assert not isinstance(answer, httpx.Response) or answer.status_code in (200, 201), answer.text
    return sum(asked.times for asked in sent)


async def test_lists_take_as_many_statements_for_one_row_as_for_hundreds(grown: World) -> None:
    """Checks, incidents, badges, channels, the metrics of a project, a sync."""
    many, few = grown.project, await grown.new_project()
    grown.project = few
    await grown.api("POST", "channels/", {"kind": "slack", "name": "chat", "url": "https://hooks.example.com/chat"})
    await grown.check(name="one", tags="prod")

    async def counted(project: NewProject, jobs: int) -> list[int]:
        grown.project, bearer = project, {"Authorization": f"Bearer {project.api_key}"}
        wanted = [{"key": f"counted {n}", "schedule": "0 3 * * *"} for n in range(jobs)]
        synced = {"source": "counted", "mode": "reconcile", "monitors": wanted}
        lists = [await told(grown.api("GET", path)) for path in ("checks/", "incidents/", "badges/", "channels/")]
        metrics = await told(grown.client.get(f"/projects/{project.id}/metrics/", headers=bearer))
        return [*lists, metrics, await told(grown.client.post("/api/sync", json=synced, headers=bearer))]

    assert await counted(few, 2) == await counted(many, 60)


async def test_a_batch_takes_as_many_statements_for_one_as_for_forty(grown: World) -> None:
    """Check-ins that are well and fails that open incidents and are told, events of runs, silence, what is claimed to be sent."""
    rows = (await mine(grown))[10:200]
    program = Program(grown, app="counted")
    await program.said(await program.sync(*(entry(f"entry {n}") for n in range(41))), await program.event("beat.up"))

    async def counted(first: int, last: int) -> list[int]:
        ids = [rows.pop()["id"] for _ in range(first, last)]
        events = [await program.run("started", f"entry:entry {n}", f"run {n}") for n in range(first, last)]
        heard = [await told(record(grown.sessions, said(ids, signal), WAITS, 0)) for signal in (Signal.SUCCESS, Signal.FAIL)]
        heard += [await told(program.send(*events)), await told(claimed(grown, last - first))]
        await let_fall_silent(grown, [rows.pop()["id"] for _ in range(first, last)])
        return [*heard, await told(sweep(grown.sessions, MARGIN))]

    assert await counted(0, 1) == await counted(1, 41)


def said(ids: Iterable[UUID], signal: Signal) -> list[Ping]:
    """A batch of pings, one for each of these."""
    return [Ping(Target(Address("ping", str(id_)), signal), monotonic()) for id_ in ids]


async def claimed(world: World, most: int) -> None:
    """What a sender with so much room takes; given back at once."""
    async with world.sessions() as session:
        room = Room(most, most, (most, most), {})
        assert await claims.claim(session, await blackouts.now(session), world.project.id, room, 4)


# ---- One project that is larger than all others


async def test_the_few_checks_with_a_tag_are_found_among_the_many_of_a_project(grown: World) -> None:
    """By an index that knows tags of projects: neither all checks of the project are read, nor the tag's in other projects."""
    grown.project = await grown.new_project()
    one = await grown.check(name="one", tags="prod db")
    await grown.run(MANY, one=one["uuid"], more=2 * MOST)
    await grown.run("ANALYZE monitors")
    await hold(lambda: grown.api("GET", "checks/?tag=db&tag=prod"), lambda: grown.api("GET", "checks/?tag=prod"))
    assert [check["uuid"] for check in (await grown.api("GET", "checks/?tag=prod")).json()["checks"]] == [one["uuid"]]
    assert len((await grown.api("GET", "checks/")).json()["checks"]) == 1 + 2 * MOST
    await grown.run("DELETE FROM monitors WHERE project_id = :project", project=grown.project.id)


# ---- What is given up


async def test_a_deleted_project_is_found_by_index_batch_by_batch(grown: World) -> None:
    """Each batch reads about as much as it deletes, however much others have, to the last of it."""
    (gone,) = await grown.rows("SELECT id FROM projects WHERE name = 'project 7'")
    await grown.run("UPDATE projects SET delete_at = missedbeat_now() WHERE id = :id", id=gone["id"])
    rows = 0
    with plans() as sent:
        while batch := await a_batch(grown):
            rows += batch
    assert complaints(sent) == []
    assert rows > MOST
    assert await grown.rows("SELECT 1 FROM projects WHERE id = :id", id=gone["id"]) == []


async def a_batch(world: World) -> int:
    """One transaction of the worker; returns how many rows went."""
    async with world.sessions() as session:
        deleted = await deletions.go_on(session, await blackouts.now(session), BATCH)
        await session.commit()
    return deleted
