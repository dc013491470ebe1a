"""What we listen to of a task, wherever it runs: its publication, its start and its end.

Each hook takes microseconds: it looks, and appends. No lock, no log, no input or output but the write of a child into the
relay. Which signals fire when, and which of them lie, was measured. Two facts carry all of it: postrun is the one signal that
comes at each end that the process survives, and its state is None where the task was torn down.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import timezone
from signal import SIGINT, SIGTERM
from typing import Any, NamedTuple

from celery import current_task, signals

from missedbeat.celery.dispatching import current_dispatch, instant
from missedbeat.celery.handle import Handle, handle_of, handles
from missedbeat.celery.naming import HEADER, chosen_again, published_in, run_in
from missedbeat.guard import guard
from missedbeat.plain import elsewhere
from missedbeat.reporter import now_ms
from missedbeat.run_of_job import Run
from missedbeat.words import words_of

MARK = "_missedbeat"
AGAIN = "_missedbeat_again"
SAID = "_missedbeat_said"

ENDS = {
    "SUCCESS": "run.succeeded", "FAILURE": "run.failed", "RETRY": "run.retry", "IGNORED": "run.ignored",
    "REJECTED": "run.rejected",
}  # fmt: skip

ENDED_BY_SIGNAL = frozenset(-(256 - number) for number in (SIGTERM, SIGINT))
"""With these codes a child of the pool leaves where it is told to, in whatever task it is."""

_ended: deque[tuple[str, int]] = deque(maxlen=1000)
"""What ended in this process of late: what Celery fails of itself after that has been told. All else failed before it began."""


class Mark(NamedTuple):
    """Kept on the request while its task runs."""

    monitor: str
    x: str
    began: float
    run: str


# publication, in whatever process


def on_publish(sender: Any = None, headers: Any = None, body: Any = None, routing_key: Any = None, **_: Any) -> None:
    """The message learns which entry it is from, and when it was published. What it carries already stays."""
    if not isinstance(headers, dict):
        return
    dispatch = current_dispatch()
    if dispatch is not None and dispatch.takes(str(sender)):
        dispatch.publish(str(sender), headers, body, routing_key)
        headers[HEADER] = _of_a_new_run(dispatch.run, {"e": dispatch.entry, "p": now_ms()})
        dispatch.run = run_in(headers, dispatch.run)
        return
    ours = headers.get(HEADER)
    if not isinstance(ours, dict):
        ours = _of_the_same_run(headers, body)
    if ours is not None:
        headers[HEADER] = {**ours, "p": now_ms()}
    elif any(handle.reporter is not None and handle.names.marks_all(str(sender)) for handle in list(handles.values())):
        headers[HEADER] = _of_a_new_run(_id_in(headers, body), {"p": now_ms()})


def _of_a_new_run(task_id: Any, said: dict[str, Any]) -> dict[str, Any]:
    return {**said, "r": said["p"]} if chosen_again(task_id) else said


def _id_in(headers: dict[str, Any], body: Any) -> Any:
    return headers.get("id") or (body.get("id") if isinstance(body, dict) else None)


def _of_the_same_run(headers: dict[str, Any], body: Any) -> dict[str, Any] | None:
    """A task that publishes its own id again retries, or has another take its place: the run goes on under the same monitor."""
    request = current_task.request if current_task else None
    if request is None or MARK not in request.__dict__:
        return None
    if _id_in(headers, body) != request.id:
        return None
    request.__dict__[AGAIN] = True
    ours = request.__dict__.get(HEADER)
    ours = ours if isinstance(ours, dict) else {}
    return ours if "e" in ours else {**ours, "m": request.__dict__[MARK].monitor}


# start and end, in the process that executes


def on_prerun(task_id: Any = None, task: Any = None, **_: Any) -> None:
    """It begins."""
    handle = handle_of(task.app)
    if handle is None or handle.reporter is None:
        return
    request = task.request
    headers = request.__dict__
    monitor = handle.names.monitor_of(task.name, headers, request)
    if request.is_eager:
        monitor = _eager_monitor(handle, task.name, str(task_id), monitor)
    if not monitor:
        return
    mark = headers[MARK] = Mark(monitor, handle.reporter.new_execution(), time.monotonic(), run_in(headers, task_id))
    handle.reporter.record("run.started", monitor, mark.run, request.retries or 0, mark.x, _circumstances(handle, request))


def _eager_monitor(handle: Handle, task: str, run: str, monitor: str) -> str:
    """No message went anywhere: it is the entry's if Beat itself runs it, and else of interest only if a person says so."""
    dispatch = current_dispatch()
    if dispatch is not None and dispatch.takes(task):
        dispatch.sent, dispatch.run = task, run
        return f"entry:{dispatch.entry}" if dispatch.entry else monitor
    return monitor if handle.settings.eager else ""


def on_postrun(task_id: Any = None, task: Any = None, retval: Any = None, state: Any = None, **_: Any) -> None:
    """It ends, well or not."""
    request = task.request
    mark = request.__dict__.get(MARK)
    handle = handle_of(task.app)
    if mark is None or handle is None or handle.reporter is None:
        return
    _ended.append((mark.run, request.retries or 0))
    kind, more = _end(handle, request, str(state) if state else "", retval)
    if kind == "run.aborted" and task.acks_late and _was_ended(sys.exc_info()[1]):
        handle.reporter.record("run.retry", mark.monitor, mark.run, request.retries or 0)  # it comes again, or others know better
        return
    said = request.__dict__.get(SAID)
    more = (*more, *said.news()) if said is not None else more
    if kind not in ("run.retry", "run.ignored"):
        more = (*more, "duration_ms", round((time.monotonic() - mark.began) * 1000))
    handle.reporter.record(kind, mark.monitor, mark.run, request.retries or 0, mark.x, more)


def current_run() -> Run | None:
    """The run of the task that this is called in, if that is watched: what it says is told with its end."""
    request = current_task.request if current_task else None
    if request is None or MARK not in request.__dict__:
        return None
    found: Run = request.__dict__.setdefault(SAID, Run(request.__dict__[MARK].monitor))
    return found


def on_internal_error(sender: Any = None, task_id: Any = None, request: Any = None, exception: Any = None, **_: Any) -> None:
    """Celery itself failed before the task could begin. After that, postrun has told it."""
    handle = handle_of(sender.app)
    if handle is None or handle.reporter is None or not isinstance(request, dict):
        return
    run, att = run_in(request, task_id), request.get("retries") or 0
    if (run, att) in list(_ended):
        return
    monitor = handle.names.monitor_of(sender.name, request)
    if monitor:
        words = words_of(exception, handle.settings.exceptions) if exception is not None else ""
        handle.reporter.record("run.failed", monitor, run, att, handle.reporter.new_execution(), _error(words))


def _circumstances(handle: Handle, request: Any) -> tuple[Any, ...]:
    """How it came here: how long it waited, through which queue, whether for the second time."""
    more: tuple[Any, ...] = ()
    ready = max(published_in(request.__dict__) or 0, _instant(request.eta, handle) or 0)
    if ready:
        more = ("wait_ms", max(0, now_ms() - ready))
    delivery: Mapping[str, Any] = request.delivery_info or {}
    if delivery.get("routing_key"):
        more = (*more, "queue", str(delivery["routing_key"])[:100])
    return (*more, "redelivered", True) if delivery.get("redelivered") else more


def _end(handle: Handle, request: Any, state: str, retval: Any) -> tuple[str, tuple[Any, ...]]:
    """The type of its end, and its words. What is in flight while postrun is sent tells more than the state."""
    how = handle.settings.exceptions
    in_flight = None if request.is_eager else sys.exc_info()[1]  # the caller's own, where that is in this process
    if state == "SUCCESS":
        words = words_of(in_flight, "type") if in_flight is not None and how != "none" else ""  # more may show the result
        return ENDS[state], ("warning", f"its result could not be stored: {words}") if words else ()
    if state == "RETRY":
        return ENDS[state], _retry(handle, retval, how)
    if state == "IGNORED":  # either it had nothing to do, or it put another task in its place, under its own id
        return "run.retry" if request.__dict__.get(AGAIN) else ENDS[state], ()
    if state in ENDS:
        return ENDS[state], _error(words_of(retval, how) if isinstance(retval, BaseException) else "")
    if isinstance(in_flight, Exception):
        return "run.failed", _error(words_of(_first_of(in_flight), how))  # and its failure could not be stored
    return "run.aborted", _error(words_of(in_flight, how) if in_flight is not None else "")


def _was_ended(error: BaseException | None) -> bool:
    """Whether its worker ended it, and not the task itself."""
    return isinstance(error, SystemExit) and error.code in ENDED_BY_SIGNAL


def _first_of(error: BaseException) -> BaseException:
    """What the task itself raised, where storing that raised something else."""
    for _ in range(20):
        if error.__context__ is None:
            break
        error = error.__context__
    return error


def _retry(handle: Handle, retval: Any, how: str) -> tuple[Any, ...]:
    """When it will be tried again, and why."""
    when = getattr(retval, "when", None)
    eta = now_ms() + int(when * 1000) if isinstance(when, (int, float)) else _instant(when, handle)
    cause = getattr(retval, "exc", None)
    words = words_of(cause, how) if isinstance(cause, BaseException) else ""
    return (*(("eta", eta) if eta else ()), *_error(words))


def _error(words: str) -> tuple[Any, ...]:
    return ("error", words) if words else ()


def _instant(given: Any, handle: Handle) -> int | None:
    """An instant in milliseconds; one without a zone is of the app's."""
    if given is None:
        return None
    return instant(given, timezone.utc if handle.app.conf.enable_utc else handle.app.timezone)


def connect(receivers: list[tuple[Any, Callable[..., None]]]) -> None:
    """Listen, guarded; once, however often it is asked for."""
    for signal, receiver in receivers:
        signal.connect(guard.wrap(receiver), weak=False, dispatch_uid=f"{receiver.__module__}.{receiver.__name__}")


elsewhere.append(current_run)

RECEIVERS: list[tuple[Any, Callable[..., None]]] = [
    (signals.before_task_publish, on_publish),
    (signals.task_prerun, on_prerun),
    (signals.task_postrun, on_postrun),
    (signals.task_internal_error, on_internal_error),
]
