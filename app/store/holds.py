"""Holds at mass silence: what counts towards one, and the one that is open."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.rows import COLUMNS
from app.store.tables import HoldRow

OPENER = 0x6D69_7373_6503  # an advisory lock held for one transaction: one looks at a time
SILENT = text("""
    SELECT project_id, count(*) FROM monitors
    WHERE wake_at < :horizon AND deadline < :horizon AND status IN ('up', 'new')
        AND (set_aside_until IS NULL OR set_aside_until < :horizon)
    GROUP BY project_id""")
TURNED = text("""
    SELECT project_id, count(*) FROM transitions
    WHERE noticed_at > :since AND to_status = 'down' AND reason IN ('missed', 'overrun', 'not_dispatched', 'not_started', 'lost')
    GROUP BY project_id""")
ROWS = text(f"""
    SELECT {COLUMNS} FROM monitors m
    WHERE m.wake_at < :horizon AND m.deadline < :horizon AND m.status IN ('up', 'new')
        AND (m.set_aside_until IS NULL OR m.set_aside_until < :horizon)
    ORDER BY m.deadline LIMIT :limit""")  # noqa: S608


class Hold(NamedTuple):
    """Verdicts from `from_at` on wait, at most until `until`."""

    from_at: datetime
    opened_at: datetime
    until: datetime
    released_at: datetime | None
    silent: int
    projects: int


async def alone(session: AsyncSession) -> bool:
    """Whether nobody else looks at the same moment; holds until this transaction ends."""
    return bool(await session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": OPENER}))


async def silent(session: AsyncSession, horizon: datetime) -> Counter[UUID]:
    """By project: how many are past their deadline and not down."""
    return Counter({project: n for project, n in await session.execute(SILENT, {"horizon": horizon})})


async def turned(session: AsyncSession, since: datetime) -> Counter[UUID]:
    """By project: how many were noticed to be down by silence since then."""
    return Counter({project: n for project, n in await session.execute(TURNED, {"since": since})})


async def silent_rows(session: AsyncSession, horizon: datetime, limit: int) -> list[dict[str, Any]]:
    """Those past their deadline, raw and not locked, the earliest deadline first."""
    rows = await session.execute(ROWS, {"horizon": horizon, "limit": limit})
    return [dict(row) for row in rows.mappings()]


async def active(session: AsyncSession) -> int:
    """How many monitors are expected to be heard of."""
    return int(await session.scalar(text("SELECT count(*) FROM monitors WHERE status = 'up'")) or 0)


async def newest(session: AsyncSession) -> Hold | None:
    """The last hold, open or not."""
    found = await listed(session, 1)
    return found[0] if found else None


async def listed(session: AsyncSession, limit: int) -> Sequence[Hold]:
    """The last holds, newest first."""
    h = HoldRow
    query = select(h.from_at, h.opened_at, h.until, h.released_at, h.silent, h.projects).order_by(h.opened_at.desc()).limit(limit)
    return [Hold(*row) for row in await session.execute(query)]


async def open_hold(session: AsyncSession, hold: Hold) -> None:
    """From now on it is in force for everybody."""
    await session.execute(insert(HoldRow).values(**hold._asdict()))


async def release(session: AsyncSession, hold: Hold, at: datetime) -> None:
    """What it held is judged again."""
    released = text("UPDATE holds SET released_at = :at WHERE opened_at = :opened_at AND released_at IS NULL")
    await session.execute(released, {"at": at, "opened_at": hold.opened_at})
