"""The only lines that ask the time. Verdicts use the database's clock; this one is for logs, signatures and elapsed time."""

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """This machine's clock, aware, in UTC. Never used for a verdict about a monitor."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds on a clock that is never set; only differences mean something."""
    return time.monotonic()
