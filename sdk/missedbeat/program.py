"""What a program without Celery is to us: where it reports to, which jobs it has declared, and that its runs live.

There is one in each process. After a fork the child begins with nothing declared and no run; what its parent runs is its own.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from missedbeat import settings as options
from missedbeat.event import short_monitor
from missedbeat.guard import guard
from missedbeat.heart import Heart
from missedbeat.reporter import Reporter
from missedbeat.settings import NOT_SET_UP, Settings
from missedbeat.wanted import Monitor, in_seconds

if TYPE_CHECKING:
    from missedbeat.run_of_job import Run

APP = "python"
CHUNK = 100
AGAIN = 1.0
LIMITS = ("grace", "max_runtime", "tags")

logger = logging.getLogger("missedbeat")


class Program:
    """This process. `reporter` is None where nothing is reported."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.reporter = _reporter(settings)
        self._begin()
        _programs.append(self)

    def _begin(self) -> None:
        """A process begins: with the first one, or after a fork."""
        self.pid = os.getpid()
        self.open: dict[str, Run] = {}
        self._declared: dict[str, Any] = {}
        self._heart: Heart | None = None
        self._ends_are_heard = False

    def declare(self, key: str, **given: Any) -> None:
        """Say when a job is due, `schedule` with its `tz`, and its limits: `grace`, `max_runtime` (seconds), `tags`. Once for
        each process, and again where it says something else. Without a schedule nothing is said; nonsense is logged."""
        said = {name: value for name, value in given.items() if value is not None}
        if self.reporter is None or not said or self._declared.get(key) == said:
            return
        self._declared[key] = said
        fields, error = guard.attempt(_declaration, key, said)
        if error is not None:
            logger.warning("The schedule of %r is not registered: %s", key, error)
        elif fields:
            self._hear_the_end()
            self.reporter.beat("job.declared", [fields], about=key)

    def began(self, run: Run) -> None:
        """A run begins: it is listed as alive from now on."""
        self.open[run.id] = run
        self._hear_the_end()
        if self._heart is None and self.settings.heartbeat is not None:
            every = self.settings.heartbeat
            self._heart = Heart(every, self._beat, first_after=every)
            self._heart.start()

    def ended(self, run_id: str) -> None:
        """It is over."""
        self.open.pop(run_id, None)
        self._hear_the_end()

    def newest(self, key: str) -> Run | None:
        """The run of this job that `start` began last in this process, and that did not end."""
        found = [run for run in list(self.open.values()) if run.key == key and run.by_hand]
        return found[-1] if found else None

    def flush(self, seconds: float | None = None) -> bool:
        """Send what waits now, in this time at most; False if that did not work out."""
        if self.reporter is None:
            return True
        limit = self.settings.flush_timeout if seconds is None else seconds
        return bool(guard.run(self.reporter.flush, limit))

    def _beat(self) -> None:
        """One heartbeat with every run under way, and before it what these have to say. Without any there is none."""
        reporter = self.reporter
        if reporter is None or not self.open:
            return
        for run in list(self.open.values()):
            guard.run(run.report_news)
        alive = reporter.runs.listed(time.time_ns() // 1_000_000)
        chunks = [alive[start : start + CHUNK] for start in range(0, len(alive), CHUNK)]
        if chunks:
            reporter.beat("runs.alive", [("active", chunk) for chunk in chunks])

    def _hear_the_end(self) -> None:
        """Children of `multiprocessing` end without `atexit`, and have an own way to be heard."""
        if self._ends_are_heard:
            return
        self._ends_are_heard = True
        processes = sys.modules.get("multiprocessing.process")
        if processes is not None and processes.parent_process() is not None:
            sys.modules["multiprocessing.util"].Finalize(None, self.flush, exitpriority=0)


_programs: list[Program] = []
_said: dict[str, Any] = {}
_this: dict[str, Program] = {}


def this_program() -> Program:
    """That of this process, made when it is first asked for. No lock is taken: of two threads the one that is first counts."""
    return _this.get(APP) or _this.setdefault(APP, Program(options.read(APP, _said, "missedbeat.configure")))


def configure(given: Mapping[str, Any]) -> None:
    """Settings for what is reported from now on; runs that are open go on where they began."""
    _said.clear()
    _said.update(given)
    _this.clear()


def flush_all(seconds: float | None = None) -> bool:
    """Send all that waits in this process, in this time at most; False if that did not work out."""
    until = None if seconds is None else time.monotonic() + seconds
    done = [one.flush(None if until is None else until - time.monotonic()) for one in list(_programs)]
    return all(done)


def _at_exit() -> None:
    """The interpreter ends: two seconds for what waits, and a word about what did not get away. A script is over before it can
    try again as others do, and so it does it here: the server may have been busy for a moment."""
    until = time.monotonic() + max((one.settings.flush_timeout for one in _programs), default=0.0)
    while not flush_all(until - time.monotonic()):
        troubles = [one.reporter.trouble for one in _programs if one.reporter is not None]
        if time.monotonic() + AGAIN > until or not any(may_pass for _, may_pass in troubles):
            _say_what_is_left(" ".join(sorted({why for why, _ in troubles if why})))
            return
        time.sleep(AGAIN)


def _say_what_is_left(why: str) -> None:
    lost = sum(one.reporter.lost for one in _programs if one.reporter is not None)
    is_kept = not lost and any(one.settings.spool for one in _programs)
    what = "it waits in the spool for the next one." if is_kept else f"{lost} events could not be sent."
    logger.warning("%s", f"The program ends, and the server was not told everything: {what} {why}".rstrip())


def _reporter(settings: Settings) -> Reporter | None:
    if settings.disabled:
        return None
    if not settings.is_complete:
        logger.warning(NOT_SET_UP)
        return None
    reporter = Reporter(settings)
    reporter.beats_every = settings.heartbeat
    return reporter


def _declaration(key: str, said: Mapping[str, Any]) -> tuple[Any, ...]:
    """As the wire has it; empty where nothing is said of when. Raises TypeError or ValueError."""
    limits = Monitor(**{name: said[name] for name in LIMITS if name in said}).declared()
    if "schedule" not in said:
        if limits:
            raise ValueError("grace, max_runtime and tags go with a schedule; say both, or set them in the dashboard")
        return ()
    more = {
        "name": short_monitor(f"job:{key}").partition(":")[2],
        "schedule": _schedule(said["schedule"], said.get("tz")),
        **limits,
    }
    return tuple(part for item in more.items() for part in item)


def _schedule(said: Any, zone: Any) -> dict[str, Any]:
    if isinstance(said, str):
        return {"kind": "cron", "expression": said, "zone": str(zone or "UTC")}
    if isinstance(said, Mapping):
        return dict(said)
    if isinstance(said, bool) or not isinstance(said, (int, float, timedelta)):
        raise TypeError(f"schedule={said!r}: say a cron expression, a number of seconds or a timedelta")
    return {"kind": "every", "seconds": in_seconds(said, "schedule")}


def _renew_all() -> None:
    for program in _programs:
        guard.run(program._begin)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
atexit.register(_at_exit)
