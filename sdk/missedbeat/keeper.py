"""The buffer of a process that has a spool: a thread moves into files what hooks have put down, and out of them what is sent.

It alone reads and writes; hooks and the thread that sends take nothing but what lies ready in memory. So a disk that hangs holds
up neither a job nor a heartbeat.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Union

from missedbeat.buffer import Buffer, Waiting
from missedbeat.event import SYNC, Event, Told
from missedbeat.guard import guard
from missedbeat.own_thread import OwnThread
from missedbeat.settings import Settings
from missedbeat.spool import Line, Spool
from missedbeat.spool_file import SpoolFile

GATHERING = 0.05
LOOKING = 30.0
AT_ONCE = 500
READY = 3_000
STUCK = 3.0
CLOSING = 0.5
MOMENT = 0.02

Write = Callable[[Waiting], Union[bytes, None]]


class KeptBuffer(Buffer):
    """What hooks append is in a file a fraction of a second later, and stays there until the server has it. `name`: no other
    process has it; `write`: the text of an event, None where it shall not be sent; `on_found`: called when something from before
    waits to be sent."""

    def __init__(self, settings: Settings, name: str, write: Write, on_ready: Callable[[], None]) -> None:
        super().__init__(settings.max_buffer)
        self._write, self._on_ready = write, on_ready
        self._spool = Spool(settings, name, self.drop)
        self._ready: deque[Line] = deque()
        self._in_hand: deque[Told] = deque()
        self._out: dict[SpoolFile, tuple[int, int]] = {}
        self._arrived: deque[dict[SpoolFile, tuple[int, int]]] = deque()
        self._thread = OwnThread("missedbeat-spool", self._run)
        self._is_moving = False
        self._at_work_since: float | None = None
        self._look_at = 0.0

    # for hooks

    def append(self, event: Waiting) -> None:
        """Take one more."""
        super().append(event)
        self._thread.need()

    def beat(self, kind: str, events: Sequence[Event]) -> None:
        """As without a spool: heartbeats are not kept on disk."""
        super().beat(kind, events)
        self._thread.need()

    # for the thread that sends

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, in files neither. Asked in the order in which events move on, so that none slips by."""
        if self._is_stuck:
            return super().is_empty and not (self._in_hand or self._ready)
        return super().is_empty and not (self._is_moving or self._spool.has_more or self._ready or self._arrived)

    @property
    def in_memory(self) -> int:
        """What waits to be written, and what is being written."""
        return super().in_memory + len(self._in_hand)

    @property
    def is_bypassed(self) -> bool:
        """Whether memory is all there is: nothing can be written, the disk hangs, or no thread starts any more."""
        return self._is_stuck or self._thread.failed or not self._spool.is_usable

    @property
    def _is_stuck(self) -> bool:
        since = self._at_work_since
        return since is not None and time.monotonic() - since > STUCK

    def take(self) -> Waiting | None:
        """The schedule; else what lies ready; from memory only what cannot be written."""
        for sync in self._beats.pop(SYNC, ()):
            return sync
        if not self._ready and not self.is_bypassed and not self.is_empty:
            self._thread.need()
            time.sleep(MOMENT)
        try:
            line = self._ready.popleft()
        except IndexError:
            return self._from_memory() if self.is_bypassed else None
        _, lines = self._out.get(line.file, (0, 0))
        self._out[line.file] = line.position, lines + 1
        return line.told

    def _from_memory(self) -> Waiting | None:
        """What a disk that hangs has in its hands first: it may come a second time out of the file, and counts once."""
        try:
            return self._in_hand.popleft()
        except IndexError:
            return self.oldest()

    def settled(self) -> None:
        """All that was taken has arrived, or is given up."""
        out, self._out = self._out, {}
        if out:
            self._arrived.append(out)
            self._thread.need()

    # its end

    def store(self) -> None:
        """What waits in memory is in a file, or half a second is over, or there is none."""
        until = time.monotonic() + CLOSING
        while (len(self) or self._is_moving) and time.monotonic() < until and not self.is_bypassed:
            self._thread.need()
            time.sleep(MOMENT)

    def close(self) -> None:
        """The thread writes what waits, and leaves the files to others."""
        self._thread.close()
        self._thread.join(CLOSING)

    def abandon(self) -> None:
        """In a process that was forked: the files are the other one's."""
        self._spool.close()

    # the thread

    def _run(self) -> None:
        while not self._thread.closed:
            guard.run(self.work_once)
            self._wait()
        guard.run(self.work_once)
        self._spool.close()

    def _wait(self) -> None:
        self._thread.sleep(LOOKING, lambda: bool(self._arrived or (len(self) and self._spool.is_usable)))
        if not self._thread.closed:
            time.sleep(GATHERING)

    def work_once(self) -> None:
        """Everything that there is to do now, in files."""
        self._at_work_since = time.monotonic()
        try:
            self._keep()
            self._settle()
            self._look()
            self._fill()
        finally:
            self._at_work_since, self._is_moving = None, False

    def _keep(self) -> None:
        """What waits in memory goes into a file."""
        while len(self) and self._spool.is_usable:
            self._is_moving = True
            waiting: list[Told] = []
            while len(waiting) < AT_ONCE and (event := self.oldest()) is not None:
                text = self._write(event)
                if text is not None:
                    waiting.append(Told(event.type, event.ts, text, final=True))
            self._in_hand = deque(waiting)
            if waiting and not self._spool.write(waiting):
                self.put_back(list(self._in_hand))
            self._in_hand = deque()
        self._is_moving = False

    def _settle(self) -> None:
        arrived = len(self._arrived)
        for out in list(self._arrived)[:arrived]:
            for file, (position, lines) in out.items():
                self._spool.settle(file, position, lines)
        self._spool.tidy()
        for _ in range(arrived):
            self._arrived.popleft()

    def _look(self) -> None:
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOKING
        self._spool.look()

    def _fill(self) -> None:
        """Have ready what is to be sent next. What others left behind is news for the thread that sends."""
        while len(self._ready) < READY:
            self._is_moving = True
            line = self._spool.read()
            if line is None:
                break
            self._ready.append(line)
        self._is_moving = False
        if self._ready:
            self._on_ready()
