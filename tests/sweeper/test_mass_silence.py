"""Very many jobs silent at once: we doubt ourselves first, for ten minutes at most."""

from datetime import timedelta

import pytest

from app.sweeper.breaker import Breaker
from app.sweeper.sweep import sweep, sweep_once
from tests.sweeper.test_blackouts import deaf_for
from tests.world import MARGIN, World

pytestmark = pytest.mark.anyio


async def silent_projects(world: World, projects: int, each: int) -> None:
    """So many jobs of so many projects, heard once."""
    for _ in range(projects):
        world.project = await world.new_project()
        for _ in range(each):
            await world.ping(await world.check(timeout=60, grace=30))


async def swept(world: World, breaker: Breaker) -> int:
    """One sweep with that breaker; how many turned."""
    return (await sweep(world.sessions, MARGIN, breaker)).turned


async def test_mass_silence_is_held_for_ten_minutes_and_then_told_as_it_was(world: World) -> None:
    """24 jobs of three projects at once: late, visible in the API, released, dated at their deadlines, not held again."""
    await silent_projects(world, 3, 8)
    breaker = Breaker()
    await world.advance(95)
    assert await swept(world, breaker) == 0
    statuses = {c["status"] for c in (await world.api("GET", "checks/")).json()["checks"]}
    assert statuses == {"grace"}
    (hold,) = (await world.api("GET", "blackouts/")).json()["holds"]
    assert hold["released_at"] is None
    for _ in range(9):
        await world.advance(60)
        assert await swept(world, breaker) == 0
    await world.advance(65)
    assert await swept(world, breaker) == 24
    late = await world.rows("SELECT max(t.at - m.last_end_at) AS after FROM transitions t JOIN monitors m ON m.id = t.monitor_id "
                            "WHERE t.to_status = 'down'")  # fmt: skip
    assert late[0]["after"] < timedelta(seconds=91)
    await silent_projects(world, 3, 8)
    await world.advance(95)
    assert await swept(world, Breaker()) == 24, "soon after a hold that ran out none begins"


async def test_what_falls_due_after_the_breaker_counted_waits_for_its_next_look(world: World) -> None:
    """The horizon may jump by half a minute between its look and the verdicts: nothing is judged that it never counted."""
    counted = await world.now()
    await silent_projects(world, 3, 8)
    await world.advance(95)
    assert (await sweep_once(world.sessions, MARGIN, counted)).looked_at == 0
    assert (await sweep_once(world.sessions, MARGIN, await world.now())).turned == 24


async def test_a_hold_ends_within_seconds_when_the_jobs_are_heard_again(world: World) -> None:
    """It was our doubt, and it is gone: who is still silent is told then."""
    await silent_projects(world, 3, 8)
    breaker = Breaker()
    await world.advance(95)
    assert await swept(world, breaker) == 0
    for row in (await world.rows("SELECT id FROM monitors ORDER BY created_at"))[5:]:
        assert (await world.ping({"uuid": row["id"]})).status_code == 200
    await world.advance(6)
    assert await swept(world, breaker) == 5


async def test_a_project_of_its_own_is_not_held_and_a_fail_is_told_during_a_hold(world: World) -> None:
    """Two projects may lose everything; who says that it failed is believed."""
    await silent_projects(world, 2, 30)
    await world.advance(95)
    assert await swept(world, Breaker()) == 60
    await silent_projects(world, 3, 30)
    failing = await world.check(timeout=3600)
    await world.advance(95)
    assert await swept(world, Breaker()) == 0
    await world.ping(failing, "/fail")
    assert (await world.seen(failing))["status"] == "down"


async def test_what_is_unknown_after_a_blackout_does_not_count_as_mass_silence(world: World) -> None:
    """After an outage of ours nobody is down, so nothing needs to be held."""
    await silent_projects(world, 3, 10)
    await deaf_for(world, 300)
    await world.advance(5)
    assert await swept(world, Breaker()) == 0
    assert (await world.api("GET", "blackouts/")).json()["holds"] == []
    assert {c["status"] for c in (await world.api("GET", "checks/")).json()["checks"]} == {"up"}
