"""Forgetting: history goes after its time, in slices, and what is kept makes sense by itself."""

from typing import Any

import pytest

from app.store import incidents, removed
from app.sweeper import prune
from app.sweeper.prune import prune_once
from tests.world import World

pytestmark = pytest.mark.anyio

DAY = 86_400
RETENTION = 90


async def turn(world: World, check: dict[str, Any], *signals: str) -> None:
    """The check is heard to say these, one after the other."""
    for signal in signals:
        await world.ping(check, signal)


async def numbers(world: World) -> list[int]:
    """The transitions that are kept, of all monitors."""
    return [row["n"] for row in await world.rows("SELECT n FROM transitions ORDER BY monitor_id, n")]


async def test_transitions_and_closed_incidents_go_after_thirteen_months(world: World) -> None:
    """What is kept chains without a gap; young ones stay."""
    check = await world.check()
    await turn(world, check, "/fail", "", "/fail", "")
    old = [row["id"] for row in await world.rows("SELECT id FROM incidents")]
    await world.run("UPDATE transitions SET noticed_at = noticed_at - interval '404 days'")
    await world.run("UPDATE incidents SET closed_at = closed_at - interval '404 days' WHERE id = :id", id=old[0])
    await turn(world, check, "/fail", "")
    await prune_once(world.sessions, RETENTION)
    assert await numbers(world) == [4, 5, 6], "the one that the kept ones begin from stays too"
    kept = [row["id"] for row in await world.rows("SELECT id FROM incidents")]
    assert old[0] not in kept
    assert len(kept) == 2
    chain = await world.rows("SELECT from_status, to_status FROM transitions ORDER BY n")
    assert chain[0]["to_status"] == chain[1]["from_status"]


async def test_the_newest_transition_and_an_open_incident_stay_however_old(world: World) -> None:
    """They say how the monitor came to stand, and that it still does."""
    check = await world.check()
    await turn(world, check, "/fail", "", "/fail")
    await world.run("UPDATE transitions SET noticed_at = noticed_at - interval '999 days'")
    await world.run(
        "UPDATE incidents SET opened_at = opened_at - interval '999 days', closed_at = closed_at - interval '999 days'"
    )
    await prune_once(world.sessions, RETENTION)
    assert await numbers(world) == [3]
    (incident,) = await world.rows("SELECT closed_at, opened_by FROM incidents")
    assert incident == {"closed_at": None, "opened_by": 3}
    await turn(world, check, "")
    assert await numbers(world) == [3, 4]


async def test_a_slice_takes_the_oldest_and_leaves_no_gap(world: World) -> None:
    """Two at a time, of several monitors: after each slice what is kept still chains."""
    checks = [await world.check() for _ in range(3)]
    for check in checks:
        await turn(world, check, "/fail", "", "/fail", "")
    await world.run("UPDATE transitions SET noticed_at = noticed_at - interval '404 days'")
    before = await world.now()
    slices = 0
    while True:
        async with world.sessions() as session:
            gone = await incidents.forget(session, before.replace(year=before.year - 1), 2)
            await session.commit()
        if not gone:
            break
        slices += 1
        gaps = await world.rows("""
            SELECT 1 FROM (SELECT n - lag(n) OVER (PARTITION BY monitor_id ORDER BY n) AS step FROM transitions) s
            WHERE step > 1""")
        assert gaps == []
    assert slices >= 4
    assert await numbers(world) == [4, 4, 4]


async def test_of_a_deleted_monitor_nothing_is_left_once_it_is_gone_for_long(world: World) -> None:
    """Runs, transitions and incidents; those of others stay, and until then it is all there."""
    gone, stays = await world.check(name="gone", timeout=31_536_000), await world.check(name="stays", timeout=31_536_000)
    for check in (gone, stays):
        await turn(world, check, "/start", "/fail", "")
    await world.api("DELETE", f"checks/{gone['uuid']}")
    await prune_once(world.sessions, RETENTION)
    count = "SELECT (SELECT count(*) FROM {t} WHERE monitor_id = :id)::int AS n"
    tables = [*removed.KEPT, "removed_monitors"]
    for table in tables:
        assert (await world.rows(count.format(t=table), id=gone["uuid"]))[0]["n"] > 0, table
    await world.run("UPDATE removed_monitors SET removed_at = removed_at - interval '91 days'")
    await prune_once(world.sessions, RETENTION)
    for table in tables:
        assert (await world.rows(count.format(t=table), id=gone["uuid"]))[0]["n"] == 0, table
    for table in removed.KEPT:
        assert (await world.rows(count.format(t=table), id=stays["uuid"]))[0]["n"] > 0, table


async def test_a_round_forgets_in_slices_and_ends(world: World) -> None:
    """Three slices' worth of runs of a deleted monitor are gone after one round, and then the monitor itself."""
    check = await world.check()
    await world.ping(check)
    await world.run(
        """
        INSERT INTO runs (project_id, monitor_id, key, at, outcome, attempt, count)
        SELECT project_id, id, 100 + n, missedbeat_now(), 'success', 1, 1 FROM monitors, generate_series(1, :many) AS n""",
        many=prune.SLICE * 2 + 10,
    )
    await world.api("DELETE", f"checks/{check['uuid']}")
    await world.run("UPDATE removed_monitors SET removed_at = removed_at - interval '91 days'")
    await prune_once(world.sessions, RETENTION)
    assert await world.rows("SELECT 1 FROM runs UNION ALL SELECT 1 FROM removed_monitors") == []
