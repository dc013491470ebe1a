"""Recording a batch: what is missing is made first, then its events in order of time, some hundreds in a transaction.

1. the database's clock, by which the clock of who speaks is set right
2. what the batch names; schedules taken over, monitors made, in a transaction of their own
3. for each slice: lock the monitors in order of id in one statement, read what is known of the runs
4. decide in the domain, event by event
5. write everything in a handful of statements
6. the guard: what took longer than the margin must not commit, for the sweeper may have judged what this disproves; of the
   first slice since its last byte was read, of the others, which have waited for the ones before them, since they began
7. COMMIT

Every step may be done again: the same events change nothing twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import monotonic
from app.domain.skew import OLDEST_REPORT
from app.errors import Unavailable
from app.events.answer import Answer
from app.events.batch import Batch, Heartbeat, RunSaid
from app.events.clocks import Clock
from app.events.hear import Ledger, Turned, in_turn, run_key, slices, touched
from app.events.register import Places, Register, Registration
from app.store import blackouts, checkins, decisions, holding, monitors, partitions, reported, synced
from app.store.accounts import Reporter
from app.store.blackouts import Moment
from app.store.engine import Sessions

log = structlog.get_logger()

AT_ONCE = 500
TRIES = 3
CAN_BE_TRIED_AGAIN = ("40001", "40P01")  # serialization failure, deadlock
Done = TypeVar("Done")


class TooLate(Exception):
    """It took longer than the margin; nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """What recording needs of the door. `least`: the shortest period that a monitor may have; `reading`: held by whoever reads
    a body, one at a time, for that takes the processor from the pings."""

    sessions: Sessions
    margin: timedelta
    least: timedelta
    register: Register
    reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    async def record(self, reporter: Reporter, batch: Batch, began_at: float, heard_at: float) -> Answer:
        """Record a batch, whose first byte came at `began_at` and its last at `heard_at`, by the monotonic clock. Raises
        Unavailable, or what the database raises where it is away; what was recorded until then stays, and sending all of it
        again is safe."""
        if batch.envelope.dropped:
            log.warning("a program had to drop events", source=batch.envelope.source, dropped=dict(batch.envelope.dropped))
        answer, clock, places = await self._again(lambda: self._prepare(reporter, batch, began_at, heard_at))
        said = sorted(batch.said, key=in_turn)
        for number, part in enumerate(slices(said, AT_ONCE) if said else ()):
            ledger = await self._again(_Slice(self, reporter, batch, part, clock, places, is_first=number == 0))
            answer = _sum(answer, ledger.answer)
        return answer

    async def _prepare(self, reporter: Reporter, batch: Batch, began_at: float, heard_at: float) -> tuple[Answer, Clock, Places]:
        async with self.sessions() as session:
            moment = await blackouts.moment(session, self.margin)
            received = moment.now - timedelta(seconds=max(0.0, monotonic() - heard_at))
            clock = Clock(batch.envelope.sent_at, received - timedelta(seconds=heard_at - began_at), received)
            registration = Registration(session, reporter, batch, moment, clock, self.least, self.register)
            places = await registration.run()
            await session.commit()
        answer = registration.answer
        answer.ignored, answer.broken, answer.errors, answer.server_time = batch.ignored, batch.broken, batch.errors, moment.now
        for words in batch.warnings:
            answer.warn(words)
        return answer, clock, places

    async def _again(self, work: Callable[[], Awaitable[Done]]) -> Done:
        """Do it, and where somebody else was in the way a second and a third time."""
        for _ in range(TRIES):
            try:
                return await work()
            except (Turned, TooLate):
                continue
            except IntegrityError as error:
                if partitions.are_missing(error):
                    await self._make_partitions()
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", None) not in CAN_BE_TRIED_AGAIN:
                    raise
        raise Unavailable

    async def _make_partitions(self) -> None:
        async with self.sessions() as session:
            now = await blackouts.now(session)
            made = await partitions.make(session, partitions.wanted_since(now, OLDEST_REPORT))
            await session.commit()
        log.warning("partitions were missing and have been made", partitions=made)


@dataclass(slots=True)
class _Slice:
    """Some events of a batch on their way through steps 3 to 7."""

    recorder: Recorder
    reporter: Reporter
    batch: Batch
    said: Sequence[RunSaid | Heartbeat]
    clock: Clock
    places: Places
    is_first: bool
    with_waiting: bool = False

    async def __call__(self) -> Ledger:
        """All of it, in one transaction. Raises TooLate, Unavailable where another try would be too late as well, and Turned
        where the next try must lock more."""
        async with self.recorder.sessions() as session:
            moment = await blackouts.moment(session, self.recorder.margin)
            ledger = await self._look_up(session, moment)
            try:
                for event in self.said:
                    ledger.hear(event)
            except Turned:
                self.with_waiting = True
                raise
            await self._write(session, ledger)
            if ledger.made:
                self._guard(await blackouts.now(session), moment)
            await session.commit()
        return ledger

    def _guard(self, now: datetime, moment: Moment) -> None:
        if self.is_first and now - self.clock.received >= self.recorder.margin:
            raise Unavailable
        if now - moment.now >= self.recorder.margin:
            raise TooLate

    async def _look_up(self, session: AsyncSession, moment: Moment) -> Ledger:
        project, envelope = self.reporter.project, self.batch.envelope
        ids = touched(self.said, envelope, self.places, self.clock, moment.now)
        waiting = None
        if self.with_waiting:
            source = f"celery:{envelope.source}"
            waiting = {source: (await holding.waiting(session, [(project, source)]))[project, source]}
            ids |= set(waiting[source])
        rows, _ = await monitors.lock_readable(session, [(project, id_) for id_ in ids]) if ids else ({}, [])
        runs = [event for event in self.said if isinstance(event, RunSaid) and event.monitor in self.places]
        keys = {run_key(project, self.places[event.monitor].id, event) for event in runs}
        known = await reported.read(session, keys)
        return Ledger(envelope, self.clock, moment, self.places, rows, known, waiting)

    async def _write(self, session: AsyncSession, ledger: Ledger) -> None:
        await reported.write(session, ledger.heard, ledger.moment.now)
        await synced.redeclare(session, ledger.declared)
        if ledger.woken:
            await synced.retire(session, self.reporter.project, ledger.woken, None)
        await decisions.write(session, ledger.moment.now, ledger.made, checkins.adding(ledger.check_ins))


def _sum(one: Answer, other: Answer) -> Answer:
    one.accepted += other.accepted
    one.repeated += other.repeated
    one.unknown_monitors += other.unknown_monitors
    one.flagged += other.flagged
    one.warnings |= other.warnings
    return one
