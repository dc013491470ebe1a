"""The inbox: pings wait here for their batch. While one batch commits the next one fills; load makes the batches, no timer.

Bounded in number, bytes and time: what would wait in it longer than half the margin is refused at once, by the pace of the last
batches; and what waited so long after all, then. So a refusal is quick and honest.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
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
from app.ingest.ping import Ping
from app.ingest.record import TooLate, record
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


@dataclass(slots=True)
class Waiting:
    """A ping and the future its client waits on."""

    ping: Ping
    answer: asyncio.Future[Answer]


class Inbox:
    """Takes pings, records them in batches, answers each after COMMIT."""

    def __init__(self, sessions: Sessions, margin: timedelta, ping_limit: int = 0) -> None:
        self._sessions = sessions
        self._margin = margin
        self._ping_limit = ping_limit
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._open = True
        self._pace = 0.0  # seconds that a batch takes, as the last ones did
        self._began: float | None = None  # the batch under way
        self.deafness = Deafness()
        self._unrecorded = 0
        self._silent_until = 0.0

    async def hear(self, ping: Ping) -> Answer:
        """Record a ping and return its answer: 2xx only after COMMIT, 503 when it cannot be recorded now."""
        full = len(self._waiting) >= MOST_WAITING or self._bytes + len(ping.body) > MOST_BYTES
        if not self._open or full or self._wait() > self._margin.total_seconds() / 2:
            return answers.BUSY
        waiting = Waiting(ping, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._bytes += len(ping.body)
        self._filled.set()
        return await waiting.answer

    def _wait(self) -> float:
        """Seconds for which a ping heard now is likely to wait: what is left of the batch under way, and those before its own."""
        left = 0.0 if self._began is None else max(0.0, self._pace - (monotonic() - self._began))
        return left + self._pace * (len(self._waiting) // BATCH)

    async def run(self) -> None:
        """Flush until closed and empty."""
        async with asyncio.TaskGroup() as tasks:
            expiring = tasks.create_task(self._expire())
            while self._open or self._waiting:
                await self._filled.wait()
                self._filled.clear()
                while self._waiting:
                    await self._flush(self._take())
            expiring.cancel()

    def close(self) -> None:
        """Refuse from now on; what waits is still recorded."""
        self._open = False
        self._filled.set()

    def _take(self) -> list[Waiting]:
        batch: list[Waiting] = []
        size, oldest = 0, monotonic() - self._margin.total_seconds() / 2
        while self._waiting and len(batch) < BATCH and size < BATCH_BYTES:
            waiting = self._waiting.popleft()
            self._bytes -= len(waiting.ping.body)
            if waiting.ping.heard_at < oldest:
                _resolve(waiting, answers.BUSY)
                continue
            size += len(waiting.ping.body)
            batch.append(waiting)
        metrics.QUEUE_DEPTH.set(len(self._waiting))
        return batch

    async def _expire(self) -> None:
        """Refuse what waited half the margin while a batch was stuck."""
        while True:
            await asyncio.sleep(LOOK)
            oldest = monotonic() - self._margin.total_seconds() / 2
            while self._waiting and self._waiting[0].ping.heard_at < oldest:
                waiting = self._waiting.popleft()
                self._bytes -= len(waiting.ping.body)
                _resolve(waiting, answers.BUSY)

    async def _flush(self, batch: Sequence[Waiting]) -> None:
        """Record a batch and answer it. The futures always resolve, whatever happens."""
        if not batch:
            return
        metrics.BATCH_SIZE.observe(len(batch))
        self._began = began = monotonic()
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
                self._pace += (monotonic() - began - self._pace) / 2
                self._began = None

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
