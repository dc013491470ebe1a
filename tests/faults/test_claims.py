"""What holds the promises together, each part alone: the margin, claimed rows, one transaction, the blackout of a first tick.
Without accident and without chance; `test_mutations.py` takes each part out and looks that these go red."""

from uuid import uuid4

import pytest
from sqlalchemy import text

from app.ingest.tick import Ticker
from app.notify.slots import Slots
from app.store import claims
from app.store.claims import Settled
from app.store.engine import make_engine, make_sessions
from app.sweeper.sweep import sweep
from tests.world import MARGIN, World

pytestmark = pytest.mark.anyio

REFUSE = """CREATE OR REPLACE FUNCTION refuse_delivery() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '55000'; END $$"""


async def test_a_deadline_is_judged_only_once_the_margin_has_passed(world: World) -> None:
    """Until then something received by it may still be on its way into the tables."""
    check = await world.check()
    await world.ping(check)
    await world.advance(91)
    assert (await world.sweep()).turned == 0
    await world.advance(1.5)
    assert (await world.sweep()).turned == 1


async def test_a_locked_row_holds_up_no_other(world: World) -> None:
    """While somebody works on one monitor, maybe frozen, the sweep turns all others, and that one later."""
    checks = [await world.check() for _ in range(5)]
    for check in checks:
        await world.ping(check)
    await world.advance(200)
    engine = make_engine(world.dsn, "sweep", 2)
    try:
        async with world.sessions() as frozen:
            await frozen.execute(text("SELECT 1 FROM monitors WHERE id = :id FOR NO KEY UPDATE"), {"id": checks[2]["uuid"]})
            assert (await sweep(make_sessions(engine), MARGIN)).turned == 4
            await frozen.rollback()
        assert (await sweep(make_sessions(engine), MARGIN)).turned == 1
    finally:
        await engine.dispose()


async def test_what_cannot_be_told_does_not_happen(world: World) -> None:
    """P5: where the delivery cannot be put, neither the check-in nor its transition is there, and it was not acknowledged; the
    same for silence. Once it can be, both are."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    check, silent = await world.check(channels="*"), await world.check(channels="*")
    await world.ping(silent)
    before = await world.rows("SELECT id, status, heard, transition_count FROM monitors ORDER BY id")
    await world.run(REFUSE)
    await world.run("CREATE TRIGGER refuse BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION refuse_delivery()")
    try:
        world.asking.patient = False
        assert (await world.ping(check, "/fail")).status_code == 503
        assert await world.rows("SELECT id, status, heard, transition_count FROM monitors ORDER BY id") == before
        assert len(await world.rows("SELECT 1 FROM transitions")) == 1
        assert await world.rows("SELECT 1 FROM incidents") == []
    finally:
        await world.run("DROP TRIGGER refuse ON deliveries")
    assert (await world.ping(check, "/fail")).status_code == 200
    told = (
        "SELECT (SELECT count(*) FROM transitions WHERE to_status = 'down') AS turned, (SELECT count(*) FROM deliveries) AS told"
    )
    assert await world.rows(told) == [{"turned": 1, "told": 1}]


async def test_who_lost_the_lease_settles_nothing_while_another_sends(world: World) -> None:
    """The fence: neither another's claim, nor an earlier one of one's own, may say how an attempt ended that goes on."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    await world.ping(await world.check(channels="*"), "/fail")
    zombie, other = uuid4(), uuid4()
    taken = []
    for owner in (zombie, other, other):
        async with world.sessions() as session:
            (claimed,) = await claims.claim(session, await world.now(), owner, Slots().room(), 4)
            await session.commit()
        taken.append((owner, claimed))
        await world.advance(31)
    now = await world.now()
    for (owner, claimed), counts in zip(taken, (False, False, True), strict=True):
        async with world.sessions() as session:
            ended = Settled("delivered" if counts else "dead", 1, now, "said so", "{}")
            assert await claims.settle(session, claimed, owner, now, ended) is counts
            await session.commit()
        (row,) = await world.rows("SELECT state FROM deliveries")
        assert row["state"] == ("delivered" if counts else "sending")


async def test_a_first_tick_ends_a_hole_of_over_two_seconds(world: World) -> None:
    """Nobody was there to hear while no process was: a restart of all of them is a blackout, though a short one."""
    check = await world.check()
    await world.ping(check)
    world.sleep(88)
    await world.tick()
    world.sleep(3)
    assert await Ticker(world.sessions, world.web.inbox).tick_once()
    await world.advance(3)
    assert (await world.sweep()).turned == 0
    assert len(await world.rows("SELECT 1 FROM blackouts")) == 1
