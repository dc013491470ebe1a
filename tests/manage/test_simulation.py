"""What other settings would have alerted: found from the real check-ins of a real service, and for its own settings the same that
the tables say it alerted."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.domain.evidence import explain
from app.domain.horizon import Horizon
from app.domain.replay import MOST_ALERTS, Past, Said
from app.domain.schedule import Every
from app.domain.state import Rule, Signal
from app.errors import Unavailable
from app.manage.foresight import foreseen, past_of, replay, replayed
from app.one_by_one import OneByOne
from app.store import blackouts, checkins
from app.store.checkins import PAGE, WARM
from app.store.rows import rule_of
from tests.world import MARGIN, World

pytestmark = pytest.mark.anyio

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
KINDS: list[dict[str, Any]] = [
    {"timeout": 60, "grace": 30},
    {"timeout": 300, "grace": 60, "max_runtime": 45, "failures_to_alert": 2},
    {"schedule": "*/5 * * * *", "tz": "Europe/Berlin", "grace": 30, "successes_to_recover": 2},
    {"schedule": "*:0/7", "grace": 120, "max_runtime": 100, "manual_resume": True},
]
STEPS = (20, 50, 100, 400, 900)  # no sum of them falls on the edge between what is judged already and what is not yet


async def simulated(world: World, check: dict[str, Any], settings: dict[str, Any] | None = None, key: str | None = None) -> Any:
    """The answer."""
    name = check.get("uuid") or check["unique_key"]
    answer = await world.api("POST", f"checks/{name}/simulate/", settings or {}, key)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def alerted(world: World, check: dict[str, Any]) -> list[dict[str, Any]]:
    """What the tables say, in the same words, newest first."""
    rows = await world.rows("SELECT * FROM transitions WHERE monitor_id = :id ORDER BY n", id=UUID(check["uuid"]))
    found = []
    for n, row in enumerate(rows):
        if row["to_status"] == "down":
            over = rows[n + 1]["at"].isoformat() if n + 1 < len(rows) else None
            told = {"reason": row["reason"], "explain": explain(row["evidence"])}
            found.append({"down_at": row["at"].isoformat(), "up_at": over, **told})
    return found[::-1]


async def live(world: World, check: dict[str, Any], chance: random.Random, steps: int) -> None:
    """A life of pings, runs, reports of the past, silence, deafness, pauses."""
    for _ in range(steps):
        await world.advance(chance.choice(STEPS))
        what = chance.choice(("", "", "", "/start", "/start", "/fail", "/3", "/log", "report", "deaf", "pause", "sweep", "sweep"))
        if what == "report":
            ago = (await world.now()) - timedelta(seconds=chance.choice((30, 500)))
            key = {"Authorization": f"Bearer {world.project.api_key}"}
            assert (await world.ping(check, params={"at": ago.isoformat()}, headers=key)).status_code == 200
        elif what == "deaf":
            await world.sweep()
            world.sleep(chance.choice((30, 300)))
            async with world.sessions() as session:
                await blackouts.tick(session, uuid4(), first=False, last=True)
                await session.commit()
        elif what == "pause":
            paused = (await world.seen(check))["status"] == "paused"
            answer = await world.api("POST", f"checks/{check['uuid']}/{'resume' if paused else 'pause'}")
            assert answer.status_code in (200, 409)  # a run that did not end was seen to do so in between
        elif what == "sweep":
            await world.sweep()
        else:
            rid = {"rid": str(UUID(int=chance.randrange(3)))} if chance.random() < 0.3 else {}
            assert (await world.ping(check, what, params=rid)).status_code == 200
    await world.advance(5)
    await world.sweep()


@pytest.mark.parametrize("kind", range(len(KINDS)))
async def test_its_own_settings_would_have_alerted_what_they_alerted(world: World, kind: int) -> None:
    """Every down and up of a life with runs, reports, deafness and pauses: the instants, the reasons, the sentences."""
    check = await world.check(**KINDS[kind])
    await live(world, check, random.Random(kind), 60)
    told = await simulated(world, check)
    expected = await alerted(world, check)
    assert len(expected) > 2
    assert told["alerts"] == expected
    heard = await world.rows("SELECT count(*) AS n FROM check_ins WHERE monitor_id = :id", id=UUID(check["uuid"]))
    assert (told["alert_count"], told["check_ins"]) == (len(expected), heard[0]["n"])
    assert told["notes"] == []


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(100, 140))
async def test_many_lives_would_have_alerted_what_they_alerted(world: World, seed: int) -> None:
    """The same of longer ones."""
    check = await world.check(**KINDS[seed % len(KINDS)])
    await live(world, check, random.Random(seed), 150)
    assert (await simulated(world, check))["alerts"] == await alerted(world, check)


async def test_other_settings_show_what_they_would_have_alerted(world: World) -> None:
    """A grace that is too short, one that is longer, a calendar instead of a period, an edit since: nothing of it is changed."""
    check = await world.check(timeout=600, grace=60)
    for late in (0, 0, 200, 0, 0):
        await world.advance(600 + late)
        await world.ping(check)
    before = await world.rows("SELECT * FROM monitors")
    (alert,) = (await simulated(world, check))["alerts"]
    assert alert["reason"] == "missed"
    assert (datetime.fromisoformat(alert["up_at"]) - datetime.fromisoformat(alert["down_at"])).total_seconds() == pytest.approx(
        140, abs=30
    )
    assert (await simulated(world, check, {"grace": 300}))["alerts"] == []
    assert (await simulated(world, check, {"timeout": 200, "failures_to_alert": 2}))["alert_count"] == 4
    minutely = await simulated(world, check, {"schedule": "* * * * *", "tz": "Europe/Berlin", "grace": 1})
    assert minutely["alert_count"] == 4
    assert minutely["words"] == "every minute, Europe/Berlin"
    assert await world.rows("SELECT * FROM monitors") == before
    await world.api("POST", f"checks/{check['uuid']}", {"grace": 300})
    assert (await simulated(world, check))["alerts"] == []


async def test_what_comes_next_is_told_in_its_zone(world: World) -> None:
    """Five instants with their offsets, the schedule in words, and what a change of the clock does."""
    check = await world.check(schedule="30 2 * * *", tz="Europe/Berlin")
    now = await world.now()
    told = await simulated(world, check)
    assert told["words"] == "at 02:30 every day, Europe/Berlin"
    assert [at[10:16] for at in told["next"]] == ["T02:30"] * 5
    assert datetime.fromisoformat(told["next"][0]) > now
    assert (datetime.fromisoformat(told["from"]), told["alerts"]) == (datetime.fromisoformat(told["to"]) - 30 * DAY, [])
    (row,) = await world.rows("SELECT * FROM monitors")
    ahead = foreseen(rule_of(row), row["zone"], datetime(2026, 10, 24, tzinfo=UTC))
    assert ahead.coming[1].note == "the clock shows 02:30 twice on that day: it is due the first time only"


async def test_a_read_only_key_may_ask_by_unique_key(world: World) -> None:
    """It sees the same, and no ping key, nobody and no stranger does."""
    check = await world.check()
    (row,) = await world.rows("SELECT unique_key FROM monitors")
    mine = await simulated(world, check)
    seen = await simulated(world, {"unique_key": row["unique_key"]}, key=world.project.api_key_readonly)
    assert {**seen, "from": "", "to": "", "next": []} == {**mine, "from": "", "to": "", "next": []}
    stranger = await world.new_project("Stranger")
    for key, status in ((stranger.api_key, 404), ("mb_rw_wrong", 401)):
        assert (await world.api("POST", f"checks/{check['uuid']}/simulate/", {}, key)).status_code == status


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"schedule": "61 * * * *"}, "schedule is not a valid cron or OnCalendar expression"),
        ({"tz": "Europe/Nowhere", "schedule": "0 3 * * *"}, "tz is not a valid timezone"),
        ({"timeout": 0}, "timeout is too small"),
        ({"early": 60, "timeout": 60}, "early is too large"),
        ({"failures_to_alert": "two"}, "failures_to_alert is not a number"),
    ],
)
async def test_settings_that_make_no_sense_are_refused_by_name(world: World, settings: dict[str, Any], error: str) -> None:
    """In the words of an edit."""
    check = await world.check()
    answer = await world.api("POST", f"checks/{check['uuid']}/simulate/", settings)
    assert (answer.status_code, answer.json()["error"]) == (400, f"json validation error: {error}")


async def test_to_pause_twice_is_lived_again(world: World) -> None:
    """The second time turned nothing, and ended the run that began in between."""
    check = await world.check(timeout=600, grace=60)
    await world.ping(check)
    path = f"checks/{check['uuid']}/pause"
    await world.api("POST", path)
    await world.advance(10)
    await world.ping(check, "/start")
    await world.advance(10)
    await world.api("POST", path)
    await world.advance(1000)
    await world.sweep()
    assert (await simulated(world, check))["alerts"] == await alerted(world, check) == []


# ---- What is read, and how long it takes others


async def fill(world: World, check: dict[str, Any], count: int, gap: timedelta) -> None:
    """As if it had been heard so often until now; one day holds it all but for what is kept of days that are gone."""
    await world.run(
        """INSERT INTO check_ins_kept
            (project_id, monitor_id, n, received_at, signal, scheme, method, remote_addr, user_agent, body_truncated)
            SELECT project_id, id, n, missedbeat_now() - (:count - n) * CAST(:gap AS interval), 'success', '', '', '', '', false
            FROM monitors, generate_series(1, :count) AS n WHERE id = :id""",
        count=count, gap=gap, id=UUID(check["uuid"]),
    )  # fmt: skip
    await world.run("UPDATE monitors SET heard = :count WHERE id = :id", count=count, id=UUID(check["uuid"]))


async def test_a_window_is_read_in_pages_with_the_last_few_before_it(world: World) -> None:
    """Oldest first, without a gap; where there are more than are looked at the newest, and from when on is said."""
    check, count = await world.check(), PAGE * 2 + 500
    await fill(world, check, count, MINUTE)
    now = await world.now()
    everything = 30 * DAY
    for window, most, expected in (
        (DAY, 20_000, 1440 + WARM), (2.5 * DAY, 20_000, 3600 + WARM), (everything, 20_000, count), (everything, 3000, 3000),
        (everything, PAGE, PAGE), (-DAY, 3000, WARM),
    ):  # fmt: skip
        async with world.sessions() as session:
            given = (session, world.project.id, UUID(check["uuid"]), count, now - window, most)
            since, heard = await checkins.heard_since(*given)
        assert abs(len(heard) - expected) <= 1
        times = [said.received for said in heard]
        assert all(abs(later - earlier - MINUTE) < SECOND for earlier, later in pairwise(times))
        assert times[-1] > now - MINUTE
        assert since == (heard[0].received if len(heard) == most else now - window)
    other = await world.new_project("Other")
    async with world.sessions() as session:
        assert (await checkins.heard_since(session, other.id, UUID(check["uuid"]), count, now - DAY, 100))[1] == []


async def test_where_the_log_was_dropped_it_looks_from_there_on(world: World) -> None:
    """What is not kept any more says nothing, and the answer says from when on it looked."""
    check = await world.check(timeout=60, grace=60)
    await fill(world, check, 900, MINUTE)
    await world.run("DELETE FROM check_ins_kept WHERE n <= 300")
    told = await simulated(world, check)
    assert (told["check_ins"], told["alerts"]) == (600, [])
    assert (datetime.fromisoformat(told["to"]) - datetime.fromisoformat(told["from"])) // MINUTE in (599, 600)


async def test_others_have_their_turn_while_a_replay_goes_on() -> None:
    """It stops again and again."""
    began = datetime.fromisoformat("2026-06-01T00:00:00+00:00")
    heard = [Said(Signal.SUCCESS, began + n * 130 * SECOND) for n in range(10_000)]
    now = heard[-1].received
    past = Past(began, now, heard, (), Horizon(now - MARGIN), MARGIN)
    turns, done = 0, asyncio.Event()

    async def count() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    found = await replay(Rule(Every(MINUTE), MINUTE), past, OneByOne())
    done.set()
    await counting
    assert turns > 10
    assert (found.heard, found.count, len(found.alerts)) == (10_000, 9_999, MOST_ALERTS)


async def test_one_replay_goes_on_at_a_time_and_only_some_wait() -> None:
    """The rest is told to come again; who waited has its turn, and who left makes room."""
    door, inside, done = OneByOne(3), 0, []

    async def enter(name: str) -> None:
        nonlocal inside
        async with door.turn():
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.01)
            inside -= 1
            done.append(name)

    waiting = [asyncio.create_task(enter(name)) for name in "abc"]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await enter("d")
    await asyncio.gather(*waiting)
    await enter("e")
    assert done == ["a", "b", "c", "e"]


async def test_a_page_may_ask_within_its_own_session(world: World) -> None:
    """The two functions for a form."""
    check = await world.check(timeout=600, grace=60)
    await world.ping(check)
    await world.advance(1000)
    monitor, rule = UUID(check["uuid"]), Rule(Every(600 * SECOND), 60 * SECOND)
    async with world.sessions() as session:
        moment = await blackouts.moment(session, MARGIN)
        found = await replayed(session, world.project.id, monitor, rule, moment, OneByOne())
        past = await past_of(session, world.project.id, monitor, moment)
    assert ([str(alert.down.reason) for alert in found.alerts], found.heard) == (["missed"], 1)
    assert (past.now, past.since, len(past.heard)) == (moment.now, moment.now - 30 * DAY, 1)


@pytest.mark.parametrize("heard", [0, 3])
async def test_who_was_paused_before_anything_was_heard_is_paused_in_the_replay_too(world: World, heard: int) -> None:
    """And whoever was resumed then, and is expected from then on, is so in both."""
    check = await world.check(schedule="*:0/7", grace=120, manual_resume=True)
    await world.api("POST", f"checks/{check['uuid']}/pause")
    for _ in range(heard):
        await world.advance(400)
        await world.ping(check)
    await world.advance(1_000)
    assert (await simulated(world, check))["alerts"] == []
    await world.api("POST", f"checks/{check['uuid']}/resume")
    await world.advance(1_000)
    await world.sweep()
    told = (await simulated(world, check))["alerts"]
    assert told == await alerted(world, check)
    assert len(told) == (1 if heard else 0)
