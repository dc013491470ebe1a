"""Uptime: what counts, what does not, and that it is never said to be better than it was."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from app.domain.horizon import Blackout
from app.domain.uptime import Stretch, Turned, Uptime, stretches, uptime, within

START = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(hours: float) -> datetime:
    """So long after the start."""
    return START + hours * HOUR


def test_what_it_was_before_its_first_turn_is_known_from_that_turn() -> None:
    """From up to down after ten hours, up again after twelve, paused after twenty: 18 of 20 hours that count."""
    turns = [Turned(at(10), "up", "down"), Turned(at(12), "down", "up"), Turned(at(20), "up", "paused")]
    found = stretches(turns, "paused", START, at(24))
    assert [(s.status, s.start, s.end) for s in found] == [
        ("up", START, at(10)), ("down", at(10), at(12)), ("up", at(12), at(20)), ("paused", at(20), at(24)),
    ]  # fmt: skip
    counted = uptime(found)
    assert (counted.up, counted.down, counted.share, counted.in_words) == (18 * HOUR, 2 * HOUR, 0.9, "90.00 %")


def test_without_a_turn_it_was_all_the_while_what_it_is() -> None:
    """Down for the whole time is 0 %; new, paused or no time at all is nothing to count."""
    assert uptime(stretches([], "down", START, at(5))).in_words == "0.00 %"
    for status in ("new", "paused"):
        assert uptime(stretches([], status, START, at(5))).in_words == "–"
    assert stretches([], "up", START, START) == []


def test_time_in_which_we_could_not_hear_counts_as_neither() -> None:
    """A blackout takes its part of up and of down."""
    found = [Stretch("up", START, at(10)), Stretch("down", at(10), at(20))]
    counted = uptime(found, [Blackout(at(8), at(11)), Blackout(at(30), at(40))])
    assert (counted.up, counted.down) == (8 * HOUR, 9 * HOUR)


@pytest.mark.parametrize(
    ("down", "words"),
    [(0, "100 %"), (1, "99.99 %"), (0.001, "99.99 %"), (3600 * 24, "96.66 %")],
)
def test_it_is_cut_and_never_rounded_up(down: float, words: str) -> None:
    """100 % says that it was never down: one second in a month is 99.99 %."""
    assert Uptime(timedelta(days=30) - timedelta(seconds=down), timedelta(seconds=down)).in_words == words


def test_the_stretches_of_any_life_fill_the_time_without_a_gap() -> None:
    """Turns before the time, after it and at the same instant; cut to any part of it, they fill that part."""
    for seed in range(300):
        luck = random.Random(seed)
        instants = sorted(at(luck.choice((0, 24, luck.uniform(-3, 27)))) for _ in range(luck.randrange(6)))
        statuses = [luck.choice(("up", "down", "paused", "new")) for _ in range(len(instants) + 1)]
        turns = [Turned(instant, *statuses[n : n + 2]) for n, instant in enumerate(instants)]
        found = stretches(turns, statuses[-1], START, at(24))
        assert sum((s.end - s.start for s in found), timedelta()) == 24 * HOUR, seed
        assert all(one.end == other.start for one, other in pairwise(found)), seed
        part = within(found, at(5), at(7))
        assert sum((s.end - s.start for s in part), timedelta()) == 2 * HOUR, seed
