"""Beat: its schedule, what it dispatches, and whether it still ticks. Only two methods of its one scheduler object are wrapped;
they do what they did, return what they returned, and raise what they raised.

Beat's own thread reads a schedule that it keeps itself, for that bears no other; one that is kept elsewhere is read by a thread
of its own, so that nothing waits for it. What was read is said by yet another thread.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import Any
from uuid import uuid4

from celery import signals
from celery.beat import PersistentScheduler, Scheduler

from missedbeat.celery.dispatching import DISPATCHING, Dispatch, is_of_broker
from missedbeat.celery.handle import Handle, handle_of
from missedbeat.celery.naming import public_name
from missedbeat.celery.registration import MOST_ENTRIES, Declaration, Watched, declare, watched
from missedbeat.celery.stores import matches, reader_of, runs_once, waits_for_lock
from missedbeat.celery.vital import TIMEOUT, Broker, File, Verdict, connection_of_our_own, judge_beat
from missedbeat.guard import guard
from missedbeat.heart import Heart
from missedbeat.reporter import Reporter
from missedbeat.words import words_of

logger = logging.getLogger("missedbeat")

SLACK = 10.0
SYNC_EVERY = 900.0
LOOK_EVERY = 15.0
SAME_TIME = 1000  # milliseconds
NOTHING_SENT = "nothing was published: the task decided so"


class Watch:
    """One scheduler, watched."""

    def __init__(self, handle: Handle, reporter: Reporter, scheduler: Any) -> None:
        self.handle, self.reporter, self.scheduler = handle, reporter, scheduler
        self.pid = os.getpid()
        self.last_tick = self.began = time.monotonic()
        self.interval: float | None = None
        self.has_ticked = False
        self.publish_error: str | None = None
        self.declared: dict[str, Declaration] = {}
        self.paused: frozenset[str] = frozenset()
        self._read = reader_of(scheduler, handle.settings.once)
        self._reading: threading.Thread | None = None
        self._is_whole = False  # whether `declared` is all of it: else what is not in there need not be gone
        self._looked_at = 0.0
        self._synced: tuple[float, list[Declaration]] | None = None
        self._probing: threading.Thread | None = None
        self._said_goodbye = self._has_complained = False
        self._broker = Broker(handle.app, handle.settings.probe_patience, list)
        self.file = File(handle.settings.probe, "beat", handle.settings.probe_patience, self.judge)
        self.heart = Heart(handle.settings.heartbeat, self.beat)
        handle.on_close.append(self.heart.close)

    def start(self) -> None:
        """Say that Beat is up, and from now on what it does."""
        if self._read is None:
            guard.run(self.look)
        self.wrap()
        self.reporter.leave_relay()
        if self.handle.settings.heartbeat is not None:
            self.reporter.beats_every = self.handle.settings.heartbeat
            self.reporter.record("beat.up")
        guard.run(self.sync)
        self.heart.start()
        self.file.start()
        atexit.register(self.goodbye)

    # in Beat's thread

    def look(self) -> None:
        """Read the schedule. That of a scheduler that we do not know is read once: it may cost anything, and need not be all."""
        kind = type(self.scheduler)
        is_known = kind.schedule in (Scheduler.schedule, PersistentScheduler.schedule) if hasattr(kind, "schedule") else False
        if self._looked_at and not is_known:
            return
        self._looked_at = time.monotonic()
        self._take(list(self.scheduler.schedule.values()), is_known)

    def _take(self, entries: list[Any], is_whole: bool) -> None:
        found = [one for one in watched(self.handle, entries) if not self.has_no_check(one.entry, one.name)]
        self.paused = frozenset(one.name for one in found if getattr(one.entry, "is_paused", False))
        said = [declare(self.handle, one) for one in found if one.name not in self.paused]
        self.declared = {str(one["name"]): steady(one, self.declared) for one in said if one is not None}
        self._is_whole = is_whole and None not in said

    def has_no_check(self, entry: Any, name: str) -> bool:
        """Whether it runs once, and nobody wants a check for that."""
        return runs_once(entry) and not matches(name, self.handle.settings.once)

    def dispatch_of(self, entry: Any) -> Dispatch:
        """What is known of it before it is sent."""
        name = public_name(entry.name, entry.task)
        return Dispatch("" if self.has_no_check(entry, name) else name, str(entry.task))

    def dispatched(self, entry: Any, dispatch: Dispatch) -> None:
        """The message of an entry is at the broker; or its task saw to it that there is none, which is a run without anything to
        do: neither is a run missed."""
        monitor = self._monitor(entry, dispatch)
        if dispatch.sent:
            self.publish_error = None
        if monitor:
            due, way = guard.run(self._next_due, entry, dispatch), guard.run(dispatch.way)
            run = dispatch.run or str(uuid4())
            self.reporter.record("run.dispatched", monitor, run, more=(*(due or ()), *(way or ())))
            if not dispatch.sent:
                self.reporter.record("run.ignored", monitor, run, more=("error", NOTHING_SENT))

    def dispatch_failed(self, entry: Any, dispatch: Dispatch, error: BaseException) -> None:
        """It is not, and Beat will not try again before the next time."""
        is_broker = is_of_broker(error)
        if is_broker:
            self.publish_error = words_of(error, self.handle.settings.exceptions) or "the broker cannot be reached"
        monitor = self._monitor(entry, dispatch)
        if monitor:
            words = words_of(error, self.handle.settings.exceptions)
            due = guard.run(self._next_due, entry, dispatch) or ()
            more = (*(("error", words) if words else ()), "broker", is_broker, *due)
            self.reporter.record("run.dispatch_failed", monitor, more=more)

    def ticked(self, interval: Any) -> None:
        """A round is over, and the next one begins in so many seconds."""
        self.last_tick, self.interval, self.has_ticked = time.monotonic(), interval, True
        if self.last_tick - self._looked_at < LOOK_EVERY:
            return
        if self._read is None:
            guard.run(self.look)
        elif self._reading is None or not self._reading.is_alive():
            self._looked_at = self.last_tick
            self._reading = threading.Thread(target=guard.wrap(self.read), name="missedbeat-schedule", daemon=True)
            self._reading.start()

    def _monitor(self, entry: Any, dispatch: Dispatch) -> str:
        """Of one that runs once there is none: it is a task that is sent, and no schedule."""
        check = self.handle.names.checks.get(dispatch.task)
        if check is not None:
            return check
        if not dispatch.entry:
            return ""
        return f"entry:{dispatch.entry}" if self.handle.names.is_watched(dispatch.entry, dispatch.task) else ""

    def _next_due(self, entry: Any, dispatch: Dispatch) -> tuple[Any, ...]:
        """Of a schedule that only Celery can read. An entry that nobody told us of is declared by the way."""
        if dispatch.task in self.handle.names.checks or runs_once(entry):
            return ()
        if dispatch.entry not in self.declared:
            said = declare(self.handle, Watched(dispatch.entry, entry))
            if said is not None:
                self.declared = {**self.declared, dispatch.entry: said}
        said = self.declared.get(dispatch.entry)
        if said is None or said["schedule"]["kind"] != "declared":
            return ()
        following = declare(self.handle, Watched(dispatch.entry, _after(entry)))
        if following is None or following["schedule"].get("next_due") is None:
            return ()
        self.declared = {**self.declared, dispatch.entry: steady(following, self.declared)}
        return ("next_due", self.declared[dispatch.entry]["schedule"]["next_due"])

    def wrap(self) -> None:
        """Put our own around the two methods, on this one object."""
        apply_async, tick = self.scheduler.apply_async, self.scheduler.tick

        def watched_apply_async(entry: Any, *args: Any, **named: Any) -> Any:
            with _Dispatching(self, entry):
                return apply_async(entry, *args, **named)

        def watched_tick(*args: Any, **named: Any) -> Any:
            interval = tick(*args, **named)
            guard.run(self.ticked, interval)
            return interval

        self.scheduler.apply_async, self.scheduler.tick = watched_apply_async, watched_tick

    # in a thread of its own

    def read(self) -> None:
        """Read a schedule that is kept elsewhere, and say it if there is anything new to it."""
        reading = self._read() if self._read is not None else None
        if reading is not None:
            self._take(reading.entries, reading.is_whole)
            self.sync()

    # in the thread of the heart

    def beat(self) -> None:
        """One heartbeat, and the schedule if it changed or was not said for long."""
        guard.run(self.sync)
        if self.publish_error is not None and (self._probing is None or not self._probing.is_alive()):
            self._probing = threading.Thread(target=guard.wrap(self._probe), name="missedbeat-probe", daemon=True)
            self._probing.start()
        age, is_standby = time.monotonic() - self.last_tick, self._is_standby()
        opaque = {name: said["schedule"] for name, said in self.declared.items() if said["schedule"]["kind"] == "declared"}
        dues = {name: schedule.get("next_due") for name, schedule in opaque.items()}
        interval = max(self.interval or 0.0, 0.0)
        facts = (
            "last_tick_age", round(age, 1), "tick_interval", round(interval, 1) if self.has_ticked else None,
            "standby", is_standby, "stalled", not is_standby and age > interval + SLACK, "publish_error", self.publish_error,
            "entries", len(self.declared), "next_due", {name: due for name, due in dues.items() if due},
        )  # fmt: skip
        self.reporter.beat("beat.beat", [facts])

    def judge(self) -> Verdict:
        """How it is, for the probe: one that stands still may do so for its broker."""
        interval = max(self.interval or 0.0, 0.0)
        stalled_for = 0.0 if self._is_standby() else max(0.0, time.monotonic() - self.last_tick - interval - SLACK)
        if stalled_for:
            self._broker.ask()
        else:
            self._broker.forget()
        has_ticked, patience = self.has_ticked or self._is_standby(), self.handle.settings.probe_patience
        return judge_beat(stalled_for, has_ticked, self.publish_error or "", self._broker.can_reach, patience)

    def _is_standby(self) -> bool:
        return not self.has_ticked and waits_for_lock(self.scheduler)

    def sync(self) -> None:
        """Say the whole schedule, if there is anything new to it; nothing before it was read."""
        declared, paused = self.declared, self.paused
        if not self.handle.settings.register or not (declared or paused or self._is_whole):
            return
        entries = sorted(declared.values(), key=lambda said: str(said["name"]))
        essence = [{**said, "schedule": {**said["schedule"], "next_due": None}} for said in entries]
        idle = [{"name": name, "paused": True} for name in sorted(paused - declared.keys())]
        entries, essence = (entries + idle)[:MOST_ENTRIES], (essence + idle)[:MOST_ENTRIES]
        self._complain_of(len(declared) - MOST_ENTRIES)
        now = time.monotonic()
        if self._synced is not None and self._synced[1] == essence and now - self._synced[0] < SYNC_EVERY:
            return
        self._synced = (now, essence)
        reconcile = self.handle.settings.reconcile and self._is_whole
        self.reporter.beat("schedule.sync", [("reconcile", reconcile, "entries", entries)])

    def _complain_of(self, left_out: int) -> None:
        if left_out > 0 and not self._has_complained:
            self._has_complained = True
            logger.warning("%d entries of the schedule are not watched: the service takes %d of a Beat", left_out, MOST_ENTRIES)

    def _probe(self) -> None:
        """Whether the broker can be reached again; asked over a connection of our own, so that Beat's is left alone."""
        with connection_of_our_own(self.handle.app.connection_for_write) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=TIMEOUT)
        self.publish_error = None

    def goodbye(self) -> None:
        """The process is about to end."""
        if self._said_goodbye or os.getpid() != self.pid:
            return
        self._said_goodbye = True
        until = time.monotonic() + self.handle.settings.flush_timeout
        self.heart.close()
        self.file.close()
        if self.handle.settings.heartbeat is not None:
            self.reporter.record("beat.down")
        self.handle.flush(until - time.monotonic())


class _Dispatching:
    """Around one call of `apply_async`: hooks know the entry meanwhile, and the outcome is reported. Nothing is caught."""

    def __init__(self, watch: Watch, entry: Any) -> None:
        self.watch, self.entry = watch, entry
        self.dispatch = guard.run(watch.dispatch_of, entry) or Dispatch("", "")

    def __enter__(self) -> None:
        self._token: Token[Dispatch | None] = DISPATCHING.set(self.dispatch)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        DISPATCHING.reset(self._token)
        if error is None:
            guard.run(self.watch.dispatched, self.entry, self.dispatch)
        elif isinstance(error, Exception):
            guard.run(self.watch.dispatch_failed, self.entry, self.dispatch, error)


def steady(said: Declaration, before: dict[str, Declaration]) -> Declaration:
    """With the next time that was said before, where it is the same but for the moment of asking."""
    due = said["schedule"].get("next_due")
    known = before.get(str(said["name"]), {}).get("schedule", {}).get("next_due")
    if due is None or known is None or abs(due - known) > SAME_TIME:
        return said
    return {**said, "schedule": {**said["schedule"], "next_due": known}}


def on_beat_init(sender: Any = None, **_: Any) -> None:
    """A Beat begins, in whatever process."""
    handle = handle_of(sender.app)
    if handle is not None and handle.reporter is not None and not hasattr(sender.scheduler, "_missedbeat"):
        sender.scheduler._missedbeat = watch = Watch(handle, handle.reporter, sender.scheduler)
        watch.start()


def _after(entry: Any) -> Any:
    """The entry as it is once it has run, which is now."""

    class After:
        name, task, schedule, last_run_at = entry.name, entry.task, entry.schedule, entry.default_now()

    return After


RECEIVERS: list[tuple[Any, Callable[..., None]]] = [(signals.beat_init, on_beat_init)]
