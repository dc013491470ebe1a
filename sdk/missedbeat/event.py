"""An event: one thing that was seen, as it waits for its departure. Its meaning and its fields: docs/events.md of the service.

A tuple and no dict: thousands of them may wait while the server is away.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

ENDS = frozenset(
    f"run.{word}"
    for word in (
        "succeeded", "failed", "aborted", "lost", "rejected", "unknown_task", "expired", "revoked", "ignored", "dispatch_failed",
    )
)  # fmt: skip
GOOD_ENDS = frozenset({"run.succeeded", "run.ignored"})
LIVES = frozenset({"beat.up", "beat.down", "worker.up", "worker.stopping", "worker.down"})
SYNC = "schedule.sync"

LONGEST_RUN = 100
LONGEST_MONITOR = 200

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
        if "active" in fields:
            fields["active"] = [[short_monitor(monitor), short_run(run), *rest] for monitor, run, *rest in fields["active"]]
        return fields


class Told(NamedTuple):
    """An event that is text already, for a child of the pool made it; `ts` as there. `final`: `before_send` has seen it."""

    type: str
    ts: int
    text: bytes
    final: bool = False


def short_run(run: str) -> str:
    """A run's id as it is told everywhere: as it is, or cut and with a hash where the service would not take it."""
    return run if len(run) <= LONGEST_RUN else _cut(run, LONGEST_RUN)


def short_monitor(monitor: str) -> str:
    """The same for a monitor; what stands before the colon does not count."""
    if len(monitor) <= LONGEST_MONITOR:
        return monitor
    kind, colon, name = monitor.partition(":")
    return monitor if len(name) <= LONGEST_MONITOR else f"{kind}{colon}{_cut(name, LONGEST_MONITOR)}"


def _cut(name: str, most: int) -> str:
    return f"{name[: most - 9]}#{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"
