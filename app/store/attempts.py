"""The throttle of attempts, shared by all processes: one bucket for each account or address, filled in one statement."""

from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.attempt import Limit
from app.errors import TooMany
from app.store.tables import AttemptRow

KEPT = timedelta(days=1)

# At the moment of the statement the bucket holds what it held less what leaked since.
TAKE = text("""
    INSERT INTO attempts AS a (kind, key, level, at) VALUES (:kind, :key, 1, :now)
    ON CONFLICT (kind, key) DO UPDATE SET
        level = greatest(0, a.level - greatest(0, extract(epoch FROM :now - a.at)::float8) / :every) + 1,
        at = greatest(a.at, :now)
        WHERE greatest(0, a.level - greatest(0, extract(epoch FROM :now - a.at)::float8) / :every) + 1 <= :at_once
    RETURNING a.level""")
WAIT = text("""
    SELECT (a.level + 1 - :at_once) * :every - greatest(0, extract(epoch FROM :now - a.at)::float8) FROM attempts a
    WHERE a.kind = :kind AND a.key = :key""")


async def count(session: AsyncSession, limit: Limit, key: str, now: datetime) -> None:
    """Count one attempt, in a transaction of its own that stands whatever comes of it. Raises TooMany, and counts nothing, where
    the bucket is full."""
    given = {"kind": limit.kind, "key": key, "every": limit.every, "at_once": limit.at_once, "now": now}
    if (await session.execute(TAKE, given)).first() is None:
        seconds = (await session.execute(WAIT, given)).scalar_one_or_none()
        raise TooMany("too many attempts", max(1, ceil(seconds or 0)))


async def forgive(session: AsyncSession, limit: Limit, key: str) -> None:
    """Empty the bucket: who knew the password owes nothing for the times it was mistyped."""
    await session.execute(delete(AttemptRow).where(AttemptRow.kind == limit.kind, AttemptRow.key == key))


async def forget(session: AsyncSession, now: datetime) -> None:
    """Drop buckets that have long run out."""
    await session.execute(delete(AttemptRow).where(AttemptRow.at < now - KEPT))
