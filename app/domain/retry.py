"""When a delivery is tried again and when it is given up; when a channel that fails is left alone, and for how long."""

from datetime import datetime, timedelta

WAITS = tuple(timedelta(seconds=s) for s in (5, 30, 120, 300, 900, 1800, 3600, 7200, 14400))
GIVE_UP_AFTER = timedelta(hours=24)
LEAST_ATTEMPTS = 3
LONGEST_RETRY_AFTER = timedelta(minutes=15)
SLOW = timedelta(minutes=15)
FALLBACK_AFTER = timedelta(minutes=10)
JITTER = 0.2

OPENS_AFTER = 5  # failures of a channel in a row
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=15)


def next_try(tries: int, now: datetime, chance: float, retry_after: float | None = None, slow: bool = False) -> datetime:
    """When to try again after `tries` failed attempts.

    `chance` in [0, 1) spreads the wait by 20 % either way. A receiver's Retry-After (seconds) is honoured up to 15 min.
    `slow`: the receiver does not know us (401, 403), so asking often is no use.
    """
    wait = WAITS[min(max(tries, 1), len(WAITS)) - 1]
    wait *= 1 - JITTER + 2 * JITTER * chance
    if slow:
        wait = max(wait, SLOW)
    if retry_after is not None:
        wait = max(wait, min(timedelta(seconds=max(retry_after, 0)), LONGEST_RETRY_AFTER))
    return now + wait


def is_given_up(again: datetime, failing_since: datetime, attempts: int) -> bool:
    """Whether a delivery that would be tried next at `again` is given up instead: after a day in which it could not be told,
    and never before it had three attempts of its own, however long its channel was left alone."""
    return again - failing_since > GIVE_UP_AFTER and attempts >= LEAST_ATTEMPTS


def pause_after(failures: int) -> timedelta | None:
    """How long a channel is left alone that failed so often in a row: from the fifth failure on 30 s, doubled by each one more,
    15 min at most. None: not at all."""
    if failures < OPENS_AFTER:
        return None
    doublings = min(failures - OPENS_AFTER, 10)
    return min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)
