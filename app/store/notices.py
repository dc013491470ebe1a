"""What the operator is to hear: noted by whoever sees it, claimed for one mail, told at least once."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.tables import NoticeRow

LEASE = timedelta(seconds=60)
WORDS_LIMIT = 2000
KEPT = timedelta(days=90)

CLAIM = text("""
    UPDATE notices SET claimed_until = :until
    WHERE told_at IS NULL AND (claimed_until IS NULL OR claimed_until <= :now)
        AND EXISTS (SELECT FROM notices WHERE told_at IS NULL AND at <= :ripe)
        AND NOT EXISTS (SELECT FROM notices WHERE told_at > :quiet_since)
        AND NOT EXISTS (SELECT FROM notices WHERE told_at IS NULL AND claimed_until > :now)
    RETURNING kind, key, words, at""")


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that whoever runs the service is to hear. `words`: what it is and what to do, no secret in it."""

    kind: str
    key: str
    words: str
    at: datetime


async def notice(session: AsyncSession, kind: str, key: str, words: str, at: datetime) -> bool:
    """Note something for the operator, in the caller's transaction; False where it was noted already. `kind` and `key` together
    name the event: the same pair is told once, however often it is noted. No ping id, key or other secret may stand in any of
    them."""
    row = upsert(NoticeRow).values(kind=kind, key=key, words=words[:WORDS_LIMIT], at=at).on_conflict_do_nothing()
    return (await session.execute(row.returning(NoticeRow.key))).scalar_one_or_none() is not None


async def claim(session: AsyncSession, now: datetime, gather: timedelta, pause: timedelta) -> list[Notice]:
    """All that is untold, oldest first, for one mail by the end of a lease. Nothing until the oldest is `gather` old, so that
    what comes together is told together; nothing within `pause` of the last that was told, nor while another holds them."""
    given = {"now": now, "until": now + LEASE, "ripe": now - gather, "quiet_since": now - pause}
    rows = [Notice(*row) for row in await session.execute(CLAIM, given)]
    return sorted(rows, key=lambda found: (found.at, found.kind, found.key))


async def told(session: AsyncSession, those: list[Notice], now: datetime) -> None:
    """They are out."""
    await session.execute(
        text("""
            UPDATE notices n SET told_at = :now, claimed_until = NULL
            FROM unnest(CAST(:kinds AS text[]), CAST(:keys AS text[])) AS v(kind, key)
            WHERE (n.kind, n.key) = (v.kind, v.key)"""),
        {"kinds": [n.kind for n in those], "keys": [n.key for n in those], "now": now},
    )


async def untold(session: AsyncSession) -> tuple[int, datetime | None]:
    """How many the operator has not heard of yet, and since when the oldest waits."""
    query = select(func.count(), func.min(NoticeRow.at)).where(NoticeRow.told_at.is_(None))
    count, oldest = (await session.execute(query)).one()
    return count, oldest


async def forget(session: AsyncSession, now: datetime) -> None:
    """Drop those told long ago."""
    await session.execute(delete(NoticeRow).where(NoticeRow.told_at < now - KEPT))
