"""The tick: every second each ingest process notes, through the path that check-ins take, that it can commit. How far
silence may be judged follows from the newest tick."""

import asyncio
import os
from datetime import timedelta
from uuid import UUID, uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.clock import monotonic
from app.errors import in_words
from app.ingest.inbox import AWAY, Inbox
from app.store import blackouts
from app.store.engine import Sessions

log = structlog.get_logger()

EVERY = 1.0
FRESH_FOR = 5.0  # seconds after its last tick a process no longer calls itself ready


class Ticker:
    """Ticks for one process, from before its first check-in until it signs off."""

    def __init__(self, sessions: Sessions, inbox: Inbox) -> None:
        self._sessions = sessions
        self._inbox = inbox
        self._process: UUID = uuid4()
        self._ticked_at: float | None = None
        self._probed_at: float | None = None  # while nothing can be recorded: when doing what recording does went well

    @property
    def fresh(self) -> bool:
        """Whether a tick was committed within the last seconds: only then are pings accepted for sure."""
        return self._ticked_at is not None and monotonic() - self._ticked_at < FRESH_FOR

    async def run(self) -> None:
        """Tick until cancelled. A tick that fails is logged, and the next one tried."""
        while True:
            await self.tick_once()
            await asyncio.sleep(EVERY)

    async def tick_once(self, last: bool = False) -> bool:
        """One tick; with `last` the process signs off. False when it could not be committed.

        While the inbox fails to record check-ins, a tick must first do what recording does: a process that cannot hear does
        not tick. Where check-ins fail again after that went well, it proves nothing. What could not be heard for longer than a
        hole may be is a blackout.
        """
        deafness, now = self._inbox.deafness, monotonic()
        deafness.settle(now)
        if deafness.since is not None and self._probed_at is not None and deafness.failed_at > self._probed_at:
            log.warning("no tick: no ping can be recorded", for_seconds=round(now - deafness.since, 1))
            return False
        over = list(deafness.over)
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))  # with no file left to open, no connection comes in either
            async with self._sessions() as session:
                if deafness.since is not None:
                    await blackouts.probe(session)
                for since, until in over:
                    await blackouts.was_deaf(session, timedelta(seconds=now - since), timedelta(seconds=now - until))
                found = await blackouts.tick(session, self._process, first=self._ticked_at is None, last=last)
                await session.commit()
        except (*AWAY, SQLAlchemyError) as error:
            log.warning("tick not committed", error=in_words(error))
            return False
        self._ticked_at = monotonic()
        self._probed_at = now if deafness.since is not None else None
        for span in over:
            deafness.over.remove(span)
        if found is not None:
            log.warning("we could not hear", since=found.start.isoformat(), until=found.end.isoformat())
        return True
