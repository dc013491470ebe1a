"""A thread that says now and then that this process lives. Nothing that a task does can keep it from that, but what stops the
whole process."""

from __future__ import annotations

import time
from collections.abc import Callable

from missedbeat.guard import guard
from missedbeat.own_thread import OwnThread
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
        self._next_at = time.monotonic() + first_after
        self._thread = OwnThread("missedbeat-heart", self._run)

    def start(self) -> None:
        """Once per process: threads do not survive a fork."""
        if self._seconds is not None or self._relay is not None:
            self._thread.start()

    def beat_now(self) -> None:
        """Do not wait for the next time; safe in a signal handler."""
        self._next_at = 0.0
        self._wake()

    def close(self) -> None:
        """The last beat is over: after a goodbye none may come. A beat that hangs is not waited for."""
        self._thread.close()
        self._wake()
        self._thread.join(CLOSING)

    def _run(self) -> None:
        while not self._thread.closed:
            guard.run(self._turn)

    def _turn(self) -> None:
        self._wait(3600.0 if self._seconds is None else self._next_at - time.monotonic())
        if self._listen is not None:
            guard.run(self._listen)
        if self._seconds is not None and time.monotonic() >= self._next_at and not self._thread.closed:
            self._next_at = time.monotonic() + self._seconds
            self._beat()

    def _wait(self, seconds: float) -> None:
        if self._relay is not None:
            self._relay.wait(max(seconds, 0.0))
            if seconds > GATHERING:
                time.sleep(GATHERING)
            return
        self._thread.pause(max(seconds, 0.0))

    def _wake(self) -> None:
        if self._relay is not None:
            self._relay.wake()
        else:
            self._thread.ring()
