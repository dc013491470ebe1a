"""A silent scheduler is told once, and what waits for it is neither forgotten nor told beside it."""

import asyncio

import pytest

from app.domain.vigil import GOODBYE
from tests.world import World


async def beat_with_jobs(world: World, count: int = 3) -> list[str]:
    """A scheduler's monitor, up, and jobs of its source, up, that are due a little later than it is."""
    beat = await world.check(name="Beat of shop", timeout=200, grace=30)
    jobs = [await world.check(name=f"job {n}", timeout=300, grace=60) for n in range(count)]
    await world.run("UPDATE monitors SET beat_of = 'celery:shop' WHERE id = :id", id=beat["uuid"])
    await world.run("UPDATE monitors SET source = 'celery:shop', dispatched = true WHERE name LIKE 'job %'")
    await asyncio.gather(*(world.ping(check) for check in (beat, *jobs)))
    return [beat["uuid"], *(job["uuid"] for job in jobs)]


async def statuses(world: World) -> dict[str, str]:
    """By name, as the API shows them now."""
    return {check["name"]: check["status"] for check in (await world.api("GET", "checks/")).json()["checks"]}


async def test_a_silent_scheduler_turns_down_and_its_jobs_wait(world: World) -> None:
    """One transition; the jobs are late, and named in its evidence."""
    await beat_with_jobs(world)
    await world.advance(400)
    await world.sweep()
    assert await statuses(world) == {"Beat of shop": "down", "job 0": "grace", "job 1": "grace", "job 2": "grace"}
    (incident,) = (await world.api("GET", "incidents/")).json()["incidents"]
    assert "3 schedules wait for it: job 0 (due " in incident["explain"]


async def test_back_again_each_job_is_judged_by_itself(world: World) -> None:
    """A minute and its grace later, and not before."""
    beat, *_ = await beat_with_jobs(world)
    await world.advance(400)
    await world.sweep()
    await world.client.get(f"/ping/{beat}")
    await world.sweep()
    await world.advance(110)
    await world.sweep()
    assert {s for name, s in (await statuses(world)).items() if name.startswith("job")} == {"grace"}
    await world.advance(20)
    await world.sweep()
    assert {s for name, s in (await statuses(world)).items() if name.startswith("job")} == {"down"}


async def test_jobs_do_not_wait_for_a_scheduler_that_was_paused_or_deleted(world: World) -> None:
    """Whoever takes the watch away gets the jobs judged one by one again."""
    for take_away in ("POST", "DELETE"):
        beat, *jobs = await beat_with_jobs(world)
        await world.advance(400)
        await world.sweep()
        await world.api(take_away, f"checks/{beat}" + ("/pause" if take_away == "POST" else ""))
        await world.sweep()
        await world.advance(150)
        await world.sweep()
        assert {s for name, s in (await statuses(world)).items() if name.startswith("job")} == {"down"}
        for check in (beat, *jobs):
            await world.api("DELETE", f"checks/{check}")


async def test_two_sweepers_turn_a_scheduler_once(world: World) -> None:
    """Whoever comes second finds it down."""
    await beat_with_jobs(world, count=20)
    await world.advance(400)
    await asyncio.gather(*(world.sweep() for _ in range(4)))
    assert await world.rows("SELECT count(*) AS n FROM transitions WHERE to_status = 'down'") == [{"n": 1}]
    assert await world.rows("SELECT count(*) AS n FROM monitors WHERE held_since IS NOT NULL") == [{"n": 20}]


async def test_a_scheduler_that_cannot_be_judged_stops_nobody_else(world: World) -> None:
    """Its row makes no sense; other monitors turn in the same round."""
    beat, *_ = await beat_with_jobs(world)
    other = await world.check(name="other", timeout=60, grace=30)
    await world.ping(other)
    await world.run("UPDATE monitors SET kind = 'nonsense' WHERE id = :id", id=beat)
    await world.advance(int(GOODBYE.total_seconds()) + 300)
    await world.sweep()
    assert (await world.seen(other))["status"] == "down"


async def test_a_job_that_somebody_else_hears_of_does_not_wait(world: World) -> None:
    """Its people would never learn that its scheduler is silent."""
    _, *jobs = await beat_with_jobs(world)
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    await world.api("POST", f"checks/{jobs[0]}", {"channels": "*"})
    await world.advance(400)
    await world.sweep()
    assert await statuses(world) == {"Beat of shop": "down", "job 0": "down", "job 1": "grace", "job 2": "grace"}
    await world.api("POST", f"checks/{jobs[1]}", {"channels": "*"})
    await world.sweep()
    await world.advance(150)
    await world.sweep()
    assert (await statuses(world))["job 1"] == "down"


NONSENSE = ["kind = 'future'", "memory = '{\"runs\": [[1]]}'", "memory = '{\"recent\": [5]}'", 'memory = \'{"ended": [["r"]]}\'']


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_a_job_that_makes_no_sense_stops_nobody(world: World, nonsense: str) -> None:
    """Its scheduler turns down, the other jobs wait for it and are let go, every other monitor is judged."""
    beat, broken, *_ = await beat_with_jobs(world)
    other = await world.check(name="other", timeout=60, grace=30)
    await world.ping(other)
    await world.run(f"UPDATE monitors SET {nonsense} WHERE id = :id", id=broken)
    await world.advance(400)
    await world.sweep()
    found = (
        "SELECT name, status, held_since IS NOT NULL AS held, set_aside_until IS NOT NULL AS aside FROM monitors ORDER BY name"
    )
    assert [tuple(row.values()) for row in await world.rows(found)] == [
        ("Beat of shop", "down", False, False), ("job 0", "up", False, True), ("job 1", "up", True, False),
        ("job 2", "up", True, False), ("other", "down", False, False),
    ]  # fmt: skip
    await world.run("UPDATE monitors SET held_since = missedbeat_now(), set_aside_until = NULL WHERE id = :id", id=broken)
    await world.api("POST", f"checks/{beat}/pause")
    for _ in range(2):
        await world.sweep()
    assert [(row["held"], row["aside"]) for row in await world.rows(found)][1:4] == [(True, True), (False, False), (False, False)]
    await world.advance(150)
    await world.sweep()
    assert [row["status"] for row in await world.rows(found)] == ["paused", "up", "down", "down", "down"]


async def test_what_cannot_be_written_keeps_no_other_from_being_let_go(world: World) -> None:
    """They go one by one where they do not go together."""
    beat, broken, *_ = await beat_with_jobs(world)
    await world.advance(400)
    await world.sweep()
    await world.api("POST", f"checks/{beat}/pause")
    await world.run(f"""
        CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON monitors FOR EACH ROW WHEN (NEW.id = '{broken}') EXECUTE FUNCTION refuse()""")
    try:
        await world.sweep()
        assert await world.rows("SELECT name FROM monitors WHERE held_since IS NOT NULL") == [{"name": "job 0"}]
    finally:
        await world.run("DROP TRIGGER refuse ON monitors; DROP FUNCTION refuse")
