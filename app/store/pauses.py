"""Monitors that were paused, for as long as their project's members are not told of it: it is what an attacker would do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.tables import PauseRow
from app.store.unnest import insert_all

TOLD_EVERY = timedelta(minutes=1)  # and nobody waits longer to be told
QUIET = timedelta(seconds=10)  # since the last pause: whoever pauses many of them one after the other causes one letter

# Projects with something to tell, once nobody goes on pausing or the first of it is a minute old, and a minute after they were
# told last; those that another worker has in hand are passed over.
DUE = text("""
    UPDATE projects SET pauses_told_at = :now WHERE id IN (
        SELECT id FROM projects p
        WHERE id IN (SELECT project_id FROM pauses GROUP BY project_id HAVING max(at) <= :quiet OR min(at) <= :before)
            AND (pauses_told_at IS NULL OR pauses_told_at <= :before)
        LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id, name""")


@dataclass(frozen=True, slots=True)
class Paused:
    """A monitor's name, and who paused it."""

    monitor: str
    actor: str


@dataclass(frozen=True, slots=True)
class Untold:
    """A project, and what was paused in it, oldest first."""

    project: UUID
    name: str
    paused: list[Paused]


async def note(session: AsyncSession, project: UUID, names: Sequence[str], actor: str, now: datetime) -> None:
    """Monitors with these names were paused: the members are told if this transaction is committed."""
    await insert_all(session, PauseRow, [{"project_id": project, "monitor": name, "actor": actor, "at": now} for name in names])


async def take(session: AsyncSession, now: datetime, limit: int = 100) -> list[Untold]:
    """What is to be told now; it counts as told if this transaction is committed. Each project at most once a minute."""
    given = {"now": now, "before": now - TOLD_EVERY, "quiet": now - QUIET, "limit": limit}
    due = (await session.execute(DUE, given)).all()
    if not due:
        return []
    mine = delete(PauseRow).where(PauseRow.project_id.in_([project for project, _ in due]))
    taken = mine.returning(PauseRow.project_id, PauseRow.id, PauseRow.monitor, PauseRow.actor)
    rows = sorted(await session.execute(taken), key=lambda row: row.id)
    return [
        Untold(project, name, [Paused(row.monitor, row.actor) for row in rows if row.project_id == project])
        for project, name in due
    ]
