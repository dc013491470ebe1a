"""What hooks talk to: takes what was seen and gets it out of the way, in whatever kind of process this is.

In a child of a prefork pool it goes into the pipe, everywhere else into the buffer of this process, whose thread sends it. After
every fork all of this is made anew.
"""

from __future__ import annotations

import json
import os
import socket
import time
import weakref
from collections.abc import Callable, Sequence
from itertools import count
from random import Random
from typing import Any

from missedbeat import __version__
from missedbeat.buffer import Buffer
from missedbeat.event import UNKNOWN, Event, Told, short_monitor, short_run
from missedbeat.guard import guard
from missedbeat.keeper import KeptBuffer
from missedbeat.post import Answer, Post
from missedbeat.relay import Relay
from missedbeat.relayed import in_text, pack, unpack
from missedbeat.runs import Runs
from missedbeat.sender import Sender, Way
from missedbeat.settings import Settings

AGENT = f"missedbeat-python/{__version__}"
BARE = ("type", "id", "ts", "monitor", "run", "att", "x")
"""What an event is without its further words: where these cannot be written this much goes out."""


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Nowhere:
    """The way of the offline mode: everything arrives, nothing is sent."""

    def send(self, body: bytes, headers: dict[str, str]) -> Answer:
        """As if the server had taken it."""
        return Answer(200, "{}")

    def close(self) -> None:
        """There is nothing to let go of."""

    def abandon(self) -> None:
        """Nor to leave to anybody."""


class Reporter:
    """One for each (address, key, app, environment) of a process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.boot = os.urandom(6).hex()
        self.node = ""
        self.beats_every: float | None = None
        self.relay: Relay | None = None
        self.listener: Callable[[dict[str, Any] | None], None] | None = None
        self._reads_relay = False
        self._way: Way = Nowhere()
        self._buffer = Buffer(0)
        self._renew()
        _reporters.add(self)

    # what hooks call

    def record(self, kind: str, monitor: str = "", run: str = "", att: int = 0, x: str = "", more: tuple[Any, ...] = ()) -> Event:
        """Something was seen now."""
        number, now = next(self._numbers), now_ms()
        event = Event(kind, self._process, number, now, short_monitor(monitor), short_run(run), att, x, more)
        if self.listener is not None:
            self.listener(self.said(event))
        elif self._in_child:
            self._hand_over(event)
        else:
            self.take(event)
        return event

    def new_execution(self) -> str:
        """A name for an execution that begins."""
        return f"{self._random.getrandbits(32):08x}"

    def beat(self, kind: str, facts: Sequence[tuple[Any, ...]], about: str = "") -> None:
        """The newest heartbeats of a kind, in place of older ones that still wait, of those `about` the same."""
        events = [Event(kind, self._process, next(self._numbers), now_ms(), more=more) for more in facts]
        if self.listener is not None:
            for event in events:
                self.listener(self.said(event))
            return
        self._buffer.beat(f"{kind} {about}" if about else kind, events)
        self._sender.ring()

    def take(self, event: Event) -> None:
        """Queue it, in a process that sends by itself."""
        self.runs.note(event)
        self._buffer.append(event)
        self._sender.ring()

    def said(self, event: Event) -> dict[str, Any] | None:
        """An event as it goes over the wire; None where `before_send` takes it back, or fails: what it would have hidden must not
        go out."""
        return self._approved(event.said(self.boot), event.type)

    # kinds of processes

    def open_relay(self) -> None:
        """This is the main process of a prefork pool, before its first fork."""
        if not self._reads_relay:  # one that we inherited is another's
            self.relay, self._reads_relay = Relay(), True

    def enter_child(self) -> None:
        """This is a child of that pool now."""
        self._in_child = self.relay is not None and self.relay.is_open()

    def leave_relay(self) -> None:
        """This process stands for itself, whatever it inherited."""
        self._in_child, self.relay = False, None

    def drain(self) -> None:
        """Take in what the children wrote; nobody but the main process may, for what one has read no other will."""
        if self.relay is not None and self._reads_relay:
            for relayed in map(unpack, self.relay.read()):
                if relayed is not None:
                    for kind, times in relayed.dropped.items():
                        self._buffer.drop(kind, times)
                    self.runs.note(relayed.event)
                    self._buffer.append(relayed.told)
            if not self._buffer.is_empty:
                self._sender.ring()

    def flush(self, seconds: float, give_up: Callable[[], bool] = lambda: False) -> bool:
        """Send what waits; False if that did not work out in time. A child has nothing to flush: it kept nothing."""
        if self._in_child:
            return True
        self.drain()
        has_arrived = self._sender.flush(seconds, give_up)
        self._buffer.store()
        return has_arrived

    @property
    def trouble(self) -> tuple[str, bool]:
        """Why what waits was not sent, empty where that is in the log already; and whether another attempt soon may do it."""
        return self._sender.trouble, self._sender.may_pass and not self.settings.spool

    @property
    def is_refused(self) -> bool:
        """Whether the server does not take the key, and nothing is sent for a while."""
        return self._sender.is_refused

    @property
    def lost(self) -> int:
        """How many events would be gone if the process ended now."""
        return self._buffer.in_memory + (self._sender.waiting if self._buffer.is_bypassed else 0)

    def try_out(self) -> Answer:
        """Ask the server with an envelope and nothing in it; waits for the answer."""
        body = self._envelope({}) + b"\n"
        answer = self._way.send(body, {"Content-Type": "application/x-ndjson"})
        self._way.close()
        return answer

    def close(self) -> None:
        """Nothing more is sent."""
        self._sender.close()
        self._buffer.close()
        _reporters.discard(self)
        for target in [target for target, reporter in _by_target.items() if reporter is self]:
            del _by_target[target]

    def stats(self) -> dict[str, Any]:
        """For people and tests."""
        dropped = dict(self._buffer.dropped)
        return {"queued": len(self._buffer) + self._sender.waiting, "sent": self._sender.arrived, "dropped": dropped}

    # inside

    def _renew(self) -> None:
        """Everything that must not be shared between processes."""
        self._process = os.urandom(4).hex()
        self._numbers, self._random = count(1), Random()
        self._in_child = self._reads_relay = False
        self._unsaid: dict[str, int] = {}
        self.runs = Runs()
        self._buffer.abandon()  # the other process goes on with it, and with its connection
        self._way.abandon()
        self._buffer = self._new_buffer()
        self._way = Nowhere() if self.settings.offline else Post(self.settings.address, self._headers())
        self._sender = Sender(self._way, self._buffer, self._envelope, self._write)

    def _new_buffer(self) -> Buffer:
        if not self.settings.spool or self.settings.offline:
            return Buffer(self.settings.max_buffer)
        return KeptBuffer(self.settings, f"{self.boot}-{self._process}", self._write, self._on_ready)

    def _on_ready(self) -> None:
        """Something waits, perhaps what a process before us saw."""
        self._sender.ring()

    def _hand_over(self, event: Event) -> None:
        line = None
        if self.relay is not None:
            line, error = guard.attempt(pack, event, self.boot, self._unsaid)
            line = line if error is None else pack(event._replace(more=()), self.boot, self._unsaid)
        if line is not None and self.relay is not None and self.relay.write(line):
            self._unsaid = {}
        else:
            self._unsaid[event.type] = self._unsaid.get(event.type, 0) + 1

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.settings.key}", "User-Agent": AGENT}

    def _envelope(self, dropped: dict[str, int]) -> bytes:
        host = socket.gethostname()
        said = {
            "v": 1, "sdk": AGENT, "app": self.settings.app, "environment": self.settings.environment, "host": host,
            "node": self.node or f"{os.getpid()}@{host}", "boot": self.boot, "sent_at": now_ms(),
            "heartbeat": self.beats_every, "dropped": dropped,
        }  # fmt: skip
        return in_text(said)

    def _approved(self, said: dict[str, Any], kind: str) -> dict[str, Any] | None:
        """What `before_send` leaves of it."""
        if self.settings.before_send is None:
            return said
        kept = guard.run(lambda change: (change(said),), self.settings.before_send)
        if kept is None:
            self._buffer.drop(kind)
        return kept[0] if kept is not None and isinstance(kept[0], dict) else None

    def _write(self, event: Event | Told) -> bytes | None:
        """An event as text; None where it shall not be sent."""
        if isinstance(event, Told):
            if event.final or self.settings.before_send is None:
                return event.text
            said = self._approved(json.loads(event.text), event.type)
        else:
            said = self._said_now(event)
        if said is None:
            return None
        text = guard.run(in_text, said)
        if text is None and "type" in said:
            text = guard.attempt(in_text, {name: said[name] for name in BARE if name in said})[0]
        if text is None:
            self._buffer.drop(event.type)
        return text

    def _said_now(self, event: Event) -> dict[str, Any] | None:
        """Where only the main process can know which execution it was, what its children wrote is read first."""
        if event.x == UNKNOWN:
            self.drain()
        return self.said(self.runs.named(event))


_reporters: weakref.WeakSet[Reporter] = weakref.WeakSet()
_by_target: dict[tuple[str, str, str, str], Reporter] = {}


def reporter_for(settings: Settings) -> Reporter:
    """The one of this process for where these settings send to."""
    target = (settings.url, settings.key, settings.app, settings.environment)
    if target not in _by_target:
        _by_target[target] = Reporter(settings)
    return _by_target[target]


def _renew_all() -> None:
    for reporter in list(_reporters):
        guard.run(reporter._renew)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
