"""Settling: how an attempt ended is written, with what follows from it. Messages that got through while others are being written
are written together, in one transaction; whatever else ended, and whatever could not be written together, by itself."""

import asyncio
import json
import random
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.message import Outcome, Verdict
from app.domain.retry import FALLBACK_AFTER, is_given_up, next_try
from app.errors import in_words
from app.store import blackouts, channels, claims, detours, notices
from app.store.claims import Claimed, Settled
from app.store.engine import Sessions

log = structlog.get_logger()

TOGETHER = 100
ALONE = 2  # at once: of the pool's four connections one is for claiming and one for those together
DEAD = frozenset({Verdict.GONE, Verdict.REFUSED})


@dataclass(slots=True)
class Ended:
    """An attempt that is over and took `took` seconds. `written`: whether those together with it wrote it too; None: not yet."""

    claimed: Claimed
    outcome: Outcome
    took: float
    written: bool | None = None


class Settler:
    """One for each sender process, which claims as `owner`."""

    def __init__(self, sessions: Sessions, owner: UUID) -> None:
        self._sessions = sessions
        self._owner = owner
        self._waiting: list[Ended] = []
        self._turn = asyncio.Lock()
        self._alone = asyncio.Semaphore(ALONE)

    async def settle(self, claimed: Claimed, outcome: Outcome, took: float) -> str:
        """Write how the attempt ended; returns the state it left. Safe to repeat: the fence lets it count once. Raises what the
        database does when it is away."""
        if outcome.verdict is Verdict.DELIVERED and await self._together(Ended(claimed, outcome, took)):
            return "delivered"
        async with self._alone:
            return await self._by_itself(claimed, outcome, took)

    async def _together(self, ended: Ended) -> bool:
        """Who comes first writes all that wait; the next of those who come meanwhile writes what has gathered until then."""
        self._waiting.append(ended)
        try:
            async with self._turn:
                if ended.written is None:
                    await self._write(self._waiting[:TOGETHER])
        finally:
            if ended.written is None:
                self._waiting.remove(ended)
        return bool(ended.written)

    async def _write(self, group: list[Ended]) -> None:
        """One whose row somebody holds, whose lease is lost or whose channel is marked as failing is not written here; where the
        database refuses the group, none is, for one of them may be at fault."""
        written: set[UUID] = set()
        try:
            async with self._sessions() as session:
                now = await blackouts.clock(session)
                settled = [(e.claimed, settled_as(e.claimed, e.outcome, now, e.took)) for e in group]
                written = await claims.settle_free(session, settled, self._owner, now)
                await session.commit()
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            written.clear()
            log.warning("deliveries are not settled together", deliveries=len(group), error=in_words(error))
        for ended in group:
            ended.written = ended.claimed.id in written
        self._waiting = [ended for ended in self._waiting if ended.written is None]

    async def _by_itself(self, claimed: Claimed, outcome: Outcome, took: float) -> str:
        async with self._sessions() as session:
            now = await blackouts.clock(session)
            settled = settled_as(claimed, outcome, now, took)
            await _note(session, claimed, outcome, now)
            if not await claims.settle(session, claimed, self._owner, now, settled):
                return "another's"
            await _tell_of_trouble(session, claimed, outcome, settled, now)
            await session.commit()
        return settled.state


async def _note(session: AsyncSession, claimed: Claimed, outcome: Outcome, now: datetime) -> None:
    """What an outcome says of the channel. A test that fails says nothing, for a person tries what may be wrong."""
    if outcome.verdict is Verdict.DELIVERED:
        await channels.note_success(session, claimed.project, claimed.channel)
    elif outcome.verdict is not Verdict.REFUSED and claimed.told.kind != "test":
        await channels.note_failure(session, claimed.project, claimed.channel, now)


async def _tell_of_trouble(session: AsyncSession, claimed: Claimed, outcome: Outcome, settled: Settled, now: datetime) -> None:
    """What failed is told another way: the project hears of a broken channel, and of what could not be told there."""
    if outcome.verdict is Verdict.DELIVERED or claimed.told.kind == "test":
        return
    if settled.state == "dead" or (now - claimed.failing_since >= FALLBACK_AFTER and not claimed.fallback_told):
        await detours.tell(session, [(claimed.project, claimed.id)], now)
    if settled.state == "dead" and await detours.nobody_heard(session, claimed.project, claimed.id):
        await _note_lost(session, claimed, outcome, now)
    if outcome.verdict in (Verdict.GONE, Verdict.UNAUTHORISED):
        await detours.tell_of_failure(session, claimed.project, claimed.channel, str(claimed.id), outcome.answer, now)
    if outcome.verdict is Verdict.GONE:
        await channels.disable(session, claimed.project, claimed.channel, outcome.answer, now)


async def _note_lost(session: AsyncSession, claimed: Claimed, outcome: Outcome, now: datetime) -> None:
    """What reached nobody by any way is told to the operator, of each project once a day."""
    log.error("an alert reached nobody", delivery=str(claimed.id), kind=claimed.kind)
    words = (
        f"An alert of project {claimed.project} reached nobody, and no way is left to tell it: {claimed.told.kind} of "
        f"{claimed.told.at:%Y-%m-%d %H:%M:%S} UTC. The last attempt, by {claimed.kind}: {outcome.answer}"
    )
    await notices.notice(session, "alert lost", f"{claimed.project} {now:%Y-%m-%d}", words, now)


def settled_as(claimed: Claimed, outcome: Outcome, now: datetime, took: float) -> Settled:
    """What an outcome makes of a delivery: delivered, dead, or waiting for its next try."""
    attempt = json.dumps(
        {"at": now.isoformat(), "outcome": str(outcome.verdict), "status": outcome.status, "answer": outcome.answer, "took": took}
    )
    tries = claimed.tries + (outcome.verdict is not Verdict.LIMITED)
    if outcome.verdict is Verdict.DELIVERED:
        return Settled("delivered", tries, now, outcome.answer, attempt)
    if outcome.verdict in DEAD or claimed.told.kind == "test":
        return Settled("dead", tries, now, outcome.answer, attempt)
    slow = outcome.verdict is Verdict.UNAUTHORISED
    again = next_try(tries, now, random.random(), outcome.retry_after, slow)
    if is_given_up(again, claimed.failing_since, claimed.claim_no):
        return Settled("dead", tries, now, f"given up after 24 h: {outcome.answer}", attempt)
    return Settled("waiting", tries, again, outcome.answer, attempt)
