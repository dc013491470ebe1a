"""Whatever is said of a run may come twice, late, and in any order: the outcome is the same."""

import asyncio
import random
from functools import partial
from typing import Any

import pytest

from tests.events.saying import Event, Program, entry
from tests.many import patiently
from tests.world import World

pytestmark = pytest.mark.anyio
STORIES: dict[str, list[tuple[str, float, dict[str, Any]]]] = {
    "success": [("dispatched", 60, {}), ("started", 59, {}), ("succeeded", 50, {})],
    "retried": [
        ("dispatched", 60, {}), ("started", 59, {}), ("retry", 58, {"error": "no"}),
        ("started", 57, {"att": 1, "x": "x2"}), ("succeeded", 50, {"att": 1, "x": "x2"}),
    ],
    "exhausted": [
        ("started", 59, {}), ("retry", 58, {"error": "no"}), ("started", 57, {"att": 1, "x": "x2"}),
        ("failed", 50, {"att": 1, "x": "x2", "error": "gave up"}),
    ],
    "killed": [("dispatched", 60, {}), ("started", 59, {}), ("aborted", 55, {}), ("lost", 54, {"reason": "time_limit"})],
    "redelivered": [("started", 59, {}), ("started", 50, {"x": "x2"}), ("succeeded", 40, {"x": "x2"})],
    "after all": [("started", 59, {}), ("lost", 50, {"error": "signal 9"}), ("succeeded", 49, {})],
}  # fmt: skip


async def story(shop: Program, name: str, monitor: str, run: str) -> list[Event]:
    """Its events, of one run."""
    return [await shop.run(word, monitor, run, ago, **more) for word, ago, more in STORIES[name]]


async def outcome(world: World, run: str) -> list[dict[str, Any]]:
    """How it ended: its row and its log, without the numbers that only say what came first."""
    rows = await world.rows("SELECT outcome, attempt, started_at, ended_at, cause FROM runs WHERE run_id = :run", run=run)
    log = await world.rows(
        "SELECT signal, reported_at, body FROM check_ins WHERE run_id = :run ORDER BY reported_at, signal", run=run
    )
    return rows + log


async def status(world: World, name: str) -> str:
    """Of a monitor."""
    return str((await world.rows("SELECT status FROM monitors WHERE name = :name", name=name))[0]["status"])


@pytest.mark.parametrize("name", STORIES)
async def test_in_any_order_and_twice_it_is_the_same_run(world: World, name: str) -> None:
    """As in its turn: its row, its log, and the status of its monitor."""
    shop, shuffle, ways = Program(world), random.Random(name), 6
    await shop.said(await shop.sync(*(entry(f"job-{n}", {"kind": "every", "seconds": 86_400}) for n in range(ways))))
    now = await shop.now()
    for n in range(ways):
        events = [{**event, "ts": now - round(ago * 1000)} for event, (_, ago, _) in zip(
            await story(shop, name, f"entry:job-{n}", f"run-{n}"), STORIES[name], strict=True
        )]  # fmt: skip
        sent = events if n == 0 else shuffle.choices(events, k=len(events)) + shuffle.sample(events, len(events))
        if n % 2:
            for event in sent:
                await shop.said(event)
        else:
            await shop.said(*sent)
    found = [await outcome(world, f"run-{n}") for n in range(ways)]
    assert len(found[0]) == 1 + len(STORIES[name])
    for other in found[1:]:
        assert other == found[0]
    assert len({await status(world, f"job-{n}") for n in range(ways)}) == 1


async def test_the_same_batch_again_changes_nothing(world: World) -> None:
    """Sent again since the answer was lost: every event is known, no row is written."""
    shop = Program(world)
    sent = [await shop.sync(entry()), await shop.event("run.dispatch_failed", monitor="entry:nightly", error="no")]
    sent += [event for name in STORIES for event in await story(shop, name, "entry:nightly", name)]
    first = await shop.said(*sent)
    runs = "SELECT *, xmin::text FROM runs ORDER BY key"
    before = [await world.rows(query) for query in ("SELECT * FROM check_ins ORDER BY n", "SELECT * FROM monitors", runs)]
    again = await shop.said(*reversed(sent))
    assert (again["accepted"], again["repeated"]) == (0, first["accepted"] + first["repeated"])
    assert before == [await world.rows(query) for query in ("SELECT * FROM check_ins ORDER BY n", "SELECT * FROM monitors", runs)]


async def test_many_programs_at_once_lose_nothing(calm: World) -> None:
    """Batches of the same monitors, the same Beat and the same schedule together: no deadlock, every event once."""
    shop = Program(calm)
    names = [f"job-{n}" for n in range(8)]
    entries = [entry(name, {"kind": "every", "seconds": 86_400}) for name in names]
    active = [[f"entry:{name}", f"{name}/0", "x1", 1] for name in names]

    async def batch(n: int) -> list[Event]:
        events = [event for name in names for event in await story(shop, "success", f"entry:{name}", f"{name}/{n}")]
        events += [await shop.event("beat.beat", stalled=n % 3 == 0), await shop.event("worker.beat", active=active)]
        random.Random(n).shuffle(events)
        return [await shop.sync(*entries), *events]

    batches = [await batch(n) for n in range(12)]
    answers = await asyncio.gather(*(patiently(partial(shop.send, *sent)) for sent in [*batches, *batches]))
    assert {answer.status_code for answer in answers} == {200}
    kept = (await calm.rows("SELECT count(*) AS n FROM check_ins"))[0]["n"]
    assert kept == 12 * 8 * 3
    rows = await calm.rows("SELECT outcome, count(*) AS n FROM runs WHERE run_id IS NOT NULL GROUP BY outcome")
    assert rows == [{"outcome": "success", "n": 12 * 8}]
    assert {row["heard"] for row in await calm.rows("SELECT heard FROM monitors WHERE source <> ''")} == {36}
