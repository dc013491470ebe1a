"""Incidents and transitions, to be read, and forgotten after their time. They are written in `decisions.py`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.replay import ByHand
from app.errors import NotFound
from app.store.tables import IncidentRow, TransitionRow

LOOKED_THROUGH = 2000
BY_HAND = text("""
    SELECT at, reason = 'paused' FROM transitions
    WHERE project_id = :project AND monitor_id = :monitor AND n > :oldest AND at >= :since AND reason IN ('paused', 'resumed')
    ORDER BY n""")


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


async def acknowledge(session: AsyncSession, project: UUID, incident: UUID, now: datetime) -> None:
    """Somebody has seen it; the first time counts."""
    mine = (IncidentRow.project_id == project, IncidentRow.id == incident, IncidentRow.acknowledged_at.is_(None))
    await session.execute(update(IncidentRow).where(*mine).values(acknowledged_at=now))


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


async def by_hand(session: AsyncSession, project: UUID, monitor: UUID, since: datetime, newest: int) -> list[ByHand]:
    """When a monitor was paused and resumed from an instant on, oldest first, as far as its last LOOKED_THROUGH transitions say,
    of which the newest is number `newest`."""
    given = {"project": project, "monitor": monitor, "since": since, "oldest": newest - LOOKED_THROUGH}
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
