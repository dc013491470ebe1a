"""The entry that Beat is dispatching right now. It goes with the call, not with the message: hooks read it on the way."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timezone, tzinfo
from typing import Any

from missedbeat.reporter import now_ms

BROKER_ERRORS = frozenset({"OperationalError", "ConnectionError"})


@dataclass
class Dispatch:
    """One call of `scheduler.apply_async`. What became of the message is noted as it is published."""

    entry: str
    task: str
    run: str = ""
    sent: str = ""
    """The task that was sent."""
    message: Mapping[str, Any] = field(default_factory=dict)
    queue: str = ""

    def takes(self, task: str) -> bool:
        """Whether a message of this task is the entry's. The first one is, for a task may send another one in its place; so is
        the entry's own task after that, for it may send another one before itself."""
        return not self.sent or self.sent != self.task == task

    def publish(self, task: str, headers: Mapping[str, Any], body: Any, routing_key: Any) -> None:
        """Its message is on its way."""
        self.message = headers if "id" in headers or not isinstance(body, dict) else body  # else it is of protocol 1
        self.sent, self.run = task, str(self.message.get("id") or "")
        self.queue = str(routing_key or "")[:100]

    def way(self) -> tuple[Any, ...]:
        """How the message travels: through which queue, from when on it may be begun, until when."""
        more: tuple[Any, ...] = ("task", self.task)
        if self.queue:
            more = (*more, "queue", self.queue)
        expires, eta = instant(self.message.get("expires")), instant(self.message.get("eta"))
        if expires is not None:
            more = (*more, "expires", max(0, round((expires - now_ms()) / 1000)))
        return (*more, "eta", eta) if eta is not None else more


DISPATCHING: ContextVar[Dispatch | None] = ContextVar("missedbeat_dispatching", default=None)


def current_dispatch() -> Dispatch | None:
    """The one under way in this thread, if any."""
    return DISPATCHING.get()


def instant(given: Any, zone: tzinfo = timezone.utc) -> int | None:
    """An instant as Celery keeps it, a datetime or ISO text, in milliseconds; one without a zone is of `zone`."""
    if isinstance(given, str) and given:
        given = datetime.fromisoformat(given[:-1] + "+00:00" if given.endswith("Z") else given)
    if not isinstance(given, datetime):
        return None
    return int((given if given.tzinfo is not None else given.replace(tzinfo=zone)).timestamp() * 1000)


def is_of_broker(error: BaseException) -> bool:
    """Whether it failed because the broker cannot be reached, and not because of the message."""
    at: BaseException | None = error
    for _ in range(10):
        if at is None:
            return False
        if isinstance(at, OSError) or type(at).__name__ in BROKER_ERRORS:
            return True
        at = at.__cause__ or at.__context__
    return False
