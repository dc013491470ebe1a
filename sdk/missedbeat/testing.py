"""For your own tests: what would be reported, without a server, a broker or a worker.

with capture() as events:
    dispatch(app, "nightly")
assert [event["type"] for event in events][-1] == "run.succeeded"
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from celery.beat import Scheduler

from missedbeat.celery.beat import Watch
from missedbeat.celery.handle import Handle, handles
from missedbeat.celery.registration import settings_entries
from missedbeat.reporter import Reporter

__all__ = ["capture", "dispatch"]


@contextmanager
def capture() -> Iterator[list[dict[str, Any]]]:
    """All that apps of this process which are instrumented by now report meanwhile, as it would be sent, in a list that grows.
    Nothing is sent; no key and no address are needed, and MISSEDBEAT_DISABLED does not matter."""
    events: list[dict[str, Any]] = []
    before = [(handle, handle.reporter) for handle in handles.values()]
    for handle, _ in before:
        handle.reporter = _listening(handle, events)
    try:
        yield events
    finally:
        for handle, reporter in before:
            own, handle.reporter = handle.reporter, reporter
            if own is not None:
                own.close()


def dispatch(app: Any, entry: str) -> Any:
    """Send an entry of `beat_schedule` as Beat does it when it is due, and return what that returns. With `task_always_eager` its
    task runs here and now. Raises KeyError if there is no such entry, or the app is not instrumented."""
    handle = handles[id(app)]
    if handle.reporter is None:
        raise KeyError("nothing is reported of this app: dispatch() belongs into a `with capture()`")
    found = {str(one.name): one for one in settings_entries(app)}[entry]
    scheduler = Scheduler(app, schedule={entry: found}, lazy=True)
    Watch(handle, handle.reporter, scheduler).wrap()
    return scheduler.apply_async(found, advance=False)


def _listening(handle: Handle, events: list[dict[str, Any]]) -> Reporter:
    reporter = Reporter(replace(handle.settings, offline=True))
    reporter.listener = lambda said: events.append(said) if said is not None else None
    return reporter
