"""The audits find what must never stand in the tables, and nothing in a service that works."""

from datetime import timedelta

import pytest

from app.store.audit import AUDITS
from app.sweeper.audit import audit_once
from tests.world import World

pytestmark = pytest.mark.anyio

NOTHING = dict.fromkeys([*AUDITS, "partitions_ahead"], 0)


async def audited(world: World) -> dict[str, int]:
    """What the next round finds, and of it only what is not nothing."""
    await world.advance(61)
    return {name: count for name, count in (await audit_once(world.sessions)).items() if count}


async def busy(world: World) -> list[dict[str, object]]:
    """Checks in every state, with channels, transitions, incidents and deliveries."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    checks = [await world.check(name=f"check {n}", channels="*", timeout=86400, grace=3600) for n in range(5)]
    up, down, again, paused, _ = checks
    await world.ping(up)
    await world.ping(down, "/fail")
    await world.ping(again, "/fail")
    await world.ping(again)
    await world.ping(paused)
    await world.api("POST", f"checks/{paused['uuid']}/pause")
    return checks


async def test_a_service_that_works_is_found_without_fault(world: World) -> None:
    """Every state, a calendar that is used up, a deleted check with an open incident: nothing is found, and that is noted."""
    checks = await busy(world)
    slot = await world.now() + timedelta(seconds=90)
    once = await world.check(name="once", schedule=f"{slot:%Y-%m-%d %H:%M:%S}")
    await world.advance(100)
    assert (await world.ping(once)).status_code == 200
    assert (await world.seen(once))["next_ping"] is None
    await world.api("DELETE", f"checks/{checks[1]['uuid']}")
    assert await audit_once(world.sessions) == NOTHING
    assert {row["audit"] for row in await world.rows("SELECT audit FROM audits")} == set(NOTHING)
    assert await world.rows("SELECT 1 FROM notices") == []


async def test_another_worker_does_not_ask_again(world: World) -> None:
    """One round a minute, however many workers there are."""
    assert await audit_once(world.sessions) == NOTHING
    assert await audit_once(world.sessions) == {}
    await world.advance(55)
    assert await audit_once(world.sessions) == NOTHING


@pytest.mark.parametrize(
    ("accident", "audit", "found"),
    [
        ("UPDATE monitors SET deadline = NULL, wake_at = NULL WHERE status = 'up'", "expected_without_deadline", 2),
        ("UPDATE monitors SET anchor = now() WHERE status = 'new'", "expected_without_deadline", 1),
        ("DELETE FROM deliveries WHERE cause_id = (SELECT min(cause_id) FROM deliveries)", "told_without_delivery", 1),
        ("DELETE FROM transitions WHERE n = 1 AND to_status = 'up'", "chain_broken", 1),
        ("DELETE FROM transitions WHERE n = 2 AND to_status = 'up'", "chain_broken", 1),
        ("UPDATE transitions SET from_status = 'paused' WHERE n = 2 AND to_status = 'up'", "chain_broken", 1),
        ("UPDATE monitors SET status = 'up', deadline = now(), wake_at = now() WHERE status = 'paused'", "chain_broken", 1),
        ("DELETE FROM incidents WHERE closed_at IS NULL", "down_without_incident", 1),
        ("UPDATE incidents SET closed_at = NULL WHERE closed_at IS NOT NULL", "incident_without_down", 1),
        ("UPDATE deliveries SET state = 'sending', due_at = now() - interval '6 min' WHERE incident_id =\
            (SELECT id FROM incidents WHERE closed_at IS NULL)", "lease_overrun", 1),
    ],
)  # fmt: skip
async def test_each_accident_is_found_and_told_once_a_day(world: World, accident: str, audit: str, found: int) -> None:
    """It is counted, named without its ping id, and the operator hears of it once, however long it lasts."""
    checks = await busy(world)
    await world.run(accident)
    assert await audited(world) == {audit: found}
    assert await audited(world) == {audit: found}
    (notice,) = await world.rows("SELECT kind, key, words FROM notices")
    assert notice["kind"] == "audit"
    assert notice["key"].startswith(audit)
    said = str(notice) + str(await world.rows("SELECT * FROM audits"))
    assert not any(str(check["uuid"]) in said for check in checks)
    assert any(row["unique_key"] in said for row in await world.rows("SELECT unique_key FROM monitors"))


async def test_a_guard_of_the_database_that_is_gone_is_found(world: World) -> None:
    """What makes a second open incident impossible must itself stand."""
    await world.run("ALTER TABLE monitors DROP CONSTRAINT monitors_are_woken")
    try:
        assert await audited(world) == {"guard_missing": 1}
    finally:
        await world.run(
            "ALTER TABLE monitors ADD CONSTRAINT monitors_are_woken"
            " CHECK (deadline IS NULL OR (wake_at IS NOT NULL AND wake_at <= deadline))"
        )
    assert await audited(world) == {}


async def test_partitions_that_run_out_are_found(world: World) -> None:
    """Fewer than three days ahead."""
    await world.advance(13 * 86400)
    assert await audited(world) == {"partitions_ahead": 1}
