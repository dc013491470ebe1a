"""Schedulers whose entries are kept elsewhere: django-celery-beat's in a database, RedBeat's in Redis.

Their own `schedule` is what is due soon, and to ask for it changes what they do next. So all of it is read from where it is kept,
beside them: in a thread and over a connection of its own. Nothing is written.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Optional

from celery.schedules import maybe_schedule
from celery.utils.time import maybe_make_aware

from missedbeat.guard import guard

READ_EVERY = 60.0
DJANGO, REDBEAT = "django_celery_beat.schedulers", "redbeat.schedulers"


class Stored(NamedTuple):
    """An entry as it is kept. `is_paused`: it is not due until somebody, or the time, says so; `is_once`: it is due one time."""

    name: str
    task: str
    schedule: Any
    last_run_at: datetime | None
    is_paused: bool
    is_once: bool = False


class Reading(NamedTuple):
    """All that is there; or not all of it, where one could not be read."""

    entries: list[Stored]
    is_whole: bool


Read = Callable[[], Optional[Reading]]


def reader_of(scheduler: Any, once: Sequence[str] = ()) -> Read | None:
    """How to read its entries; None where it keeps them itself, or chooses among them in a way that we do not know. What is
    returned answers None while nothing has changed. Of entries for one time those are read whose names match `once`."""
    kind = type(scheduler)
    django, redbeat = base_in(kind, DJANGO, "DatabaseScheduler"), base_in(kind, REDBEAT, "RedBeatScheduler")
    if django is not None and _is_as_in(kind, django, ("schedule", "all_as_schedule", "enabled_models", "enabled_models_qs")):
        return _Database(scheduler, once).read
    if redbeat is not None and _is_as_in(kind, redbeat, ("schedule",)):
        return lambda: _read_redis(scheduler)
    return None


def waits_for_lock(scheduler: Any) -> bool:
    """Whether of several Beats only one works while the others stand by."""
    return base_in(type(scheduler), REDBEAT, "RedBeatScheduler") is not None and bool(getattr(scheduler, "lock_key", True))


def runs_once(entry: Any) -> bool:
    """Whether it is a task for one time, and no schedule."""
    model = getattr(entry, "model", None)
    return bool(getattr(model, "one_off", False) or getattr(model, "clocked_id", None))


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns does."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def base_in(kind: type, module: str, name: str) -> type | None:
    """The class of that name that `kind` is or comes from; nothing is imported for it."""
    return next((one for one in kind.__mro__ if (one.__module__, one.__name__) == (module, name)), None)


class _Database:
    """The tables of django-celery-beat."""

    def __init__(self, scheduler: Any, once: Sequence[str]) -> None:
        self._scheduler, self._once = scheduler, once
        self._changed_at: datetime | None = None
        self._next_at = 0.0

    def read(self) -> Reading | None:
        """Again when something was changed, and each minute: a time of starting may have come."""
        try:
            changed_at = self._scheduler.Changes.last_change()
            if changed_at == self._changed_at and time.monotonic() < self._next_at:
                return None
            reading = _reading(self._stored, self._kept())
            self._changed_at, self._next_at = changed_at, time.monotonic() + READ_EVERY
            return reading
        finally:
            sys.modules["django.db"].connections.close_all()  # those of this thread

    def _kept(self) -> list[Any]:
        """All that repeat; and of those for one time, which may be many and stay there when they are over, what is to come."""
        whole = self._scheduler.Model.objects.select_related("interval", "crontab", "solar", "clocked")
        repeat = {"one_off": False, "clocked__isnull": True}
        once = whole.filter(enabled=True).exclude(**repeat) if self._once else ()
        return [*whole.filter(**repeat), *(model for model in once if matches(model.name, self._once))]

    def _stored(self, model: Any) -> Stored:
        now = datetime.now(timezone.utc)
        waits = model.start_time is not None and maybe_make_aware(model.start_time) > now
        is_over = model.expires is not None and maybe_make_aware(model.expires) <= now
        last = maybe_make_aware(model.last_run_at or model.date_changed or now).astimezone(self._scheduler.app.timezone)
        is_once = bool(model.one_off or model.clocked_id)
        return Stored(model.name, model.task, model.schedule, last, not model.enabled or waits or is_over, is_once)


def _read_redis(scheduler: Any) -> Reading:
    """RedBeat's sorted set, and the hash of each of its members."""
    app, entry = scheduler.app, scheduler.Entry
    client = sys.modules[REDBEAT].get_redis(app)
    keys = client.zrange(app.redbeat_conf.schedule_key, 0, -1)
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hmget(key, "definition", "meta")
        kept = [(definition, meta) for definition, meta in pipe.execute() if definition]

    def stored(pair: tuple[Any, Any]) -> Stored:
        said, last = entry.decode_definition(pair[0]), entry.decode_meta(pair[1])["last_run_at"]
        times = maybe_schedule(said["schedule"], app=app)
        is_over = last is not None and hasattr(times, "rrule") and times.remaining_estimate(last) is None
        return Stored(str(said["name"]), said["task"], times, last, not said.get("enabled", True) or is_over)

    return _reading(stored, kept)


def _reading(stored: Callable[[Any], Stored], kept: Iterable[Any]) -> Reading:
    """One that cannot be read is left as it is, and stops none of the others."""
    found = [guard.run(stored, one) for one in kept]
    entries = [one for one in found if one is not None]
    return Reading(entries, len(entries) == len(found))


def _is_as_in(kind: type, base: type, names: Iterable[str]) -> bool:
    """Whether no class between them says otherwise."""
    return all(getattr(kind, name, None) is getattr(base, name, None) for name in names)
