"""The one place that catches everything: nothing that goes wrong in here may reach the program that is watched."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

Result = TypeVar("Result")

logger = logging.getLogger("missedbeat")


class Guard:
    """Runs our own code, counts its errors, and logs the first of each kind."""

    def __init__(self) -> None:
        self.errors = 0
        self._known: set[tuple[str, str]] = set()

    def run(self, work: Callable[..., Result], *args: Any, **named: Any) -> Result | None:
        """What `work` returns; None if it raised. What is no Exception (SystemExit, a gevent timeout) passes through."""
        result, error = self.attempt(work, *args, **named)
        if error is not None:
            self._note(work, error)
        return result

    def attempt(self, work: Callable[..., Result], *args: Any, **named: Any) -> tuple[Result | None, Exception | None]:
        """What `work` returned or raised, for those who have something of their own to say about it: nothing is counted."""
        try:
            return work(*args, **named), None
        except Exception as error:  # noqa: BLE001 - this is the place for it
            return None, error

    def wrap(self, work: Callable[..., Result]) -> Callable[..., Result | None]:
        """`work`, always run in here; written out, for every hook goes this way."""

        @wraps(work)
        def guarded(*args: Any, **named: Any) -> Result | None:
            try:
                return work(*args, **named)
            except Exception as error:  # noqa: BLE001 - and this is the same one
                self._note(work, error)
                return None

        return guarded

    def _note(self, work: Callable[..., Any], error: Exception) -> None:
        self.errors += 1
        name = getattr(work, "__qualname__", type(work).__name__)
        if (name, type(error).__name__) not in self._known and len(self._known) < 100:
            self._known.add((name, type(error).__name__))
            logger.warning("%s failed; the job is not affected, and this is not repeated", name, exc_info=error)


guard = Guard()
