"""How a thread of ours sleeps until it is needed: in a real thread, or in the greenlet that gevent or eventlet made of it.

A greenlet that waits as a thread does holds up the whole process, and no patch reaches a queue written in C that was imported
before. There we sleep by `time.sleep`, which both of them replace wherever it was imported.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from queue import Empty

try:
    from _queue import SimpleQueue  # the one in C, whatever stands in its place: no `put` of it ever waits
except ImportError:
    from queue import SimpleQueue

GREEN_NAP = 0.1


class Bell:
    """Many ring, one waits. To ring takes no lock and never waits; it is safe in a signal handler."""

    def __init__(self) -> None:
        self._rung: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """End the wait that is under way, or the next one."""
        self._rung.put(None)

    def wait(self, seconds: float | None) -> None:
        """Return when it rang, or after so long; None: only when it rang. Where threads are greenlets up to 0.1 s later."""
        with suppress(Empty):
            if is_green():
                self._nap(seconds)
            else:
                self._rung.get(timeout=seconds)

    def _nap(self, seconds: float | None) -> None:
        until = None if seconds is None else time.monotonic() + seconds
        while self._rung.empty():
            left = GREEN_NAP if until is None else until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, GREEN_NAP))
        self._rung.get(block=False)


def is_green() -> bool:
    """Whether gevent or eventlet have put greenlets in the place of threads."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if gevent is not None and gevent.is_module_patched("threading"):
        return True
    return eventlet is not None and bool(eventlet.is_monkey_patched("thread"))
