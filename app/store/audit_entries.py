"""The log of who did what: written in the transaction of the deed, never changed."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.audit_action import AuditAction
from app.store.tables import AuditEntryRow


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person by their address, a program by its key (`mb_rw_1a2b…`), the command line. `address`: where from."""

    words: str
    address: str = ""
    user: UUID | None = None


COMMAND_LINE = Actor("command line")


@dataclass(frozen=True, slots=True)
class Entry:
    """What was done, to what (in words), in which project; no secret stands in any of it."""

    action: AuditAction
    subject: str = ""
    project: UUID | None = None
    details: dict[str, Any] = field(default_factory=dict)


async def write(session: AsyncSession, actor: Actor, entry: Entry, now: datetime) -> None:
    """One more entry: it stands if and only if the deed does."""
    await session.execute(
        insert(AuditEntryRow).values(
            project_id=entry.project,
            user_id=actor.user,
            at=now,
            actor=actor.words,
            action=entry.action.value,
            subject=entry.subject,
            details=entry.details,
            address=actor.address,
        )
    )


async def of_project(session: AsyncSession, project: UUID, before: int | None, limit: int) -> list[AuditEntryRow]:
    """The newest entries of a project, newest first; only those older than the entry `before`, where that is named."""
    query = select(AuditEntryRow).where(AuditEntryRow.project_id == project)
    query = query.where(AuditEntryRow.id < before) if before is not None else query
    return list((await session.execute(query.order_by(AuditEntryRow.id.desc()).limit(limit))).scalars())


async def forget(session: AsyncSession, limit: int) -> int:
    """Drop up to so many entries that need not stay: of projects that are gone, and older than 13 months; returns how many. The
    trigger of the table has the same rule, and the last word."""
    gone = await session.execute(
        text("""
            DELETE FROM audit_entries WHERE id IN (
                SELECT e.id FROM audit_entries e
                WHERE e.at < missedbeat_now() - interval '13 months'
                    OR (e.project_id IS NOT NULL AND NOT EXISTS (SELECT FROM projects p WHERE p.id = e.project_id))
                    OR (e.project_id IS NULL AND e.user_id IS NOT NULL
                        AND NOT EXISTS (SELECT FROM users u WHERE u.id = e.user_id))
                LIMIT :limit)
            RETURNING id"""),
        {"limit": limit},
    )
    return len(gone.all())
