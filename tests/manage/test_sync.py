"""CronRadar's sync: a program declares all its jobs, again and again."""

import asyncio
from collections.abc import Awaitable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.domain import tokens
from tests.many import patiently, statements
from tests.world import World

pytestmark = pytest.mark.anyio
CK = "ck_app_0123456789abcdef0123"


def job(key: str, schedule: str = "0 2 * * *", **more: Any) -> dict[str, Any]:
    """An item as the SDK sends it."""
    return {"key": key, "name": key.title(), "schedule": schedule, "gracePeriod": 60, **more}


async def sync(world: World, *jobs: Any, key: str = "", **more: Any) -> httpx.Response:
    """A reconcile as cronradar-celery sends it, with Basic."""
    body = {"source": "celery", "version": "0.1.0", "mode": "reconcile", "monitors": list(jobs), **more}
    body = {name: value for name, value in body.items() if value is not None}
    return await world.client.post("/api/sync", json=body, auth=(key or world.project.api_key, ""))


async def monitors(world: World) -> dict[str, dict[str, Any]]:
    """The rows by slug."""
    return {row["slug"]: row for row in await world.rows("SELECT * FROM monitors ORDER BY slug")}


async def key_of(world: World, key: str, scope: str, service: str = "") -> str:
    """One more key of the project."""
    await world.run(
        "INSERT INTO api_keys (project_id, id, scope, hash, hint, service, created_at) VALUES (:p, :i, :c, :h, '', :s, now())",
        p=world.project.id, i=uuid4(), c=scope, h=tokens.hashed(key), s=service,
    )  # fmt: skip
    return key


async def test_a_job_is_missed_before_it_ever_ran(world: World) -> None:
    """The first sync makes the monitors, with all channels, and expects their first check-in."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    answer = await sync(world, job("Nightly Backup"), job("hourly.sync", "0 * * * *", gracePeriod=300))
    assert (answer.status_code, answer.json()) == (
        200, {"status": "success", "synced": 2, "created": 2, "updated": 0, "retired": 0, "errors": []},
    )  # fmt: skip
    found = await monitors(world)
    assert [found["nightly-backup"][name] for name in ("name", "kind", "expression", "zone", "grace", "status", "source")] == [
        "Nightly Backup", "cron", "0 2 * * *", "UTC", 60, "new", "celery",
    ]  # fmt: skip
    assert found["hourlysync"]["grace"] == 300
    assert len(await world.rows("SELECT * FROM subscriptions")) == 2
    for key in ("Nightly%20Backup", "hourly.sync"):
        assert (await world.client.get(f"/ping/{key}/{world.project.api_key}")).status_code == 200
    await sync(world, job("third"), mode=None)
    await world.advance(86_400 + 61)
    await world.sweep()
    assert (await monitors(world))["third"]["status"] == "down"


async def test_the_same_sync_again_changes_nothing(world: World) -> None:
    """Every quarter of an hour the same words: no deadline moves, no row is written, nobody is told."""
    jobs = [job("a", "*/10 * * * *"), job("b"), job("c")]
    await sync(world, *jobs)
    await world.client.get(f"/ping/a/{world.project.api_key}")
    await world.client.post(f"/ping/b/{world.project.api_key}/start")
    before = await world.rows("SELECT *, xmin::text FROM monitors ORDER BY id")
    await world.advance(200)
    again = await sync(world, *reversed(jobs))
    assert again.json() == {"status": "success", "synced": 3, "created": 0, "updated": 3, "retired": 0, "errors": []}
    assert await world.rows("SELECT *, xmin::text FROM monitors ORDER BY id") == before
    await sync(world, job("a", "*/10 * * * *", gracePeriod=120), *jobs[1:])
    after = await monitors(world)
    assert after["a"]["grace"] == 120
    assert {str(row["id"]): row["deadline"] for row in before if row["slug"] != "a"} == {
        str(after[slug]["id"]): after[slug]["deadline"] for slug in "bc"
    }


async def test_what_is_no_longer_named_is_retired_and_never_missed(world: World) -> None:
    """Paused without a word; a late ping of an old worker wakes nothing; named again it is resumed and expected."""
    await sync(world, job("a", "* * * * *"), job("b", "* * * * *"))
    await world.client.get(f"/ping/a/{world.project.api_key}")
    gone = await sync(world, job("b", "* * * * *"))
    assert gone.json()["retired"] == 1
    a = (await monitors(world))["a"]
    assert (a["status"], a["retired_at"] is not None, a["deadline"]) == ("paused", True, None)
    seen = {check["slug"]: check for check in (await world.api("GET", "checks/")).json()["checks"]}
    assert [(seen[slug]["source"], seen[slug]["retired"]) for slug in ("a", "b")] == [("celery", True), ("celery", False)]
    assert (await world.client.get(f"/ping/a/{world.project.api_key}")).status_code == 200
    await world.client.get(f"/ping/b/{world.project.api_key}")
    await world.advance(600)
    await world.sweep()
    assert {slug: row["status"] for slug, row in (await monitors(world)).items()} == {"a": "paused", "b": "down"}
    kept = await world.rows("SELECT signal FROM check_ins WHERE monitor_id = :a ORDER BY n", a=a["id"])
    assert [row["signal"] for row in kept] == ["success", "ignored"]
    assert (await sync(world, job("b", "* * * * *"))).json()["retired"] == 0
    await sync(world, job("a", "* * * * *"), job("b", "* * * * *"))
    back = (await monitors(world))["a"]
    assert (back["status"], back["retired_at"], back["deadline"] is not None) == ("new", None, True)
    await world.advance(200)
    await world.sweep()
    assert (await monitors(world))["a"]["status"] == "down"


async def test_a_retired_monitor_that_was_down_tells_nobody(world: World) -> None:
    """Its incident ends with the pause, and no message goes out."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    await sync(world, job("a"))
    await world.client.post(f"/ping/a/{world.project.api_key}/fail")
    told = len(await world.rows("SELECT id FROM deliveries"))
    await sync(world)
    assert len(await world.rows("SELECT id FROM deliveries")) == told == 1
    assert await world.rows("SELECT closed_by FROM incidents") == [{"closed_by": "paused"}]


async def test_what_a_person_paused_or_resumed_is_theirs(world: World) -> None:
    """A person's pause outlives every sync; a person's resume ends a retirement; other sources are left alone."""
    await sync(world, job("a"), job("b"))
    await sync(world, job("other"), source="airflow")
    ids = {slug: str(row["id"]) for slug, row in (await monitors(world)).items()}
    await world.api("POST", f"checks/{ids['a']}/pause")
    await sync(world, job("b"))
    await sync(world, job("a", "0 4 * * *"), job("b"))
    a = (await monitors(world))["a"]
    assert (a["status"], a["retired_at"], a["expression"]) == ("paused", None, "0 4 * * *")
    await sync(world, job("a"))
    assert (await monitors(world))["b"]["status"] == "paused"
    await world.api("POST", f"checks/{ids['b']}/pause")
    await sync(world, job("a"), job("b"))
    assert (await monitors(world))["b"]["status"] == "paused"
    await world.api("POST", f"checks/{ids['b']}/resume")
    await sync(world, job("a"))
    assert (await monitors(world))["b"]["retired_at"] is not None
    await world.api("POST", f"checks/{ids['b']}/resume")
    assert (await monitors(world))["b"]["retired_at"] is None
    await world.client.get(f"/ping/b/{world.project.api_key}")
    assert {slug: row["status"] for slug, row in (await monitors(world)).items()} == {"a": "paused", "b": "up", "other": "new"}


async def test_a_bad_item_is_named_and_keeps_no_other_from_counting(world: World) -> None:
    """The good ones are taken over, the bad ones stand in errors; a known one that is bad is neither changed nor retired."""
    await sync(world, job("known"))
    answer = await sync(
        world, job("good"), job("known", "61 * * * *"), job("six", "0 0 2 * * *"), {"key": "bare"},
        {"schedule": "* * * * *"}, "text", job("good", "0 5 * * *"),
        job("a/b"), job("nul\0"), job("x" * 201), job("grace", gracePeriod="much"),
    )  # fmt: skip
    found = answer.json()
    assert [answer.status_code, found["status"], found["synced"], found["created"], found["retired"]] == [200, "partial", 1, 1, 0]
    assert [error["key"] for error in found["errors"]] == [
        "known", "six", "bare", "monitors[4]", "monitors[5]", "good", "a/b", "nul\0", "x" * 201, "grace",
    ]  # fmt: skip
    assert "61 * * * *" in found["errors"][0]["error"]
    assert {slug: row["expression"] for slug, row in (await monitors(world)).items()} == {
        "good": "0 2 * * *",
        "known": "0 2 * * *",
    }
    assert (await monitors(world))["known"]["status"] == "new"
    nothing = await sync(world, job("six", "0 0 2 * * *"))
    assert nothing.status_code == 400
    assert nothing.json()["errors"][0]["key"] == "six"
    assert (await monitors(world))["known"]["status"] == "new"


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"source": None}, 400, "source: "),
        ({"source": "a\nb"}, 400, "source: "),
        ({"mode": "replace"}, 400, "mode: "),
        ({"monitors": None}, 400, "monitors: is not an array"),
        ({"monitors": {}}, 400, "monitors: is not an array"),
        ({"monitors": [{}] * 1001}, 413, "monitors: 1001 at once"),
    ],
)
async def test_a_sync_that_makes_no_sense_is_refused_in_words(world: World, more: Any, status: int, words: str) -> None:
    """Nothing is made, nothing retired."""
    await sync(world, job("a"))
    answer = await sync(world, **more)
    assert (answer.status_code, answer.json()["error"].startswith(words)) == (status, True)
    assert {slug: row["status"] for slug, row in (await monitors(world)).items()} == {"a": "new"}


async def test_only_keys_that_may_write_sync(world: World) -> None:
    """Ours if read-write, in Basic, Bearer or X-Api-Key; the service's own; others 403, unknown ones 401."""
    await key_of(world, CK, "ping", "cronradar")
    await key_of(world, "a-sentry-key", "ping", "sentry")
    ping = await key_of(world, tokens.new_api_key("ping"), "ping")
    assert (await sync(world, job("a"), key=CK)).json()["created"] == 1
    assert (await world.client.get(f"/ping/a/{CK}")).status_code == 200
    for key, status in [
        (ping, 403),
        (world.project.api_key_readonly, 403),
        ("a-sentry-key", 401),
        (tokens.new_api_key("rw"), 401),
    ]:
        refused = await sync(world, job("b"), key=key)
        assert (refused.status_code, list(refused.json())) == (status, ["error"])
    body = {"source": "s", "monitors": [job("c")]}
    for headers in ({"X-Api-Key": world.project.api_key}, {"Authorization": f"Bearer {world.project.api_key}"}):
        assert (await world.client.post("/api/sync", json=body, headers=headers)).status_code == 200
    assert (await world.client.post("/api/sync", json=body)).status_code == 401
    assert set(await monitors(world)) == {"a", "c"}


async def test_a_full_project_takes_no_part_of_a_sync(world: World) -> None:
    """403 in words, and nothing is changed or retired; what is there already may always be said again."""
    await sync(world, job("a"))
    await world.run("UPDATE projects SET monitor_limit = 2")
    answer = await sync(world, job("b"), job("c"))
    assert (answer.status_code, "plan" in answer.json()["error"]) == (403, True)
    assert {slug: row["status"] for slug, row in (await monitors(world)).items()} == {"a": "new"}
    assert (await sync(world, job("a"), job("b"))).json()["created"] == 1


async def alias(world: World, check: dict[str, Any], key: str) -> None:
    """Another name of it in CronRadar."""
    await world.run(
        "INSERT INTO addresses (kind, key, project_id, monitor_id) VALUES ('cronradar', :k, :p, :m)",
        k=f"{world.project.id}:{key}", p=world.project.id, m=check["uuid"],
    )  # fmt: skip


async def test_a_check_made_by_hand_takes_the_schedule_and_stays_its_makers(world: World) -> None:
    """Declared under its slug it takes name and schedule; no longer declared it is watched on: no program made it."""
    await world.check(slug="nightly", name="By hand", grace=3600)
    await sync(world, job("nightly", "0 9 * * *"))
    row = (await monitors(world))["nightly"]
    assert [row[name] for name in ("name", "expression", "source", "status")] == ["Nightly", "0 9 * * *", "", "new"]
    assert row["deadline"] is not None
    assert (await sync(world, job("other"))).json()["retired"] == 0
    assert (await monitors(world))["nightly"]["status"] == "new"


async def test_two_keys_are_two_jobs_unless_somebody_made_them_one(world: World) -> None:
    """Keys that make the same slug are told apart; two aliases of one check are a clear error."""
    found = (await sync(world, job("db:backup"), job("dbbackup"))).json()
    assert (found["created"], found["errors"]) == (2, [])
    again = (await sync(world, job("dbbackup"), job("db:backup"))).json()
    assert (again["updated"], again["created"], again["errors"]) == (2, 0, [])
    check = await world.check(slug="one")
    await alias(world, check, "first")
    await alias(world, check, "second")
    twins = (await sync(world, job("first"), job("second", "0 9 * * *"))).json()
    assert twins["errors"] == [{"key": "second", "error": "key: is the same monitor as first"}]


async def test_a_thousand_jobs_cost_as_many_statements_as_ten(world: World) -> None:
    """The SDK waits 5 seconds: made, said again and retired, all but one, they go in a few pieces."""

    async def sent(*jobs: dict[str, Any]) -> tuple[dict[str, Any], int]:
        with statements() as found:
            answer = await sync(world, *jobs)
        return dict(answer.json()), len(found)

    jobs = [job(f"app.tasks.job_{n}", f"{n % 60} 3 * * *") for n in range(1000)]
    few = [job(f"few_{n}") for n in range(10)]
    counts = []
    for some in (few, jobs):
        made, says_again, gone = await sent(*some), await sent(*some), await sent(some[0])
        assert (made[0]["created"], says_again[0]["updated"], gone[0]["retired"]) == (len(some), len(some), len(some) - 1)
        counts.append((made[1], says_again[1], gone[1]))
    assert all(many <= some + 3 for some, many in zip(*counts, strict=True)), counts


async def test_syncs_at_once_make_each_monitor_once(world: World) -> None:
    """Ten workers start together and say the same; pings come meanwhile."""
    jobs = [job(f"job-{n}") for n in range(20)]

    def ping(n: int) -> Awaitable[httpx.Response]:
        return patiently(lambda: world.client.get(f"/ping/job-{n}/{world.project.api_key}?schedule=0%202%20*%20*%20*"))

    syncs = [patiently(lambda: sync(world, *jobs)) for _ in range(10)]
    answers = await asyncio.gather(*syncs, *(ping(n) for n in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    rows = await world.rows("SELECT slug, heard FROM monitors")
    assert sorted(row["slug"] for row in rows) == sorted(f"job-{n}" for n in range(20))
    assert {row["heard"] for row in rows} == {1}
