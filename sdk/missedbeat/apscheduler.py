"""APScheduler 3: one line, `watch(scheduler)`, and each of its jobs that is due again and again is a check.

A listener hears what the scheduler does; it stands in the process that runs the scheduler, and its silence is found as that of
any program. What APScheduler tells nobody is heard where it is logged: a run whose process was killed, or whose result could not
be brought back.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional

from apscheduler import events
from apscheduler.triggers.date import DateTrigger

from missedbeat.apscheduler_trigger import describe, due_again, grace_of
from missedbeat.guard import guard
from missedbeat.program import LIMITS, this_program
from missedbeat.run_of_job import Run
from missedbeat.wanted import Monitor

__all__ = ["key_of", "watch"]

GENERATED = re.compile(r"[0-9a-f]{32}")
SKIPS_TOLD = 3
"""How often in a row a job may be skipped for its last run, before that is a failure: one that hangs holds up all that follow."""

Key = Callable[[Any], Optional[str]]
Place = tuple[str, str]

logger = logging.getLogger("missedbeat")


def key_of(job: Any) -> str | None:
    """Its id, or its name where APScheduler made the id up; None for what runs only once."""
    if isinstance(job.trigger, DateTrigger):
        return None
    return str(job.name if GENERATED.fullmatch(job.id) else job.id)


def watch(scheduler: Any, *, key: Key = key_of, monitors: Mapping[str, Monitor] | None = None) -> None:
    """Watch the jobs of a scheduler, in the process that runs it, before or after it starts. A second call changes nothing.

    `key(job)` names the check of a job, or says None for one that is not watched. `monitors`: limits by that key.
    """
    guard.run(_watch, scheduler, key, monitors or {})


def _watch(scheduler: Any, key: Key, monitors: Mapping[str, Monitor]) -> None:
    if getattr(scheduler, "_missedbeat", None) is not None:
        return
    scheduler._missedbeat = watcher = Watcher(scheduler, key, monitors)
    scheduler.add_listener(watcher.hear, events.EVENT_ALL)
    if scheduler.running:
        watcher.look()


@dataclass
class Watched:
    """One job. `is_opaque`: only its scheduler knows when it is due; `skips`: how often in a row it was not begun."""

    key: str
    is_opaque: bool
    is_gone: bool = False
    skips: int = 0
    runs: dict[datetime, Run] = field(default_factory=dict)


class Watcher:
    """What is known of one scheduler. Its events come from many threads, and the end of a run may come before its start."""

    def __init__(self, scheduler: Any, key: Key, monitors: Mapping[str, Monitor]) -> None:
        self._scheduler, self._key, self._monitors = scheduler, key, monitors
        self._jobs: dict[Place, Watched] = {}
        self._ended: set[tuple[Place, datetime]] = set()
        self._wrapped: set[int] = set()
        self._lock = threading.Lock()
        self._ways: dict[int, Callable[[Any], None]] = {
            events.EVENT_SCHEDULER_STARTED: lambda _: self.look(),
            events.EVENT_EXECUTOR_ADDED: lambda _: self._listen(),
            events.EVENT_JOB_ADDED: self._changed,
            events.EVENT_JOB_MODIFIED: self._changed,
            events.EVENT_JOB_REMOVED: lambda event: self._removed((event.jobstore, event.job_id)),
            events.EVENT_ALL_JOBS_REMOVED: self._all_removed,
            events.EVENT_JOBSTORE_REMOVED: self._all_removed,
            events.EVENT_JOB_SUBMITTED: self._submitted,
            events.EVENT_JOB_MAX_INSTANCES: self._skipped,
            events.EVENT_JOB_EXECUTED: self._over,
            events.EVENT_JOB_ERROR: self._over,
            events.EVENT_JOB_MISSED: self._over,
        }

    def hear(self, event: Any) -> None:
        """Something happened."""
        way = self._ways.get(event.code)
        if way is not None:
            guard.run(way, event)

    def look(self) -> None:
        """All jobs that there are."""
        self._listen()
        for job in self._scheduler.get_jobs():
            guard.run(self._register, job, job._jobstore_alias)

    # jobs

    def _changed(self, event: Any) -> None:
        job = self._scheduler.get_job(event.job_id, event.jobstore)
        if job is not None:
            self._register(job, event.jobstore)

    def _register(self, job: Any, store: str) -> None:
        """Say when it is due; that it is not, where it is paused."""
        key, place = self._key(job), (store, job.id)
        if not key:
            return
        schedule = describe(job.trigger, job.next_run_time)
        is_opaque = schedule["kind"] == "declared"
        with self._lock:
            before = self._jobs.get(place)
            if before is None and any(one.key == key and not one.is_gone for one in self._jobs.values()):
                logger.warning("Two jobs are called %r, and only the first is watched: give each an id of its own", key)
                return
            if before is None:
                self._jobs[place] = Watched(key, is_opaque)
            else:
                before.key, before.is_opaque, before.is_gone = key, is_opaque, False
        wanted = self._monitors.get(key)
        limits = {} if wanted is None else {name: getattr(wanted, name) or None for name in LIMITS}
        limits["grace"] = limits.get("grace") or grace_of(job, is_opaque)
        this_program().declare(key, schedule=schedule, **limits)

    def _removed(self, place: Place) -> None:
        """It is due no more; its last run may be still to come."""
        with self._lock:
            watched = self._jobs.get(place)
            if watched is None or watched.is_gone:
                return
            watched.is_gone = True
        this_program().declare(watched.key, schedule={"kind": "declared", "next_due": None})

    def _all_removed(self, event: Any) -> None:
        for place in [place for place in list(self._jobs) if event.alias in (None, place[0])]:
            self._removed(place)

    # runs

    def _submitted(self, event: Any) -> None:
        place = (event.jobstore, event.job_id)
        watched = self._jobs.get(place)
        if watched is None:
            return
        more = self._next_due(place) if watched.is_opaque else ()
        with self._lock:
            over = {due for due in event.scheduled_run_times if (place, due) in self._ended}
            self._ended -= {(place, due) for due in over}
            for due in event.scheduled_run_times:
                if due not in over:
                    watched.runs[due] = Run(watched.key).begin(more=more)
        if over and more:
            self._changed(event)

    def _next_due(self, place: Place) -> tuple[Any, ...]:
        job = guard.run(self._scheduler.get_job, place[1], place[0])
        due = due_again(None if job is None else job.next_run_time)
        return () if due is None else ("next_due", due)

    def _over(self, event: Any) -> None:
        """A run ended, or was not begun in time; or never was heard to begin, for its thread was quicker than the scheduler."""
        place, due = (event.jobstore, event.job_id), event.scheduled_run_time
        watched = self._jobs.get(place)
        if watched is None:
            return
        with self._lock:
            run = watched.runs.pop(due, None)
            if run is None:
                run = Run(watched.key).begin()
                self._ended.add((place, due))
            if event.code == events.EVENT_JOB_MISSED:
                run.over("run.expired", ("error", f"it was due at {due:%Y-%m-%d %H:%M:%S %z}, and was begun too late for that"))
            else:
                run.end(event.exception)
            self._settle(place, watched)

    def _settle(self, place: Place, watched: Watched) -> None:
        watched.skips = 0
        if watched.is_gone and not watched.runs:
            self._jobs.pop(place, None)

    def _skipped(self, event: Any) -> None:
        """It was due, and as many runs of it as there may be go on still."""
        watched = self._jobs.get((event.jobstore, event.job_id))
        if watched is None:
            return
        with self._lock:
            watched.skips += 1
            for run in watched.runs.values():
                run.log(f"It was due again at {event.scheduled_run_times[-1]:%H:%M:%S %z}, and was skipped: max_instances")
        reporter = this_program().reporter
        if watched.skips == SKIPS_TOLD and reporter is not None:
            words = f"it was skipped {SKIPS_TOLD} times in a row, for its last run still goes on (max_instances)"
            x = reporter.new_execution()
            reporter.record("run.rejected", f"job:{watched.key}", os.urandom(16).hex(), 0, x, ("error", words))

    # what APScheduler only logs

    def _listen(self) -> None:
        """Hear of runs that end without an event."""
        for executor in list(getattr(self._scheduler, "_executors", {}).values()):
            before = getattr(executor, "_run_job_error", None)
            if before is not None and id(executor) not in self._wrapped:
                self._wrapped.add(id(executor))
                executor._run_job_error = self._telling(before)

    def _telling(self, before: Callable[..., Any]) -> Callable[..., Any]:
        def run_job_error(job_id: str, exc: BaseException, *args: Any, **named: Any) -> Any:
            guard.run(self._broken, job_id, exc)
            return before(job_id, exc, *args, **named)

        return run_job_error

    def _broken(self, job_id: str, error: BaseException) -> None:
        with self._lock:
            for place, watched in [(place, one) for place, one in self._jobs.items() if place[1] == job_id]:
                for due in list(watched.runs):
                    run = watched.runs.pop(due)
                    if isinstance(error, BrokenProcessPool):
                        run.over("run.lost", ("reason", "exit", "error", "its process was killed, or ended in the middle"))
                    else:
                        run.end(error)
                self._settle(place, watched)
