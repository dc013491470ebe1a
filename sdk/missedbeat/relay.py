"""How the children of a prefork pool report: through a pipe to the main process of the worker.

A child has no thread, no socket and no queue of its own. What it saw is out of it before the task goes on, so that it survives
whatever kills the child the moment after.
"""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Iterator
from contextlib import suppress

CAPACITY = 1 << 20
SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, which Python knows from 3.10 on
PIECE = 1 << 16


class Relay:
    """A pipe that never blocks. Made in the main process, before it forks."""

    def __init__(self) -> None:
        self._reads, self._writes = os.pipe()
        for end in (self._reads, self._writes):
            os.set_blocking(end, False)
        with suppress(OSError):  # not Linux, or the user's share of pipe memory is used up: the default does
            fcntl.fcntl(self._writes, SET_PIPE_SIZE, CAPACITY)
        self._pipe = _which(self._writes)
        self._rest = b""
        self._lock = threading.Lock()

    # in a child

    def is_open(self) -> bool:
        """Whether the descriptor is still this pipe: a process may close all that it inherited, and the number is used again."""
        return self._is_ours(self._writes)

    def write(self, line: bytes) -> bool:
        """Hand a line over whole; False: it could not be. Looks each time: the number may have become a file of the task."""
        try:
            return self.is_open() and os.write(self._writes, line) == len(line)
        except OSError:  # full, or nobody reads any more
            return False

    # in the main process

    def wait(self, seconds: float) -> None:
        """Return when something was written, or after so long."""
        poll = select.poll()
        poll.register(self._reads, select.POLLIN)
        poll.poll(max(0, int(seconds * 1000)))

    def wake(self) -> None:
        """End `wait`; safe in a signal handler. Where the pipe is full it ends all the same."""
        self.write(b"\n")

    def read(self) -> list[bytes]:
        """All lines that were written since."""
        with self._lock:
            return [line for line in self._lines() if line] if self._is_ours(self._reads) else []

    def _is_ours(self, descriptor: int) -> bool:
        try:
            return _which(descriptor) == self._pipe
        except OSError:
            return False

    def _lines(self) -> Iterator[bytes]:
        while True:
            try:
                piece = os.read(self._reads, PIECE)
            except BlockingIOError:
                return
            if not piece:
                return
            *lines, self._rest = (self._rest + piece).split(b"\n")
            yield from lines


def _which(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
