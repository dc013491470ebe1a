"""Monitors that were deleted: what was kept of them goes once they are gone for as long as check-ins are kept."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.tables import RemovedMonitorRow

# The tables without a foreign key to monitors, and their keys. Check-ins go with their days, those saved from dropped days with
# the monitor, deliveries once they are settled for as long.
KEPT = {"runs": "project_id, monitor_id, key, at", "transitions": "project_id, monitor_id, n", "incidents": "project_id, id"}
MONITORS_AT_ONCE = 100


async def note(session: AsyncSession, project: UUID, monitor: UUID, now: datetime) -> None:
    """This monitor is deleted."""
    row = upsert(RemovedMonitorRow).values(project_id=project, monitor_id=monitor, removed_at=now)
    await session.execute(row.on_conflict_do_nothing())


async def forget(session: AsyncSession, before: datetime, limit: int = 5000) -> int:
    """Drop what is left of monitors deleted before an instant, some at a time; returns how many rows. A monitor of which
    nothing is left is forgotten itself."""
    query = select(RemovedMonitorRow.project_id, RemovedMonitorRow.monitor_id).where(RemovedMonitorRow.removed_at < before)
    gone = (await session.execute(query.order_by(RemovedMonitorRow.removed_at).limit(MONITORS_AT_ONCE))).all()
    given = {"projects": [g[0] for g in gone], "monitors": [g[1] for g in gone]}
    dropped = 0
    for table, key in KEPT.items() if gone else ():
        if dropped < limit:
            dropped += await _drop(session, table, key, given, limit - dropped)
    if dropped < limit and gone:
        dropped += await _drop(session, "removed_monitors", "project_id, monitor_id", given, MONITORS_AT_ONCE)
    return dropped


async def _drop(session: AsyncSession, table: str, key: str, given: dict[str, list[UUID]], limit: int) -> int:
    result = await session.execute(
        text(f"""
            DELETE FROM {table} WHERE ({key}) IN (
                SELECT {key} FROM {table} JOIN unnest(CAST(:projects AS uuid[]), CAST(:monitors AS uuid[]))
                    AS v(project_id, monitor_id) USING (project_id, monitor_id) LIMIT :limit)"""),  # noqa: S608
        {**given, "limit": limit},
    )
    return int(result.rowcount)  # type: ignore[attr-defined]
