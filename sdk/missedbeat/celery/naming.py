"""Which monitor a run belongs to: read from what travels with the task's message."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from missedbeat.settings import Settings

HEADER = "missedbeat"
"""Of each message that we mark. "e": the name of the Beat entry; "p": when it was published, in milliseconds; "m": the monitor,
of a run that no entry started and that is published again."""

LONGEST = 200
KNOWN_KEPT = 10_000


class Names:
    """The rules of one app. What they say of a name is kept, so that a hook only looks it up."""

    def __init__(self, app: Any, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._known: dict[tuple[str, str], bool] = {}
        self._checks: dict[str, str] | None = None
        self._only_entries: dict[str, str] | None = None

    @property
    def checks(self) -> Mapping[str, str]:
        """Task name and check of `app.conf.missedbeat_monitors`; read at the first use, for that loads the settings."""
        if self._checks is None:
            said = self._app.conf.get("missedbeat_monitors") or {}
            self._checks = {str(task): f"check:{check}" for task, check in dict(said).items()}
        return self._checks

    def monitor_of(self, task: str, headers: Mapping[str, Any], request: Any = None) -> str:
        """The monitor of a run of this task with these headers; empty if it is none of ours."""
        monitor = self.checks.get(task) or _monitor_in(headers)
        if monitor:
            return monitor
        entry = entry_in(headers) or self._entry_by_task(task, headers)
        if entry:
            return f"entry:{entry}" if self.is_watched(entry, task) else ""
        return f"task:{task}" if self._in_scope(task, request) else ""

    def is_watched(self, entry: str, task: str) -> bool:
        """Whether `include` and `exclude` let it through, by the name of the entry or of the task."""
        known = self._known.get((entry, task))
        if known is None:
            known = self._is_let_through(entry, task)
            if len(self._known) < KNOWN_KEPT:
                self._known[entry, task] = known
        return known

    def marks_all(self, task: str) -> bool:
        """Whether messages that no Beat sent get our header too, for the time that they wait."""
        return self._settings.scope != "beat" or task in self.checks

    def _in_scope(self, task: str, request: Any) -> bool:
        scope = self._settings.scope
        if scope == "beat" or not self.is_watched("", task):
            return False
        return scope == "all" or bool(callable(scope) and scope(self._app.tasks.get(task), request))

    def _is_let_through(self, entry: str, task: str) -> bool:
        names = [name for name in (entry, task) if name]
        include, exclude = self._settings.include, self._settings.exclude
        if any(fnmatchcase(name, pattern) for name in names for pattern in exclude):
            return False
        return not include or any(fnmatchcase(name, pattern) for name in names for pattern in include)

    def _entry_by_task(self, task: str, headers: Mapping[str, Any]) -> str:
        """Beat sent it (Celery 5.7 says so) without our header: known if only one entry has this task."""
        if not headers.get("celery_beat_task"):
            return ""
        if self._only_entries is None:
            self._only_entries = _only_entries(self._app.conf.beat_schedule or {})
        return self._only_entries.get(task, "")


def entry_in(headers: Mapping[str, Any]) -> str:
    """The entry that the headers of a message name: ours, or that of django-celery-beat."""
    ours = headers.get(HEADER)
    entry = ours.get("e") if isinstance(ours, dict) else None
    return str(entry or headers.get("periodic_task_name") or "")


def _monitor_in(headers: Mapping[str, Any]) -> str:
    ours = headers.get(HEADER)
    return str(ours.get("m") or "") if isinstance(ours, dict) else ""


def published_in(headers: Mapping[str, Any]) -> int | None:
    """When the message was published, in milliseconds."""
    ours = headers.get(HEADER)
    at = ours.get("p") if isinstance(ours, dict) else None
    return at if isinstance(at, int) else None


def public_name(entry: Any, task: Any) -> str:
    """The name that we call an entry by. `add_periodic_task` without a name uses the call, with all its arguments, which have no
    place in any event: these are told apart by a hash."""
    name, task = str(entry), str(task)
    if name != task and name.startswith(f"{task}("):
        return f"{task[: LONGEST - 9]}#{_hash(name)}"
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}#{_hash(name)}"


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]


def _only_entries(schedule: Mapping[Any, Any]) -> dict[str, str]:
    """Task and entry, for the tasks that have one entry only."""
    entries: dict[str, list[str]] = {}
    for name, entry in schedule.items():
        task = entry.get("task", name) if isinstance(entry, dict) else getattr(entry, "task", None)
        if isinstance(task, str):
            entries.setdefault(task, []).append(public_name(name, task))
    return {task: names[0] for task, names in entries.items() if len(names) == 1}
