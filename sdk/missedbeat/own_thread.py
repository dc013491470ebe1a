"""A thread of ours: a daemon that starts when it is first needed, and sleeps until it is needed again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from missedbeat.bell import Bell


class OwnThread:
    """Runs `work` once, which sleeps in `sleep`. Started anew by nobody: not after `work` has returned, not after a fork."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._name, self._work = name, work
        self._bell = Bell()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asleep = False
        self.closed = self.failed = False

    def start(self) -> None:
        """From now on it runs; or it `failed`, for now: the interpreter is ending, or the system has no more. Never waits."""
        if not self._starting.acquire(blocking=False):
            return  # somebody else is at it, and may be a greenlet: waiting here would wait for ever
        try:
            if self._thread is None and not self.closed:
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self.failed = not started(thread)
                if not self.failed:
                    self._thread = thread
                    self._bell.ring()  # for whoever came meanwhile
        finally:
            self._starting.release()

    def need(self) -> None:
        """Something is to be done. Takes no lock but at the first time, when it starts."""
        if self._thread is None:
            self.start()
        elif self._asleep:
            self._asleep = False
            self._bell.ring()

    def ring(self) -> None:
        """End its sleep or its pause, or the next one of them; safe in a signal handler."""
        self._bell.ring()

    def close(self) -> None:
        """Its work looks for `closed`, and is over soon; it does not start any more."""
        self.closed = True
        self._bell.ring()

    def join(self, seconds: float) -> None:
        """Return when it is over, if it ever started; at the latest after so long."""
        if self._thread is not None:
            self._thread.join(timeout=seconds)

    # for the thread itself

    def sleep(self, seconds: float | None, is_needed: Callable[[], bool]) -> None:
        """Return when it is needed, or after so long; None: only when it is needed."""
        self._asleep = True
        if not is_needed():  # asked again: whoever came before we slept did not ring
            self._bell.wait(seconds)
        self._asleep = False

    def pause(self, seconds: float) -> None:
        """Return after so long, or when somebody rings; `need` does not."""
        self._bell.wait(seconds)


def started(thread: threading.Thread) -> bool:
    """Whether it could be."""
    with suppress(RuntimeError):
        thread.start()
        return True
    return False
