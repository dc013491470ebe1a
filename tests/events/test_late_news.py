"""News that comes late, out of a spool or from behind a network that was away: it fills in what happened, and takes back what was
said wrongly, once."""

from typing import Any

import pytest

from tests.events.saying import Event, Program, entry, monitors
from tests.events.test_runs import beats, reasons, scheduled
from tests.world import World

pytestmark = pytest.mark.anyio
HOURLY = {"kind": "crontab", "expression": "0 * * * *", "zone": "UTC"}
HOUR = 3600
MAIL = {"kind": "email", "name": "mail", "address": "a@example.org"}


async def hourly(world: World, **more: Any) -> Program:
    """A program whose one entry is due at each full hour and ran two minutes later. It is ten past; a channel hears of all."""
    await world.api("POST", "channels/", MAIL)
    now = (await world.now()).timestamp()
    await world.advance(HOUR - now % HOUR + 600)
    shop = Program(world)
    await shop.said(await shop.sync(entry(schedule=HOURLY, grace=300, **more)))
    await shop.said(await shop.run("succeeded", run="before", ago=480))
    return shop


async def a_run(shop: Program, number: int, ago: float, **more: Any) -> list[Event]:
    """It was begun and ended well so many seconds ago."""
    start = await shop.run("started", run=f"r{number}", ago=ago, **more)
    return [start, await shop.run("succeeded", run=f"r{number}", ago=ago - 5, **more)]


async def deliveries(world: World) -> list[tuple[str, str, str]]:
    """What was put to be told: what, why, and what became of it."""
    rows = await world.rows("SELECT told->>'kind' AS kind, told->>'reason' AS why, state FROM deliveries ORDER BY seq")
    return [(row["kind"], row["why"], row["state"]) for row in rows]


async def tell(world: World) -> None:
    """As if all that waits had been sent."""
    await world.run("UPDATE deliveries SET state = 'delivered', first_try_at = now(), settled_at = now() WHERE state = 'waiting'")


async def incident(world: World) -> dict[str, Any]:
    """The only one of the entry."""
    every = (await world.api("GET", "incidents/")).json()["incidents"]
    (found,) = [one for one in every if one["name"] == "nightly"]
    return dict(found)


async def silent_for(world: World, hours: int) -> None:
    """Nothing is heard, each deadline is judged."""
    for _ in range(hours * 4):
        await world.advance(HOUR / 4)
        await world.sweep()


@pytest.mark.parametrize("batches", [1, 4])
async def test_hours_of_late_successes_take_one_alarm_back_with_one_message(world: World, batches: int) -> None:
    """Every run was on time by its own clock. Each counts for its slot, the alarm was wrong, and people hear that once."""
    shop = await hourly(world)
    await silent_for(world, 4)
    assert (await monitors(world))["nightly"]["status"] == "down"
    await tell(world)
    events = [event for n in range(4) for event in await a_run(shop, n, ago=(3 - n) * HOUR + 480)]
    for n in range(batches):
        await shop.said(*events[n * 8 // batches : (n + 1) * 8 // batches])
    assert (await monitors(world))["nightly"]["status"] == "up"
    assert await deliveries(world) == [("monitor.down", "not_dispatched", "delivered"), ("monitor.up", "withdrawn", "waiting")]
    assert await reasons(world) == ["heard", "not_dispatched", "withdrawn"]
    found = await incident(world)
    assert (found["closed_by"], found["fine_until"]) == ("withdrawn", found["closed_at"])
    runs = await world.rows("SELECT outcome, count(*) AS n FROM runs WHERE run_id <> 'before' OR run_id IS NULL GROUP BY outcome")
    assert {row["outcome"]: row["n"] for row in runs} == {"success": 4, "unknown": 1}
    await shop.said(*events)
    assert len(await deliveries(world)) == 2


async def test_what_people_read_of_a_false_alarm(world: World) -> None:
    """Not a plain return, as if the job had been away."""
    shop = await hourly(world)
    await silent_for(world, 1)
    await tell(world)
    await shop.said(*await a_run(shop, 1, ago=480))
    (told,) = await world.rows("SELECT told FROM deliveries WHERE told->>'kind' = 'monitor.up'")
    assert told["told"]["explain"].startswith("The alarm of 20")
    assert "was wrong: the job was fine, and the news of that came late" in told["told"]["explain"]


async def test_an_alarm_that_nobody_was_told_of_is_dropped_without_a_word(world: World) -> None:
    """It still waited; so does neither go out."""
    shop = await hourly(world)
    await silent_for(world, 1)
    assert await deliveries(world) == [("monitor.down", "not_dispatched", "waiting")]
    await shop.said(*await a_run(shop, 1, ago=480))
    assert await deliveries(world) == [
        ("monitor.down", "not_dispatched", "suppressed"),
        ("monitor.up", "withdrawn", "suppressed"),
    ]
    assert await world.deliver() == 0


async def test_an_alarm_that_is_just_being_told_is_taken_back_in_words(world: World) -> None:
    """Whoever may have heard the one hears the other."""
    shop = await hourly(world)
    await silent_for(world, 1)
    await world.run("UPDATE deliveries SET first_try_at = now(), tries = 1")
    await shop.said(*await a_run(shop, 1, ago=480))
    assert await deliveries(world) == [("monitor.down", "not_dispatched", "waiting"), ("monitor.up", "withdrawn", "waiting")]


async def test_silence_judged_in_the_very_batch_that_disproves_it_tells_nobody(world: World) -> None:
    """The news came before the sweeper looked."""
    shop = await hourly(world)
    await world.advance(HOUR)
    await shop.said(*await a_run(shop, 1, ago=480))
    assert (await monitors(world))["nightly"]["status"] == "up"
    assert {state for _, _, state in await deliveries(world)} <= {"suppressed"}


async def test_whoever_hears_of_alarms_only_hears_that_one_was_wrong(world: World) -> None:
    """A channel that hears only `down` was told it."""
    shop = await hourly(world)
    await world.run("UPDATE channels SET hears = 'down'")
    await silent_for(world, 1)
    await tell(world)
    await shop.said(*await a_run(shop, 1, ago=480))
    assert [kind for kind, _, _ in await deliveries(world)] == ["monitor.down", "monitor.up"]


async def test_late_news_that_ends_before_now_puts_the_alarm_off(world: World) -> None:
    """It ran twice unheard and then no more: down since the third slot. Nobody hears of that, pages and API show it."""
    shop = await hourly(world)
    await silent_for(world, 4)
    await tell(world)
    await shop.said(*await a_run(shop, 1, ago=3 * HOUR + 480), *await a_run(shop, 2, ago=2 * HOUR + 480))
    assert (await monitors(world))["nightly"]["status"] == "down"
    assert len(await deliveries(world)) == 1
    found = await incident(world)
    assert found["closed_at"] is None
    assert found["opened_at"] < found["fine_until"]
    await shop.said(await shop.run("succeeded", run="r9"))
    assert (await incident(world))["closed_by"] == "heard"
    up = (await world.rows("SELECT told FROM deliveries WHERE told->>'kind' = 'monitor.up'"))[0]["told"]
    assert up["down_since"][:19] == found["fine_until"][:19]


async def test_a_run_taken_for_lost_that_ended_well_was_never_lost(world: World) -> None:
    """Its worker was cut off, not dead: it ended long after we had given it up, and the alarm was wrong."""
    shop = await scheduled(world)
    await beats(shop, 30)
    await shop.said(await shop.run("started", run="long"))
    await world.advance(60)
    await world.sweep()
    assert (await monitors(world))["nightly"]["status"] == "down"
    await world.advance(600)
    await shop.said(await shop.run("succeeded", run="long", ago=30))
    assert (await reasons(world))[-2:] == ["lost", "withdrawn"]
    assert (await incident(world))["closed_by"] == "withdrawn"


async def test_a_real_failure_is_not_taken_back(world: World) -> None:
    """News of a success before it changes nothing of it."""
    shop = await hourly(world)
    await world.advance(HOUR - 400)
    await shop.said(await shop.run("failed", run="bad", error="Boom"))
    await tell(world)
    await world.advance(60)
    await shop.said(*await a_run(shop, 1, ago=120))
    assert (await monitors(world))["nightly"]["status"] == "down"
    assert await reasons(world) == ["heard", "failed"]


async def test_what_a_wrong_clock_put_into_a_spool_proves_nothing(world: World) -> None:
    """It was a day ahead when the process died, and is right now: nobody knows when that was, so no job is called well by it. The
    run stands in the history; a failure is told all the same."""
    shop = await hourly(world)
    await silent_for(world, 2)
    await tell(world)
    good = [{**event, "replayed": True} for event in await a_run(shop, 1, ago=-86_400)]
    answer = await shop.said(*good)
    assert answer["flagged"] == 2
    assert (await monitors(world))["nightly"]["status"] == "down"
    assert await world.rows("SELECT run_id FROM runs WHERE run_id = 'r1' AND outcome = 'success'") != []
    await shop.said(await shop.run("succeeded", run="now"))
    await shop.said({**await shop.run("failed", run="bad", ago=-86_400), "replayed": True})
    assert (await reasons(world))[-1] == "failed"


async def test_a_clock_that_is_wrong_all_the_time_is_set_right(world: World) -> None:
    """By what it says of now: late news keeps its place."""
    shop = await hourly(world)
    await silent_for(world, 1)
    await tell(world)
    shop.skew = -7 * HOUR
    await shop.said(*[{**event, "replayed": True} for event in await a_run(shop, 1, ago=480)])
    assert (await reasons(world))[-1] == "withdrawn"
