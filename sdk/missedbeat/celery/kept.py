"""The entries that Beat will have, as `missedbeat check` sees them: of the settings, and what its scheduler keeps elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from celery.beat import Service

from missedbeat.celery.registration import settings_entries
from missedbeat.celery.stores import reader_of
from missedbeat.guard import guard


class Entries(NamedTuple):
    """What was found. `is_all`: nothing else is kept anywhere; `problem`: why what is kept elsewhere could not be read."""

    found: list[Any]
    is_all: bool = True
    problem: BaseException | None = None


def entries_of(app: Any, scheduler: str, once: Sequence[str], offline: bool) -> Entries:
    """Of the scheduler of this name, else of the one of the settings. Reads only, and nothing where `offline`."""
    own = settings_entries(app)
    keeper, error = guard.attempt(Service(app, scheduler_cls=scheduler or app.conf.beat_scheduler).get_scheduler, lazy=True)
    if error is not None:
        return Entries(own, False, error)
    read = reader_of(keeper, once)
    if read is None or offline:
        return Entries(own, read is None)
    reading, error = guard.attempt(read)
    if error is not None or reading is None:
        return Entries(own, False, error)
    names = {entry.name for entry in reading.entries}
    return Entries([*reading.entries, *(entry for entry in own if entry.name not in names)], reading.is_whole)
