"""A thread that says now and then that this process lives. Nothing that a task does can keep it from that, but what stops the
whole process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from missedbeat.bell import Bell
from missedbeat.guard import guard
from missedbeat.relay import Relay

GATHERING = 0.1  # what children write meanwhile is read in one go
CLOSING = 0.5


class Heart:
    """Calls `beat` every so many seconds; and `listen` whenever children wrote into the relay, if there is one."""

    def __init__(
        self,
        seconds: float | None,
        beat: Callable[[], None],
        relay: Relay | None = None,
        listen: Callable[[], None] | None = None,
        first_after: float = 0.0,
    ) -> None:
        self._seconds, self._beat, self._relay, self._listen = seconds, beat, relay, listen
        self._bell = Bell()
        self._next_at = time.monotonic() + first_after
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Once per process: threads do not survive a fork."""
        if self._seconds is None and self._relay is None:
            return
        thread = threading.Thread(target=self._run, name="missedbeat-heart", daemon=True)
        with suppress(RuntimeError):  # the interpreter is ending
            thread.start()
            self._thread = thread

    def beat_now(self) -> None:
        """Do not wait for the next time; safe in a signal handler."""
        self._next_at = 0.0
        self._wake()

    def close(self) -> None:
        """The last beat is over: after a goodbye none may come. A beat that hangs is not waited for."""
        self._closed = True
        self._wake()
        if self._thread is not None:
            self._thread.join(timeout=CLOSING)

    def _run(self) -> None:
        while not self._closed:
            guard.run(self._turn)

    def _turn(self) -> None:
        self._wait(3600.0 if self._seconds is None else self._next_at - time.monotonic())
        if self._listen is not None:
            guard.run(self._listen)
        if self._seconds is not None and time.monotonic() >= self._next_at and not self._closed:
            self._next_at = time.monotonic() + self._seconds
            self._beat()

    def _wait(self, seconds: float) -> None:
        if self._relay is not None:
            self._relay.wait(max(seconds, 0.0))
            if seconds > GATHERING:
                time.sleep(GATHERING)
            return
        self._bell.wait(max(seconds, 0.0))

    def _wake(self) -> None:
        if self._relay is not None:
            self._relay.wake()
        else:
            self._bell.ring()
