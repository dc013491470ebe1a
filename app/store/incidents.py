"""Incidents and transitions, to be read. They are written in `decisions.py`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import NotFound
from app.store.tables import IncidentRow, TransitionRow


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
