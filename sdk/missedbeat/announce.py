"""What is told of a command that `missedbeat run` runs: as events with a key, or as pings of one URL without."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit, urlunsplit

from missedbeat.child import Ended
from missedbeat.post import Answer, Post, origin_of
from missedbeat.program import this_program
from missedbeat.run_of_job import Run

PATIENCE = 10.0
STOPPED = 2.0
AGAIN = 0.5
SIGNALS = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM"}

logger = logging.getLogger("missedbeat")


class Announcement(Protocol):
    """Who is told. Neither raises; `began` does not wait."""

    @property
    def is_kept(self) -> bool:
        """Whether what did not arrive outlives us."""

    def began(self) -> None:
        """The command runs."""

    def ended(self, how: Ended, output: bytes, seconds: float, give_up: Callable[[], bool]) -> bool:
        """It is over; waits so long at most for that to arrive. False if it did not."""


class Events:
    """With a key of the project: the check is registered, and the server hears that the command lives."""

    def __init__(self, key: str, run_id: str, options: dict[str, Any]) -> None:
        self._run = Run(key, options, run_id)

    @property
    def is_kept(self) -> bool:
        """Whether what did not arrive waits in a spool."""
        program = this_program()
        return bool(program.settings.spool) and program.reporter is not None and not program.reporter.lost

    def began(self) -> None:
        """The thread of the SDK sends it."""
        self._run.begin()

    def ended(self, how: Ended, output: bytes, seconds: float, give_up: Callable[[], bool]) -> bool:
        """With what it wrote. Tried until the time is over: the end of a backup may meet a restart of the server."""
        kind, more = _as_event(how)
        self._run.over(kind, (*more, "log", output.decode("utf-8", "replace")) if output else more)
        until, reporter = time.monotonic() + seconds, this_program().reporter
        while not this_program().flush(max(until - time.monotonic(), 0.0)):
            is_refused = reporter is not None and reporter.is_refused
            if give_up() or is_refused or time.monotonic() + AGAIN > until:
                return False
            time.sleep(AGAIN)
        return True


class Pings:
    """With a ping URL alone. Start and end are told; that it lives is not."""

    is_kept = False

    def __init__(self, url: str, run_id: str) -> None:
        self._url, self._run_id = url, run_id
        self._start = threading.Thread(target=self._send, args=("start", b""), name="missedbeat-start", daemon=True)

    def began(self) -> None:
        """In a thread of its own, tried once."""
        self._start.start()

    def ended(self, how: Ended, output: bytes, seconds: float, give_up: Callable[[], bool]) -> bool:
        """After the start, or once that has failed: one that came later would begin another run."""
        until = time.monotonic() + seconds
        while self._start.is_alive() and time.monotonic() < until and not give_up():
            self._start.join(AGAIN)
        body = b"\n".join(part for part in (_words(how).encode(), output) if part)
        while True:
            answer = self._send(str(how.code), body)
            if 200 <= answer.status < 300:
                return True
            if 400 <= answer.status < 500 and answer.status not in (408, 425, 429):
                logger.warning("%s answers %d: is the ping URL right?", origin_of(self._url), answer.status)
                return True
            if give_up() or time.monotonic() + AGAIN > until:
                return False
            time.sleep(AGAIN)

    def _send(self, what: str, body: bytes) -> Answer:
        post = Post(_under(self._url, what, self._run_id), {"Idempotency-Key": f"{self._run_id}-{what}"})
        answer = post.send(body, {})
        post.close()
        return answer


class Told(NamedTuple):
    """What of an end goes into an event."""

    kind: str
    more: tuple[Any, ...]


def _as_event(how: Ended) -> Told:
    words = _words(how)
    if how.signal and how.was_told:
        return Told("run.aborted", ("error", words, "exit", how.code))
    if how.signal:
        return Told("run.lost", ("error", words, "exit", how.code))
    return Told("run.failed", ("error", words, "exit", how.code)) if how.code else Told("run.succeeded", ("exit", 0))


def _words(how: Ended) -> str:
    """Why it did not end well; empty if it did."""
    if how.problem:
        return how.problem
    if how.signal:
        name = SIGNALS.get(how.signal)
        shown = f"signal {how.signal} ({name})" if name else f"signal {how.signal}"
        return f"stopped by {shown}" if how.was_told else f"its process was killed by {shown}"
    return f"exit code {how.code}" if how.code else ""


def _under(url: str, what: str, run_id: str) -> str:
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, f"rid={run_id}") if part)
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{what}", query, ""))
