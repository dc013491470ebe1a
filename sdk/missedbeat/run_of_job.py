"""A run of a job in a plain program: from its start to its end, with what it says meanwhile."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from contextlib import suppress
from contextvars import ContextVar, Token
from math import isfinite
from types import TracebackType
from typing import Any

from missedbeat.event import short_monitor, short_run
from missedbeat.guard import guard
from missedbeat.program import Program, this_program
from missedbeat.words import words_of

MOST_LINES = 1000
LONGEST_LOG = 4000
MOST_METRICS = 100

logger = logging.getLogger("missedbeat")

_current: ContextVar[Run | None] = ContextVar("missedbeat_run", default=None)


class Run:
    """One run; `id` is empty before it began and where nothing is reported. As a context manager it begins and ends with the
    block, and an exception passes through it unchanged. None of its methods raises, waits, or does input or output."""

    def __init__(self, key: str, options: dict[str, Any] | None = None, run_id: str = "", by_hand: bool = False) -> None:
        self.key, self.by_hand = str(key), by_hand
        self.id = self.x = ""
        self.att = 0
        self._options, self._wanted_id = options or {}, str(run_id or "")
        self._program: Program | None = None
        self._token: Token[Run | None] | None = None
        self._began = 0.0
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._metrics: dict[str, float] = {}
        self._progress: float | None = None
        self._has_news = self._goes_on = False

    # what a job says

    def log(self, text: Any) -> None:
        """A line for the log of this run, kept with it: the last 4,000 characters between two heartbeats."""
        guard.run(self._log, text)

    def metric(self, **numbers: float) -> None:
        """Numbers by name, such as `rows=10`; the newest of each counts. What is no finite number is logged, and left out."""
        for name, value in numbers.items():
            guard.run(self._metric, name, value)

    def progress(self, fraction: float) -> None:
        """How far it is, from 0 to 1."""
        with suppress(TypeError, ValueError):
            said = float(fraction)
            if said == said:  # noqa: PLR0124 - not for NaN
                self._progress = min(max(said, 0.0), 1.0)
                self._has_news = True

    # its life

    def begin(self, att: int = 0, more: tuple[Any, ...] = ()) -> Run:
        """It starts now; `att` is which try of this run id it is, from 0. `more`: further fields of the event, in pairs."""
        guard.run(self._begin, att, more)
        return self

    def succeed(self) -> None:
        """It ended well."""
        guard.run(self.over, "run.succeeded")

    def fail(self, why: str | BaseException = "", exit_status: int | None = None) -> None:
        """It ended badly."""
        guard.run(self._fail, why, exit_status)

    def end(self, error: BaseException | None) -> None:
        """It ended with this exception, or with none. `sys.exit()` and `sys.exit(0)` are a success; what else is no `Exception`
        (KeyboardInterrupt, a task that was cancelled) means that it was stopped in the middle."""
        if error is None or (isinstance(error, SystemExit) and not error.code):
            self.succeed()
        elif isinstance(error, (Exception, SystemExit)):
            code = error.code if isinstance(error, SystemExit) else None
            self.fail(error, int(code) if isinstance(code, int) and 0 < code < 256 else None)  # `sys.exit(not all_is_well)`
        else:
            guard.run(self._abort, error)

    def goes_on(self) -> None:
        """It does not end with this block, but with the next one that is entered with it."""
        self._goes_on = True

    def __enter__(self) -> Run:
        if not self._goes_on:
            self.begin()
        self._goes_on = False
        self._token = _current.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._token is not None:
            with suppress(ValueError):  # it ends in another context than it began in
                _current.reset(self._token)
        if not self._goes_on:
            self.end(error)

    def report_news(self) -> None:
        """Send what it said since the last time."""
        program = self._program
        if self._has_news and program is not None and program.reporter is not None:
            about = ("monitor", short_monitor(f"job:{self.key}"), "run", short_run(self.id), "att", self.att, "x", self.x)
            program.reporter.beat("run.log", [(*about, *self.news())], about=self.id)

    def news(self) -> tuple[Any, ...]:
        """What it said since the last time, as fields of an event; empty where it is nothing new."""
        if not self._has_news:
            return ()
        self._has_news = False
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        more: tuple[Any, ...] = ("log", "\n".join(lines)[-LONGEST_LOG:]) if lines else ()
        if self._metrics:
            more = (*more, "metrics", dict(self._metrics))
        return more if self._progress is None else (*more, "progress", self._progress)

    # inside

    def _log(self, text: Any) -> None:
        self._lines.append(str(text)[-LONGEST_LOG:])
        self._has_news = True

    def _metric(self, name: str, value: Any) -> None:
        number, _ = guard.attempt(float, value)
        if number is None or not isfinite(number):
            logger.warning("metric(%s=…) of %r is no number, and is left out", name, self.key)
        elif name in self._metrics or len(self._metrics) < MOST_METRICS:
            self._metrics[name] = value if type(value) is int else number
            self._has_news = True

    def _begin(self, att: int, more: tuple[Any, ...]) -> None:
        program = this_program()
        reporter = program.reporter
        if reporter is None:
            return
        program.declare(self.key, **self._options)
        self._program, self.id, self.att = program, self._wanted_id or os.urandom(16).hex(), att
        self.x, self._began = reporter.new_execution(), time.monotonic()
        reporter.record("run.started", f"job:{self.key}", self.id, att, self.x, more)
        program.began(self)

    def words_of(self, error: BaseException) -> str:
        """An exception, as far as `exceptions=` lets it out."""
        return words_of(error, self._program.settings.exceptions if self._program is not None else "none")

    def _fail(self, why: str | BaseException, exit_status: int | None) -> None:
        words = self.words_of(why) if isinstance(why, BaseException) else str(why)
        more: tuple[Any, ...] = ("error", words) if words else ()
        self.over("run.failed", more if exit_status is None else (*more, "exit", exit_status))

    def _abort(self, error: BaseException) -> None:
        words = self.words_of(error)
        self.over("run.aborted", ("error", words) if words else ())

    def over(self, kind: str, more: tuple[Any, ...] = ()) -> None:
        """It ended so, with these fields. Told once, and only by the process that began it: one that was forked meanwhile has no
        part in it."""
        program, self._program = self._program, None
        if program is None or program.reporter is None or self.id not in program.open:
            return
        duration = ("duration_ms", round((time.monotonic() - self._began) * 1000))
        program.reporter.record(kind, f"job:{self.key}", self.id, self.att, self.x, (*more, *duration, *self.news()))
        program.ended(self.id)


def in_context() -> Run | None:
    """The run whose block this is in."""
    return _current.get()
