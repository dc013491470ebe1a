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
_SILENT = """FROM monitors m
        WHERE m.wake_at < :horizon AND m.deadline < :horizon AND m.status IN ('up', 'new')
            AND (m.set_aside_until IS NULL OR m.set_aside_until < :horizon)
        ORDER BY m.wake_at LIMIT :most"""
SILENT = text(f"SELECT project_id, count(*) FROM (SELECT m.project_id {_SILENT}) AS silent GROUP BY project_id")  # noqa: S608
ROWS = text(f"SELECT {COLUMNS} {_SILENT}")
# Whoever is not among these is woken after them, and no deadline lies before its wake-up.
EARLIEST = text(f"""
    SELECT least(min(deadline), CASE WHEN count(*) = :most THEN max(wake_at) END)
    FROM (SELECT m.deadline, m.wake_at {_SILENT}) AS silent""")  # noqa: S608
TURNED = text("""
    SELECT project_id, count(*) FROM transitions
    WHERE noticed_at > :since AND to_status = 'down' AND reason IN ('missed', 'overrun', 'not_dispatched', 'not_started', 'lost')
    GROUP BY project_id""")


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


async def silent(session: AsyncSession, horizon: datetime, most: int) -> Counter[UUID]:
    """By project: how many are past their deadline and not down; no more than `most` are counted."""
    return Counter({project: n for project, n in await session.execute(SILENT, {"horizon": horizon, "most": most})})


async def turned(session: AsyncSession, since: datetime) -> Counter[UUID]:
    """By project: how many were noticed to be down by silence since then."""
    return Counter({project: n for project, n in await session.execute(TURNED, {"since": since})})


async def silent_rows(session: AsyncSession, horizon: datetime, most: int) -> list[dict[str, Any]]:
    """So many of them, raw and not locked, as the sweep takes them."""
    rows = await session.execute(ROWS, {"horizon": horizon, "most": most})
    return [dict(row) for row in rows.mappings()]


async def earliest(session: AsyncSession, horizon: datetime, most: int) -> datetime | None:
    """No deadline of theirs lies before this; found by looking at so many of them."""
    at: datetime | None = await session.scalar(EARLIEST, {"horizon": horizon, "most": most})
    return at


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
