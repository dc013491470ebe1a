"""Settling together: what got through while others are being written is one transaction, and nobody in it can spoil it for the
others."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.domain.message import Outcome, Verdict
from app.notify.settle import Settler
from app.notify.slots import Slots
from app.store import claims
from app.store.claims import Claimed
from tests.world import World

pytestmark = pytest.mark.anyio

DELIVERED = Outcome(Verdict.DELIVERED, "ok", status=200)
COUNT = 12
REFUSE = """
    CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'check_violation'; END $$"""
REFUSE_ONE = "CREATE TRIGGER refuse BEFORE UPDATE ON deliveries FOR EACH ROW WHEN (OLD.id = '{id}') EXECUTE FUNCTION refuse()"


@pytest.fixture
async def claimed(world: World) -> tuple[UUID, list[Claimed]]:
    """A sender's name, and a dozen deliveries that it has claimed, of several channels."""
    for n in range(4):
        await world.api("POST", "channels/", {"kind": "email", "name": f"mail {n}", "address": f"a{n}@example.org"})
    for _ in range(COUNT // 4):
        await world.ping(await world.check(channels="*"), "/fail")
    owner = uuid4()
    async with world.sessions() as session:
        taken = await claims.claim(session, await world.now(), owner, Slots().room(), 4)
        await session.commit()
    assert len(taken) == COUNT
    return owner, taken


async def test_what_got_through_while_others_are_written_is_written_in_one_transaction(
    world: World, claimed: tuple[UUID, list[Claimed]]
) -> None:
    """The first is written at once; those that come meanwhile together, each with its own answer and attempt."""
    owner, taken = claimed
    settler = Settler(world.sessions, owner)
    ways = [settler.settle(c, Outcome(Verdict.DELIVERED, f"ok {n}", status=200), n) for n, c in enumerate(taken)]
    assert set(await asyncio.gather(*ways)) == {"delivered"}
    rows = await world.rows("SELECT id, state, reason, tries, attempts, settled_at, owner, xmin::text AS wrote FROM deliveries")
    assert len({row["wrote"] for row in rows}) == 2
    by_id = {row["id"]: row for row in rows}
    for n, c in enumerate(taken):
        row = by_id[c.id]
        assert (row["state"], row["reason"], row["tries"], row["owner"]) == ("delivered", f"ok {n}", 1, None)
        assert row["settled_at"] is not None
        assert [(a["answer"], a["took"], a["status"]) for a in row["attempts"]] == [(f"ok {n}", n, 200)]


async def test_a_row_that_is_refused_spoils_no_other(world: World, claimed: tuple[UUID, list[Claimed]]) -> None:
    """What the database refuses of a group is refused alone; the others are delivered."""
    owner, taken = claimed
    settler = Settler(world.sessions, owner)
    await world.run(REFUSE)
    await world.run(REFUSE_ONE.format(id=taken[5].id))
    try:
        ended = await asyncio.gather(*(settler.settle(c, DELIVERED, 0.1) for c in taken), return_exceptions=True)
    finally:
        await world.run("DROP TRIGGER refuse ON deliveries")
    assert isinstance(ended.pop(5), DBAPIError)
    assert ended == ["delivered"] * (COUNT - 1)
    assert await settler.settle(taken[5], DELIVERED, 0.1) == "delivered", "and may be written once it is not refused any more"


async def test_a_row_that_somebody_holds_keeps_no_other_waiting(world: World, claimed: tuple[UUID, list[Claimed]]) -> None:
    """A group waits for nobody, so that it cannot stand in a circle with those who hold what it wants; the row is written
    when it is free."""
    owner, taken = claimed
    settler = Settler(world.sessions, owner)
    async with world.sessions() as other:
        await other.execute(text("SELECT FROM deliveries WHERE id = :id FOR UPDATE"), {"id": taken[5].id})
        settling = [asyncio.create_task(settler.settle(c, DELIVERED, 0.1)) for c in taken]
        held = settling.pop(5)
        async with asyncio.timeout(20):
            assert set(await asyncio.gather(*settling)) == {"delivered"}
        assert not held.done()
        await other.rollback()
    assert await held == "delivered"


async def test_in_a_group_too_the_fence_holds_for_each(world: World, claimed: tuple[UUID, list[Claimed]]) -> None:
    """Who lost some of its leases settles the others, and changes nothing of what another sends by now, or it itself again."""
    owner, taken = claimed
    settler = Settler(world.sessions, owner)
    await world.run("UPDATE deliveries SET owner = gen_random_uuid() WHERE id = :id", id=taken[3].id)
    await world.run("UPDATE deliveries SET claim_no = claim_no + 1 WHERE id = :id", id=taken[7].id)
    ended = await asyncio.gather(*(settler.settle(c, DELIVERED, 0.1) for c in taken))
    assert [n for n, state in enumerate(ended) if state == "another's"] == [3, 7]
    sending = await world.rows("SELECT id, attempts FROM deliveries WHERE state = 'sending'")
    assert {row["id"] for row in sending} == {taken[3].id, taken[7].id}
    assert all(row["attempts"] == [] for row in sending)


async def test_whoever_is_cut_off_while_it_writes_leaves_the_others_to_the_next(
    world: World, claimed: tuple[UUID, list[Claimed]]
) -> None:
    """A sender that stops cancels what takes too long: the attempts that were being written with it are still written."""
    owner, taken = claimed
    settler = Settler(world.sessions, owner)
    async with world.sessions() as other:
        await other.execute(text("LOCK TABLE deliveries IN SHARE MODE"))
        settling = [asyncio.create_task(settler.settle(c, DELIVERED, 0.1)) for c in taken]
        while not await _waits(world):
            await asyncio.sleep(0.01)
        first = settling.pop(0)
        first.cancel()
        await asyncio.wait([first])
        await other.rollback()
    assert set(await asyncio.gather(*settling)) == {"delivered"}


async def _waits(world: World) -> bool:
    return bool(await world.rows("SELECT FROM pg_locks WHERE relation = 'deliveries'::regclass AND NOT granted"))


async def test_a_channel_that_had_failed_works_again_by_a_message_of_a_group(
    world: World, claimed: tuple[UUID, list[Claimed]]
) -> None:
    """What one of many that get through says of its channel is not lost: it is not left alone any more."""
    owner, taken = claimed
    await world.run("UPDATE channels SET failures = 4, failing_since = missedbeat_now(), owner_told_at = missedbeat_now()")
    settler = Settler(world.sessions, owner)
    assert set(await asyncio.gather(*(settler.settle(c, DELIVERED, 0.1) for c in taken))) == {"delivered"}
    marked = "SELECT FROM channels WHERE failures > 0 OR failing_since IS NOT NULL OR owner_told_at IS NOT NULL"
    assert await world.rows(marked) == []
