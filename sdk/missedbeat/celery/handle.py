"""What `instrument` hands back, and how hooks find it: one handle for each app."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from missedbeat.celery.naming import Names
from missedbeat.guard import guard
from missedbeat.reporter import Reporter
from missedbeat.settings import Settings


class Received(NamedTuple):
    """What the main process knows of a run that it took from the broker."""

    monitor: str
    att: int
    run: str


class Handle:
    """Everything of one instrumented app in this process. `reporter` is None where nothing is reported."""

    def __init__(self, app: Any, settings: Settings, reporter: Reporter | None) -> None:
        self.app, self.settings, self.reporter = app, settings, reporter
        self.names = Names(app, settings)
        self.received: OrderedDict[str, Received] = OrderedDict()
        self.told_lost: OrderedDict[tuple[str, int], None] = OrderedDict()
        self.is_shutting_down: Callable[[], bool] = lambda: False
        self.on_close: list[Callable[[], None]] = []

    def flush(self, seconds: float | None = None) -> bool:
        """Send what waits now, in this time at most (`flush_timeout` if not said); False if that did not work out."""
        if self.reporter is None:
            return True
        limit = self.settings.flush_timeout if seconds is None else seconds
        return bool(guard.run(self.reporter.flush, limit, self.is_shutting_down))

    def stats(self) -> dict[str, Any]:
        """`queued`, `sent`, `dropped` by type, and `hook_errors`: how often our own code failed in this process."""
        seen = self.reporter.stats() if self.reporter is not None else {"queued": 0, "sent": 0, "dropped": {}}
        return {**seen, "hook_errors": guard.errors}

    def close(self) -> None:
        """Report nothing more of this app; what waits is sent first."""
        for end in self.on_close:
            guard.run(end)
        self.flush()
        handles.pop(id(self.app), None)
        reporter, self.reporter = self.reporter, None
        if reporter is not None and all(other.reporter is not reporter for other in handles.values()):
            reporter.close()


handles: dict[int, Handle] = {}
"""By the id of the app, which a handle keeps alive."""


def handle_of(app: Any) -> Handle | None:
    """The handle of an app that is instrumented and reports; None for any other."""
    handle = handles.get(id(app))
    if handle is None and handles and hasattr(app, "_get_current_object"):
        handle = handles.get(id(app._get_current_object()))
    return handle if handle is not None and handle.reporter is not None else None
