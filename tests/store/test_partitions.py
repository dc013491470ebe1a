"""Partitions: made ahead, dropped after their time, and no job loses its newest check-ins with them."""

from datetime import UTC, datetime, timedelta

import pytest

from app.store.partitions import day_of, month_of, wanted
from app.sweeper.prune import keep_partitions, prune_once
from tests.world import World

pytestmark = pytest.mark.anyio


def test_a_year_of_days_and_months_is_covered_without_a_gap() -> None:
    """Every instant lies in exactly one day and one month, leap day and year's end too."""
    at = datetime(2027, 12, 1, tzinfo=UTC)
    for _ in range(400):
        for part, after in ((day_of(at), day_of(at + timedelta(days=1))), (month_of(at), month_of(at + timedelta(days=1)))):
            assert part.start <= at.date() < part.end
            assert after == part or after.start == part.end
        at += timedelta(days=1)
    names = [p.name for p in wanted(datetime(2027, 12, 31, 23, 59, tzinfo=UTC))]
    assert "check_ins_20280114" in names
    assert "runs_202802" in names


async def test_days_past_their_time_are_dropped_and_the_newest_check_ins_kept(world: World) -> None:
    """Retention by dropping whole days; the newest of each monitor, up to the log's limit, move aside and are still shown."""
    check = await world.check(timeout=31_536_000)
    for n in range(15):
        await world.ping(check, content=str(n).encode())
    assert await keep_partitions(world.sessions, retention_days=90, log_limit=10) == []
    await world.advance(100 * 86_400)
    dropped = await keep_partitions(world.sessions, retention_days=90, log_limit=10)
    assert dropped
    assert all(name.startswith("check_ins_") for name in dropped)
    pings = (await world.api("GET", f"checks/{check['uuid']}/pings/")).json()["pings"]
    assert [p["n"] for p in pings] == list(range(15, 5, -1))
    assert (await world.api("GET", f"checks/{check['uuid']}/pings/15/body")).text == "14"
    await world.ping(check)
    assert (await world.seen(check))["n_pings"] == 16
    (ahead,) = await world.rows("SELECT count(*) AS n FROM pg_inherits WHERE inhparent = 'check_ins'::regclass")
    assert ahead["n"] >= 15


async def test_old_ticks_and_old_answers_are_forgotten(world: World) -> None:
    """Ticks for 48 h, answers to Idempotency-Keys for 24 h, and nothing younger."""
    check = await world.check(timeout=31_536_000)
    await world.ping(check, headers={"Idempotency-Key": "old"})
    await world.advance(30 * 3600)
    await world.ping(check, headers={"Idempotency-Key": "new"})
    await prune_once(world.sessions, 90)
    assert [r["key"] for r in await world.rows("SELECT key FROM idempotency")] == ["new"]
    assert len(await world.rows("SELECT at FROM ticks")) == 2
    await world.advance(30 * 3600)
    await prune_once(world.sessions, 90)
    assert len(await world.rows("SELECT at FROM ticks")) == 2
