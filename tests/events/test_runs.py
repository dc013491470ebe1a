"""What a program reports of its runs, case by case as its scheduler, its workers and their deaths show it; late, twice, in any
order."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.domain.skew import CLOCKS_AGREE
from app.events.lines import LOST
from app.sweeper.prune import prune_once
from tests.events.saying import MINUTELY, Program, entry, monitors, ms
from tests.world import World

pytestmark = pytest.mark.anyio
DAILY = {"kind": "every", "seconds": 86_400}


async def scheduled(world: World, **more: Any) -> Program:
    """A program with one entry, its workers and its Beat alive."""
    shop = Program(world)
    await shop.said(await shop.sync(entry(schedule=DAILY, **more)), await shop.event("beat.up"), await shop.event("worker.up"))
    return shop


async def runs(world: World) -> list[dict[str, Any]]:
    """The runs, oldest first."""
    return await world.rows(
        "SELECT run_id, outcome, attempt, cause FROM runs WHERE outcome IS DISTINCT FROM 'missed' ORDER BY at, key"
    )


async def reasons(world: World, name: str = "nightly") -> list[str]:
    """Why the monitor turned, each time."""
    return [
        row["reason"]
        for row in await world.rows(
            "SELECT reason FROM transitions JOIN monitors USING (project_id) WHERE monitor_id = id AND name = :name ORDER BY n",
            name=name,
        )
    ]


async def stand(world: World, name: str = "nightly") -> tuple[str, list[str | None]]:
    """Status of the monitor, and the outcomes of the runs."""
    return (await monitors(world))[name]["status"], [run["outcome"] for run in await runs(world)]


async def beats(shop: Program, seconds: int, **more: Any) -> None:
    """Time passes, and each 15 s Beat and worker say that they live, the worker with these runs."""
    for _ in range(seconds // 15):
        await shop.world.advance(15)
        await shop.said(await shop.event("beat.beat"), await shop.event("worker.beat", **more))
        await shop.world.sweep()


async def test_a_run_that_ends_well(world: World) -> None:
    """Up, one row of the run, three of the log, each with its own time."""
    shop = await scheduled(world)
    await shop.said(await shop.run("dispatched", ago=9), await shop.run("started", ago=8), await shop.run("succeeded", ago=1))
    assert await stand(world) == ("up", ["success"])
    log = await world.rows(
        "SELECT n, signal, scheme, run_id, duration, reported_at IS NOT NULL AS timed FROM check_ins ORDER BY n"
    )
    assert [(row["n"], row["signal"], row["scheme"], row["run_id"], row["timed"]) for row in log] == [
        (1, "log", "sdk", "r1", True), (2, "start", "sdk", "r1", True), (3, "success", "sdk", "r1", True),
    ]  # fmt: skip
    assert log[2]["duration"] == pytest.approx(7, abs=0.5)


@pytest.mark.parametrize(
    ("events", "status", "outcome", "reason", "cause"),
    [
        ([("started", {}), ("failed", {"error": "KeyError: 'x'"})], "down", "failed", "failed", "KeyError: 'x'"),
        ([("started", {}), ("aborted", {"error": "SystemExit"})], "down", "aborted", "failed", "SystemExit"),
        ([("started", {}), ("lost", {"reason": "time_limit"})], "down", "lost", "lost", LOST["time_limit"]),
        ([("started", {}), ("lost", {"error": "signal 9 (SIGKILL)"})], "down", "lost", "lost", "signal 9 (SIGKILL)"),
        ([("started", {}), ("rejected", {})], "down", "failed", "failed", "the worker rejected it"),
        ([("dispatched", {}), ("unknown_task", {"error": "shop.old"})], "down", "failed", "failed", "shop.old"),
        ([("dispatched", {}), ("expired", {})], "down", "expired", "not_started", "it expired in the queue"),
        ([("started", {}), ("ignored", {})], "up", "success", "heard", None),
        ([("started", {}), ("revoked", {"error": "terminated"})], "new", "revoked", None, "terminated"),
        ([("started", {}), ("failed", {}), ("succeeded", {})], "up", "success", "heard", None),
        ([("started", {}), ("succeeded", {}), ("retry", {})], "up", "success", "heard", None),
        ([("started", {}), ("aborted", {}), ("lost", {"error": "signal 9"})], "down", "lost", "failed", "signal 9"),
    ],
)  # fmt: skip
async def test_how_a_run_may_end(
    world: World, events: list[Any], status: str, outcome: str, reason: str | None, cause: str | None
) -> None:
    """Each end has its outcome, its reason, and the words it came with."""
    shop = await scheduled(world)
    for n, (word, more) in enumerate(events):
        await shop.said(await shop.run(word, ago=2 - n / 2, **more))
    assert (await monitors(world))["nightly"]["status"] == status
    run = (await runs(world))[0]
    assert run["outcome"] == outcome
    assert (await reasons(world))[-1:] == ([reason] if reason else [])
    if cause is not None:
        assert run["cause"] == cause


async def test_retries_that_end_well_are_one_success(world: World) -> None:
    """Its row says how many tries it took; nobody is told."""
    shop = await scheduled(world)
    await shop.said(await shop.run("started", ago=9), await shop.run("retry", ago=8, error="ConnectionError"))
    assert await stand(world) == ("new", [None])
    await shop.said(await shop.run("started", ago=5, att=1, x="x2"), await shop.run("succeeded", ago=1, att=1, x="x2"))
    assert await stand(world) == ("up", ["success"])
    assert (await runs(world))[0]["attempt"] == 2
    assert await world.rows("SELECT id FROM deliveries") == []


async def test_a_message_that_nobody_takes_is_lost_in_the_queue(world: World) -> None:
    """Not begun within `max_wait`, or within `expires`, or after its `eta`: down, with that reason."""
    shop = await scheduled(world, max_wait=120)
    await shop.said(await shop.run("dispatched", eta=await shop.now() + 300_000))
    await beats(shop, 300)
    assert (await stand(world))[0] == "new"
    await beats(shop, 150)
    assert (await stand(world))[0] == "down"
    assert await reasons(world) == ["not_started"]


async def test_a_long_run_lives_as_long_as_its_worker_lists_it(world: World) -> None:
    """Hours, without a limit; no longer listed it is lost within 45 s, and not before."""
    shop = await scheduled(world)
    await shop.said(await shop.run("started"))
    await beats(shop, 900, active=[["entry:nightly", "r1", "x1", 9]])
    assert await stand(world) == ("new", [None])
    await beats(shop, 30)
    assert (await stand(world))[0] == "new"
    await beats(shop, 15)
    assert await stand(world) == ("down", ["lost"])
    assert await reasons(world) == ["lost"]


async def test_a_run_over_its_limit_is_said_to_live(world: World) -> None:
    """Running too long is not lost: overrun, and the words say that its worker lists it."""
    shop = await scheduled(world, max_runtime=60)
    await shop.said(await shop.run("started"))
    await beats(shop, 90, active=[["entry:nightly", "r1", "x1", 9]])
    assert await stand(world) == ("down", ["overrun"])
    assert await reasons(world) == ["overrun"]


async def test_what_came_late_takes_a_loss_back(world: World) -> None:
    """The worker could not reach us: its late words have their own time, and the alert is withdrawn."""
    shop = await scheduled(world)
    await shop.said(await shop.run("started"))
    await world.advance(50)
    await world.sweep()
    assert (await stand(world))[0] == "down"
    await shop.said(await shop.run("succeeded", ago=20))
    assert await stand(world) == ("up", ["success"])
    assert (await reasons(world))[-1] == "withdrawn"


async def test_a_dispatch_that_fails_is_a_failure_once(world: World) -> None:
    """The entry says so itself; the same event again counts nothing, another one does not tell again."""
    shop = await scheduled(world)
    failed = await shop.event("run.dispatch_failed", monitor="entry:nightly", error="EncodeError: no")
    answers = [await shop.said(failed), await shop.said(failed, failed)]
    assert [(answer["accepted"], answer["repeated"]) for answer in answers] == [(1, 0), (0, 2)]
    assert await reasons(world) == ["not_dispatched"]
    assert len(await runs(world)) == 1


async def test_a_task_is_watched_whoever_starts_it(world: World) -> None:
    """Its monitor is made when it is first heard of, with all channels, and expects nothing by time."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    shop = Program(world)
    await shop.said(await shop.run("started", monitor="task:shop.tasks.pay"), await shop.run("succeeded", "task:shop.tasks.pay"))
    assert (await monitors(world))["shop.tasks.pay"]["status"] == "up"
    await world.advance(90_000)
    await world.sweep()
    assert (await monitors(world))["shop.tasks.pay"]["status"] == "up"
    await shop.said(await shop.run("failed", monitor="task:shop.tasks.pay", run="r2", error="no"))
    assert (await monitors(world))["shop.tasks.pay"]["status"] == "down"
    assert len(await world.rows("SELECT id FROM deliveries")) == 1


async def test_a_check_made_by_hand_takes_reports_by_id_and_by_slug(world: World) -> None:
    """As its own pings would."""
    check = await world.check(slug="backup", timeout=3600)
    shop = Program(world)
    await shop.said(await shop.run("started", monitor="check:backup"), await shop.run("failed", monitor=f"check:{check['uuid']}"))
    assert (await world.seen(check))["status"] == "down"


async def test_a_body_that_comes_slowly_makes_no_clock_wrong(world: World) -> None:
    """By when a batch began to come its clock is judged: what happened in time is not later for a slow line."""
    shop = Program(world)
    await shop.said(await shop.sync(entry()))
    said = await shop.run("succeeded")

    async def slowly() -> AsyncIterator[bytes]:
        yield json.dumps({"sent_at": await shop.now(), **shop.envelope}).encode() + b"\n"
        await asyncio.sleep(CLOCKS_AGREE.total_seconds() + 0.5)
        yield json.dumps(said).encode() + b"\n"

    headers = {"Authorization": f"Bearer {shop.key}"}
    assert (await world.client.post("/api/v3/events", content=slowly(), headers=headers)).status_code == 200
    (row,) = await world.rows("SELECT reported_at FROM check_ins")
    assert ms(row["reported_at"]) == said["ts"]


@pytest.mark.parametrize("skew", [-3600.0, 7200.0, 1.0])
async def test_a_wrong_clock_is_set_right(world: World, skew: float) -> None:
    """What it says is taken by how far it was off when it sent; the runs stand at the right time."""
    shop = await scheduled(world)
    shop.skew = skew
    answer = await shop.said(await shop.run("started", ago=60), await shop.run("succeeded", ago=30))
    assert answer["flagged"] == 0
    now = await world.now()
    row = (await world.rows("SELECT started_at, ended_at FROM runs"))[0]
    assert (now - row["started_at"]).total_seconds() == pytest.approx(60, abs=3)
    assert (row["ended_at"] - row["started_at"]).total_seconds() == pytest.approx(30, abs=0.1)


async def test_what_lies_in_the_future_is_flagged_and_counts_as_of_now(world: World) -> None:
    """Over 5 min ahead even by its own `sent_at`; nothing is ever later than it was received."""
    shop = await scheduled(world)
    answer = await shop.said(await shop.run("started"), await shop.run("succeeded", ago=-301))
    assert answer["flagged"] == 1
    assert (await shop.said(await shop.run("started", run="r2", ago=-200)))["flagged"] == 0
    now = await world.now()
    assert all(row["at"] <= now for row in await world.rows("SELECT at FROM runs"))
    assert all(row["reported_at"] <= now for row in await world.rows("SELECT reported_at FROM check_ins"))


async def test_what_is_months_old_counts_as_of_sixty_days_ago(world: World) -> None:
    """A laptop that slept; the month's table is made for it."""
    shop = await scheduled(world)
    await shop.said(await shop.run("succeeded", ago=100 * 86_400))
    assert (await world.now() - (await world.rows("SELECT at FROM runs"))[0]["at"]).days == 60


async def test_no_late_word_wakes_an_entry_that_is_retired(world: World) -> None:
    """Its worker fails on: kept in the log as ignored, and nobody is told."""
    shop = Program(world)
    await shop.said(await shop.sync(entry("a", MINUTELY), entry("b", MINUTELY)))
    await shop.said(await shop.run("succeeded", monitor="entry:b"))
    await shop.said(await shop.sync(entry("a", MINUTELY)))
    await shop.said(await shop.run("failed", monitor="entry:b", run="r2"), await shop.run("started", monitor="entry:b", run="r3"))
    await world.advance(600)
    await world.sweep()
    assert (await monitors(world))["b"]["status"] == "paused"
    assert [row["signal"] for row in await world.rows("SELECT signal FROM check_ins ORDER BY n")] == [
        "success", "ignored", "ignored",
    ]  # fmt: skip


async def test_what_was_heard_of_a_run_is_forgotten_after_eight_days(world: World) -> None:
    """A spool says it again for seven. The facts only; the row of the run stays."""
    shop = await scheduled(world)
    await shop.said(await shop.run("started"), await shop.run("succeeded"))
    await world.advance(8 * 86_400 - 3600)
    await prune_once(world.sessions, 90)
    assert len(await world.rows("SELECT run_id FROM reported_runs")) == 1
    await world.advance(2 * 3600)
    await prune_once(world.sessions, 90)
    assert await world.rows("SELECT run_id FROM reported_runs") == []
    assert len(await runs(world)) == 1
