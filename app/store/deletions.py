"""Projects on their way out: marked for a week, then deleted in small batches: no transaction is long, and no ping waits."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.tables import ProjectRow

WEEK = timedelta(days=7)

# What hangs on a project, in the order in which it goes: first what opens it. `monitors` takes its subscriptions, kept
# check-ins and reported runs with it.
STEPS = (
    ("api_keys", "project_id, id"),
    ("addresses", "kind, key"),
    ("deliveries", "project_id, id"),
    ("monitors", "project_id, id"),
    ("check_ins", "project_id, monitor_id, n, received_at"),
    ("runs", "project_id, monitor_id, key, at"),
    ("transitions", "project_id, monitor_id, n"),
    ("incidents", "project_id, id"),
    ("removed_monitors", "project_id, monitor_id"),
)
DUE = text("SELECT id FROM projects WHERE delete_at <= :now ORDER BY delete_at LIMIT 1 FOR UPDATE SKIP LOCKED")


async def mark(session: AsyncSession, project: UUID, at: datetime | None) -> None:
    """Let it go then; None: let it stay. Under the project's lock."""
    await session.execute(update(ProjectRow).where(ProjectRow.id == project).values(delete_at=at))


async def go_on(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete so many rows of a project whose week is over, and the project itself once nothing hangs on it; returns how many
    rows went. Whoever keeps a project takes its lock too, and finds that it is too late."""
    project = (await session.execute(DUE, {"now": now})).scalar_one_or_none()
    if project is None:
        return 0
    for table, key in STEPS:
        gone = await _drop(session, table, key, project, limit)
        if gone:
            return gone
    await session.execute(text("DELETE FROM projects WHERE id = :project"), {"project": project})
    return 1


async def _drop(session: AsyncSession, table: str, key: str, project: UUID, limit: int) -> int:
    found = await session.execute(
        text(f"""
            DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE project_id = :project LIMIT :limit)"""),  # noqa: S608
        {"project": project, "limit": limit},
    )
    return int(found.rowcount)  # type: ignore[attr-defined]
