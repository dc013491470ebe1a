"""Mail to people: written in the caller's transaction, so that nothing is sent for what is not committed; claimed by whoever
sends; deleted when a mail server took it."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.letter import Letter, LetterKind
from app.errors import BadSettings
from app.store.tables import LetterRow
from app.store.vault import Vault

LEASE = timedelta(seconds=60)
KEPT = timedelta(days=7)  # after it was given up
ANSWER_LIMIT = 300
PURPOSE = "letter"

CLAIM = text("""
    UPDATE letters SET claimed_until = :until, attempts = attempts + 1
    WHERE id IN (
        SELECT id FROM letters
        WHERE gave_up_at IS NULL AND due_at <= :now AND (claimed_until IS NULL OR claimed_until <= :now)
        ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING id, kind, recipient, sealed, created_at, expires_at, attempts""")


@dataclass(frozen=True, slots=True)
class Posted:
    """A letter on its way. `letter`: None where it cannot be opened any more, for the service's key is another."""

    id: UUID
    kind: str
    recipient: str
    letter: Letter | None
    created_at: datetime
    expires_at: datetime
    attempts: int


async def write(session: AsyncSession, vault: Vault, letter: Letter, to: str, good_for: timedelta, now: datetime) -> None:
    """Send it once the transaction is committed, until a mail server takes it; not after `good_for`, when it is of no use."""
    made = uuid4()
    said = {name: str(value) for name, value in asdict(letter).items()}
    await session.execute(
        insert(LetterRow).values(
            id=made,
            kind=letter.kind.value,
            recipient=to,
            sealed=vault.seal_for(PURPOSE, made, said),
            created_at=now,
            expires_at=now + good_for,
            due_at=now,
        )
    )


async def claim(session: AsyncSession, vault: Vault, now: datetime, limit: int) -> list[Posted]:
    """So many that are due, oldest first; until the lease ends nobody else gets them."""
    rows = await session.execute(CLAIM, {"now": now, "until": now + LEASE, "limit": limit})
    return [
        Posted(row.id, row.kind, row.recipient, _opened(vault, row.id, row.sealed), *row[4:])
        for row in sorted(rows, key=lambda row: row.created_at)
    ]


async def taken(session: AsyncSession, one: UUID) -> None:
    """A mail server has it: nothing of it is kept."""
    await session.execute(delete(LetterRow).where(LetterRow.id == one))


async def put_off(session: AsyncSession, one: UUID, until: datetime, answer: str) -> None:
    """Try again then."""
    given = {"due_at": until, "claimed_until": None, "answer": answer[:ANSWER_LIMIT]}
    await session.execute(update(LetterRow).where(LetterRow.id == one).values(**given))


async def give_up(session: AsyncSession, one: UUID, now: datetime, answer: str) -> None:
    """It will not be tried again; what it said is forgotten."""
    given = {"gave_up_at": now, "claimed_until": None, "answer": answer[:ANSWER_LIMIT], "sealed": b""}
    await session.execute(update(LetterRow).where(LetterRow.id == one).values(**given))


async def waiting(session: AsyncSession) -> int:
    """How many are still to be sent."""
    query = select(func.count()).select_from(LetterRow).where(LetterRow.gave_up_at.is_(None))
    return (await session.execute(query)).scalar_one()


async def forget(session: AsyncSession, now: datetime) -> None:
    """Drop those given up long ago."""
    await session.execute(delete(LetterRow).where(LetterRow.gave_up_at < now - KEPT))


def _opened(vault: Vault, one: UUID, sealed: bytes) -> Letter | None:
    try:
        said = vault.open_for(PURPOSE, one, sealed)
    except BadSettings:
        return None
    return Letter(**{**said, "kind": LetterKind(said["kind"])})  # type: ignore[arg-type]
