"""Clocks that are not ours: when something happened by our clock, that a program says happened at an instant of its own."""

from datetime import datetime, timedelta

CLOCKS_AGREE = timedelta(seconds=2)  # a Date header has whole seconds
OLDEST_REPORT = timedelta(days=60)
ANY_CLOCK = timedelta(days=20 * 366)  # a clock further off says nothing, and sums with it would overflow


def skew_of(sent: datetime, received: datetime) -> timedelta:
    """What is to be added to instants of a clock that says `sent` when ours says `received`; nothing for 2 s and less."""
    skew = received - min(max(sent, received - ANY_CLOCK), received + ANY_CLOCK)
    return skew if abs(skew) > CLOCKS_AGREE else timedelta()


def on_our_clock(said: datetime, skew: timedelta, received: datetime) -> datetime:
    """The instant by our clock. It may lie in the future, or in a past longer ago than is kept."""
    return min(max(said, received - ANY_CLOCK), received + ANY_CLOCK) + skew
