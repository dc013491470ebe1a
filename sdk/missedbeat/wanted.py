"""What a person wants of one monitor; said in `instrument(app, monitors={"entry name": Monitor(...)})`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite
from typing import Any, Union

Seconds = Union[int, float, timedelta]


@dataclass(frozen=True)
class Monitor:
    """All of it may be left out. `grace`: how late it may be; `max_runtime`: how long it may run; `max_wait`: how long it may
    wait in the queue; all in seconds or as timedelta. `tags` are for people."""

    grace: Seconds | None = None
    max_runtime: Seconds | None = None
    max_wait: Seconds | None = None
    tags: Iterable[str] = ()

    def declared(self) -> dict[str, Any]:
        """As `schedule.sync` says it: only what is given."""
        limits = {"grace": self.grace, "max_runtime": self.max_runtime, "max_wait": self.max_wait}
        said: dict[str, Any] = {name: in_seconds(value, name) for name, value in limits.items() if value is not None}
        tags = [self.tags] if isinstance(self.tags, str) else [str(tag) for tag in self.tags]
        return {**said, "tags": tags} if tags else said


def in_seconds(value: Seconds, name: str) -> float:
    """A length of time as a number; raises ValueError, which calls it by its name, for what is none."""
    try:
        seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
        if isfinite(seconds):
            return seconds
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{name}={value!r}: say a number of seconds, or a timedelta")
