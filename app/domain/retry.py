"""When a delivery is tried again, and when it is given up."""

from datetime import datetime, timedelta

WAITS = tuple(timedelta(seconds=s) for s in (5, 30, 120, 300, 900, 1800, 3600, 7200, 14400))
GIVE_UP_AFTER = timedelta(hours=24)
LONGEST_RETRY_AFTER = timedelta(minutes=15)
SLOW = timedelta(minutes=15)
FALLBACK_AFTER = timedelta(minutes=10)
JITTER = 0.2


def next_try(
    tries: int, first: datetime, now: datetime, chance: float, retry_after: float | None = None, slow: bool = False
) -> datetime | None:
    """When to try again after `tries` failed attempts, the first of them at `first`; None when it is given up.

    `chance` in [0, 1) spreads the wait by 20 % either way. A receiver's Retry-After (seconds) is honoured up to 15 min.
    `slow`: the receiver does not know us (401, 403), so asking often is no use.
    """
    wait = WAITS[min(max(tries, 1), len(WAITS)) - 1]
    wait *= 1 - JITTER + 2 * JITTER * chance
    if slow:
        wait = max(wait, SLOW)
    if retry_after is not None:
        wait = max(wait, min(timedelta(seconds=max(retry_after, 0)), LONGEST_RETRY_AFTER))
    at = now + wait
    return at if at - first <= GIVE_UP_AFTER else None
