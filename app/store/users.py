"""People who sign in."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import mailbox
from app.errors import Conflict
from app.store.tables import UserRow


async def create(session: AsyncSession, email: str, password_hash: str | None, now: datetime, verified: bool = False) -> UserRow:
    """Somebody new; `verified` where the address is known to be theirs. Raises Conflict where it has an account."""
    row = insert(UserRow).values(
        id=uuid4(),
        email=email,
        email_key=mailbox.key_of(email),
        password_hash=password_hash,
        verified_at=now if verified else None,
        created_at=now,
    )
    made = (await session.execute(row.on_conflict_do_nothing().returning(UserRow))).scalar_one_or_none()
    if made is None:
        raise Conflict(f"{email} has an account already")
    return made


async def of_address(session: AsyncSession, email: str) -> UserRow | None:
    """Whose address this is, however it is spelt."""
    query = select(UserRow).where(UserRow.email_key == mailbox.key_of(email))
    return (await session.execute(query)).scalar_one_or_none()


async def locked(session: AsyncSession, user: UUID) -> UserRow | None:
    """Somebody as they are now, and nobody changes them until this transaction ends; None where they are gone."""
    query = select(UserRow).where(UserRow.id == user).with_for_update(key_share=True)
    return (await session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()


async def set_password_hash(session: AsyncSession, user: UUID, password_hash: str) -> None:
    """What their password is compared with from now on. Sessions stay: who changes a password ends them, with
    `user_sessions.end_all`."""
    await session.execute(update(UserRow).where(UserRow.id == user).values(password_hash=password_hash))


async def count(session: AsyncSession) -> int:
    """How many there are."""
    return (await session.execute(select(func.count()).select_from(UserRow))).scalar_one()
