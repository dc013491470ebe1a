"""What a Python program says of its jobs: a decorator, a block, or single words.

All of it is reported by a thread, in batches; nothing here raises into the job, waits or blocks. A program that ends waits for
what is still to be sent, 2 s at most; one that is killed, or ends by `os._exit`, takes its last second with it, and the server
finds its runs lost by its silence.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar

from missedbeat.guard import guard
from missedbeat.program import configure as _configure
from missedbeat.program import flush_all, this_program
from missedbeat.run_of_job import Run, in_context

__all__ = ["Job", "configure", "current_run", "fail", "flush", "monitor", "ping", "run", "start", "success"]

Function = TypeVar("Function", bound=Callable[..., Any])

elsewhere: list[Callable[[], Run | None]] = []
"""Who knows of runs that were not begun here, as those of Celery's tasks are not: asked in turn by `current_run`."""


def configure(**given: Any) -> None:
    """Where and how this process reports, if not as the environment says. All may be left out:

    - `url`, `key`, `environment`: else MISSEDBEAT_URL, MISSEDBEAT_KEY (or `file:` and a path) and MISSEDBEAT_ENVIRONMENT;
    - `heartbeat`: how often, in seconds, the server hears that runs are alive; None: never, and a run that takes longer than its
      `max_runtime`, else its grace, is lost;
    - `exceptions`: "none", "type", "message" or "traceback"; `before_send`: a function of an event that returns what may be sent;
    - `max_buffer`: how many events may wait; `flush_timeout`: how many seconds the end of the process may wait for them;
    - `spool`: a folder in which events wait, so that they outlive the process; else MISSEDBEAT_SPOOL.
    """
    guard.run(_configure, given)


def monitor(key: str, *, schedule: Any = None, tz: Any = None, grace: Any = None, max_runtime: Any = None, tags: Any = ()) -> Job:
    """Watch a function, sync or async, as a decorator; or a block, as a context manager. `key` names the job in this project and
    environment; it may be the id or the slug of a check that is there.

    `schedule` (a cron expression, read in the zone `tz`, UTC if not said; or seconds, or a timedelta between two runs) makes the
    check, or changes it, at the first run. `grace`: how late it may be; `max_runtime`: how long it may take; both in seconds or
    as timedelta. What makes no sense is logged, and left out. Raises TypeError for a function that is a generator: use
    `with missedbeat.run(key):` inside of it.
    """
    return Job(key, {"schedule": schedule, "tz": tz, "grace": grace, "max_runtime": max_runtime, "tags": tags or None})


def run(key: str, *, schedule: Any = None, tz: Any = None, grace: Any = None, max_runtime: Any = None, tags: Any = ()) -> Run:
    """A block that is one run of this job; the same as `monitor`, and it gives the run: `with missedbeat.run("nightly") as r`."""
    return Run(key, {"schedule": schedule, "tz": tz, "grace": grace, "max_runtime": max_runtime, "tags": tags or None})


def current_run() -> Run:
    """The run that this is called in: of a block, a decorated function, a Celery task that is watched. Outside of any it is one
    that takes everything and reports nothing."""
    found = in_context()
    for ask in [] if found is not None else elsewhere:
        found = found or guard.run(ask)
    return found if found is not None else Run("")


def ping(key: str, text: str = "") -> None:
    """The job ran, and ended well: the same as `success`."""
    success(key, text)


def start(key: str, run_id: str = "") -> str:
    """A run begins in this process, and lives as long as it does; returns its id."""
    return Run(key, run_id=run_id, by_hand=True).begin().id


def success(key: str, text: str = "", run_id: str = "") -> None:
    """The run that `start` began last in this process ended well, or the one with this id; where none did, one that ends now."""
    guard.run(_over, key, run_id, "run.succeeded", "log", text)


def fail(key: str, why: str = "", run_id: str = "") -> None:
    """The same, and it ended badly."""
    guard.run(_over, key, run_id, "run.failed", "error", why)


def flush(seconds: float | None = None) -> bool:
    """Send what waits now, in this time at most (`flush_timeout` if not said); False if that did not work out."""
    return bool(guard.run(flush_all, seconds))


def _over(key: str, run_id: str, kind: str, field: str, said: str) -> None:
    program = this_program()
    if program.reporter is None:
        return
    run_id = str(run_id or "")
    words = guard.run(str, said) if said else ""
    more: tuple[Any, ...] = (field, words) if words else ()
    begun = program.open.get(run_id) if run_id else program.newest(str(key))
    if begun is not None:
        begun.over(kind, more)
    else:
        ended = run_id or os.urandom(16).hex()
        program.reporter.record(kind, f"job:{key}", ended, 0, program.reporter.new_execution(), more)
        program.ended(ended)


async def _to_its_end(run: Run, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The rest of a run whose function was no `async def`, and returned a coroutine, as many decorators make them."""
    with run:
        return await coroutine


class Job:
    """What `monitor` returns."""

    def __init__(self, key: str, options: dict[str, Any]) -> None:
        self._key, self._options = key, options

    def __call__(self, function: Function) -> Function:
        """The function, watched. Raises TypeError for what cannot be."""
        name = getattr(function, "__qualname__", repr(function))
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"missedbeat.monitor({self._key!r}): {name} is a generator, which has done nothing yet when it "
                "returns; use `with missedbeat.run(...):` inside of it, or watch the function that uses it"
            )
        if isinstance(function, (staticmethod, classmethod)):
            raise TypeError(f"missedbeat.monitor({self._key!r}) stands below @{type(function).__name__}, next to the function")
        if not callable(function) or isinstance(function, type):
            raise TypeError(f"missedbeat.monitor({self._key!r}): {name} is no function")
        kind = self._as_coroutine if inspect.iscoroutinefunction(function) else self._as_function
        return kind(function)  # type: ignore[return-value]

    def _as_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def watched(*args: Any, **named: Any) -> Any:
            run = Run(self._key, self._options)
            with run:
                result = function(*args, **named)
                if not inspect.iscoroutine(result):
                    return result
                run.goes_on()
            return _to_its_end(run, result)

        return watched

    def _as_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        async def watched(*args: Any, **named: Any) -> Any:
            with Run(self._key, self._options):
                return await function(*args, **named)

        return watched

    def __enter__(self) -> Run:
        return Run(self._key, self._options).__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        current = in_context()
        if current is not None and current.key == str(self._key):
            current.__exit__(kind, error, traceback)
