"""The main process of a worker: it relays what its children saw, and says that it lives and which runs live with it."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable
from typing import Any

from celery import signals
from celery.worker import state

from missedbeat.celery.handle import Handle, handle_of, handles
from missedbeat.celery.naming import run_in
from missedbeat.celery.registration import declared_by_settings
from missedbeat.celery.vital import path_of, take_away
from missedbeat.celery.worker_vital import WorkerVital
from missedbeat.guard import guard
from missedbeat.heart import Heart
from missedbeat.program import flush_all
from missedbeat.reporter import Reporter

CHUNK = 100


class Main:
    """What a worker's main process does beside its hooks."""

    def __init__(self, handle: Handle, reporter: Reporter, worker: Any) -> None:
        self.handle, self.reporter, self.worker = handle, reporter, worker
        self.lives = handle.settings.heartbeat is not None  # else the worker as such is not reported, only its runs
        self.pid = os.getpid()
        self.consumer: Any = None
        self.is_prefork = _is_prefork(worker.pool_cls)
        self.stops = 0
        self.said_goodbye = False
        self.stopping_told = False
        reporter.node = str(worker.hostname)
        if self.is_prefork:
            reporter.open_relay()
        self.vital = WorkerVital(handle.app, handle.settings.probe, handle.settings.probe_patience)
        self.vital.file.clear()
        self.heart = Heart(handle.settings.heartbeat, self.beat, reporter.relay, reporter.drain)
        handle.on_close.append(self.heart.close)

    def ready(self, consumer: Any) -> None:
        """It takes tasks now, and its children are forked. After a reconnection Celery may say so again."""
        if self.consumer is not None:
            self.consumer = self.vital.consumer = consumer
            return
        self.consumer = consumer
        self.reporter.beats_every = self.handle.settings.heartbeat
        if self.lives:
            self.reporter.record("worker.up", more=self._about())
        if self.handle.settings.register:
            entries = declared_by_settings(self.handle)
            if entries:
                self.reporter.beat("schedule.sync", [("reconcile", False, "only_new", True, "entries", entries)])
        self.heart.start()
        self.vital.ready(consumer)

    def beat(self) -> None:
        """One heartbeat, with every watched run under way; before it, that the worker is stopping, if it is."""
        guard.run(self.reporter.drain)
        active = guard.run(self._active) or []
        if self.stops and not self.stopping_told:
            self.stopping_told = True
            self.reporter.record("worker.stopping", more=("active", active[:CHUNK]))
        facts = guard.run(self._facts) or ()
        chunks = [active[start : start + CHUNK] for start in range(0, len(active), CHUNK)] or [[]]
        self.reporter.beat("worker.beat", [("active", chunk, *facts) for chunk in chunks])

    def stop(self) -> None:
        """It was told to stop. Called in a signal handler: nothing but a note and a wake-up."""
        self.stops += 1
        self.heart.beat_now()
        self.vital.stop()

    def goodbye(self) -> None:
        """The process is about to end."""
        if self.said_goodbye or os.getpid() != self.pid or self.consumer is None:
            return
        self.said_goodbye = True
        until = time.monotonic() + self.handle.settings.flush_timeout
        self.heart.close()
        self.vital.file.close()
        self.reporter.drain()
        embeds_beat = bool(getattr(self.worker, "beat", False))  # which ends without a word
        if embeds_beat:
            take_away(path_of(self.handle.settings.probe, "beat"))
        if self.lives:
            if embeds_beat:
                self.reporter.record("beat.down")
            self.reporter.record("worker.down")
        stops = self.stops
        self.handle.is_shutting_down = lambda: self.stops > stops
        self.handle.flush(until - time.monotonic())

    def _active(self) -> list[list[Any]]:
        """What is said of each watched run that did not end. One of which nothing can be said does not silence the others."""
        requests, now = _requests(), time.time()
        listed = [guard.run(self._listed, request, now) for request in requests]
        self.reporter.runs.forget({run_in(request.request_dict, request.id) for request in requests}, int(now * 1000))
        return [one for one in listed if one is not None]

    def _listed(self, request: Any, now: float) -> list[Any] | None:
        """Its monitor, as its start named it, its id, execution and age."""
        runs, run = self.reporter.runs, run_in(request.request_dict, request.id)
        if runs.has_ended(run):
            return None
        monitor = runs.monitor_of(run) or self.handle.names.monitor_of(request.task.name, request.request_dict)
        age = round(max(0.0, now - (request.time_start or now)), 1)
        return [monitor, run, runs.execution_of(run), age] if monitor else None

    def _about(self) -> tuple[Any, ...]:
        pool = getattr(self.worker.pool_cls, "__module__", "").rpartition(".")[2]
        queues = sorted(str(name) for name in self.handle.app.amqp.queues.consume_from)
        return ("concurrency", getattr(self.worker, "concurrency", None), "pool", pool, "queues", queues[:CHUNK])

    def _facts(self) -> tuple[Any, ...]:
        connection = getattr(self.consumer, "connection", None)
        return (
            "broker_ok", bool(getattr(connection, "connected", False)), "processed", sum(dict(state.total_count).values()),
            "reserved", len(state.reserved_requests), "scheduled", len(getattr(state, "scheduled_requests", ())),
        )  # fmt: skip


_mains: dict[int, Main] = {}
"""By the id of the handle."""


def on_worker_setup(instance: Any = None, **_: Any) -> None:
    """The pool is chosen, and nothing is forked yet."""
    handle = handle_of(instance.app)
    if handle is not None and handle.reporter is not None and id(handle) not in _mains:
        _mains[id(handle)] = main = Main(handle, handle.reporter, instance)
        guard.run(getattr, handle.names, "checks")  # read before the fork, so that not each child complains about it
        atexit.register(main.goodbye)


def on_child_init(**_: Any) -> None:
    """A child of a pool begins; in a solo pool the main process says this of itself."""
    for main in _mains.values():
        if main.pid != os.getpid() and main.is_prefork:
            main.reporter.enter_child()


def on_ready(sender: Any = None, **_: Any) -> None:
    """The worker takes tasks."""
    main = main_of(sender.app)
    if main is not None:
        main.ready(sender)


def on_stopping(**_: Any) -> None:
    """A signal to stop came; at the second one nobody waits for us any more."""
    for main in _mains.values():
        if main.pid == os.getpid():
            main.stop()


def on_shutdown(sender: Any = None, **_: Any) -> None:
    """The last that a worker says of itself, unless it is a cold shutdown; then it is atexit."""
    main = main_of(sender.app)
    if main is not None:
        main.goodbye()


def on_child_end(**_: Any) -> None:
    """A child of a pool ends without `atexit`: what it reported by itself, beside its tasks or because nobody relays, is sent."""
    flush_all()
    for handle in list(handles.values()):
        handle.flush()


def main_of(app: Any) -> Main | None:
    """That of an app whose worker this process is, or was forked from."""
    handle = handle_of(app)
    return _mains.get(id(handle)) if handle is not None else None


def took_one(app: Any) -> None:
    """A message was taken from the broker, whatever becomes of it."""
    main = main_of(app)
    if main is not None:
        main.vital.taken += 1


def _is_prefork(pool: Any) -> bool:
    return any(kind.__module__ == "celery.concurrency.prefork" for kind in getattr(pool, "__mro__", ()))


def _requests() -> list[Any]:
    """The requests under way. Their set is copied in one step of the interpreter, for another thread changes it."""
    found = [reference() for reference in list(state.active_requests.data)]
    return [request for request in found if request is not None]


RECEIVERS: list[tuple[Any, Callable[..., None]]] = [
    (signals.celeryd_after_setup, on_worker_setup),
    (signals.worker_process_init, on_child_init),
    (signals.worker_process_shutdown, on_child_end),
    (signals.worker_ready, on_ready),
    (signals.worker_shutting_down, on_stopping),
    (signals.worker_shutdown, on_shutdown),
]
