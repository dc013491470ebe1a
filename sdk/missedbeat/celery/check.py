"""`missedbeat check`: what would be watched, whether the server can be reached, and what in the settings is a trap."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery.app.utils import find_app
from celery.schedules import schedule

from missedbeat.celery.handle import Handle, handles
from missedbeat.celery.kept import Entries, entries_of
from missedbeat.celery.lint import Finding, findings_of, in_one_line
from missedbeat.celery.naming import public_name
from missedbeat.celery.registration import Watched, declare, watched
from missedbeat.guard import guard
from missedbeat.reporter import Reporter
from missedbeat.settings import NOT_SET_UP, read
from missedbeat.spool_file import ENDING

FINE, PROBLEM, NO_APP = 0, 1, 2
SLOTS = 5
logger = logging.getLogger("missedbeat")

NOT_INSTRUMENTED = Finding("The app is not instrumented: call instrument(app) where it is made.", True)


def check(app_name: str, offline: bool, strict: bool, scheduler: str = "") -> int:
    """Print all of it; 0 where all is well, 1 where something is not, 2 where there is no such app. `scheduler`: Beat's, if it is
    not the one of the settings."""
    sys.path.insert(0, str(Path.cwd()))
    with _Complaints() as complaints:
        app: Any = None
        error: BaseException | None
        try:
            app, error = guard.attempt(_load, app_name)
        except SystemExit as left:
            error = left
        if error is not None:
            print(f"Cannot load the app {app_name!r}: {in_one_line(error)}")
            return NO_APP
        handle = handles.get(id(app))
        findings = [] if handle is not None else [NOT_INSTRUMENTED]
        handle = handle or Handle(app, read(app.main, {}), None)
        entries = entries_of(handle.app, scheduler, handle.settings.once, offline)
        _print_schedule(handle, entries)
        findings += [] if offline else list(_reach(handle))
        findings += [*_unread(entries), *_spool(handle), *findings_of(handle, entries)]
    findings += [Finding(words, True) for words in complaints.heard]
    _print_findings(findings)
    return PROBLEM if any(finding.is_problem or strict for finding in findings) else FINE


def _load(app_name: str) -> Any:
    app = find_app(app_name)
    app.loader.import_default_modules()
    app.finalize()
    return app


class _Complaints(logging.Handler):
    """What our own log says of the settings meanwhile is kept for the list of problems, once each."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Without the traceback, if there is one; that nothing is set up is told elsewhere."""
        if record.msg != NOT_SET_UP:
            error = record.exc_info[1] if record.exc_info else None
            self.heard[record.getMessage() + (f": {in_one_line(error)}" if error is not None else "")] = None

    def __enter__(self) -> _Complaints:
        self.propagated, logger.propagate = logger.propagate, False
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logger.removeHandler(self)
        logger.propagate = self.propagated


def _print_schedule(handle: Handle, kept: Entries) -> None:
    settings, entries = handle.settings, kept.found
    environment = f", environment {settings.environment}" if settings.environment else ""
    print(f"App {settings.app}{environment}")
    seen = list(watched(handle, entries))
    print(f"\nWatched entries of the schedule: {len(seen)} of {len(entries)}")
    for one in seen:
        words = _watched_as(handle, one)
        if words:
            print(f"  {one.name}: {words}, task {one.entry.task}")
    names = {one.name for one in seen}
    for entry in entries:
        name = public_name(entry.name, entry.task)
        if name not in names:
            check = handle.names.checks.get(entry.task)
            print(f"  {name}: " + (f"reports to {check}" if check else "not watched (exclude, include)"))
    for task, monitor in handle.names.checks.items():
        print(f"  task {task}: reports to {monitor}, whoever starts it")
    if handle.settings.scope != "beat":
        print("  and tasks that no entry sends, as scope= says")
    if not kept.is_all:
        print("  and what Beat keeps elsewhere, which was not read")


def _watched_as(handle: Handle, one: Watched) -> str:
    """When it is due, and how late it may be; empty where its schedule cannot be read."""
    if getattr(one.entry, "is_paused", False):
        return "paused"
    said = declare(handle, one)
    if said is None:
        return ""
    times = "once" if getattr(one.entry, "is_once", False) else _in_words(said["schedule"])
    return f"{times}, {_grace(said, one.entry)}"


def _in_words(said: dict[str, Any]) -> str:
    if said["kind"] == "crontab":
        return f"crontab {said['expression']} ({said['zone']})"
    return f"every {said['seconds']} s" if said["kind"] == "every" else "whenever Celery says (declared)"


def _grace(said: dict[str, Any], entry: Any) -> str:
    if "grace" in said:
        return f"grace {said['grace']:g} s"
    gap, _ = guard.attempt(_smallest_gap, entry)
    return f"grace {min(max((gap or 0.0) / 10, 60.0), 3600.0):g} s (by rule)"


def _smallest_gap(entry: Any) -> float:
    """Between the next few times that it is due."""
    if isinstance(entry.schedule, schedule):
        return float(entry.schedule.seconds)
    at, gaps = entry.schedule.now(), []
    for _ in range(SLOTS):
        after, delta, _ = entry.schedule.remaining_delta(at)
        due = after + delta
        gaps.append(due - at)
        at = due
    return min(gaps[1:], default=timedelta()).total_seconds()


def _unread(kept: Entries) -> Iterator[Finding]:
    if kept.problem is not None:
        yield Finding(f"The entries that Beat keeps elsewhere cannot be read here: {in_one_line(kept.problem)}", True)


def _spool(handle: Handle) -> Iterator[Finding]:
    """Whether events can wait there. Nothing is made: whoever checks need not be the user who runs the worker."""
    if not handle.settings.spool:
        return
    folder = Path(handle.settings.spool)
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield Finding(f"The spool {folder} cannot be written by this user: events wait in memory only.", True)
        return
    waiting = len(list(folder.glob(f"*{ENDING}")))
    print(f"\nSpool {folder}: " + (f"{waiting} files wait in it" if waiting else "nothing waits in it"))


def _reach(handle: Handle) -> Iterator[Finding]:
    """A request without any event: is the address right, and the key good?"""
    print()
    settings = handle.settings
    if settings.disabled or settings.offline:
        print("Nothing is sent: MISSEDBEAT_DISABLED or MISSEDBEAT_OFFLINE is set.")
        return
    if not settings.is_complete:
        yield Finding("MISSEDBEAT_URL and MISSEDBEAT_KEY are not both set: nothing is reported.", True)
        return
    answer = Reporter(settings).try_out()
    if answer.status == 0:
        yield Finding(f"{settings.url} cannot be reached ({answer.said}): check MISSEDBEAT_URL, and the network.", True)
    elif answer.status in (401, 403):
        yield Finding(f"{settings.url} refuses the key ({answer.status}): set MISSEDBEAT_KEY to a read-write key.", True)
    elif not 200 <= answer.status < 300:
        yield Finding(f"{settings.url} answers {answer.status}: check MISSEDBEAT_URL.", True)
    else:
        print(f"{settings.url} answers and takes the key.")
        for warning in answer.body().get("warnings", []):
            yield Finding(str(warning))


def _print_findings(findings: list[Finding]) -> None:
    for title, is_problem in (("Problems", True), ("Advice", False)):
        words = [finding.words for finding in findings if finding.is_problem is is_problem]
        if words:
            print(f"\n{title}")
            print("\n".join(f"  - {sentence}" for sentence in words))
    if not findings:
        print("\nNothing to complain about.")
