"""Incidents and transitions, to be read, and forgotten after their time. They are written in `decisions.py`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.replay import ByHand
from app.errors import NotFound
from app.store.tables import IncidentRow, TransitionRow

LOOKED_THROUGH = 2000
BY_HAND = text("""
    SELECT at, reason = 'paused' FROM transitions
    WHERE project_id = :project AND monitor_id = :monitor AND n > :oldest AND reason IN ('paused', 'resumed')
    ORDER BY n""")


@dataclass(frozen=True, slots=True)
class Sought:
    """Which incidents somebody looks for: `is_open` None for both; words that the name of the check has; one check; a reason;
    opened within [since, until). Empty or None for any."""

    is_open: bool | None = None
    words: str = ""
    monitor: UUID | None = None
    reason: str = ""
    since: datetime | None = None
    until: datetime | None = None


async def get(session: AsyncSession, project: UUID, incident: UUID) -> IncidentRow:
    """One incident of this project. Raises NotFound for any other id."""
    row = await session.get(IncidentRow, (project, incident), populate_existing=True)
    if row is None:
        raise NotFound("not found")
    return row


async def listed(
    session: AsyncSession, project: UUID, monitor: UUID | None, before: datetime | None, limit: int
) -> list[IncidentRow]:
    """Incidents of the project, or of one monitor, newest first, opened before an instant."""
    query = select(IncidentRow).where(IncidentRow.project_id == project)
    if monitor is not None:
        query = query.where(IncidentRow.monitor_id == monitor)
    if before is not None:
        query = query.where(IncidentRow.opened_at < before)
    return list((await session.execute(query.order_by(IncidentRow.opened_at.desc(), IncidentRow.id).limit(limit))).scalars())


async def search(
    session: AsyncSession, project: UUID, sought: Sought, after: tuple[datetime, UUID] | None, limit: int
) -> list[IncidentRow]:
    """Those of the project that are looked for, newest first, from behind the one that opened then and has this id on."""
    query = select(IncidentRow).where(IncidentRow.project_id == project)
    if sought.is_open is not None:
        query = query.where(IncidentRow.closed_at.is_(None) if sought.is_open else IncidentRow.closed_at.is_not(None))
    for word in sought.words.casefold().split():
        query = query.where(func.strpos(func.lower(IncidentRow.monitor_name), word) > 0)
    if sought.monitor is not None:
        query = query.where(IncidentRow.monitor_id == sought.monitor)
    if sought.reason:
        query = query.where(IncidentRow.reason == sought.reason)
    if sought.since is not None:
        query = query.where(IncidentRow.opened_at >= sought.since)
    if sought.until is not None:
        query = query.where(IncidentRow.opened_at < sought.until)
    if after is not None:
        at, last = after
        query = query.where(or_(IncidentRow.opened_at < at, and_(IncidentRow.opened_at == at, IncidentRow.id > last)))
    return list((await session.execute(query.order_by(IncidentRow.opened_at.desc(), IncidentRow.id).limit(limit))).scalars())


async def noticed(session: AsyncSession, row: IncidentRow) -> datetime | None:
    """When the turning that opened it was noticed; None once that is forgotten."""
    mine = (TransitionRow.project_id == row.project_id, TransitionRow.monitor_id == row.monitor_id)
    query = select(TransitionRow.noticed_at).where(*mine, TransitionRow.n == row.opened_by)
    return (await session.execute(query)).scalar_one_or_none()


async def open_ones(session: AsyncSession, project: UUID, limit: int) -> list[IncidentRow]:
    """Incidents of the project that are open, newest first."""
    query = select(IncidentRow).where(IncidentRow.project_id == project, IncidentRow.closed_at.is_(None))
    return list((await session.execute(query.order_by(IncidentRow.opened_at.desc(), IncidentRow.id).limit(limit))).scalars())


async def count_open(session: AsyncSession, project: UUID) -> int:
    """How many are open."""
    query = select(func.count()).select_from(IncidentRow)
    return (await session.execute(query.where(IncidentRow.project_id == project, IncidentRow.closed_at.is_(None)))).scalar_one()


async def closed_lately(session: AsyncSession, project: UUID, limit: int) -> list[IncidentRow]:
    """The newest of those that are closed, newest first, by when they opened."""
    query = select(IncidentRow).where(IncidentRow.project_id == project, IncidentRow.closed_at.is_not(None))
    return list((await session.execute(query.order_by(IncidentRow.opened_at.desc(), IncidentRow.id).limit(limit))).scalars())


async def acknowledge(session: AsyncSession, project: UUID, incident: UUID, now: datetime, by: str) -> None:
    """Somebody, named in words, has seen it; the first time counts."""
    mine = (IncidentRow.project_id == project, IncidentRow.id == incident, IncidentRow.acknowledged_at.is_(None))
    await session.execute(update(IncidentRow).where(*mine).values(acknowledged_at=now, acknowledged_by=by))


async def transitions(
    session: AsyncSession,
    project: UUID,
    monitor: UUID,
    since: datetime | None = None,
    before: datetime | None = None,
    limit: int = 1000,
) -> list[TransitionRow]:
    """Transitions of a monitor, newest first, within [since, before)."""
    query = select(TransitionRow).where(TransitionRow.project_id == project, TransitionRow.monitor_id == monitor)
    if since is not None:
        query = query.where(TransitionRow.at >= since)
    if before is not None:
        query = query.where(TransitionRow.at < before)
    return list((await session.execute(query.order_by(TransitionRow.n.desc()).limit(limit))).scalars())


async def by_hand(session: AsyncSession, project: UUID, monitor: UUID, newest: int) -> list[ByHand]:
    """When a monitor was paused and resumed, oldest first, as far as its last LOOKED_THROUGH transitions say, of which the newest
    is number `newest`."""
    given = {"project": project, "monitor": monitor, "oldest": newest - LOOKED_THROUGH}
    return [ByHand(at, paused) for at, paused in await session.execute(BY_HAND, given)]


# Of a monitor only the oldest go, so that what is kept still chains; and never one whose successor is kept, so that the audits
# find where each came from, nor the newest, which says how it came to stand.
PAST = text("""
    DELETE FROM transitions WHERE (project_id, monitor_id, n) IN (
        SELECT t.project_id, t.monitor_id, t.n FROM transitions t
        WHERE t.noticed_at < :before
            AND EXISTS (SELECT FROM transitions o WHERE (o.project_id, o.monitor_id) = (t.project_id, t.monitor_id) AND o.n > t.n
                AND o.noticed_at < :before)
            AND NOT EXISTS (SELECT FROM transitions o WHERE (o.project_id, o.monitor_id) = (t.project_id, t.monitor_id)
                AND o.n < t.n AND o.noticed_at > t.noticed_at)
        ORDER BY t.noticed_at, t.n LIMIT :limit)""")
CLOSED = text("""
    DELETE FROM incidents WHERE (project_id, id) IN (
        SELECT project_id, id FROM incidents WHERE closed_at < :before ORDER BY closed_at LIMIT :limit)""")


async def forget(session: AsyncSession, before: datetime, limit: int = 5000) -> int:
    """Drop transitions noticed and incidents closed before an instant, some at a time; returns how many rows. What is kept of a
    monitor's transitions has no gap, and an incident that is open stays."""
    gone = 0
    for statement in (PAST, CLOSED):
        gone += int((await session.execute(statement, {"before": before, "limit": limit})).rowcount)  # type: ignore[attr-defined]
    return gone
