"""The sweep: what is silent goes down once, dated at its deadline, never beyond the horizon, whoever sweeps."""

import asyncio
from datetime import timedelta

import pytest

from app.sweeper.sweep import Swept, sweep_once
from tests.world import MARGIN, World

pytestmark = pytest.mark.anyio


async def test_two_sweepers_at_once_make_one_transition_and_one_delivery_each(world: World) -> None:
    """Rows are claimed: 120 monitors, three sweepers, 120 transitions dated at their deadlines, 120 deliveries, no error."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    checks = [await world.check(channels="*") for _ in range(120)]
    await asyncio.gather(*(world.ping(c) for c in checks))
    deadlines = {r["id"]: r["deadline"] for r in await world.rows("SELECT id, deadline FROM monitors")}
    await world.advance(200)
    await asyncio.gather(*(world.sweep() for _ in range(3)))
    downs = await world.rows("SELECT monitor_id, at FROM transitions WHERE to_status = 'down'")
    assert len(downs) == 120
    assert {r["monitor_id"]: r["at"] for r in downs} == deadlines
    assert len(await world.rows("SELECT id FROM deliveries")) == 120
    assert len(await world.rows("SELECT id FROM incidents WHERE closed_at IS NULL")) == 120


async def test_batches_judged_at_once_take_each_its_own(world: World) -> None:
    """Three batches of twenty turn sixty down, each once, with one that cannot be judged among them, set aside by one of them."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    checks = [await world.check(channels="*") for _ in range(60)]
    await asyncio.gather(*(world.ping(c) for c in checks))
    await world.run("UPDATE monitors SET kind = 'cron', expression = 'nonsense' WHERE id = :id", id=checks[30]["uuid"])
    await world.advance(200)
    swept = await sweep_once(world.sessions, MARGIN, await world.now(), limit=20, at_once=3)
    assert swept == Swept(looked_at=60, turned=59, set_aside=1)
    assert [r["count"] for r in await world.rows("SELECT count(*) FROM transitions WHERE to_status = 'down'")] == [59]
    assert len(await world.rows("SELECT id FROM deliveries")) == 59


async def test_silence_is_judged_only_up_to_the_horizon(world: World) -> None:
    """While no ingest process ticks, nobody is blamed: the deadline passes, H stands still, the status stays."""
    check = await world.check()
    await world.ping(check)
    world.sleep(300)
    assert (await world.sweep()).turned == 0
    assert (await world.seen(check))["status"] == "grace"
    await world.tick()
    assert (await world.sweep()).turned == 1


async def test_a_hole_in_the_ticks_is_a_blackout_and_nobody_is_blamed_for_it(world: World) -> None:
    """We could not hear for five minutes: what was due then is unknown, not missed, and gets a minute after it."""
    check = await world.check()
    await world.ping(check)
    world.sleep(300)
    assert await world.web.ticker.tick_once()
    assert len(await world.rows("SELECT * FROM blackouts")) == 1
    await world.advance(10)
    assert (await world.sweep()).turned == 0
    assert (await world.seen(check))["status"] == "up"
    (run,) = await world.rows("SELECT outcome FROM runs WHERE outcome <> 'success'")
    assert run["outcome"] == "unknown"
    await world.advance(100)
    await world.sweep()
    assert (await world.seen(check))["status"] == "down", "a really dead job is told by the first deadline after it"


async def test_a_row_that_cannot_be_judged_is_set_aside_and_stops_nobody(world: World) -> None:
    """Poison: the others go down, the bad one is looked at again after an hour, or once it is edited."""
    checks = [await world.check() for _ in range(5)]
    for check in checks:
        await world.ping(check)
    await world.run("UPDATE monitors SET kind = 'nonsense' WHERE id = :id", id=checks[2]["uuid"])
    await world.advance(200)
    swept = await world.sweep()
    assert (swept.turned, swept.set_aside) == (4, 1)
    assert (await world.sweep()).looked_at == 0
    assert len(await world.rows("SELECT 1 FROM notices WHERE kind = 'monitor set aside'")) == 1
    listed = (await world.api("GET", "checks/")).json()["checks"]
    assert sorted(c["status"] for c in listed) == ["down"] * 4 + ["up"]
    await world.run("UPDATE monitors SET kind = 'every' WHERE id = :id", id=checks[2]["uuid"])
    await world.advance(3700)
    assert (await world.sweep()).turned == 1


async def test_a_ping_that_moves_the_deadline_away_is_looked_at_lazily(world: World) -> None:
    """wake_at never lies after the deadline, and the sweep puts off what was heard meanwhile without judging it."""
    check = await world.check()
    for _ in range(5):
        await world.ping(check)
        await world.advance(50)
        await world.sweep()
    (row,) = await world.rows("SELECT wake_at <= deadline AS sound, status FROM monitors")
    assert row == {"sound": True, "status": "up"}


async def test_missed_slots_become_one_row_with_a_count(world: World) -> None:
    """Down for an hour: one row of runs from the first missed slot on, with how many there were."""
    check = await world.check()
    await world.ping(check)
    await world.advance(93)
    await world.sweep()
    await world.advance(3600)
    await world.ping(check)
    (run,) = await world.rows("SELECT count, slot, last_slot FROM runs WHERE outcome = 'missed'")
    assert run["count"] in (60, 61)
    assert run["last_slot"] - run["slot"] == timedelta(minutes=run["count"] - 1)


async def test_a_missing_month_of_runs_is_made_and_silences_nobody(world: World) -> None:
    """Should the keeper have slept, the sweep makes the partition it lacks instead of setting monitors aside."""
    checks = [await world.check() for _ in range(3)]
    for check in checks:
        await world.ping(check)
    await world.advance(200)
    for row in await world.rows("SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'runs'::regclass"):
        await world.run(f"DROP TABLE {row['name']}")
    swept = await world.sweep()
    assert (swept.turned, swept.set_aside) == (3, 0)
