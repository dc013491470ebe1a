"""Which entries are watched, and what is said of them in `schedule.sync`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from celery.beat import ScheduleEntry

from missedbeat.celery.handle import Handle
from missedbeat.celery.naming import public_name
from missedbeat.celery.schedules import describe, next_due
from missedbeat.guard import guard
from missedbeat.wanted import Monitor

Declaration = dict[str, Any]
MOST_ENTRIES = 5_000  # of one sync; the service refuses a longer one whole

logger = logging.getLogger("missedbeat")


class Watched(NamedTuple):
    """An entry of Beat that is watched under this name."""

    name: str
    entry: Any


def watched(handle: Handle, entries: Iterable[Any]) -> Iterator[Watched]:
    """Of Beat's entries those that become monitors. A task that reports to a check of its own needs none."""
    for entry in entries:
        name = public_name(entry.name, entry.task)
        if str(entry.task) not in handle.names.checks and handle.names.is_watched(name, str(entry.task)):
            yield Watched(name, entry)


def declare(handle: Handle, one: Watched) -> Declaration | None:
    """What is said of an entry; None where its schedule cannot be read at all. Of one that runs once its time, and no period: it
    stays there for minutes after that."""
    schedule = guard.run(describe, one.entry.schedule)
    if schedule is None:
        return None
    if getattr(one.entry, "is_once", False):
        schedule = {"kind": "declared", "zone": schedule.get("zone") or "UTC"}
    if schedule["kind"] == "declared" or (schedule["kind"] == "every" and one.entry.last_run_at is not None):
        schedule["next_due"] = guard.run(next_due, one.entry.schedule, one.entry.last_run_at)
    monitor = handle.settings.monitors.get(one.name) or handle.settings.monitors.get(str(one.entry.name)) or Monitor()
    return {"name": one.name, "schedule": schedule, "task": str(one.entry.task), **monitor.declared()}


def declared_by_settings(handle: Handle) -> list[Declaration]:
    """What a worker can say of the schedule: the entries of the settings whose times do not depend on a running Beat."""
    entries = guard.run(settings_entries, handle.app) or []
    declared = (declare(handle, one) for one in watched(handle, entries))
    return [said for said in declared if said is not None and said["schedule"]["kind"] != "declared"][:MOST_ENTRIES]


def settings_entries(app: Any) -> list[Any]:
    """`beat_schedule` of the app, as Beat's own entries."""
    entries = []
    for name, given in dict(app.conf.beat_schedule or {}).items():
        entry, error = guard.attempt(_entry, app, name, given)
        if error is not None:
            logger.warning("beat_schedule: the entry %r cannot be read: %s: %s", name, type(error).__name__, error)
        else:
            entries.append(entry)
    return entries


def _entry(app: Any, name: str, given: Any) -> Any:
    return given if isinstance(given, ScheduleEntry) else ScheduleEntry(**{**dict(given), "name": name, "app": app})
