"""Delivering: claim under a lease, send with no database held, settle behind a fence (`settle.py`).

A delivery ends delivered, dead or suppressed, always with a reason; what dies is told another way.
"""

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import monotonic, utc_now
from app.domain.message import Message, compose, plain
from app.errors import BadSettings, in_words
from app.failpoint import failpoint
from app.notify.senders import Outcome, Parcel, Post, Verdict
from app.notify.settle import Settler
from app.notify.slots import Slots
from app.store import blackouts, claims, detours
from app.store.claims import Claimed
from app.store.detours import Place
from app.store.engine import Sessions
from app.store.vault import Vault

log = structlog.get_logger()

PER_CHANNEL = 4
NEEDED_LEASE = timedelta(seconds=22)
LOOKS_EVERY = timedelta(seconds=1)
SETTLE_AGAIN = 0.5  # seconds; the fence makes trying again safe
AWAY = (SQLAlchemyError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Sender:
    """What sending needs: the post, the key to secrets, the public address for links."""

    post: Post
    vault: Vault
    base_url: str


class Deliverer:
    """One sender process: claims what is due into free slots, and sends each in a task of its own."""

    def __init__(self, sessions: Sessions, sender: Sender) -> None:
        self._sessions = sessions
        self._sender = sender
        self._owner: UUID = uuid4()
        self._settler = Settler(sessions, self._owner)
        self._slots = Slots()
        self._looked_to: Place = detours.START
        self._looked_at: datetime | None = None
        self._leaving = False

    async def deliver(self) -> None:
        """Claim and send as long as there is something due that may be sent; what hangs holds up nothing else."""
        while not self._leaving and await self.deliver_once():
            if self._slots.tasks:
                await asyncio.wait(self._slots.tasks, timeout=1, return_when=asyncio.FIRST_COMPLETED)

    async def deliver_once(self) -> int:
        """Claim what is due, as far as there is room, and begin to send it; returns how many. What waits too long behind a
        channel that fails, or behind a message that a channel does not take, is told another way first."""
        claimed_at = monotonic()
        async with self._sessions() as session:
            now = await blackouts.clock(session)
            looked_to = await self._tell_waiting(session, now)
            claimed = await claims.claim(session, now, self._owner, self._slots.room(), PER_CHANNEL)
            await blackouts.beat(session, "deliver")
            await session.commit()
        self._looked_to, self._looked_at = looked_to
        if claimed:
            failpoint("deliver.claimed")
        for delivery in claimed:
            self._slots.begin(delivery.project, delivery.slow, self._deliver(delivery, claimed_at))
        return len(claimed)

    async def _tell_waiting(self, session: AsyncSession, now: datetime) -> tuple[Place, datetime]:
        """Tell another way what waits too long; not with every claim, for it waits for minutes. Where and when the look ended."""
        if self._looked_at is not None and timedelta() <= now - self._looked_at < LOOKS_EVERY:
            return self._looked_to, self._looked_at
        await detours.tell_held(session, now)
        return await detours.tell_behind(session, now, self._looked_to), now

    async def drain(self, limit: float) -> None:
        """On the way out: wait for what is being sent, then give back what was not settled."""
        self._leaving = True
        if self._slots.tasks:
            await asyncio.wait(self._slots.tasks, timeout=limit)
        for task in self._slots.tasks:
            task.cancel()
        async with self._sessions() as session:
            await claims.give_back(session, self._owner, await blackouts.clock(session))
            await session.commit()

    async def settled(self) -> None:
        """Return when nothing is being sent any more."""
        while self._slots.tasks:
            await asyncio.wait(self._slots.tasks)

    async def _deliver(self, claimed: Claimed, claimed_at: float) -> None:
        if claims.LEASE - timedelta(seconds=monotonic() - claimed_at) < NEEDED_LEASE:
            return  # too little of the lease is left to send it alone; it will be claimed again
        failpoint("deliver.sending")
        began = monotonic()
        outcome = await self._send(claimed)
        failpoint("deliver.sent")
        took = round(monotonic() - began, 3)
        give_up_at = claimed_at + claims.LEASE.total_seconds()
        while monotonic() < give_up_at:
            try:
                state = await self._settler.settle(claimed, outcome, took)
            except AWAY as error:
                log.warning("a delivery is not settled yet", delivery=str(claimed.id), error=in_words(error))
                await asyncio.sleep(SETTLE_AGAIN)
            else:
                failpoint("deliver.settled")
                log.info("delivery", id=str(claimed.id), kind=claimed.kind, state=state, answer=outcome.answer, took=took)
                return
        log.error("a delivery was not settled in its lease and may be sent twice", delivery=str(claimed.id))

    async def _send(self, claimed: Claimed) -> Outcome:
        try:
            secret = {} if claimed.secret is None else self._sender.vault.open(claimed.project, claimed.channel, claimed.secret)
        except BadSettings as error:
            return Outcome(Verdict.RETRY, str(error))
        parcel = Parcel(
            delivery_id=str(claimed.id),
            message=render(claimed, self._sender.base_url),
            settings=claimed.settings,
            secret=json.dumps(secret),
            attempt_at=utc_now(),
        )
        try:
            return await self._sender.post.send(claimed.kind, parcel)
        except Exception as error:  # a sender that breaks on a message must not try it every half minute, and for ever
            log.exception("a sender failed in itself", delivery=str(claimed.id), kind=claimed.kind)
            return Outcome(Verdict.RETRY, f"we failed to send it: {in_words(error)}")


def render(claimed: Claimed, base_url: str) -> Message:
    """The message of a delivery; where it cannot be made, a plain one goes out rather than none."""
    told = claimed.told
    if claimed.output:
        told = replace(told, output=claimed.output.decode("utf-8", "replace"))
    try:
        return compose(told, base_url=f"{base_url}/projects/{claimed.project}", status_now=claimed.status_now)
    except Exception:  # rendering must never cost an alert
        log.exception("message not rendered, a plain one is sent", delivery=str(claimed.id))
        return plain(told)
