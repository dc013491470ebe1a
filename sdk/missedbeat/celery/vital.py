"""What `missedbeat probe` reads: whether a worker or Beat is alive and ready, judged by a thread of it and put into a file.

Alive means that a restart would mend nothing. So a worker whose only thread runs a long task is alive, and so is one that waits
for its broker; one whose loop stands still is not, nor one that takes nothing while messages wait for it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from missedbeat.guard import guard
from missedbeat.heart import Heart
from missedbeat.probe import line_of

EVERY = 5.0
ASK_EVERY = 15.0
CONNECTING = 2.0  # times the patience: Celery itself waits half a minute between two tries
TIMEOUT = 3.0

logger = logging.getLogger("missedbeat")


class Verdict(NamedTuple):
    """`live`: it needs no restart; `ready`: it does its work now."""

    live: bool
    ready: bool
    words: str


UNKNOWN = Verdict(True, True, "is there; how it is cannot be said, and its log says why")
"""Where we fail ourselves: that is no reason to end anybody."""


class Facts(NamedTuple):
    """Of a worker. `stands`: how many seconds its loop has not turned; `is_busy`: a task runs in the thread of the loop; `waits`:
    a queue that has held messages for `waits_for` seconds while it took nothing, though there was room; `reachable`: how many
    seconds the broker could be reached by others, 0 where it cannot, or nobody has asked."""

    stands: float
    is_connected: bool
    is_busy: bool = False
    is_stopping: bool = False
    reachable: float = 0.0
    waits: str = ""
    waits_for: float = 0.0


def judge_worker(facts: Facts, patience: float) -> Verdict:
    """Of a worker that has begun; `patience`: how many seconds it may stand still."""
    if facts.is_stopping:
        return Verdict(True, False, "is stopping, and ends the tasks that it has")
    if facts.is_busy:
        return Verdict(True, True, "runs a task in its only thread")
    if not facts.is_connected:
        live = facts.reachable < CONNECTING * patience
        return Verdict(live, False, "waits for its broker" if live else "does not connect to its broker, which can be reached")
    if facts.stands > patience:  # perhaps in the middle of a word to its broker
        words = f"its loop has not turned for {facts.stands:.0f} s"
        return Verdict(facts.reachable <= 0, False, words if facts.reachable else f"{words}, and its broker cannot be reached")
    if facts.waits_for > patience:
        return Verdict(False, False, f"messages wait in {facts.waits}, and it has taken none for {facts.waits_for:.0f} s")
    return Verdict(True, True, "takes tasks")


def judge_beat(stalled_for: float, has_ticked: bool, publish_error: str, can_reach: bool | None, patience: float) -> Verdict:
    """Of a Beat; `stalled_for`: seconds since it should have looked for what is due, 0 if it need not have; `can_reach`: whether
    its broker can be reached, None if that is not known."""
    if stalled_for > 0:
        live = stalled_for <= patience or not can_reach
        words = "waits for its broker" if can_reach is False else f"has not looked for what is due for {stalled_for:.0f} s"
        return Verdict(live, False, words)
    if publish_error:
        return Verdict(True, False, "cannot reach its broker")
    return Verdict(True, has_ticked, "looks for what is due" if has_ticked else "has not looked for what is due yet")


class Broker:
    """The broker, asked over a connection of our own in a thread of its own, which may hang."""

    def __init__(self, app: Any, patience: float, queues: Callable[[], list[str]]) -> None:
        self._app, self._queues = app, queues
        self._every = min(ASK_EVERY, patience / 4)
        self._thread: threading.Thread | None = None
        self._asked_at = 0.0
        self.reached_since: float | None = None
        self.can_reach: bool | None = None
        self.depths: Mapping[str, int] = {}

    def ask(self) -> None:
        """Ask again, if the last time is over and was long enough ago. What hangs says that it cannot be reached."""
        now = time.monotonic()
        if now - self._asked_at < self._every:
            return
        if self._thread is not None and self._thread.is_alive():
            self._note(False, {})
            return
        self._asked_at = now
        self._thread = threading.Thread(target=guard.wrap(self._ask), name="missedbeat-broker", daemon=True)
        self._thread.start()

    def forget(self) -> None:
        """Nobody asks any more: what was heard is of no use later."""
        self.reached_since, self.can_reach, self.depths = None, None, {}

    def _ask(self) -> None:
        depths, error = guard.attempt(self._depths)
        self._note(error is None, depths or {})

    def _note(self, reached: bool, depths: Mapping[str, int]) -> None:
        self.can_reach, self.depths = reached, depths
        self.reached_since = (self.reached_since or time.monotonic()) if reached else None

    def _depths(self) -> dict[str, int]:
        """How many messages wait in each queue; raises where the broker is away."""
        found = {}
        with connection_of_our_own(self._app.connection_for_read) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=TIMEOUT)
            for queue in self._queues():
                with suppress(*connection.channel_errors), connection.channel() as channel:
                    found[queue] = int(channel.queue_declare(queue, passive=True).message_count)
        return found


def connection_of_our_own(connect: Callable[..., Any]) -> Any:
    """A connection to the broker, made by this method of the app, that gives up after a few seconds."""
    connection = connect(connect_timeout=TIMEOUT)
    if str(connection.transport_cls).startswith(("redis", "sentinel")):
        options = dict(connection.transport_options or {})
        connection.transport_options = {**options, "socket_connect_timeout": TIMEOUT, "socket_timeout": TIMEOUT}
    return connection


def path_of(probe: str, role: str) -> str:
    """Where a worker or a Beat says how it is; empty where it does not."""
    return f"{probe}.{role}" if probe else ""


def take_away(path: str) -> None:
    """Of one that is not there any more nothing is said."""
    if path:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - as it is written


class File:
    """A thread that writes what `judge` says, again and again, where MISSEDBEAT_PROBE is set."""

    def __init__(self, path: str, role: str, patience: float, judge: Callable[[], Verdict]) -> None:
        self._path, self._judge = path_of(path, role), judge
        self._heart = Heart(min(EVERY, patience / 4) if path else None, self._write)
        self._is_broken = False

    def clear(self) -> None:
        """What stands there is of another process."""
        take_away(self._path)

    def start(self) -> None:
        """From now on."""
        self._heart.start()

    def close(self) -> None:
        """The process is about to end, as it should."""
        self._heart.close()
        self.clear()

    def write_now(self) -> None:
        """Something changed; safe in a signal handler."""
        if self._path:
            self._heart.beat_now()

    def _write(self) -> None:
        verdict = guard.run(self._judge) or UNKNOWN
        _, error = guard.attempt(_replace, self._path, line_of(*verdict))
        if isinstance(error, OSError) and not self._is_broken:
            logger.warning("MISSEDBEAT_PROBE: %s cannot be written, the probe will say that we are gone: %s", self._path, error)
        self._is_broken = error is not None


def _replace(path: str, line: str) -> None:
    """The file is whole at each moment; a link that somebody laid is not followed."""
    new = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(new)  # noqa: PTH108
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.write(descriptor, line.encode("utf-8", "replace"))
    finally:
        os.close(descriptor)
    os.replace(new, path)  # noqa: PTH105
