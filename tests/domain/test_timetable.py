"""What a line remembers of its last walks changes no answer."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.expression import read_cron, read_crontab, read_on_calendar
from app.domain.timetable import Change, Line

DAWN = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Chatham", "UTC")
CRON = ("* * * * *", "*/7 1-3 * * *", "30 2 * * *", "0 0 1 * *", "15,45 */2 * * 1-5")
CRONTAB = ("*/20 * * * *", "30 2 * * *", "0 0 * * 0")
CALENDAR = ("*-*-* 02:30:15", "hourly", "Mon..Fri 03:00", "*:0/1:30")
# An hour of the year, mostly about when clocks change; from there steps of seconds to hours, back and forth, some of them from
# the last slot found.
HOURS = st.one_of(st.integers(0, 365 * 24), st.integers(1600, 2300), st.integers(6300, 7400))
SECONDS = st.one_of(st.sampled_from((-1, 0, 1)), st.integers(-180, 180), st.integers(-20_000, 20_000))
STEPS = st.lists(st.tuples(st.booleans(), st.booleans(), SECONDS), min_size=2, max_size=40)


def line(kind: str, expression: str, zone: str) -> Line:
    """One that was never asked before."""
    match kind:
        case "cron":
            return Line(*read_cron(expression), ZoneInfo(zone))
        case "crontab":
            return Line(read_crontab(expression), Change.PUT_OFF, ZoneInfo(zone))
        case _:
            return Line(read_on_calendar(expression), Change.LEFT_OUT, ZoneInfo(zone))


@settings(max_examples=400, deadline=None)
@given(
    written=st.sampled_from(
        [(kind, e) for kind, all_of in (("cron", CRON), ("crontab", CRONTAB), ("calendar", CALENDAR)) for e in all_of]
    ),
    zone=st.sampled_from(ZONES),
    hour=HOURS,
    steps=STEPS,
)
def test_whatever_was_asked_before_the_slots_around_an_instant_are_the_same(
    written: tuple[str, str], zone: str, hour: int, steps: list[tuple[bool, bool, int]]
) -> None:
    """Beside a line that is asked for the first time, the one before and the one after any instant, in any order."""
    asked, at = line(*written, zone), DAWN + timedelta(hours=hour)
    slot: datetime | None = at
    for backwards, from_slot, step in steps:
        at = (slot if from_slot and slot is not None else at) + timedelta(seconds=step)
        first = line(*written, zone)
        slot = asked.until(at) if backwards else asked.after(at)
        assert slot == (first.until(at) if backwards else first.after(at))
