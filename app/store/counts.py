"""How many there are of what. Counting reads whole tables: the worker does it now and then, all others read what it found."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

FRESH_FOR = timedelta(minutes=5)
UNCOUNTED = 20_000  # where nobody has counted, the monitors are counted up to here

# Settled deliveries never change, so that of them an index alone is read; the others are few.
COUNT = text("""
    INSERT INTO counts (what, value, count, at)
    SELECT v.what, v.value, v.count, :now FROM (
        SELECT 'monitors', status, count(*) FROM monitors GROUP BY status
        UNION ALL
        SELECT 'deliveries', state, count(*) FROM deliveries WHERE settled_at IS NOT NULL GROUP BY state) AS v(what, value, count)
    ON CONFLICT (what, value) DO UPDATE SET count = excluded.count, at = excluded.at""")
# What people wait for is counted as it is now: these read an index of few rows each.
NOW = text("""
    SELECT 'monitors' AS what, 'down' AS value, count(*) FROM monitors WHERE status = 'down'
    UNION ALL
    SELECT 'deliveries', state, count(*) FROM deliveries WHERE state IN ('waiting', 'sending') GROUP BY state
    UNION ALL
    SELECT 'deliveries', 'dead', count(*) FROM deliveries WHERE state = 'dead'""")
ACTIVE = text("""
    SELECT coalesce(
        (SELECT count FROM counts WHERE what = 'monitors' AND value = 'up' AND at > :since),
        (SELECT count(*) FROM (SELECT FROM monitors WHERE status = 'up' LIMIT :most) AS up))""")


async def count(session: AsyncSession, now: datetime) -> None:
    """Count monitors by status and settled deliveries by state."""
    await session.execute(COUNT, {"now": now})
    await session.execute(text("DELETE FROM counts WHERE at < :now"), {"now": now})


async def newest(session: AsyncSession) -> datetime | None:
    """When somebody counted last."""
    at: datetime | None = await session.scalar(text("SELECT max(at) FROM counts"))
    return at


async def read(session: AsyncSession) -> Mapping[str, Mapping[str, int]]:
    """Monitors by status and deliveries by state: as they were counted last, what is down, under way or dead as it is now."""
    found: dict[str, dict[str, int]] = {"monitors": {}, "deliveries": {}}
    for query in (text("SELECT what, value, count FROM counts"), NOW):
        for what, value, count in await session.execute(query):
            found[what][value] = count
    return {what: {value: count for value, count in counted.items() if count} for what, counted in found.items()}


async def active(session: AsyncSession, now: datetime) -> int:
    """How many monitors are expected to be heard of, some minutes ago at most."""
    return int(await session.scalar(ACTIVE, {"since": now - FRESH_FOR, "most": UNCOUNTED}) or 0)
