"""The throttle: a token bucket per monitor, kept on its row, so that it holds over all processes; `log` has one of its own."""

from datetime import datetime

from app.domain.state import Signal
from app.store.rows import Buckets


def take(buckets: Buckets, signal: Signal, per_minute: int, now: datetime) -> float:
    """Take a token for a check-in at `now` and return 0.0; where there is none, take nothing and return the seconds until there
    is. A full bucket holds a minute's tokens. 0 a minute is no limit."""
    if not per_minute:
        return 0.0
    name = "log" if signal is Signal.LOG else "ping"
    tokens, at = buckets.get(name, (float(per_minute), now))
    rate = per_minute / 60
    tokens = min(float(per_minute), tokens + max(0.0, (now - at).total_seconds()) * rate)
    if tokens < 1:
        return (1 - tokens) / rate
    buckets[name] = (tokens - 1, max(at, now))
    return 0.0
