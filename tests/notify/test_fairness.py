"""Fairness: nobody's endpoints hold up anybody else's first attempt, and no channel is asked too much at once."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.domain.retry import FALLBACK_AFTER, GIVE_UP_AFTER
from app.notify.deliver import Deliverer
from app.notify.slots import SLOTS, SLOW_SLOTS, Slots, share
from app.store import claims, detours
from tests.notify.hooks import hook
from tests.receivers import HttpReceiver, Reply
from tests.world import World

pytestmark = pytest.mark.anyio

ALONE = SLOTS // 4

CHANNEL = """
    INSERT INTO channels (project_id, id, kind, name, settings, secret, created_at)
    VALUES (:project, :id, 'webhook', 'hole', '{"method": "POST"}', :secret, missedbeat_now())"""
DELIVERY = """
    INSERT INTO deliveries (project_id, id, channel_id, monitor_id, cause_kind, cause_id, told, due_at, created_at)
    SELECT :project, gen_random_uuid(), c.id, gen_random_uuid(), 'transition', n || 'th', d.told, d.due_at, d.created_at
    FROM (SELECT * FROM deliveries WHERE project_id = :project LIMIT 1) d, channels c,
        generate_series(CAST(:first AS int), :last) AS n
    WHERE c.project_id = :project AND c.name = 'hole'"""


async def flood(world: World, receiver: HttpReceiver, count: int, each: int = 1) -> None:
    """So many channels of a project of its own to that receiver, and so many alerts of different monitors for each."""
    world.project = await world.new_project("Flood")
    await hook(world, receiver)
    await world.ping(await world.check(channels="*"), "/fail")
    project = world.project.id
    async with world.sessions() as session:
        for _ in range(count):
            channel = uuid4()
            secret = world.sender.vault.seal(project, channel, {"url": receiver.url()})
            await session.execute(text(CHANNEL), {"project": project, "id": channel, "secret": secret})
        await session.execute(text(DELIVERY), {"project": project, "first": 1, "last": each})
        await session.commit()


async def begin_all(world: World) -> int:
    """Rounds until nothing more may be begun, nobody waiting for what hangs; returns how many attempts that makes."""
    begun = 0
    while more := await world.deliverer.deliver_once():
        begun += more
    return begun


async def alert_of_a_neighbour(world: World, good: HttpReceiver) -> None:
    """An alert of another project, and one round of the sender."""
    world.project = await world.new_project("Neighbour")
    await hook(world, good)
    await world.ping(await world.check(channels="*"), "/fail")
    assert await world.deliverer.deliver_once() >= 1


def test_whoever_comes_new_finds_slots_free() -> None:
    """Though twelve projects, one after the other, took as much as they may, there are some left; alone one has a quarter."""
    taken: list[int] = []
    for _ in range(12):
        taken.append(share(SLOTS - sum(taken), 0))
        for n in range(len(taken)):
            taken[n] += share(SLOTS - sum(taken), taken[n])
    assert taken[0] == ALONE
    assert share(SLOTS - sum(taken), 0) > 0
    assert (share(1, 0), share(0, 0), share(SLOTS, SLOTS)) == (1, 0, 0)


async def test_a_slot_is_taken_until_its_attempt_is_over_however_it_ends() -> None:
    """Whether it returns, raises or is cancelled; what failed before takes of its own lane too."""
    slots, gate = Slots(), asyncio.Event()

    async def attempt(raises: bool) -> None:
        await gate.wait()
        if raises:
            raise ValueError

    project = UUID(int=1)
    for n in range(20):
        slots.begin(project, n % 2 == 0, attempt(n == 4))
    room = slots.room()
    assert (room.slots, room.slow) == ((SLOTS - 20 + 1) // 2, (SLOW_SLOTS - 10 + 1) // 2)
    assert room.shares == {project: ((SLOTS - 20 - 60) // 4, (SLOW_SLOTS - 10 - 30) // 4)}
    first = next(iter(slots.tasks))
    first.cancel()
    gate.set()
    ended = await asyncio.gather(*slots.tasks, return_exceptions=True)
    assert sum(isinstance(e, ValueError | asyncio.CancelledError) for e in ended) >= 1
    await asyncio.sleep(0)
    assert (slots.room().slots, slots.room().shares) == (SLOTS // 2, {})


@pytest.mark.parametrize("count", [300, pytest.param(3000, marks=pytest.mark.prove)])
async def test_a_project_full_of_endpoints_that_hang_delays_nobody_else(world: World, count: int) -> None:
    """It has a quarter of the slots; another project's alert is begun in the next round, and arrives while all of those hang. So
    again when they have failed and are tried again: then they have a lane of their own."""
    async with HttpReceiver() as hole, HttpReceiver() as good:
        hole.always = Reply(hang=True)
        await flood(world, hole, count)
        assert await begin_all(world) == ALONE
        await hole.heard(ALONE, within=30)
        await alert_of_a_neighbour(world, good)
        await good.heard(1, within=10)
        assert hole.cut == 0
        hole.hang_up()
        await world.deliverer.settled()
        await world.run("UPDATE deliveries SET due_at = missedbeat_now() WHERE state = 'waiting' AND tries > 0")
        again = await begin_all(world)
        assert 0 < again <= ALONE
        (retried,) = await world.rows("SELECT count(*) AS n FROM deliveries WHERE state = 'sending' AND tries > 0")
        assert 0 < retried["n"] <= SLOW_SLOTS // 4
        await alert_of_a_neighbour(world, good)
        await good.heard(2, within=10)
        await hole.heard(ALONE + again, within=30)
        hole.hang_up()


async def test_what_is_known_to_fail_never_takes_all(world: World) -> None:
    """Six projects full of channels that failed before: all of it stays in the slow lane, and a new alert goes out at once."""
    async with HttpReceiver() as hole, HttpReceiver() as good:
        hole.always = Reply(hang=True)
        for _ in range(6):
            await flood(world, hole, 60)
        await world.run("UPDATE channels SET failures = 1, failing_since = missedbeat_now()")
        assert await begin_all(world) <= SLOW_SLOTS
        taken = await world.rows("SELECT count(*) AS n FROM deliveries WHERE state = 'sending' GROUP BY project_id")
        assert len(taken) == 6
        assert max(t["n"] for t in taken) <= 2 * min(t["n"] for t in taken)
        await alert_of_a_neighbour(world, good)
        await good.heard(1, within=10)
        await hole.heard(sum(t["n"] for t in taken), within=30)
        hole.hang_up()


async def test_one_channel_is_asked_four_times_at_once_at_most_whoever_asks(world: World) -> None:
    """Hundreds of alerts in two waves, a receiver that hangs, four senders that race: four connections."""
    async with HttpReceiver() as hole:
        hole.always = Reply(hang=True)
        await flood(world, hole, 1, each=2)
        senders = [Deliverer(world.sessions, world.sender) for _ in range(4)]
        for last in (3, 40):
            await asyncio.gather(*(sender.deliver_once() for sender in senders))
            await world.run(DELIVERY, project=world.project.id, first=last, last=last * 10)
        for _ in range(5):
            await asyncio.gather(*(sender.deliver_once() for sender in senders))
        (busy,) = await world.rows("""
            SELECT max(n) AS most FROM (SELECT count(*) AS n FROM deliveries WHERE state = 'sending' GROUP BY channel_id) c""")
        assert busy["most"] == 4
        await hole.heard(5, within=30)
        hole.hang_up()
        for sender in senders:
            await sender.settled()


def rows_read(plan: dict[str, Any]) -> int:
    """How many rows the nodes of a plan gave out, all loops together, those filtered away too."""
    own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return int(own) + sum(rows_read(below) for below in plan.get("Plans", ()))


async def read_by(world: World, sql: str, given: dict[str, Any]) -> int:
    """How many rows this statement reads."""
    async with world.sessions() as session:
        explained = await session.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}"), given)
        return rows_read(explained.scalar_one()[0]["Plan"])


@pytest.mark.parametrize("state", ["untried", "tried", "left alone"])
async def test_a_look_costs_the_same_however_much_waits(world: World, state: str) -> None:
    """Thirty thousand alerts of one project, untried, in their waits, or behind a breaker: the sender reads a few hundred rows
    of them, not all."""
    async with HttpReceiver() as hole:
        await flood(world, hole, 3, each=10_000)
        if state != "untried":
            await world.run("""
                UPDATE deliveries SET first_try_at = missedbeat_now(), tries = 1,
                    due_at = missedbeat_now() + interval '1 hour'""")
        if state == "left alone":
            await world.run("UPDATE channels SET failures = 9, failing_since = missedbeat_now(), open_until = 'infinity'")
        await world.run("ANALYZE deliveries")
        given = {
            "now": await world.now(), "a_day_ago": await world.now() - GIVE_UP_AFTER, "per_channel": 4, "slots": 64, "slow": 16,
            "share": 32, "slow_share": 8, "sharing": [], "shares": [], "slow_shares": [],
        }  # fmt: skip
        assert await read_by(world, claims.CHANNELS.text, given) < 500


BEHIND_EACH = """
    INSERT INTO deliveries (project_id, id, channel_id, monitor_id, cause_kind, cause_id, told, due_at, created_at)
    SELECT project_id, gen_random_uuid(), channel_id, monitor_id, cause_kind, cause_id || ' again', told, due_at, created_at
    FROM deliveries WHERE project_id = :project"""


@pytest.mark.parametrize("tried", [False, True])
async def test_a_look_for_what_waits_behind_others_costs_the_same_however_much_waits(world: World, tried: bool) -> None:
    """Sixty thousand open alerts, half of them behind another that was tried in vain for long, or never."""
    async with HttpReceiver() as hole:
        await flood(world, hole, 3, each=10_000)
        if tried:
            await world.run("UPDATE deliveries SET first_try_at = missedbeat_now(), tries = 1, attempts = '[{}]'")
        await world.run(BEHIND_EACH, project=world.project.id)
        await world.run("ANALYZE deliveries")
        await world.advance(3600)
        now = await world.now()
        async with world.sessions() as session:
            further = await detours.tell_behind(session, now, detours.START)
        for after in (detours.START, further):
            given = {"since": now - FALLBACK_AFTER, "limit": detours.LOOKED_AT_ONCE, **after._asdict()}
            assert await read_by(world, detours.BEHIND.text, given) < 7 * detours.LOOKED_AT_ONCE


async def test_looks_go_on_where_they_ended_until_all_was_looked_at(world: World) -> None:
    """However many open alerts lie before it, what waits behind one that is not taken is told another way in this round."""
    async with HttpReceiver() as hole:
        await flood(world, hole, 1, each=3 * detours.LOOKED_AT_ONCE)
        channel = await hook(world, hole, name="picky")
        check = await world.check(channels=channel["id"])
        await world.ping(check, "/fail")
        await world.run(
            "UPDATE deliveries SET first_try_at = missedbeat_now(), attempts = '[{}]' WHERE monitor_id = :id", id=check["uuid"]
        )
        await world.ping(check)
        await world.advance(3600)
        after, looks = detours.START, 0
        async with world.sessions() as session:
            while looks == 0 or after != detours.START:
                after = await detours.tell_behind(session, await world.now(), after)
                looks += 1
            await session.commit()
        assert looks == 4
        told = await world.rows(
            "SELECT told ->> 'kind' AS kind FROM deliveries WHERE told ->> 'instead_of' = 'picky' ORDER BY seq"
        )
        assert [t["kind"] for t in told] == ["monitor.down", "monitor.up"]
