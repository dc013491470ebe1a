"""What in an app's settings makes jobs hang, run twice, or die unnoticed. Each finding says in one sentence what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

from missedbeat.celery.handle import Handle
from missedbeat.celery.kept import Entries
from missedbeat.celery.naming import public_name
from missedbeat.celery.registration import watched
from missedbeat.celery.stores import Stored
from missedbeat.guard import guard

VISIBILITY = 3600  # of kombu's Redis transport, where nothing else is said
LONG_INTERVAL = 3600
NEVER_RUN = {"celery.chain": "chain", "celery.group": "group"}
ONLY_SEND = {"celery.chord": "chord", "celery.chunks": "chunks"}
DEFAULT_FILE = "celerybeat-schedule"


class Finding(NamedTuple):
    """`is_problem`: something will not work as it is; else it is advice."""

    words: str
    is_problem: bool = False


class App(NamedTuple):
    """What the rules look at."""

    handle: Handle
    conf: Any
    entries: list[Any]
    tasks: dict[str, Any]
    """The tasks that are watched and known here."""
    knows_all: bool
    """Whether there are no entries but these."""


Rule = Callable[[App], Iterator[Finding]]


def findings_of(handle: Handle, entries: Entries) -> list[Finding]:
    """All of an app, problems first."""
    app = _look_at(handle, entries)
    found = [finding for rule in RULES for finding in _guarded(rule, app)]
    return sorted(found, key=lambda finding: not finding.is_problem)


def _guarded(rule: Rule, app: App) -> list[Finding]:
    """A rule that fails is no reason to say nothing of the others."""
    found, error = guard.attempt(lambda: list(rule(app)))
    if error is None:
        return found or []
    return [Finding(f"{rule.__name__.strip('_').replace('_', ' ').capitalize()} could not be checked: {in_one_line(error)}")]


def in_one_line(error: BaseException) -> str:
    """What went wrong, for people at a terminal."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _look_at(handle: Handle, kept: Entries) -> App:
    entries = [one.entry for one in watched(handle, kept.found)]
    names = {str(entry.task) for entry in entries} | set(handle.names.checks)
    own = sorted(name for name in names if name in handle.app.tasks and not name.startswith("celery."))
    tasks = {name: handle.app.tasks[name] for name in own}
    return App(handle, handle.app.conf, entries, tasks, kept.is_all)


def _eager(app: App) -> Iterator[Finding]:
    if app.conf.task_always_eager:
        yield Finding("task_always_eager is on: nothing is sent to a worker; switch it off outside of tests.", True)


def _unknown_tasks(app: App) -> Iterator[Finding]:
    for entry in app.entries:
        if entry.task not in app.handle.app.tasks:
            yield Finding(f"Entry {_name(entry)!r} sends {entry.task!r}, which this app does not know: check both names.")
    for task in app.handle.names.checks:
        if task not in app.handle.app.tasks:
            yield Finding(f"missedbeat_monitors names {task!r}, which is no task of this app: check its name.", True)


def _canvas(app: App) -> Iterator[Finding]:
    """Beat sends a signature as the one task that it names, not as a program that calls it does."""
    for entry in app.entries:
        name, task = _name(entry), str(entry.task)
        if task in NEVER_RUN:
            what = NEVER_RUN[task]
            yield Finding(f"Entry {name!r} is a {what}, and Beat cannot send one: schedule a task that calls the {what}.", True)
        if task in ONLY_SEND:
            yield Finding(
                f'Entry {name!r} is watched until its {ONLY_SEND[task]} is sent, not until that ends: say scope="all", and each '
                "task of it has a check of its own."
            )


def _broker(app: App) -> Iterator[Finding]:
    _, error = guard.attempt(lambda: app.handle.app.connection_for_write().transport)
    if error is not None:
        yield Finding(f"broker_url cannot be used here: {in_one_line(error)}; install its transport, or check it.", True)


def _unknown_monitors(app: App) -> Iterator[Finding]:
    if not app.knows_all:
        return
    known = {_name(entry) for entry in app.entries} | {str(entry.name) for entry in app.entries}
    for name in app.handle.settings.monitors:
        if name not in known:
            yield Finding(f"monitors= names {name!r}, which is no watched entry of the schedule: check its name.", True)


def _time_limits(app: App) -> Iterator[Finding]:
    without = [name for name, task in app.tasks.items() if not task.time_limit]
    if without:
        yield Finding(
            f"{_list(without)} may run for ever, and hold a worker for as long: set task_time_limit, or time_limit of the task."
        )


def _acks(app: App) -> Iterator[Finding]:
    late = [name for name, task in app.tasks.items() if task.acks_late and not task.reject_on_worker_lost]
    if late:
        yield Finding(
            f"{_list(late)}: acks_late alone does not bring back a run whose process is killed; set task_reject_on_worker_lost."
        )
    early = [name for name, task in app.tasks.items() if not task.acks_late and task.reject_on_worker_lost]
    if early:
        yield Finding(f"{_list(early)}: reject_on_worker_lost has no effect without acks_late; set that too, or neither.")


def _visibility(app: App) -> Iterator[Finding]:
    """Redis gives a message that is not acknowledged to another worker after a while."""
    url = app.conf.broker_write_url
    first = url[0] if isinstance(url, (list, tuple)) and url else url
    if not str(first).startswith(("redis", "sentinel")):
        return
    shown = int((app.conf.broker_transport_options or {}).get("visibility_timeout") or VISIBILITY)
    long = [name for name, task in app.tasks.items() if task.acks_late and (task.time_limit or shown + 1) > shown]
    if long:
        yield Finding(
            f"{_list(long)}: runs of more than {shown} s begin a second time while the first goes on; set visibility_timeout in "
            "broker_transport_options above their time limit."
        )
    late = [_name(entry) for entry in app.entries if _seconds((getattr(entry, "options", None) or {}).get("countdown")) > shown]
    if late:
        yield Finding(f"{_list(late)}: a countdown of more than {shown} s runs several times on Redis; raise visibility_timeout.")


def _results(app: App) -> Iterator[Finding]:
    hidden = [name for name, task in app.tasks.items() if task.ignore_result and not task.store_errors_even_if_ignored]
    if hidden and app.conf.result_backend:
        yield Finding(
            f"{_list(hidden)}: results are ignored, and errors with them; set task_store_errors_even_if_ignored to keep these."
        )


def _names_with_arguments(app: App) -> Iterator[Finding]:
    for entry in app.entries:
        if "#" in _name(entry) and _name(entry) != str(entry.name):
            yield Finding(
                f"An entry of {entry.task!r} has no name, and is called {_name(entry)!r} here: give add_periodic_task a name=, "
                "else it becomes another monitor whenever its arguments change."
            )


def _schedule_file(app: App) -> Iterator[Finding]:
    own = [entry for entry in app.entries if not isinstance(entry, Stored)]  # the others have no file
    intervals = [_name(entry) for entry in own if _seconds(getattr(entry.schedule, "run_every", None)) >= LONG_INTERVAL]
    file = str(app.conf.beat_schedule_filename)
    if intervals and (file == DEFAULT_FILE or file.startswith("/tmp")):  # noqa: S108 - looked for, not used
        yield Finding(
            f"{_list(intervals)}: an interval begins anew when Beat starts without its file ({file}), as in a fresh container; "
            "keep the file on a volume (beat_schedule_filename), or use a crontab."
        )


def _name(entry: Any) -> str:
    return public_name(entry.name, entry.task)


def _seconds(value: Any) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return float(value) if isinstance(value, (int, float)) else 0.0


def _list(names: Iterable[str]) -> str:
    """The first three of them, and how many more there are."""
    all_names = list(names)
    more = f" and {len(all_names) - 3} more" if len(all_names) > 3 else ""
    return ", ".join(all_names[:3]) + more


RULES: tuple[Rule, ...] = (
    _eager, _broker, _unknown_tasks, _canvas, _unknown_monitors, _time_limits, _acks, _visibility, _results,
    _names_with_arguments, _schedule_file,
)  # fmt: skip
