"""Celery, watched by one line: `instrument(app)`.

    from missedbeat.celery import instrument
    instrument(app)

with MISSEDBEAT_URL and MISSEDBEAT_KEY in the environment. Importing this and calling it does no input or output, starts no thread
and opens no file; whatever it is told, it does not raise.
"""

from __future__ import annotations

import logging
from typing import Any

from billiard import current_process
from celery import bootsteps, signals

from missedbeat import settings as options
from missedbeat.celery import beat, deaths, hooks, worker
from missedbeat.celery.handle import Handle, handles
from missedbeat.guard import guard
from missedbeat.reporter import reporter_for
from missedbeat.settings import NOT_SET_UP, Settings

__all__ = ["Handle", "MissedbeatMiddleware", "instrument"]

TOO_LATE = (
    "instrument(app) is called by a child of the worker's pool: call it where the app is made. The worker itself cannot say that "
    "it lives, nor which of its runs were killed."
)

logger = logging.getLogger("missedbeat")


def instrument(app: Any, **given: Any) -> Handle:
    """Watch this app: its Beat, its workers, and the tasks that Beat sends. A second call changes nothing.

    All of these may be left out:

    - `key`, `url`, `environment`: else MISSEDBEAT_KEY, MISSEDBEAT_URL and MISSEDBEAT_ENVIRONMENT of the environment;
    - `scope`: "beat" for what Beat sends, "all" for every task, or a function of (task, request) that says which others, asked
      once as a run begins;
    - `include`, `exclude`: patterns of entry or task names;
    - `once`: patterns of names of entries for one time (`one_off`, `clocked`) that get a check too, else none does;
    - `monitors`: a dict of entry name and `missedbeat.Monitor`;
    - `register`, `reconcile`: whether Beat's schedule makes monitors, and retires them;
    - `heartbeat`: seconds, None for none;
    - `exceptions`: "none", "type", "message" or "traceback";
    - `before_send`: a function of an event that returns what may be sent of it;
    - `eager`: whether tasks that run in their caller count;
    - `max_buffer`: how many events may wait; `flush_timeout`: how many seconds the end of a process may wait for them;
    - `spool`: a folder in which events wait, so that they survive the death of this process; else MISSEDBEAT_SPOOL.
    """
    handle = guard.run(_instrument, app, given)
    return handle if handle is not None else Handle(app, Settings(), None)


def _instrument(app: Any, given: dict[str, Any]) -> Handle:
    app = app._get_current_object() if hasattr(app, "_get_current_object") else app
    known = handles.get(id(app))
    if known is not None:
        return known
    if not hasattr(app, "tasks") or not hasattr(app, "conf"):
        raise TypeError(f"instrument() needs a Celery app, not {app!r}")
    if "PoolWorker" in current_process().name:
        logger.warning(TOO_LATE)
    settings = options.read(app.main, given)
    handle = handles[id(app)] = Handle(app, settings, _reporter(settings))
    hooks.connect([*hooks.RECEIVERS, *worker.RECEIVERS, *deaths.RECEIVERS, *beat.RECEIVERS])
    return handle


def _reporter(settings: Settings) -> Any:
    if settings.disabled:
        return None
    if not settings.is_complete:
        logger.warning(NOT_SET_UP)
        return None
    return reporter_for(settings)


class MissedbeatMiddleware(bootsteps.Step):  # type: ignore[misc]
    """The same for those who say `app.steps["worker"].add(MissedbeatMiddleware)`; all settings are those of the environment."""

    def __init__(self, parent: Any, **_: Any) -> None:
        """A worker is being built."""
        instrument(parent.app)


def _on_any_beat(sender: Any = None, **_: Any) -> None:
    """Beat builds no steps of workers: an app that has ours among them is instrumented here."""
    if MissedbeatMiddleware in sender.app.steps["worker"] and id(sender.app) not in handles:
        instrument(sender.app)
        beat.on_beat_init(sender)


hooks.connect([(signals.beat_init, _on_any_beat)])
