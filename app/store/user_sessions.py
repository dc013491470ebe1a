"""Browsers that are signed in. The token stands in the browser's cookie alone; here is its hash."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import tokens
from app.store.tables import SessionRow, UserRow

LASTS = timedelta(days=30)  # after it was last seen
SEEN_EVERY = timedelta(minutes=1)
USER_AGENT_KEPT = 200


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in, by which session, and when they last proved who they are. `by_link`: whether a mailed link began it, at
    `began_at`."""

    user: UUID
    email: str
    zone: str
    theme: str
    session: UUID
    authenticated_at: datetime
    began_at: datetime
    by_link: bool


async def begin(session: AsyncSession, user: UUID, address: str, user_agent: str, now: datetime, by_link: bool = False) -> str:
    """A new session for somebody who has just proved who they are, `by_link` of a mail or by what they know; returns its token,
    for the cookie."""
    token = tokens.new_secret()
    row = insert(SessionRow).values(
        hash=tokens.hashed(token),
        id=uuid4(),
        user_id=user,
        created_at=now,
        last_seen_at=now,
        expires_at=now + LASTS,
        authenticated_at=now,
        by_link=by_link,
        address=address,
        user_agent="".join(c for c in user_agent if c.isprintable())[:USER_AGENT_KEPT],
    )
    await session.execute(row)
    return token


async def visitor(session: AsyncSession, token: str, now: datetime) -> Visitor | None:
    """Who holds this token, and that they were seen, noted once a minute; None for one that opens nothing any more."""
    live = (SessionRow.hash == tokens.hashed(token), SessionRow.expires_at > now)
    query = select(
        UserRow.id,
        UserRow.email,
        UserRow.zone,
        UserRow.theme,
        SessionRow.id,
        SessionRow.authenticated_at,
        SessionRow.created_at,
        SessionRow.by_link,
        SessionRow.last_seen_at,
    )
    found = (await session.execute(query.join(UserRow, UserRow.id == SessionRow.user_id).where(*live))).first()
    if found is None:
        return None
    if found.last_seen_at <= now - SEEN_EVERY:
        await session.execute(update(SessionRow).where(*live).values(last_seen_at=now, expires_at=now + LASTS))
    return Visitor(*found[:-1])


@dataclass(frozen=True, slots=True)
class Seen:
    """A browser that is signed in, as its owner recognises it."""

    id: UUID
    created_at: datetime
    last_seen_at: datetime
    address: str
    user_agent: str


async def of_user(session: AsyncSession, user: UUID, now: datetime) -> list[Seen]:
    """All that are signed in as this person, the one seen last first."""
    query = select(SessionRow).where(SessionRow.user_id == user, SessionRow.expires_at > now)
    rows = await session.scalars(query.order_by(SessionRow.last_seen_at.desc(), SessionRow.id))
    return [Seen(row.id, row.created_at, row.last_seen_at, row.address, row.user_agent) for row in rows]


async def revoke(session: AsyncSession, user: UUID, one: UUID) -> bool:
    """End one by its id; False where this person has none such."""
    mine = delete(SessionRow).where(SessionRow.user_id == user, SessionRow.id == one)
    return (await session.execute(mine.returning(SessionRow.id))).first() is not None


async def prove_again(session: AsyncSession, user: UUID, one: UUID, now: datetime) -> None:
    """They have just proved once more who they are."""
    await session.execute(update(SessionRow).where(SessionRow.user_id == user, SessionRow.id == one).values(authenticated_at=now))


async def end(session: AsyncSession, token: str) -> None:
    """From now on it opens nothing."""
    await session.execute(delete(SessionRow).where(SessionRow.hash == tokens.hashed(token)))


async def end_all(session: AsyncSession, user: UUID, but: UUID | None = None) -> None:
    """All of a person's sessions, `but` one where that is named."""
    others = () if but is None else (SessionRow.id != but,)
    await session.execute(delete(SessionRow).where(SessionRow.user_id == user, *others))


async def forget(session: AsyncSession, now: datetime) -> None:
    """Drop those that ran out."""
    await session.execute(delete(SessionRow).where(SessionRow.expires_at <= now))
