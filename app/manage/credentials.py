"""Keys as they are made and revoked, by page and by API: how many there may be, and what the log says of them. No commits."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.audit_action import AuditAction
from app.errors import Conflict, OverLimit
from app.store import audit_entries, keys
from app.store.audit_entries import Actor, Entry
from app.store.tables import ApiKeyRow

MOST_KEYS = 100


async def make_room(session: AsyncSession, project: UUID) -> None:
    """Raises OverLimit where the project has as many keys as it may."""
    if len(await keys.listed(session, project)) >= MOST_KEYS:
        raise OverLimit(f"the project has {MOST_KEYS} keys: revoke one first")


async def note_made(session: AsyncSession, actor: Actor, project: UUID, row: ApiKeyRow | None, now: datetime) -> ApiKeyRow:
    """Say in the log that it was made. Raises Conflict where nothing was, for somebody has that key."""
    if row is None:
        raise Conflict("this key is taken already")
    await audit_entries.write(session, actor, Entry(AuditAction.KEY_CREATED, _words(row), project, _details(row)), now)
    return row


async def revoke(session: AsyncSession, actor: Actor, project: UUID, key: UUID, now: datetime) -> ApiKeyRow:
    """Revoke it, and say so in the log; returns what it was. Raises NotFound, and Conflict for the last read-write key."""
    row = await keys.revoke(session, project, key, now)
    await audit_entries.write(session, actor, Entry(AuditAction.KEY_REVOKED, _words(row), project, _details(row)), now)
    return row


def _words(row: ApiKeyRow) -> str:
    return f"{row.hint}… {row.name}".strip()


def _details(row: ApiKeyRow) -> dict[str, str]:
    return {"scope": row.scope, **({"service": row.service} if row.service else {})}
