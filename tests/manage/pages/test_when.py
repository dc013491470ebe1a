"""Instants and spans as one person reads them."""

from datetime import UTC, datetime, timedelta

import pytest

from app.manage.pages.when import When, short

NOW = datetime(2026, 12, 5, 13, 5, 9, tzinfo=UTC)


def test_instants_are_told_in_the_zone_of_the_reader() -> None:
    """Today the hour alone, in this year the day too, before it the day; exactly in the title."""
    when = When(NOW, "Europe/Berlin")
    assert when.exact(NOW) == "Sat 5 Dec 2026, 14:05:09 CET"
    assert when.clock(NOW - timedelta(hours=2)) == "12:05"
    assert when.clock(NOW - timedelta(days=1)) == "4 Dec 14:05"
    assert when.clock(NOW - timedelta(days=400)) == "31 Oct 2025"
    assert when.machine(NOW) == "2026-12-05T13:05:09Z"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "now"), (0.4, "now"), (3.7, "3 s ago"), (59, "59 s ago"), (61, "1 min 1 s ago"), (125, "2 min 5 s ago"),
        (3600, "1 h ago"), (36_000, "10 h ago"), (90_000, "1 d 1 h ago"), (-59, "in 59 s"), (-7_260, "in 2 h 1 min"),
    ],
)  # fmt: skip
def test_how_long_ago_is_said_in_two_units_at_most(seconds: float, words: str) -> None:
    """Whole seconds; the lesser unit only where the greater is below ten."""
    assert When(NOW).ago(NOW - timedelta(seconds=seconds)) == words


def test_never_and_nothing() -> None:
    """Where there is no instant, and no span."""
    assert (When(NOW).ago(None), short(None)) == ("never", "–")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (0.031, "31 ms"), (0.26, "0.3 s"), (9.94, "9.9 s"), (9.96, "10 s"), (599, "9 min 59 s")]
)
def test_short_spans_have_a_tenth(seconds: float, words: str) -> None:
    """Durations of quick jobs are told apart."""
    assert short(seconds) == words


@pytest.mark.parametrize(
    ("zone", "hour"), [("UTC", "12:00"), ("Asia/Kolkata", "18:00"), ("America/St_Johns", "09:00"), ("Pacific/Auckland", "00:00")]
)
def test_an_axis_begins_at_a_multiple_of_three_hours_on_the_readers_clock(zone: str, hour: str) -> None:
    """Also where the clock is half an hour off."""
    when = When(NOW, zone)
    start = when.three_hours(NOW)
    assert timedelta() <= NOW - start < timedelta(hours=3)
    assert when.hour(start) == hour
