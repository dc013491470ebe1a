"""Which monitor a run belongs to: read from what travels with the task's message."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

from missedbeat.guard import guard
from missedbeat.settings import Settings

HEADER = "missedbeat"
"""Of each message that we mark. "e": the name of the Beat entry, empty where that runs once and has no monitor; "p": when it was
published, in milliseconds; "m": the monitor, of a run that no entry started and that is published again; "r": when its run was
first published, where the program chose its id itself."""

LONGEST = 200
KNOWN_KEPT = 10_000
CALL = re.compile(r"\S\(")

logger = logging.getLogger("missedbeat")


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
            self._checks = _checks_in(self._app.conf.get("missedbeat_monitors"))
        return self._checks

    def monitor_of(self, task: str, headers: Mapping[str, Any], request: Any = None) -> str:
        """The monitor of a run of this task with these headers; empty if it is none of ours. Where a function is the scope, it is
        asked with the request of a run that begins; of any other run we know less: without a request nobody is asked."""
        monitor = self.checks.get(task) or _monitor_in(headers)
        if monitor:
            return monitor
        entry = entry_in(headers, task) or self._entry_by_task(task, headers)
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
        if not callable(scope):
            return True
        return request is not None and bool(guard.run(scope, self._app.tasks.get(task), request))

    def _is_let_through(self, entry: str, task: str) -> bool:
        names = [name for name in (entry, task) if name]
        include, exclude = self._settings.include, self._settings.exclude
        if any(fnmatchcase(name, pattern) for name in names for pattern in exclude):
            return False
        return not include or any(fnmatchcase(name, pattern) for name in names for pattern in include)

    def _entry_by_task(self, task: str, headers: Mapping[str, Any]) -> str:
        """Beat sent it (Celery 5.7 says so) without our header: known if only one entry has this task."""
        ours = headers.get(HEADER)
        if not headers.get("celery_beat_task") or (isinstance(ours, dict) and "e" in ours):
            return ""
        if self._only_entries is None:
            self._only_entries = _only_entries(self._app.conf.beat_schedule or {})
        return self._only_entries.get(task, "")


def entry_in(headers: Mapping[str, Any], task: str) -> str:
    """The entry that the headers of a message name: ours, or that of django-celery-beat."""
    ours = headers.get(HEADER)
    if isinstance(ours, dict) and "e" in ours:
        return str(ours["e"] or "")
    return public_name(headers.get("periodic_task_name") or "", task)


def _monitor_in(headers: Mapping[str, Any]) -> str:
    ours = headers.get(HEADER)
    return str(ours.get("m") or "") if isinstance(ours, dict) else ""


def published_in(headers: Mapping[str, Any]) -> int | None:
    """When the message was published, in milliseconds."""
    ours = headers.get(HEADER)
    at = ours.get("p") if isinstance(ours, dict) else None
    return at if isinstance(at, int) else None


def run_in(headers: Mapping[str, Any], task_id: Any) -> str:
    """What the run is called: as its task, and more where another run may have that id as well."""
    ours = headers.get(HEADER)
    first = ours.get("r") if isinstance(ours, dict) else None
    return f"{task_id}~{first:x}" if isinstance(first, int) else str(task_id)


def chosen_again(task_id: Any) -> bool:
    """Whether a program may choose this id again and again: Celery's own are random, and the UUIDs say so."""
    return isinstance(task_id, str) and bool(task_id) and (len(task_id) != 36 or task_id[14] != "4")


def public_name(entry: Any, task: Any) -> str:
    """The name that we call an entry by. `add_periodic_task` without a name uses the call, or all calls of a chain or group, with
    all their arguments, which have no place in any event: these are told apart by a hash."""
    name, task = str(entry), str(task)
    if name != task and (name.startswith(f"{task}(") or (task.startswith("celery.") and CALL.search(name))):
        return f"{task[: LONGEST - 9]}#{_hash(name)}"
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}#{_hash(name)}"


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]


def _checks_in(said: Any) -> dict[str, str]:
    """What `missedbeat_monitors` says, as far as it makes sense; each of the rest with a word about it."""
    if not isinstance(said, Mapping):
        if said is not None:
            logger.warning("missedbeat_monitors is %r; it must be a dict of task names and checks; it is ignored", said)
        return {}
    for task, check in said.items():
        if not isinstance(check, (str, UUID)):
            logger.warning("missedbeat_monitors: the check of %r must be an id or a slug, and not %r; it is ignored", task, check)
    return {str(task): f"check:{check}" for task, check in said.items() if isinstance(check, (str, UUID))}


def _only_entries(schedule: Mapping[Any, Any]) -> dict[str, str]:
    """Task and entry, for the tasks that have one entry only."""
    entries: dict[str, list[str]] = {}
    for name, entry in schedule.items():
        task = entry.get("task", name) if isinstance(entry, dict) else getattr(entry, "task", None)
        if isinstance(task, str):
            entries.setdefault(task, []).append(public_name(name, task))
    return {task: names[0] for task, names in entries.items() if len(names) == 1}
