"""What the main process of a worker alone can tell of a run: that its process died, that it was revoked, or never begun.

A child that is killed says nothing; Celery's main process notices, and sends signals for it. Some of them come twice, some
without the run they are about, and some of what looks like a retry is none: each hook says which.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from celery import signals
from celery.worker import state

from missedbeat.celery.handle import Handle, Received, handle_of
from missedbeat.celery.hooks import MARK
from missedbeat.celery.naming import run_in
from missedbeat.celery.worker import Main, main_of, took_one
from missedbeat.event import UNKNOWN
from missedbeat.words import words_of

RECEIVED_KEPT = 2000

NO_DEATHS = frozenset({"Reject", "Ignore", "Retry"})
DEATHS = frozenset({"WorkerLostError", "TimeLimitExceeded"})


def on_received(sender: Any = None, request: Any = None, **_: Any) -> None:
    """Remember whose run it is: of one that dies Celery up to 5.6 tells the id only."""
    took_one(sender.app)
    handle = handle_of(sender.app)
    if handle is None:
        return
    headers = request.request_dict
    monitor = handle.names.monitor_of(request.task.name, headers)
    if monitor:
        known = handle.received[request.id] = Received(monitor, headers.get("retries") or 0, run_in(headers, request.id))
        handle.told_lost.pop((known.run, known.att), None)  # delivered again, it may die again
        if len(handle.received) > RECEIVED_KEPT:
            handle.received.popitem(last=False)


def on_failure(sender: Any = None, task_id: Any = None, exception: Any = None, **_: Any) -> None:
    """The main process tells that a run's process died, or was killed for its time limit: sometimes twice. What a process tells
    of its own task is left to postrun."""
    main = main_of(sender.app)
    request = sender.request
    if main is None or main.pid != os.getpid() or (request.id == task_id and MARK in request.__dict__):
        return
    name = type(exception).__name__
    if name in NO_DEATHS or (name not in DEATHS and not main.is_prefork):
        return
    known = _known(main, sender.name, request, task_id)
    if known is None or (known.run, known.att) in main.handle.told_lost:
        return
    main.handle.told_lost[known.run, known.att] = None
    if len(main.handle.told_lost) > RECEIVED_KEPT:
        main.handle.told_lost.popitem(last=False)
    more = ("reason", _reason(name, str(exception)), "error", words_of(exception, main.handle.settings.exceptions))
    main.reporter.record("run.lost", known.monitor, known.run, known.att, UNKNOWN, more)


def on_retry(sender: Any = None, request: Any = None, reason: Any = None, **_: Any) -> None:
    """With a reason, the main process has a run retried whose process died. Without, the worker ends the run, even where it has
    ended already: for good, or, where its message was not acknowledged yet, until that comes again."""
    main = main_of(sender.app)
    if main is None or main.pid != os.getpid() or MARK in request.__dict__:
        return
    main.reporter.drain()
    monitor, run = _monitor_of(main.handle, sender.name, request), run_in(request.__dict__, request.id)
    if not monitor or (reason is None and not main.reporter.runs.is_underway(run)):
        return
    if reason is None and sender.acks_late:
        main.reporter.record("run.retry", monitor, run, request.retries or 0)
        return
    kind = "run.aborted" if reason is None else "run.retry"
    main.reporter.record(kind, monitor, run, request.retries or 0, main.reporter.runs.execution_of(run))


def on_revoked(
    sender: Any = None, request: Any = None, terminated: Any = None, signum: Any = None, expired: Any = None, **_: Any
) -> None:
    """Cancelled on purpose, or too late to be begun. A child that survived the termination of one task is believed to be
    terminated for the next one too, whatever kills it: only what was revoked counts as revoked."""
    took_one(sender.app)
    handle = handle_of(sender.app)
    if handle is None or handle.reporter is None:
        return
    monitor = _monitor_of(handle, sender.name, request)
    if not monitor:
        return
    run, att = run_in(request.__dict__, request.id), request.retries or 0
    if expired:
        handle.reporter.record("run.expired", monitor, run, att)
    elif terminated and not _was_revoked(request):
        words = f"its process was killed by signal {signum}"
        handle.reporter.record("run.lost", monitor, run, att, UNKNOWN, ("reason", "signal", "error", words))
    elif terminated:
        handle.reporter.record("run.revoked", monitor, run, att, UNKNOWN, ("error", f"terminated by signal {signum}"))
    else:
        handle.reporter.record("run.revoked", monitor, run, att)


def on_unknown(sender: Any = None, message: Any = None, name: Any = None, id: Any = None, **_: Any) -> None:
    """No such task here."""
    _refused(sender, message, "run.unknown_task", name, id, f"task {name} is not registered")


def on_rejected(sender: Any = None, message: Any = None, exc: Any = None, **_: Any) -> None:
    """A message that makes no sense. It is ours only if its headers can be read."""
    headers = message.headers or {}
    _refused(sender, message, "run.rejected", headers.get("task"), headers.get("id"), type(exc).__name__ if exc else "")


def _known(main: Main, task: str, request: Any, run: str) -> Received | None:
    """Whose run it is that died: up to Celery 5.6, and for some deaths since, the request is an empty one."""
    if request.id == run:
        monitor = _monitor_of(main.handle, task, request)
        return Received(monitor, request.retries or 0, run_in(request.__dict__, run)) if monitor else None
    main.reporter.drain()
    begun = main.reporter.runs.underway(run)
    return main.handle.received.get(run) or (Received(begun.monitor, begun.att, run) if begun is not None else None)


def _monitor_of(handle: Handle, task: str, request: Any) -> str:
    """Where only a function knows whose run it is, it was asked as the run began, by the process that began it."""
    monitor = handle.names.monitor_of(task, request.__dict__)
    if not monitor and handle.reporter is not None:
        handle.reporter.drain()
        monitor = handle.reporter.runs.monitor_of(run_in(request.__dict__, request.id))
    return monitor


def _was_revoked(request: Any) -> bool:
    stamps = getattr(request, "stamped_headers", None) or ()
    return request.id in state.revoked or any(stamp in getattr(state, "revoked_stamps", ()) for stamp in stamps)


def _refused(consumer: Any, message: Any, kind: str, task: Any, run: Any, words: str) -> None:
    took_one(consumer.app)
    handle = handle_of(consumer.app)
    if handle is None or handle.reporter is None or not run:
        return
    headers = message.headers or {}
    monitor = handle.names.monitor_of(str(task or ""), headers)
    if monitor and not monitor.startswith("task:"):
        more = ("error", words) if words and handle.settings.exceptions != "none" else ()
        handle.reporter.record(kind, monitor, run_in(headers, run), headers.get("retries") or 0, "", more)


def _reason(name: str, words: str) -> str:
    """`time_limit`, `signal` or `exit`."""
    if name == "TimeLimitExceeded":
        return "time_limit"
    return "signal" if "signal" in words else "exit"


RECEIVERS: list[tuple[Any, Callable[..., None]]] = [
    (signals.task_received, on_received),
    (signals.task_failure, on_failure),
    (signals.task_retry, on_retry),
    (signals.task_revoked, on_revoked),
    (signals.task_unknown, on_unknown),
    (signals.task_rejected, on_rejected),
]
