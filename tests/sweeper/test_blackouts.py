"""Where we could not hear nobody is blamed, everybody is told, and it always ends."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.domain.horizon import Blackout
from app.store import blackouts, vitals
from app.sweeper.prune import prune_once
from tests.receivers import HttpReceiver
from tests.world import MARGIN, World

pytestmark = pytest.mark.anyio


async def hook(world: World, receiver: HttpReceiver, name: str = "hook", **more: Any) -> None:
    """A webhook channel to that receiver."""
    answer = await world.api("POST", "channels/", {"kind": "webhook", "name": name, "url": receiver.url(), **more})
    assert answer.status_code == 201, answer.text


async def deaf_for(world: World, seconds: float) -> None:
    """No process ticks for so long, then one does."""
    world.sleep(seconds)
    async with world.sessions() as session:
        await blackouts.tick(session, uuid4(), first=False, last=True)
        await session.commit()
    await world.tick()


async def another_process_ticks(world: World) -> None:
    """Once, and is not heard of again."""
    await world.run("INSERT INTO ticks (at, process) VALUES (missedbeat_now(), gen_random_uuid())")


async def test_what_a_dead_process_may_have_refused_is_judged_half_a_minute_later(world: World) -> None:
    """One of two web processes is gone without a word: the silence since waits for clients that try the other one."""
    check = await world.check(timeout=60, grace=30)
    await world.ping(check)
    await world.advance(85)
    await another_process_ticks(world)
    for seconds in (10, 10, 10):
        await world.advance(seconds)
        assert (await world.sweep()).turned == 0
    assert (await world.seen(check))["status"] == "grace"
    await world.advance(10)
    assert (await world.sweep()).turned == 1


async def test_a_process_that_signed_off_is_not_waited_for(world: World) -> None:
    """It refused nobody: it had left."""
    check = await world.check(timeout=60, grace=30)
    await world.ping(check)
    await world.advance(85)
    await world.run("INSERT INTO ticks (at, process, last) VALUES (missedbeat_now(), gen_random_uuid(), true)")
    await world.advance(8)
    assert (await world.sweep()).turned == 1


async def test_jobs_expected_in_a_blackout_are_told_in_one_message_for_each_project(world: World) -> None:
    """A minute after it, those not heard of since; whoever hears only of returns hears nothing; nobody is told twice."""
    async with HttpReceiver() as receiver, HttpReceiver() as ups:
        await hook(world, receiver)
        await hook(world, ups, "ups", hears="up")
        checks = [await world.check(name=f"job {n}", timeout=60, grace=30, channels="*") for n in range(5)]
        far = await world.check(name="far", timeout=86400, grace=30, channels="*")
        for check in (*checks, far):
            await world.ping(check)
        await deaf_for(world, 300)
        await world.advance(5)
        assert (await world.sweep()).turned == 0
        await world.ping(checks[0])
        await world.ping(checks[1], "/start")
        await world.deliver()
        assert receiver.requests == []
        await world.advance(62)
        for check in checks[2:4]:
            await world.api("POST", f"checks/{check['uuid']}", {"timeout": 3600})
        await world.sweep()
        await world.deliver()
        (told,) = [r.json() for r in receiver.requests if r.json()["type"] == "blackout"]
        assert [line.partition(":")[0] for line in told["data"]["jobs"]] == ["job 2", "job 3", "job 4"]
        assert "3 jobs were expected" in told["data"]["explain"]
        assert told["data"]["monitor"] is None
        await world.advance(5)
        await world.sweep()
        await world.deliver()
        assert [r.json()["type"] for r in receiver.requests].count("blackout") == 1
        assert ups.requests == []
        assert await world.rows("SELECT FROM unheard WHERE settled_at IS NULL") == []


async def test_a_job_whose_deadline_comes_after_the_digest_is_told_of_then(world: World) -> None:
    """It was due in the blackout, with an hour of grace; when that is over and nothing was heard, people hear so."""
    async with HttpReceiver() as receiver:
        await hook(world, receiver)
        check = await world.check(name="slow", timeout=7200, grace=3600, channels="*")
        await world.ping(check)
        await world.advance(7000)
        await deaf_for(world, 300)
        await world.advance(100)
        await world.sweep()
        await world.deliver()
        assert receiver.requests == []
        await world.advance(3500)
        await world.sweep()
        await world.deliver()
        assert receiver.requests[0].json()["type"] == "blackout"
        assert receiver.requests[0].json()["data"]["jobs"][0].startswith("slow: expected ")


async def test_a_report_of_the_time_of_the_blackout_is_word_enough(world: World) -> None:
    """The job says later when it ran: nobody needs to look."""
    async with HttpReceiver() as receiver:
        await hook(world, receiver)
        check = await world.check(timeout=60, grace=30, channels="*")
        await world.ping(check)
        ran_at = (await world.now() + timedelta(seconds=60)).isoformat()
        await deaf_for(world, 300)
        await world.advance(5)
        await world.sweep()
        answer = await world.ping(check, params={"at": ran_at}, headers={"X-Api-Key": world.project.api_key})
        assert answer.status_code == 200, answer.text
        await world.api("POST", f"checks/{check['uuid']}", {"timeout": 3600})
        await world.advance(65)
        await world.sweep()
        await world.deliver()
        assert receiver.requests == []


@pytest.mark.parametrize("word", [{"headers": {"User-Agent": "Slackbot-LinkExpanding 1.0"}}, {"suffix": "/log"}])
async def test_what_is_no_sign_of_life_is_no_word_after_a_blackout(world: World, word: dict[str, Any]) -> None:
    """A link previewer, a line for the log: the job that was expected meanwhile is told of all the same."""
    async with HttpReceiver() as receiver:
        await hook(world, receiver)
        check = await world.check(name="nightly", timeout=86_400, grace=30, channels="*")
        await world.ping(check)
        await world.advance(86_000)
        await deaf_for(world, 600)
        await world.advance(5)
        await world.sweep()
        assert (await world.ping(check, **word)).status_code == 200
        await world.advance(100)
        await world.sweep()
        await world.deliver()
        assert [r.json()["data"]["jobs"] for r in receiver.requests if r.json()["type"] == "blackout"] != []


async def test_the_digest_finds_another_way_where_every_channel_is_disabled(world: World) -> None:
    """As an alert does; the disabled one has it on record, with the reason."""
    async with HttpReceiver() as gone, HttpReceiver() as spare:
        await hook(world, gone, "gone")
        (row,) = await world.rows("SELECT id FROM channels")
        check = await world.check(name="nightly", timeout=86_400, grace=30, channels=str(row["id"]))
        await hook(world, spare, "spare")
        await world.run("UPDATE channels SET disabled_at = missedbeat_now(), disabled_why = '410' WHERE id = :id", id=row["id"])
        await world.ping(check)
        await world.advance(86_000)
        await deaf_for(world, 600)
        await world.advance(5)
        await world.sweep()
        await world.advance(100)
        await world.sweep()
        await world.deliver()
        assert [r.json()["type"] for r in spare.requests] == ["blackout"]
        kept = await world.rows("SELECT state, reason FROM deliveries WHERE channel_id = :id", id=row["id"])
        assert kept == [{"state": "suppressed", "reason": "the channel is disabled: 410"}]


async def test_before_the_first_tick_of_all_the_sweep_goes_round(world: World) -> None:
    """Nothing was ever heard, so there is nothing to judge and nobody to tell."""
    await world.run("DELETE FROM ticks")
    assert (await world.sweep()).looked_at == 0


async def test_after_days_of_outage_the_next_tick_still_finds_the_hole(world: World) -> None:
    """The newest tick is kept, however old: house may be kept before the first tick."""
    check = await world.check(timeout=60, grace=30)
    await world.ping(check)
    world.sleep(5 * 86400)
    await prune_once(world.sessions, 90)
    assert await world.web.ticker.tick_once()
    await world.advance(5)
    assert (await world.sweep()).turned == 0
    (deaf,) = (await world.api("GET", "blackouts/")).json()["blackouts"]
    assert deaf["seconds"] > 4.9 * 86400


async def test_a_clock_set_back_stands_still_and_loses_no_ping(world: World) -> None:
    """An hour back: pings are kept and count, in their order; nothing is judged until the clock is there again; then all is."""
    checks = [await world.check(timeout=600, grace=30) for _ in range(2)]
    for check in checks:
        await world.ping(check)
    await world.advance(100)
    world.sleep(-3600)
    await world.tick()
    for signal in ("/start", "", "/fail", ""):
        assert (await world.ping(checks[0], signal)).status_code == 200
    assert (await world.seen(checks[0]))["status"] == "up"
    kept = await world.rows("SELECT signal FROM check_ins WHERE monitor_id = :id ORDER BY received_at, n", id=checks[0]["uuid"])
    assert [row["signal"] for row in kept] == ["success", "start", "success", "fail", "success"]
    turned = await world.rows("SELECT to_status FROM transitions WHERE monitor_id = :id ORDER BY n", id=checks[0]["uuid"])
    assert [row["to_status"] for row in turned] == ["up", "down", "up"]
    assert (await world.sweep()).turned == 0
    for _ in range(5):
        await world.advance(1000)
    assert (await world.sweep()).turned == 2


async def test_while_a_clock_set_back_stands_still_canaries_wait_and_a_dead_worker_is_seen(world: World) -> None:
    """One canary for each instant; the age of the worker's last round goes by the clock as it is."""
    await world.advance(60)
    world.sleep(-3600)
    await world.sweep()
    async with world.sessions() as session:
        at = await blackouts.now(session)
        assert [await blackouts.canary_sent(session, at) for _ in range(2)] == [True, False]
    world.sleep(100)
    async with world.sessions() as session:
        assert (await blackouts.beats(session))["sweep"] >= timedelta(seconds=100)
        assert (await vitals.read(session, MARGIN)).sweep_age >= 100


async def test_after_a_clock_was_set_back_what_is_heard_follows_what_was_heard_before(world: World) -> None:
    """Also where the last of it came some seconds after the newest tick."""
    check = await world.check(timeout=600, grace=30)
    await world.advance(60)
    world.sleep(4)
    await world.ping(check)
    world.sleep(-3600)
    await world.ping(check, "/fail")
    assert (await world.seen(check))["status"] == "down"


async def test_a_clock_set_forward_is_a_blackout(world: World) -> None:
    """Nobody is dead for a jump of two hours."""
    check = await world.check(timeout=60, grace=30)
    await world.ping(check)
    await world.web.ticker.tick_once()
    world.sleep(7200)
    await world.web.ticker.tick_once()
    await world.tick()
    assert (await world.sweep()).turned == 0
    assert len((await world.api("GET", "blackouts/")).json()["blackouts"]) == 1


async def test_the_deafness_of_one_process_counts_for_half_a_minute_where_others_hear(world: World) -> None:
    """One whose commits fail for minutes while others tick must not excuse every job for so long."""
    await world.advance(300)
    async with world.sessions() as session:
        await blackouts.was_deaf(session, timedelta(seconds=200), timedelta())
        await session.commit()
    (deaf,) = (await world.api("GET", "blackouts/")).json()["blackouts"]
    assert 29 < deaf["seconds"] < 31


async def test_a_canary_that_is_lost_is_a_blackout_once_one_came_through_before(world: World) -> None:
    """Sent each ten seconds; the jobs that were due meanwhile are unknown; the next that comes through ends it."""
    check = await world.check(timeout=60, grace=30)
    await world.ping(check)
    heard = await canary(world, heard=True)
    for _ in range(14):
        await world.advance(10)
        await canary(world, heard=False)
        assert (await world.sweep()).turned == 0
    assert (await world.seen(check))["status"] == "up"
    await world.advance(10)
    await canary(world, heard=True)
    (deaf,) = (await world.api("GET", "blackouts/")).json()["blackouts"]
    assert abs(deaf["seconds"] - 150) < 30
    async with world.sessions() as session:
        (found,) = await blackouts.listed(session, 1)
    assert isinstance(found, Blackout)
    assert abs(found.start - heard) < timedelta(seconds=1)


async def test_a_worker_that_was_away_makes_no_blackout_of_its_absence(world: World) -> None:
    """One canary lost, then nobody sent any for five minutes, then one is lost again: pings were heard all the while, and a job
    that is dead is told."""
    check = await world.check(timeout=60, grace=30)
    await world.ping(check)
    await canary(world, heard=True)
    await world.advance(10)
    await canary(world, heard=False)
    for _ in range(30):
        await world.advance(10)
    await canary(world, heard=False)
    await world.advance(2)
    await canary(world, heard=True)
    await world.advance(13)
    assert (await world.sweep()).turned == 1
    assert (await world.api("GET", "blackouts/")).json()["blackouts"] == []


async def canary(world: World, heard: bool) -> Any:
    """One is sent, and comes in or not; returns when it was sent."""
    async with world.sessions() as session:
        at = await blackouts.now(session)
        await blackouts.canary_sent(session, at)
        if heard:
            assert await blackouts.canary_heard(session, at)
        await session.commit()
    return at
