"""People who sign in."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete as sql_delete
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import mailbox
from app.errors import Conflict
from app.store.tables import UserRow

FIRST = 0x6D69_7373_6505  # an advisory lock held for one transaction


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


async def has_password(session: AsyncSession, user: UUID) -> bool:
    """Whether they can sign in with one; else by links alone."""
    query = select(UserRow.id).where(UserRow.id == user, UserRow.password_hash.is_not(None))
    return (await session.execute(query)).first() is not None


async def set_password_hash(session: AsyncSession, user: UUID, password_hash: str) -> None:
    """What their password is compared with from now on. Sessions stay: who changes a password ends them, with
    `user_sessions.end_all`."""
    await session.execute(update(UserRow).where(UserRow.id == user).values(password_hash=password_hash))


async def set_verified(session: AsyncSession, user: UUID, now: datetime) -> None:
    """They have shown that the address is theirs, now or before."""
    await session.execute(update(UserRow).where(UserRow.id == user, UserRow.verified_at.is_(None)).values(verified_at=now))


async def set_email(session: AsyncSession, user: UUID, email: str) -> None:
    """What they sign in with from now on. Raises Conflict where it is somebody's already."""
    key = mailbox.key_of(email)
    taken = (await session.execute(select(UserRow.id).where(UserRow.email_key == key, UserRow.id != user))).first()
    if taken is not None:
        raise Conflict("this address cannot be used: choose another")
    await session.execute(update(UserRow).where(UserRow.id == user).values(email=email, email_key=key))


async def set_look(session: AsyncSession, user: UUID, zone: str, theme: str) -> None:
    """In which zone times are shown to them, and in which colours."""
    await session.execute(update(UserRow).where(UserRow.id == user).values(zone=zone, theme=theme))


async def delete(session: AsyncSession, user: UUID) -> None:
    """They are gone, with their sessions, links and memberships."""
    await session.execute(sql_delete(UserRow).where(UserRow.id == user))


async def any_user(session: AsyncSession) -> bool:
    """Whether there is anybody; else the service waits for its set-up."""
    return (await session.execute(select(UserRow.id).limit(1))).first() is not None


async def wait_for_first(session: AsyncSession) -> None:
    """One at a time, until this transaction ends: of two who set the service up at once one is the first."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": FIRST})


async def count(session: AsyncSession) -> int:
    """How many there are."""
    return (await session.execute(select(func.count()).select_from(UserRow))).scalar_one()
