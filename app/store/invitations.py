"""Places in projects that are offered to addresses. The secret stands in the link alone; here is its hash."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import mailbox, tokens
from app.domain.role import Role
from app.store.tables import InvitationRow

GOOD_FOR = timedelta(days=7)


async def make(session: AsyncSession, project: UUID, email: str, role: Role, by: UUID, now: datetime) -> str:
    """A new offer in place of an open one to the same address; returns the secret of its link. Under the project's lock."""
    same = (InvitationRow.project_id == project, InvitationRow.email_key == mailbox.key_of(email), *_open())
    await session.execute(update(InvitationRow).where(*same).values(revoked_at=now))
    secret = tokens.new_secret()
    row = insert(InvitationRow).values(
        project_id=project,
        id=uuid4(),
        email=email,
        email_key=mailbox.key_of(email),
        role=role.value,
        hash=tokens.hashed(secret),
        invited_by=by,
        created_at=now,
        expires_at=now + GOOD_FOR,
    )
    await session.execute(row)
    return secret


async def listed(session: AsyncSession, project: UUID) -> list[InvitationRow]:
    """The offers that stand, those too that ran out, oldest first."""
    query = select(InvitationRow).where(InvitationRow.project_id == project, *_open())
    return list((await session.execute(query.order_by(InvitationRow.created_at, InvitationRow.id))).scalars())


async def count(session: AsyncSession, project: UUID, now: datetime, but: str = "") -> int:
    """How many could be accepted now, the one to an address apart where that is named."""
    query = select(func.count()).select_from(InvitationRow).where(InvitationRow.project_id == project, *_open())
    others = (InvitationRow.expires_at > now, InvitationRow.email_key != mailbox.key_of(but))
    return (await session.execute(query.where(*others))).scalar_one()


async def find(session: AsyncSession, project: UUID, invitation: UUID) -> InvitationRow | None:
    """An offer of this project that stands; None for any other id."""
    query = select(InvitationRow).where(InvitationRow.project_id == project, InvitationRow.id == invitation, *_open())
    return (await session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()


async def of_secret(session: AsyncSession, secret: str) -> InvitationRow | None:
    """The offer that a link is for, whatever became of it; None for a link that is none."""
    query = select(InvitationRow).where(InvitationRow.hash == tokens.hashed(secret))
    return (await session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()


async def is_invited(session: AsyncSession, email: str, now: datetime) -> bool:
    """Whether somebody offers this address a place in a project that it could take now."""
    theirs = (InvitationRow.email_key == mailbox.key_of(email), InvitationRow.expires_at > now, *_open())
    return (await session.execute(select(InvitationRow.id).where(*theirs).limit(1))).first() is not None


async def revoke(session: AsyncSession, row: InvitationRow, now: datetime) -> None:
    """It cannot be accepted any more. Under the project's lock."""
    mine = (InvitationRow.project_id == row.project_id, InvitationRow.id == row.id)
    await session.execute(update(InvitationRow).where(*mine).values(revoked_at=now))


async def accept(session: AsyncSession, row: InvitationRow, now: datetime) -> None:
    """It was. Under the project's lock."""
    mine = (InvitationRow.project_id == row.project_id, InvitationRow.id == row.id)
    await session.execute(update(InvitationRow).where(*mine).values(accepted_at=now))


def _open() -> list[ColumnElement[bool]]:
    return [InvitationRow.accepted_at.is_(None), InvitationRow.revoked_at.is_(None)]
