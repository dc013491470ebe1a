"""Runs: executions from start to end, and slots nobody was heard in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.run import RunRecord
from app.store.tables import RunRow
from app.store.together import Asked, nothing
from app.store.unnest import arrays, picked, unnest

COLUMNS = {
    "project_id": "uuid", "monitor_id": "uuid", "key": "bigint", "at": "timestamptz", "outcome": "text", "run_id": "text",
    "attempt": "int", "slot": "timestamptz", "last_slot": "timestamptz", "count": "int", "started_at": "timestamptz",
    "ended_at": "timestamptz", "cause": "text",
}  # fmt: skip
_CHANGES = ("outcome", "attempt", "slot", "last_slot", "count", "started_at", "ended_at", "cause")
WRITE = text(f"""
    INSERT INTO runs ({", ".join(COLUMNS)}) SELECT {picked(COLUMNS)} FROM {unnest(COLUMNS)}
    ON CONFLICT (project_id, monitor_id, key, at) DO UPDATE SET {", ".join(f"{c} = excluded.{c}" for c in _CHANGES)}""")  # noqa: S608


def writing(records: Sequence[tuple[UUID, UUID, RunRecord]]) -> list[Asked[None]]:
    """Write these rows whole, (project, monitor, record) each; a row that stands already takes the new outcome and end."""
    latest = {(monitor, record.key): (project, monitor, record) for project, monitor, record in records}
    rows: list[dict[str, Any]] = [
        {
            "project_id": project, "monitor_id": monitor, "key": r.key, "at": r.at, "outcome": r.outcome, "run_id": r.run_id,
            "attempt": r.attempt, "slot": r.slot, "last_slot": r.last_slot, "count": r.count, "started_at": r.started_at,
            "ended_at": r.ended_at, "cause": r.cause,
        }
        for project, monitor, r in latest.values()
    ]  # fmt: skip
    return [Asked(WRITE, arrays(COLUMNS, rows), nothing)] if rows else []


async def listed(session: AsyncSession, project: UUID, monitor: UUID, before: datetime | None, limit: int) -> list[RunRow]:
    """Runs of a monitor, newest first, from before an instant on."""
    query = select(RunRow).where(RunRow.project_id == project, RunRow.monitor_id == monitor)
    if before is not None:
        query = query.where(RunRow.at < before)
    return list((await session.execute(query.order_by(RunRow.at.desc(), RunRow.key.desc()).limit(limit))).scalars())
