"""Cron expressions written out in full are made short again, and mean the same."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.cron_list import condense
from app.domain.schedule import next_after, parse

NOW = datetime(2026, 10, 18, tzinfo=UTC)
DAYS = ",".join(map(str, range(1, 32)))
MONTHS = ",".join(map(str, range(1, 13)))
WEEK = "0,1,2,3,4,5,6"
EVEN = ",".join(map(str, range(0, 60, 2)))


@pytest.mark.parametrize(
    ("written", "short"),
    [
        (f"0 2 {DAYS} {MONTHS} {WEEK}", "0 2 * * *"),
        (f"0 2 {DAYS} {MONTHS} 1", "0 2 * * 1"),
        (f"0 2 1,15 {MONTHS} {WEEK}", "0 2 1,15 * *"),
        (f"{EVEN} 8,9,10,11,12,13,14,15,16 {DAYS} {MONTHS} 1,2,3,4,5", "0-58/2 8-16 * * 1-5"),
        (f"7,3,5 2 {DAYS} {MONTHS} {WEEK}", "3-7/2 2 * * *"),
        (f"1,2,4,8 2 {DAYS} {MONTHS} {WEEK}", "1,2,4,8 2 * * *"),
        (f"0 2 {DAYS} * 1,2,3,4,5,6,7", "0 2 * * *"),
        (f"1,1,1 2 {DAYS} * *", "1,1,1 2 * * *"),
    ],
)
def test_a_list_of_all_values_or_of_evenly_spaced_ones_is_made_short(written: str, short: str) -> None:
    """As cronradar-celery writes Celery's schedules; a list of all days does not make both day fields restricted ones."""
    assert condense(written) == short
    assert condense(short) == short
    parse(short, "UTC", NOW)


@pytest.mark.parametrize(
    "expression", ["*/5 * * * *", "0 2 1-31 * 1", "0  2 * * *", "Mon *-*-* 02:00", "@daily", "", "0,1 2 * *"]
)
def test_what_a_person_wrote_stays_as_it_is(expression: str) -> None:
    """Only lists of three and more are touched."""
    assert condense(expression) == expression


def test_the_short_form_fires_when_the_long_one_does() -> None:
    """Over a week, where the long one can still be read."""
    long = "0,10,20,30,40,50 0,6,12,18 * * 1,2,3,4,5"
    one, other = parse(long, "UTC", NOW), parse(condense(long), "UTC", NOW)
    at: datetime | None = NOW
    while at is not None and at < NOW + timedelta(days=7):
        assert next_after(one, at) == next_after(other, at)
        at = next_after(one, at)
