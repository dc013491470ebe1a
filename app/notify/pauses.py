"""Telling a project's members which of its monitors were paused: one letter once nobody goes on pausing, at most one a minute."""

from datetime import timedelta
from urllib.parse import urlsplit

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.letter import LetterKind, compose
from app.store import blackouts, letters, memberships, pauses
from app.store.engine import Sessions
from app.store.pauses import Untold
from app.store.vault import Vault

GOOD_FOR = timedelta(days=1)
MOST_NAMED = 10


async def tell_pauses_once(sessions: Sessions, vault: Vault, address: str, sends_mail: bool) -> int:
    """Write the letters; returns how many projects they are of. Taken and written in one transaction: nothing is told twice, and
    nothing is lost. Without a mail server nobody is told, nor later of what is old by then."""
    async with sessions() as session:
        found = await pauses.take(session, await blackouts.now(session))
        for untold in found if sends_mail else ():
            await _write(session, vault, untold, address)
        await session.commit()
    return len(found)


async def _write(session: AsyncSession, vault: Vault, untold: Untold, address: str) -> None:
    now, host = await blackouts.now(session), urlsplit(address).netloc
    letter = compose(
        LetterKind.MONITOR_PAUSED, host=host, link=f"{address}/projects/{untold.project}", name=what(untold), by=who(untold)
    )
    for member in await memberships.members(session, untold.project):
        await letters.write(session, vault, letter, member.email, GOOD_FOR, now)


def what(untold: Untold) -> str:
    """The monitors by name, the first of many, in their project."""
    names = list(dict.fromkeys(paused.monitor or "a check without a name" for paused in untold.paused))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more} ({untold.name})"


def who(untold: Untold) -> str:
    """Whoever paused them."""
    return ", ".join(dict.fromkeys(paused.actor for paused in untold.paused))
