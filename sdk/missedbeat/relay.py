"""How the children of a prefork pool report: through a pipe to the main process of the worker.

A child has no thread, no socket and no queue of its own. What it saw is out of it before the task goes on, so that it survives
whatever kills the child the moment after.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from missedbeat.event import Event, read

WHOLE = 4096  # PIPE_BUF: a write up to this size is never torn, whoever else writes
CAPACITY = 1 << 20
SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, which Python knows from 3.10 on
WORDS_KEPT = 500
_text = json.JSONEncoder(default=str, separators=(",", ":")).encode  # made once: `dumps` would make one for each event
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
        try:
            return _which(self._writes) == self._pipe
        except OSError:
            return False

    def write(self, event: Event, dropped: dict[str, int]) -> bool:
        """Hand the event over whole, without the words of its error if they make it too long; False: it could not be."""
        line = _line(event, dropped)
        if len(line) > WHOLE:
            line = _line(_shortened(event), dropped)
        if len(line) > WHOLE:
            return False
        try:
            return os.write(self._writes, line) == len(line)
        except OSError:  # full, or nobody reads any more
            return False

    # in the main process

    def wait(self, seconds: float) -> None:
        """Return when something was written, or after so long."""
        poll = select.poll()
        poll.register(self._reads, select.POLLIN)
        poll.poll(max(0, int(seconds * 1000)))

    def wake(self) -> None:
        """End `wait`; safe in a signal handler."""
        with suppress(OSError):  # full: it wakes all the same
            os.write(self._writes, b"\n")

    def read(self) -> list[tuple[Event, dict[str, int]]]:
        """All that was written since, each with what its process dropped before."""
        with self._lock:
            return _records([line for line in self._lines() if line])

    def _lines(self) -> Iterator[str]:
        while True:
            try:
                piece = os.read(self._reads, PIECE)
            except BlockingIOError:
                return
            if not piece:
                return
            *lines, self._rest = (self._rest + piece).split(b"\n")
            yield from b"\n".join(lines).decode("utf-8", "replace").split("\n")


def _which(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _line(event: Event, dropped: dict[str, int]) -> bytes:
    return f"{_text([event, dropped])}\n".encode()


def _records(lines: list[str]) -> list[tuple[Event, dict[str, int]]]:
    """What these lines say, read in one go, for a busy pool writes thousands a second; one by one where some are not ours:
    somebody wrote to a descriptor that is not theirs."""
    try:
        return [(read(fields), dropped) for fields, dropped in json.loads(f"[{','.join(lines)}]")]
    except (ValueError, TypeError):
        return [record for line in lines for record in _records([line])] if len(lines) > 1 else []


def _shortened(event: Event) -> Event:
    """Without most of its words: what happened is worth more than why."""
    more: list[Any] = [value[:WORDS_KEPT] if isinstance(value, str) else value for value in event.more]
    return event._replace(more=tuple(more))
