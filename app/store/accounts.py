"""Projects and their keys."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import tokens
from app.errors import NotAllowed
from app.store import addresses, monitors
from app.store.tables import ApiKeyRow, ChannelRow, ProjectRow


@dataclass(frozen=True, slots=True)
class NewProject:
    """A project just made, with its keys in clear: they are shown once."""

    id: UUID
    name: str
    api_key: str
    api_key_readonly: str
    ping_key: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the project a key belongs to, and whether it may write."""

    project: UUID
    may_write: bool


async def create_project(session: AsyncSession, name: str, email: str | None, now: datetime) -> NewProject:
    """A project with a read-write, a read-only and a ping key; with an address, its owner is told when all else fails."""
    made = NewProject(uuid4(), name, tokens.new_api_key("rw"), tokens.new_api_key("ro"), tokens.new_ping_key())
    await session.execute(
        insert(ProjectRow).values(id=made.id, name=name, owner_email=email, ping_key=made.ping_key, created_at=now)
    )
    for scope, key in (("rw", made.api_key), ("ro", made.api_key_readonly)):
        await session.execute(
            insert(ApiKeyRow).values(
                project_id=made.id, id=uuid4(), scope=scope, hash=tokens.hashed(key), hint=key[:10], created_at=now
            )
        )
    await addresses.add(session, "ping_key", made.ping_key, made.id)
    if email:
        await session.execute(
            insert(ChannelRow).values(
                project_id=made.id,
                id=uuid4(),
                kind="email",
                name="owner",
                settings={"address": email},
                fallback=True,
                created_at=now,
            )
        )
    return made


async def caller(session: AsyncSession, key: str) -> Caller:
    """The project that an API key opens. Raises NotAllowed for a key unknown or revoked."""
    if tokens.looks_like_api_key(key):
        query = select(ApiKeyRow).where(ApiKeyRow.hash == tokens.hashed(key), ApiKeyRow.revoked_at.is_(None))
        row = (await session.execute(query)).scalar_one_or_none()
        if row is not None:
            return Caller(row.project_id, row.scope == "rw")
    raise NotAllowed("wrong api key")


async def project(session: AsyncSession, project_id: UUID) -> ProjectRow:
    """A project that a key was found for."""
    return (await session.execute(select(ProjectRow).where(ProjectRow.id == project_id))).scalar_one()


async def has_room(session: AsyncSession, project_id: UUID, times: int = 1) -> bool:
    """Whether one more monitor fits into the project's limit, so many times over. Where there is a limit, nobody else makes one
    in this project until this transaction ends."""
    query = select(ProjectRow.monitor_limit).where(ProjectRow.id == project_id)
    limit = (await session.execute(query)).scalar_one()
    if limit is None:
        return True
    await monitors.one_namer(session, project_id)
    return await monitors.count(session, project_id) < limit * times


async def any_project(session: AsyncSession) -> bool:
    """Whether there is a project yet; the first start makes one."""
    return (await session.execute(select(ProjectRow.id).limit(1))).first() is not None
