"""Dramatiq: one line, `watch(broker)`, and the actors with the option `missedbeat` are checks.

A middleware hears of each message before and after it is processed; it stands before all others, so that it knows what `Retries`
decided. A worker that is killed is found by its silence.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Optional

from dramatiq.middleware import Middleware
from dramatiq.middleware.shutdown import Shutdown

from missedbeat import plain
from missedbeat.guard import guard
from missedbeat.program import flush_all, this_program
from missedbeat.run_of_job import Run

__all__ = ["Watching", "watch"]

OPTION = "missedbeat"
SAID = ("schedule", "tz", "grace", "max_runtime", "tags")

Key = Callable[[Any], Optional[str]]

logger = logging.getLogger("missedbeat")

_current: ContextVar[Run | None] = ContextVar("missedbeat_dramatiq", default=None)
plain.elsewhere.append(_current.get)


def watch(broker: Any, key: Key | None = None) -> None:
    """Watch what the workers of this broker process; before its actors are declared. A second call changes nothing.

    Watched are actors with the option `missedbeat`: the key of their check, True for their own name, or a dict of `key` and what
    `missedbeat.monitor` takes, such as `schedule`. `key(message)` says it for messages of others; None, and one is not watched.
    """
    if not any(isinstance(one, Watching) for one in broker.middleware):
        first = type(broker.middleware[0]) if broker.middleware else None
        broker.add_middleware(Watching(key), before=first)


class Watching(Middleware):
    """The middleware; `watch` puts it where it belongs."""

    def __init__(self, key: Key | None = None) -> None:
        self._key = key
        self._runs: dict[int, Run] = {}
        self._delays: dict[str, int] = {}

    @property
    def actor_options(self) -> set[str]:
        """What an actor may say."""
        return {OPTION}

    def after_worker_boot(self, broker: Any, worker: Any) -> None:
        """A worker begins, and knows all actors: say when its actors are due."""
        for actor in list(broker.actors.values()):
            guard.run(_declare, actor)

    def before_process_message(self, broker: Any, message: Any) -> None:
        """It begins."""
        guard.run(self._begin, broker, message)

    def before_enqueue(self, broker: Any, message: Any, delay: int | None) -> None:
        """Where it is a message that is being processed, it will be tried again."""
        run = _current.get()
        if run is not None and run.id == message.message_id:
            self._delays[run.id] = delay or 0

    def after_process_message(self, broker: Any, message: Any, *, result: Any = None, exception: Any = None) -> None:
        """It ended, and the other middlewares have dealt with it."""
        run = self._over(message)
        if run is None:
            return
        delay = self._delays.pop(run.id, None)
        if exception is None:
            run.succeed()
        elif delay is not None and not message.failed:
            guard.run(_again, run, delay, exception)
        elif isinstance(exception, Shutdown):
            run.end(exception)
        else:
            run.fail(exception)

    def after_skip_message(self, broker: Any, message: Any) -> None:
        """A middleware would not have it: for its age, or as it likes."""
        run = self._over(message)
        if run is not None:
            kind = "run.expired" if message.failed else "run.ignored"
            guard.run(run.over, kind, ("error", "it was skipped by a middleware, before it began"))

    def after_worker_shutdown(self, broker: Any, worker: Any) -> None:
        """The process is about to end."""
        guard.run(flush_all)

    def _begin(self, broker: Any, message: Any) -> None:
        actor = broker.get_actor(message.actor_name)
        said = _said(actor)
        key = said.pop("key", None) or (self._key(message) if self._key is not None else None)
        if not key:
            return
        att = int(message.options.get("retries", 0))
        run = Run(key, said, run_id=message.message_id).begin(att, ("queue", str(message.queue_name)))
        self._runs[id(message)] = run
        _current.set(run)

    def _over(self, message: Any) -> Run | None:
        _current.set(None)
        return self._runs.pop(id(message), None)


def _again(run: Run, delay: int, exception: BaseException) -> None:
    eta = time.time_ns() // 1_000_000 + delay
    words = run.words_of(exception)
    run.over("run.retry", (*(("error", words) if words else ()), "eta", eta))


def _declare(actor: Any) -> None:
    said, given = _said(actor), actor.options.get(OPTION)
    unknown = set(given) - {"key", *SAID} if isinstance(given, dict) else ()
    if unknown:
        logger.warning("The actor %r: missedbeat=… knows no %s", actor.actor_name, ", ".join(sorted(map(str, unknown))))
    key = said.pop("key", None)
    if key:
        this_program().declare(key, **said)


def _said(actor: Any) -> dict[str, Any]:
    """What the option of an actor says, with its `key`; nothing where it says nothing."""
    given = actor.options.get(OPTION)
    if isinstance(given, dict):
        return {"key": actor.actor_name, **{name: given[name] for name in ("key", *SAID) if name in given}}
    return {"key": actor.actor_name if given is True else str(given)} if given else {}
