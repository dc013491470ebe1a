"""Spans of time in words, once for all who name one to people."""

from datetime import timedelta
from math import ceil

UNITS = (("day", 1440), ("hour", 60), ("minute", 1))


def in_words(span: timedelta) -> str:
    """As in 45 seconds, 10 minutes, 7 days: the largest unit that it is a whole number of. What is no whole minute is rounded up:
    who waits so long waits long enough."""
    seconds = max(1, ceil(span.total_seconds()))
    if seconds < 60:
        return _counted(seconds, "second")
    minutes = ceil(seconds / 60)
    unit, size = next((unit, size) for unit, size in UNITS if minutes % size == 0)
    return _counted(minutes // size, unit)


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"
