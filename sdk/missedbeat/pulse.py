"""A check of its own for a process that should always be there: it says once a minute that it lives."""

from __future__ import annotations

import os

from missedbeat.heart import Heart
from missedbeat.program import this_program

EVERY = 60.0
GRACE = 120.0


class Pulse:
    """`start` may be called again and again: it begins once in each process. Of several processes one is enough."""

    def __init__(self, key: str) -> None:
        self._key, self._pid = key, 0

    def start(self) -> None:
        """Say so now, and from now on."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            Heart(EVERY, self._beat).start()

    def _beat(self) -> None:
        program = this_program()
        program.declare(self._key, schedule=EVERY, grace=GRACE)
        if program.reporter is not None:
            program.reporter.record(
                "run.succeeded", f"job:{self._key}", os.urandom(16).hex(), 0, program.reporter.new_execution()
            )
