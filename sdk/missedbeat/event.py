"""An event: one thing that was seen, as it waits for its departure. Its meaning and its fields: docs/events.md of the service.

A tuple and no dict: thousands of them may wait while the server is away.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

ENDS = frozenset(
    f"run.{word}"
    for word in (
        "succeeded", "failed", "aborted", "lost", "rejected", "unknown_task", "expired", "revoked", "ignored", "dispatch_failed",
    )
)  # fmt: skip
BEATS = frozenset({"beat.beat", "worker.beat", "schedule.sync"})
"""Of these only the newest counts: it says all that the older ones said."""
LIVES = frozenset({"beat.up", "beat.down", "worker.up", "worker.stopping", "worker.down"})

UNKNOWN = "?"
"""In place of the execution, where only the process that relays can know it."""


class Event(NamedTuple):
    """`process` and `seq` make it unique within one boot; `ts` in milliseconds; `more` holds names and values in turn."""

    type: str
    process: str
    seq: int
    ts: int
    monitor: str = ""
    run: str = ""
    att: int = 0
    x: str = ""
    more: tuple[Any, ...] = ()

    def said(self, boot: str) -> dict[str, Any]:
        """As it goes over the wire."""
        fields: dict[str, Any] = {"type": self.type, "id": f"{boot}:{self.process}:{self.seq}", "ts": self.ts}
        if self.monitor:
            fields["monitor"] = self.monitor
        if self.run:
            fields["run"], fields["att"] = self.run, self.att
        if self.x and self.x != UNKNOWN:
            fields["x"] = self.x
        fields.update(zip(self.more[::2], self.more[1::2]))
        return fields


def read(fields: list[Any]) -> Event:
    """An event that came as a list; names that come again and again are held once."""
    kind, process, seq, ts, monitor, *rest = fields
    run, att, x, more = rest
    return Event(sys.intern(kind), sys.intern(process), seq, ts, sys.intern(monitor), run, att, x, tuple(more))
