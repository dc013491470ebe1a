"""The thread that sends what waits: in batches, a second apart at least, again until they have arrived.

It is started with the first event and never waits for the program, nor the program for it. What a batch holds is made into text
once; an attempt adds the envelope and the newest heartbeats.
"""

from __future__ import annotations

import gzip
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol

from missedbeat.buffer import Buffer
from missedbeat.event import Event
from missedbeat.guard import guard
from missedbeat.post import Answer
from missedbeat.verdict import REFUSED_FOR, SPACING, Fate, Verdict, judge

MOST_EVENTS = 500
MOST_BYTES = 512_000
GZIP_OVER = 1_000
LINGER = 0.2

logger = logging.getLogger("missedbeat")


class Way(Protocol):
    """Where batches go: `post.Post`, or what stands in for it."""

    def send(self, body: bytes, headers: dict[str, str]) -> Answer:
        """One attempt; never raises for the network."""

    def close(self) -> None:
        """Let go of what it holds."""


class Line(NamedTuple):
    """An event as text."""

    type: str
    text: bytes


class Sender:
    """Takes from a buffer, gives to a way. `envelope(dropped)` is asked at each attempt, `write(event)` once for each event: its
    text, or None where it shall not be sent."""

    def __init__(
        self,
        way: Way,
        buffer: Buffer,
        envelope: Callable[[dict[str, int]], dict[str, Any]],
        write: Callable[[Event], bytes | None],
    ) -> None:
        self._way, self._buffer, self._envelope, self._write = way, buffer, envelope, write
        self._batches: deque[list[Line]] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asleep = self._flushing = self._busy = self._closed = False
        self._next_at = 0.0
        self._failures = 0
        self._complaints: set[str] = set()
        self.arrived = 0

    # for the program

    def ring(self) -> None:
        """Something waits. Takes no lock but at the first time, when the thread is started."""
        if self._thread is None:
            self._start()
        elif self._asleep:
            self._asleep = False
            self._bell.put(None)

    def flush(self, seconds: float, give_up: Callable[[], bool] = lambda: False) -> bool:
        """Send all that waits now; False if that did not work out in this time, or the server is away."""
        until = time.monotonic() + seconds
        if self.is_idle or self._closed:
            return self.is_idle
        if self._next_at > time.monotonic() + REFUSED_FOR / 2:
            return False
        failures, self._flushing = self._failures, True
        self.ring()
        self._bell.put(None)
        while time.monotonic() < until and not self.is_idle and self._failures == failures and not give_up():
            time.sleep(0.01)
        self._flushing = False
        return self.is_idle

    def close(self) -> None:
        """The thread ends after what it is doing."""
        self._closed = True
        self._bell.put(None)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        return self._buffer.is_empty and not self._batches and not self._busy

    @property
    def waiting(self) -> int:
        """How many events wait in batches that were tried already."""
        return sum(len(batch) for batch in self._batches)

    # the thread

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._closed:
                self._next_at = time.monotonic() + LINGER
                thread = threading.Thread(target=self._run, name="missedbeat-sender", daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while not self._closed:
            self._wait()
            if not self._closed:
                guard.run(self.send_once)
        self._way.close()

    def _wait(self) -> None:
        """Return when something is there and the time has come, or somebody flushes."""
        while not self._closed and not (self._flushing and not self.is_idle):
            if self.is_idle:
                self._asleep = True
                if self.is_idle:  # asked again: whoever came before we slept did not ring
                    self._listen(None)
                self._asleep = False
                self._next_at = max(self._next_at, time.monotonic() + LINGER)
            pause = self._next_at - time.monotonic()
            if pause <= 0 and not self.is_idle:
                return
            self._listen(max(pause, 0.0))

    def _listen(self, seconds: float | None) -> None:
        with suppress(Empty):
            self._bell.get(timeout=seconds)

    def send_once(self) -> None:
        """One attempt with what waits: the batch that was tried before, or else a new one."""
        self._busy = True
        self._next_at = time.monotonic() + SPACING  # also if what follows goes wrong
        try:
            if not self._batches:
                batch = self._collect()
                if batch:
                    self._batches.append(batch)
            beats = self._buffer.newest_beats()
            if self._batches or beats:
                self._attempt(self._batches[0] if self._batches else [], beats)
        finally:
            self._busy = False

    def _collect(self) -> list[Line]:
        batch: list[Line] = []
        size = 0
        while len(batch) < MOST_EVENTS and size < MOST_BYTES:
            event = self._buffer.take()
            if event is None:
                break
            text = self._write(event)
            if text is not None:
                batch.append(Line(event.type, text))
                size += len(text)
        return batch

    def _attempt(self, batch: list[Line], beats: Sequence[Sequence[Event]]) -> None:
        living = [text for events in beats for text in map(self._write, events) if text is not None]
        dropped = dict(self._buffer.dropped)
        envelope = json.dumps(self._envelope(dropped), separators=(",", ":")).encode()
        body = b"\n".join([envelope, *(line.text for line in batch), *living]) + b"\n"
        headers = {"Content-Type": "application/x-ndjson"}
        if len(body) > GZIP_OVER:
            body, headers["Content-Encoding"] = gzip.compress(body, 5), "gzip"
        answer = self._way.send(body, headers)
        verdict = judge(answer, self._failures, time.time())
        self._failures = self._failures + 1 if verdict.fate is Fate.KEEP else 0
        self._next_at = time.monotonic() + verdict.pause
        self._complain(answer, verdict)
        self._settle(verdict.fate, batch, beats, dropped)

    def _settle(self, fate: Fate, batch: list[Line], beats: Sequence[Sequence[Event]], dropped: dict[str, int]) -> None:
        """What becomes of the batch."""
        if fate is Fate.KEEP:
            self._flushing = False
            return
        if self._batches:
            self._batches.popleft()
        if fate is Fate.HALVE and len(batch) > 1:
            middle = len(batch) // 2
            self._batches.extendleft([batch[middle:], batch[:middle]])
            return
        if fate is Fate.HALVE:
            for line in batch:
                self._buffer.drop(line.type)
        else:
            self.arrived += len(batch)
            self._buffer.told(dropped)
        self._buffer.sent(beats)

    def _complain(self, answer: Answer, verdict: Verdict) -> None:
        """Say once what a person should know."""
        warnings = answer.body().get("warnings", []) if verdict.fate is Fate.ARRIVED else []
        for words in (verdict.complaint, *(str(warning) for warning in warnings[:20])):
            if words and words not in self._complaints and len(self._complaints) < 100:
                self._complaints.add(words)
                logger.warning(words)
