"""Links that were mailed: each opens once, for a while, and where it is bound to one only in the browser that asked for it.

The secret stands in the mail alone; here is its hash.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import tokens
from app.store.tables import LinkRow

GOOD_FOR = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Link:
    """What a link is for: the address it was mailed to in lower case, its user where there is one, what is to be done."""

    purpose: str
    email_key: str
    user: UUID | None = None
    data: dict[str, Any] = field(default_factory=dict)


async def make(
    session: AsyncSession, link: Link, now: datetime, good_for: timedelta = GOOD_FOR, browser: str | None = None,
    in_place: bool = True,
) -> str:  # fmt: skip
    """A new link; returns its secret. `in_place` of earlier ones to the same address for the same purpose, asked for in the same
    browser, which open nothing any more: a stranger who asks for one spoils nobody's. `browser`: the secret that the asking
    browser keeps, where only that one may open it."""
    bound = tokens.hashed(browser) if browser is not None else None
    same = (LinkRow.email_key == link.email_key, LinkRow.purpose == link.purpose, LinkRow.used_at.is_(None))
    if in_place:
        await session.execute(delete(LinkRow).where(*same, LinkRow.browser.is_not_distinct_from(bound)))
    secret = tokens.new_secret()
    await session.execute(
        insert(LinkRow).values(
            hash=tokens.hashed(secret),
            purpose=link.purpose,
            user_id=link.user,
            email_key=link.email_key,
            browser=bound,
            data=link.data,
            created_at=now,
            expires_at=now + good_for,
        )
    )
    return secret


async def look(session: AsyncSession, purpose: str, secret: str, browser: str | None, now: datetime) -> Link | None:
    """What it would open now, for this browser; None for nothing. Looking uses nothing up: previewers look at links too."""
    row = (await session.execute(select(LinkRow).where(*_opens(purpose, secret, browser, now)))).scalar_one_or_none()
    return _link(row) if row is not None else None


async def use(
    session: AsyncSession, purpose: str, secret: str, browser: str | None, now: datetime, by: UUID | None = None
) -> Link | None:
    """The same, and from now on it opens nothing; of two at once one gets it. `by`: where it is for this person alone."""
    theirs = [] if by is None else [LinkRow.user_id == by]
    used = update(LinkRow).where(*_opens(purpose, secret, browser, now), *theirs).values(used_at=now).returning(LinkRow)
    row = (await session.execute(used)).scalar_one_or_none()
    return _link(row) if row is not None else None


async def drop(session: AsyncSession, user: UUID) -> None:
    """None of a person's links opens anything any more: what they were sent before is not trusted now."""
    await session.execute(delete(LinkRow).where(LinkRow.user_id == user))


async def forget(session: AsyncSession, now: datetime) -> None:
    """Drop those that ran out."""
    await session.execute(delete(LinkRow).where(LinkRow.expires_at <= now))


def _opens(purpose: str, secret: str, browser: str | None, now: datetime) -> list[Any]:
    unbound = LinkRow.browser.is_(None)
    bound = unbound if browser is None else or_(unbound, LinkRow.browser == tokens.hashed(browser))
    return [LinkRow.hash == tokens.hashed(secret), LinkRow.purpose == purpose, LinkRow.expires_at > now,
            LinkRow.used_at.is_(None), bound]  # fmt: skip


def _link(row: LinkRow) -> Link:
    return Link(row.purpose, row.email_key, row.user_id, dict(row.data))
