"""Schedulers and workers that say that they live: one monitor for each group, one alert for what a silent Beat holds back."""

from typing import Any

import pytest

from tests.events.saying import MINUTELY, Program, entry, monitors
from tests.world import World

pytestmark = pytest.mark.anyio
FIVE = [f"job-{n}" for n in range(5)]


async def scheduled(world: World) -> Program:
    """Five jobs a minute, whose Beat and workers live; people hear by mail."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    shop = Program(world)
    await shop.said(await shop.sync(*(entry(name, MINUTELY) for name in FIVE)))
    await live(shop, 1)
    return shop


async def live(shop: Program, beats: int, *, jobs: bool = True, **more: Any) -> None:
    """So many heartbeats, each followed by a sweep, with every job run well."""
    for n in range(beats):
        run = f"run-{await shop.now()}"
        ran = [await shop.run("succeeded", f"entry:{name}", f"{run}-{name}") for name in FIVE if jobs]
        await shop.said(
            *ran, await shop.event("beat.up" if n == 0 and not more else "beat.beat", **more), await shop.event("worker.beat")
        )
        await shop.world.advance(15)
        await shop.world.sweep()


async def status(world: World) -> dict[str, str]:
    """Of every monitor, by name."""
    return {name: row["status"] for name, row in (await monitors(world)).items()}


async def told(world: World) -> list[str]:
    """What people were told, in order."""
    return [
        f"{row['told']['name']} {row['told']['kind']}" for row in await world.rows("SELECT told FROM deliveries ORDER BY seq")
    ]


async def test_the_first_heartbeat_makes_the_groups_monitors(world: World) -> None:
    """One for Beat and one for the workers, whoever of them speaks; lost after 2.5 heartbeats; with all channels."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    one, two = Program(world, environment="test", boot="1"), Program(world, environment="test", boot="2")
    for program in (one, two):
        await program.said(await program.event("worker.up"), await program.event("worker.beat"), await program.event("beat.up"))
    found = await monitors(world)
    assert sorted(found) == ["Beat of shop@test", "Workers of shop@test"]
    assert [found["Beat of shop@test"][c] for c in ("status", "period", "grace", "manual_resume", "beat_of", "slug")] == [
        "up", 15, 23, True, "celery:shop@test", "beat-of-shoptest",
    ]  # fmt: skip
    assert found["Workers of shop@test"]["beat_of"] == ""
    assert len(await world.rows("SELECT * FROM subscriptions")) == 2
    await world.advance(30)
    await one.said(await one.event("worker.beat"))
    await world.advance(15)
    await world.sweep()
    assert await status(world) == {"Beat of shop@test": "down", "Workers of shop@test": "up"}


async def test_a_silent_beat_is_told_once_and_holds_back_its_schedules(world: World) -> None:
    """One alert that names them, within 45 s; none of them is missed meanwhile; back it is told once more."""
    shop = await scheduled(world)
    await live(shop, 4)
    for _ in range(2):
        await shop.said(await shop.event("worker.beat"))
        await world.advance(15)
    await world.sweep()
    assert (await status(world))["Beat of shop"] == "down"
    for _ in range(40):
        await shop.said(await shop.event("worker.beat"))
        await world.advance(15)
        await world.sweep()
    assert await status(world) == {"Beat of shop": "down", "Workers of shop": "up", **dict.fromkeys(FIVE, "up")}
    assert await told(world) == ["Beat of shop monitor.down"]
    words = (await world.rows("SELECT told FROM deliveries"))[0]["told"]["explain"]
    assert "5 schedules wait for it" in words
    assert "job-0" in words
    await live(shop, 8)
    assert set((await status(world)).values()) == {"up"}
    assert await told(world) == ["Beat of shop monitor.down", "Beat of shop monitor.up"]


async def test_what_is_not_dispatched_once_beat_is_back_is_told(world: World) -> None:
    """A minute and its grace after the release each is judged by itself."""
    shop = await scheduled(world)
    await world.advance(300)
    await world.sweep()
    await live(shop, 6, jobs=False)
    assert (await status(world))["job-1"] == "up"
    await live(shop, 6, jobs=False)
    assert {name: s for name, s in (await status(world)).items() if s == "down"} == dict.fromkeys(FIVE, "down")
    rows = await world.rows("SELECT DISTINCT reason FROM transitions WHERE to_status = 'down'")
    assert sorted(row["reason"] for row in rows) == ["missed", "not_dispatched"]


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ({"publish_error": "OperationalError: no broker"}, "no broker"),
        ({"stalled": True, "last_tick_age": 62.5}, "62 s ago"),
    ],
)
async def test_a_beat_that_lives_and_dispatches_nothing_is_down(world: World, trouble: dict[str, Any], words: str) -> None:
    """Stalled, or without its broker: told once, with the reason, for as long as it says so; then all is well."""
    shop = await scheduled(world)
    await live(shop, 20, jobs=False, **trouble)
    assert await told(world) == ["Beat of shop monitor.down"]
    assert words in (await world.rows("SELECT told FROM deliveries"))[0]["told"]["explain"]
    assert (await world.rows("SELECT reason FROM incidents")) == [{"reason": "stalled"}]
    await live(shop, 4)
    assert set((await status(world)).values()) == {"up"}


async def test_a_broker_that_is_away_is_one_trouble(world: World) -> None:
    """Each dispatch that fails for it is kept in the log, and Beat is down; the entries wait, and are judged when it is back."""
    shop = await scheduled(world)
    failed = [await shop.event("run.dispatch_failed", monitor=f"entry:{name}", error="refused", broker=True) for name in FIVE]
    assert (await shop.said(*failed))["accepted"] == 5
    assert await status(world) == {"Beat of shop": "down", "Workers of shop": "up", **dict.fromkeys(FIVE, "up")}
    assert (await shop.said(*failed))["repeated"] == 5
    assert await told(world) == ["Beat of shop monitor.down"]
    await shop.said(await shop.event("beat.beat"))
    assert (await status(world))["Beat of shop"] == "up"
    await live(shop, 13, jobs=False)
    assert (await status(world))["job-0"] == "down"


async def test_entries_registered_while_beat_is_down_wait_too(world: World) -> None:
    """A deploy with a new job while the broker is away is no second alert."""
    shop = await scheduled(world)
    await live(shop, 1, jobs=False, publish_error="no broker")
    await shop.said(await shop.sync(*(entry(name, MINUTELY) for name in [*FIVE, "new"])))
    await live(shop, 20, jobs=False, publish_error="no broker")
    assert await told(world) == ["Beat of shop monitor.down"]


async def test_goodbye_is_given_two_minutes(world: World) -> None:
    """A deploy tells nobody; one from which nobody comes back does."""
    shop = await scheduled(world)
    await shop.said(await shop.event("beat.down"), await shop.event("worker.down"))
    await world.advance(100)
    await world.sweep()
    assert [(await status(world))[name] for name in ("Beat of shop", "Workers of shop")] == ["up", "up"]
    await world.advance(30)
    await world.sweep()
    assert [(await status(world))[name] for name in ("Beat of shop", "Workers of shop")] == ["down", "down"]


async def test_heartbeats_wake_no_group_that_was_paused(world: World) -> None:
    """A person's pause stays; resumed it is expected again."""
    shop = await scheduled(world)
    ids = {name: row["id"] for name, row in (await monitors(world)).items()}
    await world.api("POST", f"checks/{ids['Workers of shop']}/pause")
    await live(shop, 2)
    assert (await status(world))["Workers of shop"] == "paused"
    await world.api("POST", f"checks/{ids['Workers of shop']}/resume")
    await live(shop, 2)
    assert (await status(world))["Workers of shop"] == "up"


async def test_a_standby_is_no_scheduler(world: World) -> None:
    """It lives, but dispatches nothing: a group of nothing else is down."""
    shop = Program(world)
    await shop.said(await shop.event("beat.beat", standby=True))
    assert await status(world) == {"Beat of shop": "new"}
    for _ in range(4):
        await world.advance(15)
        await shop.said(await shop.event("beat.beat", standby=True))
    await world.sweep()
    assert await status(world) == {"Beat of shop": "down"}


async def test_heartbeats_leave_no_log_and_touch_few_rows(world: World) -> None:
    """No check-in for any of them; of the monitors only Beat's, the workers', and those of the runs that are listed."""
    shop = await scheduled(world)
    await shop.said(await shop.run("started", "entry:job-1"))
    before = {row["id"]: row["xmin"] for row in await world.rows("SELECT id, xmin::text FROM monitors")}
    log = await world.rows("SELECT n FROM check_ins")
    await world.advance(5)
    await shop.said(await shop.event("beat.beat"), await shop.event("worker.beat", active=[["entry:job-1", "r1", "x1", 5]]))
    after = await world.rows("SELECT id, name, xmin::text FROM monitors ORDER BY name")
    assert [row["name"] for row in after if before[row["id"]] != row["xmin"]] == ["Beat of shop", "Workers of shop", "job-1"]
    assert await world.rows("SELECT n FROM check_ins") == log


async def test_groups_follow_how_often_they_are_heard(world: World) -> None:
    """Slower heartbeats count at once; quicker ones when a process begins with them; a person's grace stays."""
    shop = Program(world)
    await shop.said(await shop.event("worker.up"))
    assert (await monitors(world))["Workers of shop"]["period"] == 15
    await shop.said(await shop.event("worker.beat"), heartbeat=60)
    row = (await monitors(world))["Workers of shop"]
    assert (row["period"], row["grace"]) == (60, 90)
    await shop.said(await shop.event("worker.beat"))
    assert (await monitors(world))["Workers of shop"]["period"] == 60
    await world.api("POST", f"checks/{row['id']}", {"grace": 500})
    await shop.said(await shop.event("worker.up"))
    row = (await monitors(world))["Workers of shop"]
    assert (row["period"], row["grace"]) == (15, 500)
    answer = await Program(world, "none", heartbeat=None).said(await shop.event("worker.up"))
    assert "heartbeat" in answer["warnings"][0]
    assert answer["unknown_monitors"] == 1


async def test_of_two_schedulers_one_fine_is_fine(world: World) -> None:
    """A stalled one beside one that works is no trouble; alone it is."""
    shop = await scheduled(world)
    fine, stalled = Program(world, boot="fine"), Program(world, boot="stalled")
    for _ in range(6):
        await fine.said(await fine.event("beat.beat"))
        await world.advance(5)
        await stalled.said(await stalled.event("beat.beat", stalled=True, last_tick_age=100))
        await world.advance(10)
        await world.sweep()
    assert "Beat of shop monitor.down" not in await told(world)
    for _ in range(4):
        await stalled.said(await stalled.event("beat.beat", stalled=True, last_tick_age=100))
        await world.advance(15)
        await world.sweep()
    assert (await status(shop.world))["Beat of shop"] == "down"


@pytest.mark.parametrize("nonsense", ["kind = 'future'", "memory = '{\"runs\": [[1]]}'"])
async def test_a_job_that_makes_no_sense_stops_no_batch(world: World, nonsense: str) -> None:
    """Beat comes back, the schedule is taken over, the other runs count; what is said of that job is named."""
    shop = await scheduled(world)
    await world.advance(60)
    await world.sweep()
    await world.run(f"UPDATE monitors SET {nonsense} WHERE name = 'job-0'")
    answer = await shop.said(
        await shop.event("beat.beat"), await shop.sync(*(entry(name, MINUTELY) for name in [*FIVE, "new"])),
        *[await shop.run("succeeded", f"entry:{name}", "again") for name in FIVE],
    )  # fmt: skip
    assert (answer["accepted"], answer["unknown_monitors"]) == (6, 1)
    assert any("shop/entry/job-0: key: its monitor cannot be read" in words for words in answer["warnings"])
    assert any("there is no check for entry:job-0; or" in words for words in answer["warnings"])
    found = await status(world)
    assert (found["Beat of shop"], found["job-1"], found["new"]) == ("up", "up", "new")
    assert await world.rows("SELECT name FROM monitors WHERE held_since IS NOT NULL") == [{"name": "job-0"}]
