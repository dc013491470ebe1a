"""The second step of a sign-in: a secret that an app makes codes of, sealed, and codes to fall back on, hashed. Each code opens
once."""

from typing import Any
from uuid import UUID

from sqlalchemy import any_, func, literal, or_, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import tokens
from app.errors import BadSettings
from app.store.tables import UserRow
from app.store.vault import Vault

PURPOSE = "totp"


async def propose(session: AsyncSession, vault: Vault, user: UUID, secret: str) -> None:
    """A secret that counts once its owner has shown a code of it; an earlier proposal is forgotten."""
    sealed = vault.seal_for(PURPOSE, user, {"secret": secret})
    await session.execute(update(UserRow).where(UserRow.id == user).values(totp_pending=sealed))


def proposed(vault: Vault, user: UserRow) -> str | None:
    """The secret that waits for its first code; None where there is none that can be opened."""
    try:
        return vault.open_for(PURPOSE, user.id, user.totp_pending)["secret"] if user.totp_pending is not None else None
    except BadSettings:
        return None


def secret_of(vault: Vault, user: UserRow) -> str | None:
    """The secret that counts; None for who has no second step, and where the service's key is another: then recovery codes alone
    open it."""
    try:
        return vault.open_for(PURPOSE, user.id, user.totp_secret)["secret"] if user.totp_secret is not None else None
    except BadSettings:
        return None


async def turn_on(session: AsyncSession, user: UUID, step: int, recovery_codes: list[str]) -> None:
    """The proposed secret counts from now on; `step`: of the code that showed it, which opens nothing more."""
    given = {"totp_secret": UserRow.totp_pending, "totp_pending": None, "totp_last_step": step}
    await session.execute(update(UserRow).where(UserRow.id == user, UserRow.totp_pending.is_not(None)).values(**given))
    await set_recovery_codes(session, user, recovery_codes)


async def turn_off(session: AsyncSession, user: UUID) -> None:
    """Nothing of it is kept."""
    given: dict[str, Any] = {"totp_secret": None, "totp_pending": None, "totp_last_step": None, "recovery_codes": []}
    await session.execute(update(UserRow).where(UserRow.id == user).values(**given))


async def set_recovery_codes(session: AsyncSession, user: UUID, codes: list[str]) -> None:
    """These open once each, in place of any before."""
    hashed = [tokens.hashed(code) for code in codes]
    await session.execute(update(UserRow).where(UserRow.id == user).values(recovery_codes=hashed))


async def use_step(session: AsyncSession, user: UUID, step: int) -> bool:
    """Use the code of a step up; False where it, or a later one, was used: of two at once one gets it."""
    is_later = or_(UserRow.totp_last_step.is_(None), UserRow.totp_last_step < step)
    used = update(UserRow).where(UserRow.id == user, is_later).values(totp_last_step=step)
    return (await session.execute(used.returning(UserRow.id))).first() is not None


async def use_recovery_code(session: AsyncSession, user: UUID, code: str) -> bool:
    """Use one up; False where it is none of theirs, or was used."""
    hashed = tokens.hashed(code)
    used = update(UserRow).where(UserRow.id == user, literal(hashed) == any_(UserRow.recovery_codes))
    used = used.values(recovery_codes=func.array_remove(UserRow.recovery_codes, hashed))
    return (await session.execute(used.returning(UserRow.id))).first() is not None
