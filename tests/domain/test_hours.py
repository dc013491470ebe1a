"""The hours of a channel: when they last, and when they next begin."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.hours import DAYS, Hours, in_words, read_hours

OFFICE = read_hours("Europe/Berlin", DAYS[:5], "08:00", "18:00")
NIGHT = read_hours("America/New_York", ["fri"], "22:30", "6:00")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "now", "opens"),
    [
        (OFFICE, "2026-11-27 06:59", "2026-11-27 07:00"),  # a Friday; 08:00 in Berlin
        (OFFICE, "2026-11-27 07:00", None),
        (OFFICE, "2026-11-27 16:59:59", None),
        (OFFICE, "2026-11-27 17:00", "2026-11-30 07:00"),  # over the weekend
        (OFFICE, "2026-07-03 16:00", "2026-07-06 06:00"),  # in summer an hour earlier
        (OFFICE, "2026-03-27 18:00", "2026-03-30 06:00"),  # over a change of the clock
        (NIGHT, "2026-11-28 03:29", "2026-11-28 03:30"),
        (NIGHT, "2026-11-28 10:59", None),  # Saturday, 5:59 there, in the night of Friday
        (NIGHT, "2026-11-28 11:00", "2026-12-05 03:30"),
        (read_hours("UTC", DAYS, "00:00", "24:00"), "2026-11-28 00:00", None),
        (read_hours("UTC", ["sat"], "00:00", "00:00"), "2026-11-28 23:59", None),
        (read_hours("UTC", ["sat"], "00:00", "24:00"), "2026-11-29 00:00", "2026-12-05 00:00"),
        (read_hours("Europe/Berlin", ["sun"], "02:30", "04:00"), "2026-03-29 01:00", "2026-03-29 01:30"),  # there is no 02:30
        (read_hours("Europe/Berlin", ["sun"], "02:00", "03:00"), "2026-03-28 12:00", "2026-04-05 00:00"),  # nor this hour
    ],
)
def test_when_they_begin(hours: Hours, now: str, opens: str | None) -> None:
    assert hours.opens_at(at(now)) == (at(opens) if opens else None)


@given(
    st.sampled_from(ZONES), st.sets(st.sampled_from(DAYS), min_size=1), st.times(), st.times(),
    st.integers(0, 10 * 365 * 86_400).map(lambda seconds: at("2020-01-01") + timedelta(seconds=seconds)),
)  # fmt: skip
def test_they_last_exactly_while_the_clock_on_the_wall_says_so(
    zone: str, days: set[str], start: time, end: time, now: datetime
) -> None:
    """Held against the wall clock, where that was not changed within a day; and at what is said to be their beginning they
    have begun, and not a second before."""
    hours = Hours(zone, frozenset(DAYS.index(day) for day in days), start.replace(second=0, microsecond=0),
                  end.replace(second=0, microsecond=0))  # fmt: skip
    wall = now.astimezone(ZoneInfo(zone))
    opens = hours.opens_at(now)
    if offset(now + timedelta(days=2), zone) == offset(now - timedelta(days=2), zone):
        said, yesterday = wall.weekday() in hours.days, (wall.weekday() - 1) % 7 in hours.days
        clock, over = wall.time(), hours.end <= hours.start
        begun = said and clock >= hours.start and (over or clock < hours.end)
        assert (opens is None) == (begun or (over and yesterday and clock < hours.end))
    if opens is not None:
        assert now < opens <= now + timedelta(days=9)
        assert hours.opens_at(opens) is None
        assert hours.opens_at(opens - timedelta(seconds=1)) is not None or opens - timedelta(seconds=1) < now


def offset(at: datetime, zone: str) -> timedelta:
    found = at.astimezone(ZoneInfo(zone)).utcoffset()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        (("Berlin", DAYS, "08:00", "18:00"), "zone"),
        (("UTC", (), "08:00", "18:00"), "days"),
        (("UTC", ("monday",), "08:00", "18:00"), "days"),
        (("UTC", DAYS, "8", "18:00"), "from"),
        (("UTC", DAYS, "24:00", "18:00"), "from"),
        (("UTC", DAYS, "08:00", "18:60"), "to"),
        (("UTC", DAYS, "08:00", "٠٨:٠٠"), "to"),
    ],
)
def test_what_is_wrong_is_named(given: tuple[str, tuple[str, ...], str, str], wrong: str) -> None:
    with pytest.raises(ValueError, match=f"^{wrong}: "):
        read_hours(*given)


def test_they_are_kept_as_they_were_written_and_said_in_words() -> None:
    assert Hours.from_json(OFFICE.to_json()) == OFFICE
    assert in_words(OFFICE.to_json()) == "Mon–Fri 08:00–18:00 Europe/Berlin"
    assert in_words(NIGHT.to_json()) == "Fri 22:30–06:00 America/New_York"
    assert in_words(read_hours("UTC", ("sat", "sun", "mon"), "00:00", "24:00").to_json()) == "Mon, Sat, Sun 00:00–24:00 UTC"
    assert in_words(None) == ""
