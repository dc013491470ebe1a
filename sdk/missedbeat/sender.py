"""The thread that sends what waits: in batches, a second apart at least, again until they have arrived.

It is started with the first event and never waits for the program, nor the program for it. What a batch holds is made into text
once; an attempt adds the envelope and the newest heartbeats. Heartbeats never wait for a batch that is not taken: after three
failures they go alone. Where these arrive and the batch does not, it is halved, until the one event that is to blame is found.
"""

from __future__ import annotations

import gzip
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from missedbeat.buffer import Buffer, Waiting
from missedbeat.event import Event
from missedbeat.guard import guard
from missedbeat.own_thread import OwnThread
from missedbeat.post import Answer
from missedbeat.verdict import REFUSALS, REFUSED_FOR, SPACING, Fate, Verdict, complaints, judge

MOST_EVENTS = 3_000
MOST_BYTES = 512_000
GZIP_OVER = 1_000
LINGER = 0.2
PATIENCE = 3  # failures
NO_ANSWER = "The server did not answer in time."

logger = logging.getLogger("missedbeat")


class Way(Protocol):
    """Where batches go: `post.Post`, or what stands in for it."""

    def send(self, body: bytes, headers: dict[str, str]) -> Answer:
        """One attempt; never raises for the network."""

    def close(self) -> None:
        """Let go of what it holds."""

    def abandon(self) -> None:
        """The same in a process that was forked from its owner: without a lock, and unnoticed by the other end."""


class Line(NamedTuple):
    """An event as text."""

    type: str
    text: bytes


@dataclass
class Batch:
    """Lines that go together, and how often the server answered that it does not take them."""

    lines: list[Line]
    refused: int = 0

    @property
    def is_suspect(self) -> bool:
        """Whether it goes without heartbeats now, and only when the server has just taken some."""
        return self.refused >= PATIENCE


class Sender:
    """Takes from a buffer, gives to a way. `envelope(dropped)` is asked at each attempt, `write(event)` once for each event: its
    text, or None where it shall not be sent. `may_pass`: whether the last attempt failed for what may be over soon."""

    def __init__(
        self,
        way: Way,
        buffer: Buffer,
        envelope: Callable[[dict[str, int]], bytes],
        write: Callable[[Waiting], bytes | None],
    ) -> None:
        self._way, self._buffer, self._envelope, self._write = way, buffer, envelope, write
        self._batches: deque[Batch] = deque()
        self._thread = OwnThread("missedbeat-sender", self._run)
        self._flushing = self._busy = False
        self._next_at = 0.0
        self._failures = self._refusals = 0
        self._is_in_trouble = False
        self._complaints: set[str] = set()
        self.arrived = 0
        self._trouble = ""
        self.may_pass = False

    # for the program

    def ring(self) -> None:
        """Something waits. Takes no lock but at the first time, when the thread is started."""
        self._thread.need()

    def flush(self, seconds: float, give_up: Callable[[], bool] = lambda: False) -> bool:
        """Send all that waits now; False if that did not work out in this time, or the server is away."""
        until = time.monotonic() + seconds
        if self.is_idle or self._thread.closed or seconds <= 0:
            return self.is_idle
        if self.is_refused:
            return False
        self._thread.start()
        if self._thread.failed:
            return self._flush_here(until)
        self._flushing = True
        self._thread.need()
        self._thread.ring()
        while self._flushing and time.monotonic() < until and not self.is_idle and not give_up():
            time.sleep(0.01)
        self._flushing = False
        return self.is_idle

    def _flush_here(self, until: float) -> bool:
        """The interpreter is ending, and starts no thread any more: whoever flushes sends."""
        while not self.is_idle and time.monotonic() < until:
            guard.run(self.send_once)
            if self._failures:
                break
        return self.is_idle

    def close(self) -> None:
        """The thread ends after what it is doing."""
        self._thread.close()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        return self._buffer.is_empty and not self._batches and not self._busy

    @property
    def is_refused(self) -> bool:
        """Whether the server does not take the key, and is left alone."""
        return self._next_at > time.monotonic() + REFUSED_FOR / 2

    @property
    def trouble(self) -> str:
        """Why what waits was not sent; empty where that is in the log already."""
        return "" if self._is_in_trouble else self._trouble or (NO_ANSWER if self._busy else "")

    @property
    def waiting(self) -> int:
        """How many events wait in batches that were tried already."""
        return sum(len(batch.lines) for batch in list(self._batches))

    # the thread

    def _run(self) -> None:
        self._next_at = time.monotonic() + LINGER
        while not self._thread.closed:
            self._wait()
            if not self._thread.closed:
                guard.run(self.send_once)
        self._way.close()

    def _wait(self) -> None:
        """Return when something is there and the time has come, or somebody flushes."""
        while not self._thread.closed and not (self._flushing and not self.is_idle):
            if self.is_idle:
                self._thread.sleep(None, lambda: not self.is_idle)
                self._next_at = max(self._next_at, time.monotonic() + LINGER)
            pause = self._next_at - time.monotonic()
            if pause <= 0 and not self.is_idle:
                return
            self._thread.pause(max(pause, 0.0))

    def send_once(self) -> None:
        """One attempt: with the batch that was tried before, or else a new one; or, where it failed too often, with heartbeats
        alone, to see whether these are taken."""
        self._busy = True
        self._next_at = time.monotonic() + SPACING  # also if what follows goes wrong
        try:
            batch = self._batches[0] if self._batches else self._collect()
            is_suspect = batch is not None and batch.is_suspect
            if self._failures >= (1 if is_suspect else PATIENCE):
                self._attempt(None, self._buffer.newest_beats())
            else:
                self._attempt(batch, [] if is_suspect else self._buffer.newest_beats())
        finally:
            self._busy = False

    def _collect(self) -> Batch | None:
        lines: list[Line] = []
        size = 0
        while len(lines) < MOST_EVENTS and size < MOST_BYTES:
            event = self._buffer.take()
            if event is None:
                break
            text = self._write(event)
            if text is not None:
                lines.append(Line(event.type, text))
                size += len(text)
        if lines:
            self._batches.append(Batch(lines))
        return self._batches[0] if lines else None

    def _attempt(self, batch: Batch | None, beats: Sequence[Sequence[Event]]) -> None:
        if batch is None and not beats and not self._failures:
            return
        lines = batch.lines if batch is not None else []
        living = [text for events in beats for text in map(self._write, events) if text is not None]
        dropped = dict(self._buffer.dropped)
        body = b"\n".join([self._envelope(dropped), *(line.text for line in lines), *living]) + b"\n"
        headers = {"Content-Type": "application/x-ndjson"}
        if len(body) > GZIP_OVER:
            body, headers["Content-Encoding"] = gzip.compress(body, 1), "gzip"
        answer = self._way.send(body, headers)
        verdict = judge(answer, self._failures, time.time(), is_refused=batch is None and self._refusals >= PATIENCE - 1)
        self._failures = self._failures + 1 if verdict.fate in (Fate.KEEP, Fate.SUSPECT) else 0
        self._refusals = self._refusals + 1 if answer.status in REFUSALS else 0
        self._trouble = verdict.complaint if self._failures else ""
        self.may_pass = verdict.fate is Fate.KEEP and self._failures < PATIENCE
        self._next_at = time.monotonic() + verdict.pause
        self._complain(answer, verdict, batch is not None)
        self._settle(answer, verdict.fate, batch, beats, dropped)

    def _settle(
        self, answer: Answer, fate: Fate, batch: Batch | None, beats: Sequence[Sequence[Event]], dropped: dict[str, int]
    ) -> None:
        """What becomes of what was sent."""
        if fate in (Fate.KEEP, Fate.SUSPECT):
            self._flushing = False
        if fate in (Fate.ARRIVED, Fate.GIVE_UP):
            if batch is not None:
                self._done()
                self.arrived += len(batch.lines)
            self._buffer.told(dropped)
            self._buffer.sent(beats)
        elif fate is not Fate.KEEP and batch is not None:
            self._doubt(batch, answer.status)
        elif fate is Fate.HALVE:
            for beat in (beat for events in beats for beat in events):
                self._buffer.drop(beat.type)
            self._buffer.sent(beats)

    def _doubt(self, batch: Batch, status: int) -> None:
        """The server does not take this batch: try it again, or in halves; a line that is not taken even alone is dropped."""
        is_too_large = status == 413
        if len(batch.lines) > 1 and (is_too_large or batch.is_suspect):
            middle = len(batch.lines) // 2
            self._batches.popleft()
            self._batches.extendleft([Batch(batch.lines[middle:], batch.refused), Batch(batch.lines[:middle], batch.refused)])
        elif batch.is_suspect and (is_too_large or batch.refused >= 2 * PATIENCE - 1):
            self._done()
            self._drop(batch, status)
        else:
            batch.refused = PATIENCE if is_too_large else batch.refused + 1

    def _done(self) -> None:
        """Nothing more is to be done for the first batch; nor for any that was taken from the buffer, where it is the last."""
        self._batches.popleft()
        if not self._batches:
            self._buffer.settled()

    def _drop(self, batch: Batch, status: int) -> None:
        for line in batch.lines:
            self._buffer.drop(line.type)
            self._say_once(f"A {line.type} is refused even alone ({status}) and dropped: is there a filter before the server?")

    def _complain(self, answer: Answer, verdict: Verdict, had_events: bool) -> None:
        """Say once what a person should know; of trouble when it lasts and is not that of one batch, and when it is over."""
        if verdict.pause >= REFUSED_FOR:
            self._is_in_trouble = True
            self._say_once(verdict.complaint)
        elif verdict.fate is Fate.ARRIVED:
            if self._is_in_trouble:
                self._is_in_trouble = False
                logger.warning("The server takes events again.")
            self._say_each(answer)
        elif verdict.fate is Fate.GIVE_UP:
            self._say_each(answer)
        elif self._failures >= PATIENCE and not self._is_in_trouble and (verdict.fate is Fate.KEEP or not had_events):
            self._is_in_trouble = True
            logger.warning(verdict.complaint)

    def _say_each(self, answer: Answer) -> None:
        for words in complaints(answer):
            self._say_once(words)

    def _say_once(self, words: str) -> None:
        if words and words not in self._complaints and len(self._complaints) < 100:
            self._complaints.add(words)
            logger.warning(words)
