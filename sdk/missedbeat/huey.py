"""Huey: one line, `watch(huey)`, and each periodic task is a check; other tasks, if they are named.

Its signals tell of runs, in whatever thread or process a worker is. When a task is due stands in what `crontab()` made; of a
function of your own nobody can know it, and so you say it.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import timezone
from functools import wraps
from typing import Any

from huey import signals

from missedbeat import plain
from missedbeat.guard import guard
from missedbeat.program import this_program
from missedbeat.pulse import Pulse
from missedbeat.run_of_job import Run
from missedbeat.timetable import DAYS, HOURS, MINUTES, MONTHS, WEEKDAYS, field_of, zone_here

__all__ = ["watch"]

SAID = ("schedule", "tz", "grace", "max_runtime", "tags")
HELD_UP_TOLD = 3
"""How often in a row a task may find its lock taken, or its rate limit reached, before that is a failure: the lock may be of one
that was killed."""
HIDES = "one hides that another is gone, so call them otherwise"
SPANS = (MONTHS, DAYS, WEEKDAYS, HOURS, MINUTES)
AS_CRON = (4, 3, 1, 0, 2)  # where the fields of a crontab stand in what Huey keeps

logger = logging.getLogger("missedbeat")

_current: ContextVar[Run | None] = ContextVar("missedbeat_huey", default=None)
plain.elsewhere.append(_current.get)


def watch(huey: Any, tasks: Mapping[str, Mapping[str, Any] | None] | None = None, *, consumer: str = "") -> None:
    """Watch the tasks of this Huey: the periodic ones, and those that `tasks` names. A second call changes nothing.

    `tasks`: by the names of their functions, what `missedbeat.monitor` takes, such as `schedule`, and `key`, not said: the name;
    None: this one is not watched. `consumer`: the key of a check of its own for the consumer, which says once a minute that it
    lives.
    """
    guard.run(_watch, huey, tasks or {}, consumer)


def _watch(huey: Any, tasks: Mapping[str, Mapping[str, Any] | None], consumer: str) -> None:
    if getattr(huey, "_missedbeat", None) is None:
        huey._missedbeat = watcher = Watcher(huey, tasks, consumer)
        huey.signal()(watcher.hear)
        huey.execute = watcher.to_its_end(huey.execute)
        huey.on_startup(name="missedbeat")(watcher.begin)


class Watcher:
    """What is known of one Huey, in one process."""

    def __init__(self, huey: Any, tasks: Mapping[str, Mapping[str, Any] | None], consumer: str) -> None:
        self._huey, self._tasks = huey, tasks
        self._pulse = Pulse(consumer) if consumer else None
        self._runs: dict[str, Run] = {}
        self._errors: dict[str, str] = {}
        self._waiting: dict[str, Run] = {}
        self._held_up: dict[str, int] = {}
        self._ways: dict[str, Callable[..., None]] = {
            signals.SIGNAL_EXECUTING: self._executing, signals.SIGNAL_COMPLETE: self._complete,
            signals.SIGNAL_ERROR: self._error, signals.SIGNAL_TIMEOUT: self._timeout,
            signals.SIGNAL_LOCKED: self._locked, signals.SIGNAL_RATE_LIMITED: self._limited,
            signals.SIGNAL_RETRYING: self._retrying, signals.SIGNAL_SCHEDULED: self._again, signals.SIGNAL_ENQUEUED: self._again,
            signals.SIGNAL_CANCELED: self._canceled, signals.SIGNAL_INTERRUPTED: self._interrupted,
            signals.SIGNAL_REVOKED: self._revoked, signals.SIGNAL_EXPIRED: self._expired,
        }  # fmt: skip

    def begin(self) -> None:
        """A worker of the consumer begins: say when its tasks are due."""
        if self._pulse is not None:
            guard.run(self._pulse.start)
        periodic = list(self._huey._registry._periodic_tasks)
        for task in periodic:
            guard.run(self._declare, task)
        for name, times in Counter(task.__name__ for task in periodic if self._said(task) is not None).items():
            if times > 1:
                logger.warning(f"watch(huey): {times} periodic tasks are called %r, and share one check: {HIDES}", name)
        for name in self._tasks:
            if name not in {task.__name__ for task in self._huey._registry._registry.values()}:
                logger.warning("watch(huey, tasks=…): there is no task %r; its key is the name of its function", name)

    def hear(self, signal: str, task: Any, *args: Any) -> None:
        """Something happened to a task."""
        way = self._ways.get(signal)
        if way is not None:
            guard.run(way, task, *args)

    def to_its_end(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """Whatever Huey has no signal for: `sys.exit()` in a task, which ends its worker, a result that cannot be stored. Else
        the run would be alive for as long as its consumer, and never end."""

        @wraps(execute)
        def execute_watched(task: Any, *args: Any, **named: Any) -> Any:
            try:
                return execute(task, *args, **named)
            finally:
                guard.run(self._broke, task, sys.exc_info()[1])

        return execute_watched

    # what is watched

    def _said(self, kind: Any) -> dict[str, Any] | None:
        """What is said of a class of tasks, with its key; None where it is not watched."""
        name = kind.__name__
        if name not in self._tasks and not hasattr(kind, "validate_datetime"):
            return None
        said = self._tasks.get(name, {})
        return None if said is None else {"key": name, **said}

    def _declare(self, kind: Any) -> None:
        said = self._said(kind)
        if said is None:
            return
        options = {name: said[name] for name in SAID if name in said}
        if "schedule" not in options:
            options["schedule"] = schedule_of(kind, self._huey.utc)
        if options["schedule"] is not None:
            this_program().declare(said["key"], **options)
        else:
            words = "only its own function knows when %r is due: its runs are watched, one that is missing is not; say `schedule`"
            logger.warning(f"watch(huey): {words}", kind.__name__)

    # runs

    def _executing(self, task: Any) -> None:
        said = self._said(type(task))
        if said is None:
            return
        options = {} if "schedule" not in said else {name: said[name] for name in SAID if name in said}
        run = Run(said["key"], options, run_id=task.id).begin(max(type(task).default_retries - task.retries, 0))
        self._runs[task.id] = run
        _current.set(run)

    def _over(self, task: Any) -> Run | None:
        _current.set(None)
        run = self._runs.pop(task.id, None)
        if run is not None:
            self._held_up.pop(run.key, None)
        return run

    def _broke(self, task: Any, error: BaseException | None) -> None:
        run = self._over(task) if error is not None else None
        if run is not None:
            run.end(error)

    def _complete(self, task: Any) -> None:
        run = self._over(task)
        if run is not None:
            run.succeed()

    def _error(self, task: Any, error: BaseException | None = None) -> None:
        run = self._runs.get(task.id)
        if run is not None:
            self._failed(task, "" if error is None else run.words_of(error))

    def _timeout(self, task: Any) -> None:
        self._failed(task, f"it ran over its timeout of {task.timeout} s")

    def _failed(self, task: Any, words: str) -> None:
        """It did, and Huey will say next whether it tries again."""
        if task.retries:
            self._errors[task.id] = words
        elif (run := self._over(task)) is not None:
            run.fail(words)

    def _locked(self, task: Any) -> None:
        self._hold_up(task, "its lock is taken")

    def _limited(self, task: Any) -> None:
        self._hold_up(task, "its rate limit is reached")

    def _hold_up(self, task: Any, words: str) -> None:
        """It was not run. Now and then that is as it should be."""
        run = self._runs.get(task.id)
        if run is None or task.retries:
            return
        times = self._held_up.get(run.key, 0) + 1
        self._over(task)
        self._held_up[run.key] = times % HELD_UP_TOLD
        if times < HELD_UP_TOLD:
            run.over("run.revoked", ("error", f"it was not run: {words}"))
        else:
            run.over("run.rejected", ("error", f"it was not run {times} times in a row: {words}"))

    def _retrying(self, task: Any) -> None:
        """When, Huey says next."""
        run = self._over(task)
        if run is not None:
            self._waiting[task.id] = run

    def _again(self, task: Any) -> None:
        """It is enqueued, or scheduled: anew, where it was to be tried again."""
        run, words = self._waiting.pop(task.id, None), self._errors.pop(task.id, "")
        if run is None:
            return
        more: tuple[Any, ...] = ("error", words) if words else ()
        if task.eta is not None:
            eta = task.eta.replace(tzinfo=timezone.utc) if self._huey.utc else task.eta.astimezone()
            more = (*more, "eta", round(eta.timestamp() * 1000))
        run.over("run.retry", more)

    def _canceled(self, task: Any) -> None:
        run = self._over(task)
        if run is not None:
            run.over("run.revoked", ("error", "it was cancelled as it began, or cancelled itself"))

    def _interrupted(self, task: Any) -> None:
        run = self._over(task)
        if run is not None:
            run.over("run.aborted", ("error", "the consumer was stopped in the middle of it"))

    def _revoked(self, task: Any) -> None:
        self._not_begun(task, "run.revoked", "it is revoked")

    def _expired(self, task: Any) -> None:
        self._not_begun(task, "run.expired", "")

    def _not_begun(self, task: Any, kind: str, words: str) -> None:
        said, reporter = self._said(type(task)), this_program().reporter
        if said is not None and reporter is not None:
            more = ("error", words) if words else ()
            reporter.record(kind, f"job:{said['key']}", task.id, 0, reporter.new_execution(), more)
            this_program().ended(task.id)


def schedule_of(kind: Any, utc: bool) -> dict[str, Any] | None:
    """The `schedule` of `job.declared` of a class of periodic tasks; None where it is not due by a `crontab()`."""
    kept = _kept(_kept(kind.validate_datetime, "validate_datetime"), "cron_settings")
    zone = "UTC" if utc else zone_here()
    if kept is None or zone is None or len(kept) != len(SPANS):
        return None
    numbers = [{number % 7 for number in one} if span is WEEKDAYS else set(one) for one, span in zip(kept, SPANS)]
    return {"kind": "crontab", "expression": " ".join(field_of(numbers[n], *SPANS[n]) for n in AS_CRON), "zone": zone}


def _kept(function: Any, name: str) -> Any:
    """What a function keeps under this name of where it was made; None where it keeps nothing."""
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    return function.__closure__[names.index(name)].cell_contents if name in names else None
