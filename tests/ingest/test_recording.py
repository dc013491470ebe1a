"""Recording under stress: stalls, overload, bad rows, a missing partition. 2xx means committed and counted, or it is not 2xx."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from app.ingest import inbox
from app.store import monitors
from app.sweeper.sweep import sweep
from tests.world import World, living

pytestmark = pytest.mark.anyio

STALL = """
CREATE OR REPLACE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$;
"""
BEFORE_GUARD = "CREATE TRIGGER stall AFTER INSERT ON runs FOR EACH STATEMENT EXECUTE FUNCTION stall()"
AT_COMMIT = """CREATE CONSTRAINT TRIGGER stall_late AFTER UPDATE ON monitors DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION stall()"""
CALM = (
    "DROP TRIGGER IF EXISTS stall ON runs",
    "DROP TRIGGER IF EXISTS stall ON check_ins",
    "DROP TRIGGER IF EXISTS stall_late ON monitors",
)


async def calm(world: World) -> None:
    """Take the stalls out again."""
    for statement in CALM:
        await world.run(statement)


async def test_what_took_longer_than_the_margin_is_refused_and_not_recorded(dsn: str) -> None:
    """The guard: a stall before COMMIT of more than the margin answers 503 with Retry-After, and nothing is there."""
    async with living(dsn, guard_seconds=0.5) as world:
        check = await world.check()
        world.asking.patient = False
        await world.run(STALL.format(seconds=0.7))
        await world.run(BEFORE_GUARD)
        try:
            answer = await world.ping(check)
        finally:
            await calm(world)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await world.seen(check))["n_pings"] == 0
        assert (await world.ping(check)).status_code == 200


async def test_a_check_in_at_its_deadline_is_counted_however_slow_the_commit(dsn: str) -> None:
    """P2 and P4, with stalls between lock, guard and commit, and a sweeper that never rests: acknowledged and received by the
    deadline means no down for it; silent past it means exactly one, dated at the deadline."""
    async with living(dsn, guard_seconds=0.5) as world:
        checks = [await world.check(timeout=1, grace=1) for _ in range(40)]
        await asyncio.gather(*(world.ping(c) for c in checks))
        deadlines = {r["id"]: r["deadline"] for r in await world.rows("SELECT id::text, deadline FROM monitors")}
        await world.run(STALL.format(seconds="random() * 0.12"))
        await world.run(BEFORE_GUARD)
        await world.run(AT_COMMIT)
        stop = asyncio.Event()

        async def never_rest() -> None:
            while not stop.is_set():
                await world.tick()
                await sweep(world.sessions, timedelta(seconds=0.5))
                await asyncio.sleep(0.02)

        async def late_ping(check: dict[str, Any]) -> int:
            wait = (deadlines[check["uuid"]] - await world.now()).total_seconds() + random.uniform(-0.01, 0.01)
            await asyncio.sleep(max(0.0, wait))
            return (await world.ping(check)).status_code

        sweeping = asyncio.create_task(never_rest())
        codes = dict(zip((c["uuid"] for c in checks), await asyncio.gather(*(late_ping(c) for c in checks)), strict=True))
        await asyncio.sleep(1.0)
        stop.set()
        await sweeping
        await calm(world)
        await world.tick()
        await sweep(world.sessions, timedelta(seconds=0.5))  # the last ones may not have had their turn on a busy machine
        second = await world.rows("SELECT monitor_id::text AS id, received_at AS at FROM check_ins WHERE n = 2")
        heard = {r["id"]: r["at"] for r in second}
        downs: dict[str, list[Any]] = {}
        for r in await world.rows("SELECT monitor_id::text AS id, at FROM transitions WHERE to_status = 'down'"):
            downs.setdefault(r["id"], []).append(r["at"])
        assert 200 in codes.values()
        for check_id, deadline in deadlines.items():
            in_time = check_id in heard and heard[check_id] <= deadline
            assert (codes[check_id] == 200) == (check_id in heard)
            if in_time:
                assert deadline not in downs.get(check_id, []), "acknowledged, in time, and yet down"
            elif check_id not in heard:
                assert downs[check_id] == [deadline]
            assert len(downs.get(check_id, [])) <= 1


async def test_a_full_inbox_refuses_at_once(dsn: str) -> None:
    """Overload answers 503 with Retry-After within 250 ms, and what waits for long in the queue is refused, not kept."""
    async with living(dsn, guard_seconds=1.0) as world:
        check = await world.check()
        world.asking.patient = False
        await world.run(STALL.format(seconds=1.5))
        await world.run(BEFORE_GUARD.replace("ON runs", "ON check_ins"))
        first = asyncio.create_task(world.ping(check))
        await asyncio.sleep(0.3)
        began = asyncio.get_running_loop().time()
        crowd = [asyncio.create_task(world.ping(check, "/log")) for _ in range(inbox.MOST_WAITING + 20)]
        done, _ = await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
        assert {t.result().status_code for t in done} == {503}
        answers = await asyncio.gather(*crowd)
        waited = asyncio.get_running_loop().time() - began
        await calm(world)
        assert {a.status_code for a in answers} == {503}
        assert waited < 60, "nobody hangs, however busy the machine is"
        assert (await first).status_code == 503
        assert (await world.seen(check))["n_pings"] == 0
        assert (await world.ping(check)).status_code == 200


async def test_an_end_is_never_taken_for_earlier_than_the_start_it_followed(world: World) -> None:
    """However long the clock's answer is on its way: a start, its end and a fail, one after the other, stay in that order."""
    check = await world.check()
    for suffix, on_its_way in (("/start", 0.0), ("", 0.1), ("/fail", 0.6)):
        await world.run(f"""CREATE OR REPLACE FUNCTION missedbeat_now() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS
            'DECLARE t timestamptz := clock_timestamp(); BEGIN PERFORM pg_sleep({on_its_way}); RETURN t; END'""")
        assert (await world.ping(check, suffix)).status_code == 200
    seen = await world.seen(check)
    assert (seen["status"], seen["started"]) == ("down", False)


async def test_one_bad_row_does_not_stop_the_batch(world: World) -> None:
    """A monitor whose row makes no sense answers 503; all others of the same batch are recorded."""
    checks = [await world.check() for _ in range(9)]
    await world.run("UPDATE monitors SET kind = 'nonsense' WHERE id = :id", id=checks[4]["uuid"])
    answers = await asyncio.gather(*(world.ping(c) for c in checks))
    assert [a.status_code for a in answers] == [200] * 4 + [503] + [200] * 4


async def test_a_row_that_somebody_holds_refuses_its_own_pings_and_no_others(world: World) -> None:
    """A person in psql, or a sweeper that was frozen: what is pinged beside it is taken, also where it is made by the ping."""
    held, free = [await world.check() for _ in range(2)]
    world.asking.patient = False
    with psycopg.connect(world.dsn.replace("+psycopg", "")) as other:
        other.execute("SELECT FROM monitors WHERE id = %s FOR UPDATE", [held["uuid"]])
        made = f"/ping/{world.project.ping_key}/made"
        answers = await asyncio.gather(
            world.ping(held), world.ping(free), world.ping(held, "/fail"), world.client.get(made, params={"create": "1"})
        )
        assert [answer.status_code for answer in answers] == [503, 200, 503, 201]
        assert "retry-after" in answers[0].headers
        other.rollback()
    assert (await world.ping(held)).status_code == 200


async def test_names_that_somebody_holds_keep_from_being_made_what_is_new_and_nothing_else(world: World) -> None:
    """A large sync, or a process that was frozen in the middle of one: what is there already is heard beside it."""
    check = await world.check()
    world.asking.patient = False
    new = f"/ping/{world.project.ping_key}/new?create=1"
    with psycopg.connect(world.dsn.replace("+psycopg", "")) as other:
        other.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", [monitors.NAMER, str(world.project.id)])
        answers = await asyncio.gather(world.client.get(new), world.ping(check), world.ping(check, "/fail"))
        assert [answer.status_code for answer in answers] == [503, 200, 200]
        assert "retry-after" in answers[0].headers
    assert (await world.client.get(new)).status_code == 201


async def test_a_missing_partition_is_made_on_the_way(world: World) -> None:
    """Should the keeper have slept for weeks, the first check-in of the day makes its day."""
    check = await world.check(timeout=31_536_000)
    await world.advance(40 * 86_400)
    assert (await world.ping(check)).status_code == 200
    assert (await world.seen(check))["n_pings"] == 1


async def test_a_database_that_is_away_is_said_so_and_comes_back_by_itself(world: World) -> None:
    """Connections cut under us: 503 with Retry-After, then service again without a restart."""
    check = await world.check()
    assert (await world.ping(check)).status_code == 200
    await world.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'missedbeat-%'")
    codes = []
    for _ in range(5):
        answer = await world.ping(check)
        codes.append(answer.status_code)
        assert answer.status_code == 200 or "retry-after" in answer.headers
    assert codes[-1] == 200


async def test_late_by_the_sweepers_clock_means_late_however_wrong_ours_is(world: World) -> None:
    """Received times come from the database's clock: what this process thinks of the time changes nothing."""
    check = await world.check(timeout=60, grace=30)
    await world.ping(check)
    seen = await world.seen(check)
    (row,) = await world.rows("SELECT received_at, missedbeat_now() AS now FROM check_ins")
    assert timedelta() <= row["now"] - row["received_at"] < timedelta(seconds=5)
    assert seen["status"] == "up"


async def test_a_process_that_cannot_record_does_not_tick_and_blames_nobody_afterwards(world: World) -> None:
    """Check-ins cannot be written while everything else can: no tick, so no verdict; afterwards that time is a blackout."""
    check = await world.check(timeout=3, grace=1)
    assert (await world.ping(check)).status_code == 200
    async with world.sessions() as blocking:
        await blocking.execute(text("LOCK TABLE check_ins IN SHARE MODE"))
        codes = []
        for _ in range(3):
            codes.append((await world.ping(check)).status_code)
            assert not await world.web.ticker.tick_once()
            await asyncio.sleep(0.5)
        assert codes == [503] * 3
        assert (await world.sweep()).turned == 0
        await blocking.rollback()
    assert await world.web.ticker.tick_once()
    assert await world.web.ticker.tick_once()
    await world.advance(3)
    assert len(await world.rows("SELECT from_at FROM blackouts")) >= 1
    assert (await world.sweep()).turned == 0
    assert (await world.ping(check)).status_code == 200
    assert [r["to_status"] for r in await world.rows("SELECT to_status FROM transitions")] == ["up"]


async def test_a_read_only_database_stops_no_ticker_for_good(world: World) -> None:
    """A failover may refuse writes for a while; the next tick is tried all the same."""
    await world.run("""CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'read-only' USING ERRCODE = '25006'; END $$""")
    await world.run("CREATE TRIGGER refuse BEFORE INSERT ON ticks FOR EACH ROW EXECUTE FUNCTION refuse()")
    try:
        assert not await world.web.ticker.tick_once()
    finally:
        await world.run("DROP TRIGGER refuse ON ticks")
    assert await world.web.ticker.tick_once()
