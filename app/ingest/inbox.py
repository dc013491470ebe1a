"""The inbox: pings wait here for their batch. While one batch commits the next one fills; load makes the batches, no timer.

Bounded in number, bytes and time: what would wait in it longer than half the margin is refused at once, by the pace of the last
batches; and what waited so long after all, then. So a refusal is quick and honest.

And it is fair: as long as there is room nobody is limited. Beyond that projects take turns, and who is refused is of the project
with the most waiting, so that a flood is answered 503 and the others do not feel it.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app import metrics
from app.clock import monotonic, utc_now
from app.domain.skew import OLDEST_REPORT
from app.errors import in_words
from app.ingest import answers
from app.ingest.answers import Answer
from app.ingest.deafness import Deafness
from app.ingest.pace import Pace
from app.ingest.ping import Ping
from app.ingest.record import TooLate, record
from app.ingest.turns import Turns, Waiting
from app.ingest.whose import Whose
from app.store import blackouts, partitions
from app.store.engine import Sessions

log = structlog.get_logger()

MOST_WAITING = 5000
MOST_BYTES = 32_000_000
BATCH = 500
BATCH_BYTES = 8_000_000
LOOK = 0.05  # seconds between looks for pings that waited too long
SAY_EVERY = 5.0  # seconds
AWAY = (OperationalError, InterfaceError, PoolTimeout, TimeoutError, OSError)


class Inbox:
    """Takes pings, records them in batches, answers each after COMMIT."""

    def __init__(self, sessions: Sessions, margin: timedelta, ping_limit: int = 0) -> None:
        self._sessions = sessions
        self._margin = margin
        self._patience = margin.total_seconds() / 2  # seconds that a ping may wait for its batch
        self._ping_limit = ping_limit
        self._turns = Turns()
        self._whose = Whose()
        self._filled = asyncio.Event()
        self._open = True
        self._pace = Pace()
        self._most = BATCH  # of a batch, so that none takes longer than half of what another may wait
        self._done_at = 0.0  # when the batch under way is likely to be done
        self.deafness = Deafness()
        self._unrecorded = 0
        self._silent_until = 0.0

    async def hear(self, ping: Ping) -> Answer:
        """Record a ping and return its answer: 2xx only after COMMIT, 503 when it cannot be recorded now."""
        project = self._whose.project(ping.target.address)
        if not self._open or not self._makes_room(project, len(ping.body)):
            return answers.BUSY
        waiting = Waiting(ping, asyncio.get_running_loop().create_future(), project)
        self._turns.add(waiting)
        self._filled.set()
        return await waiting.answer

    def _makes_room(self, project: int, size: int) -> bool:
        """Whether one of this project, with a body of this size, can be recorded in time. Where it is crowded, that is if the
        project of another has more waiting; then that one is refused instead."""
        turns, left = self._turns, max(0.0, self._done_at - monotonic())
        if left > self._patience:  # no batch can be begun in time
            return False
        ahead = max(turns.count // self._most, turns.bytes // BATCH_BYTES)
        crowded = turns.count >= MOST_WAITING or (ahead > 0 and left + self._pace.of(self._most) * ahead > self._patience)
        while crowded or turns.bytes + size > MOST_BYTES:
            gone = turns.give_way(project)
            if gone is None:
                return False
            _resolve(gone, answers.BUSY)
            crowded = False
        return True

    async def run(self) -> None:
        """Flush until closed and empty."""
        async with asyncio.TaskGroup() as tasks:
            expiring = tasks.create_task(self._expire())
            while self._open or self._turns.count:
                await self._filled.wait()
                self._filled.clear()
                while self._turns.count:
                    await self._flush(self._take())
            expiring.cancel()

    def close(self) -> None:
        """Refuse from now on; what waits is still recorded."""
        self._open = False
        self._filled.set()

    def _take(self) -> list[Waiting]:
        batch: list[Waiting] = []
        size = 0
        self._turns.expire(monotonic() - self._patience, _refuse)
        while len(batch) < self._most and size < BATCH_BYTES and (waiting := self._turns.take()) is not None:
            size += len(waiting.ping.body)
            batch.append(waiting)
        metrics.QUEUE_DEPTH.set(self._turns.count)
        return batch

    async def _expire(self) -> None:
        """Refuse what waited half the margin while a batch was stuck."""
        while True:
            await asyncio.sleep(LOOK)
            self._turns.expire(monotonic() - self._patience, _refuse)

    async def _flush(self, batch: Sequence[Waiting]) -> None:
        """Record a batch and answer it. The futures always resolve, whatever happens."""
        if not batch:
            return
        metrics.BATCH_SIZE.observe(len(batch))
        began = monotonic()
        self._done_at = began + self._pace.of(len(batch))
        with metrics.BATCH_SECONDS.time():
            try:
                await self._record(batch)
            except AWAY as error:
                self._note_away(error)
            except Exception:  # the futures must always resolve: a bug here must not hang every client
                log.exception("batch not recorded", pings=len(batch))
            finally:
                for waiting in batch:
                    _resolve(waiting, answers.AWAY)
                self._note_outcome(batch)
                self._learn(batch)
                self._pace.took(len(batch), monotonic() - began)
                self._most = self._pace.most(self._patience / 2, BATCH)
                self._done_at = 0.0

    def _learn(self, batch: Sequence[Waiting]) -> None:
        """Whose they turned out to be."""
        for waiting in batch:
            if waiting.ping.project is not None:
                self._whose.learn(waiting.ping.target.address, waiting.ping.project)

    def _note_outcome(self, batch: Sequence[Waiting]) -> None:
        """Whether anything of it was recorded. Who was told that there is no such monitor proves nothing either way."""
        statuses = {w.answer.result().status for w in batch if not w.answer.cancelled()}
        if any(status < 300 for status in statuses):
            self.deafness.recorded(monotonic())
        elif any(status >= 500 for status in statuses):
            self.deafness.failed(monotonic())

    def _note_away(self, error: BaseException) -> None:
        """Say so now and then, for clients that try again at once must not flood the log."""
        self._unrecorded += 1
        if monotonic() >= self._silent_until:
            log.warning("batches not recorded", batches=self._unrecorded, error=in_words(error))
            self._unrecorded, self._silent_until = 0, monotonic() + SAY_EVERY

    async def _record(self, batch: Sequence[Waiting], again: bool = True) -> None:
        """Record a batch and answer it; late ones are refused and the rest goes again."""
        try:
            results = await record(self._sessions, [w.ping for w in batch], self._margin, self._ping_limit)
        except TooLate as late:
            for position in late.positions:
                _resolve(batch[position], answers.LATE)
            rest = [w for i, w in enumerate(batch) if i not in late.positions]
            if rest:
                await self._record(rest)
        except AWAY:
            raise
        except (DBAPIError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            await self._record_apart(batch, error, again)
        else:
            for waiting, result in zip(batch, results, strict=True):
                _resolve(waiting, result)

    async def _record_apart(self, batch: Sequence[Waiting], error: Exception, again: bool) -> None:
        """An error of data: make a partition that is missing; else halve the batch until the bad check-in stands alone."""
        if again and partitions.are_missing(error):
            await self._make_partitions(reports=any(w.ping.at is not None for w in batch))
            await self._record(batch, again=False)
        elif len(batch) == 1:
            log.error("check-in cannot be recorded", signal=str(batch[0].ping.target.signal), error=in_words(error))
            _resolve(batch[0], answers.AWAY)
        else:
            middle = len(batch) // 2
            await self._record(batch[:middle])
            await self._record(batch[middle:])

    async def _make_partitions(self, reports: bool) -> None:
        """Those that should be there, and for `reports` those of the past that they may be of."""
        async with self._sessions() as session:
            now = await blackouts.now(session)
            oldest = OLDEST_REPORT if reports else timedelta()
            made = await partitions.make(session, partitions.wanted_since(now, oldest))
            await session.commit()
        log.warning("partitions were missing and have been made", partitions=made, at=utc_now().isoformat())


def _resolve(waiting: Waiting, answer: Answer) -> None:
    if not waiting.answer.done():
        waiting.answer.set_result(answer)


def _refuse(waiting: Waiting) -> None:
    _resolve(waiting, answers.BUSY)
