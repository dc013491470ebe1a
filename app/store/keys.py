"""API keys, ours and those of other services: kept as hashes. Whom a key of ours lets in stands in `accounts.py`, where a key in
a ping URL leads in `addresses.py`."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import tokens
from app.errors import Conflict, NotFound
from app.store.tables import ApiKeyRow

NOTE_USE = text("""
    UPDATE api_keys SET last_used_at = missedbeat_now() WHERE (project_id, id) IN (
        SELECT project_id, id FROM api_keys
        WHERE project_id = :project AND id = :key
            AND (last_used_at IS NULL OR last_used_at <= missedbeat_now() - interval '1 minute')
        FOR NO KEY UPDATE SKIP LOCKED)""")
HINT = 4  # how many characters of a key are kept to tell it by, beside the scope that ours begin with


async def add(
    session: AsyncSession, project: UUID, scope: str, key: str, now: datetime, name: str = "", service: str = "",
    made_by: str = "",
) -> ApiKeyRow | None:  # fmt: skip
    """A new key; with `service` one of another service. `made_by`: whom, in words. None where somebody has it already."""
    row = insert(ApiKeyRow).values(
        project_id=project,
        id=uuid4(),
        scope=scope,
        hash=tokens.hashed(key),
        hint=key[: HINT if service else len(f"mb_{scope}_") + HINT],
        name=name,
        service=service,
        made_by=made_by,
        created_at=now,
    )
    return (await session.execute(row.on_conflict_do_nothing().returning(ApiKeyRow))).scalar_one_or_none()


async def listed(session: AsyncSession, project: UUID, lock: bool = False) -> list[ApiKeyRow]:
    """The project's keys that are not revoked, oldest first."""
    query = select(ApiKeyRow).where(ApiKeyRow.project_id == project, ApiKeyRow.revoked_at.is_(None))
    query = query.order_by(ApiKeyRow.created_at, ApiKeyRow.id)
    query = query.with_for_update() if lock else query
    return list((await session.execute(query.execution_options(populate_existing=True))).scalars())


async def revoke(session: AsyncSession, project: UUID, key: UUID, now: datetime) -> ApiKeyRow:
    """From now on it opens nothing; another service's key may be given again. Returns what it was.

    All keys of the project are locked, so that of two that revoke each other one stays. Raises NotFound for any other id, and
    Conflict for the last read-write key.
    """
    live = await listed(session, project, lock=True)
    row = next((row for row in live if row.id == key), None)
    if row is None:
        raise NotFound("not found")
    if row.scope == "rw" and sum(row.scope == "rw" and not row.service for row in live) == 1:
        raise Conflict("this is the last read-write key of the project: make another one first")
    mine = (ApiKeyRow.project_id == project, ApiKeyRow.id == key)
    if row.service:
        await session.execute(delete(ApiKeyRow).where(*mine))
    else:
        await session.execute(update(ApiKeyRow).where(*mine).values(revoked_at=now))
    return row


async def note_use(session: AsyncSession, project: UUID, key: UUID) -> None:
    """It was used just now; of many at once in a minute one notes it, and none waits."""
    await session.execute(NOTE_USE, {"project": project, "key": key})
