"""The next times of a schedule, and what is told of them where a clock is changed, against every minute of those nights."""

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.coming import Coming, coming
from app.domain.schedule import Calendar, Cron, Crontab, Declared, Every, OnCalendar, next_after
from tests.domain.test_dst import SAMPLE
from tests.domain.test_schedule import calendars, instants

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BERLIN = "Europe/Berlin"
FORWARD, BACK = datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)


def told(calendar: Calendar, since: datetime, count: int = 5) -> list[tuple[str, str]]:
    """Each as a clock on the wall shows it, and what is told of it."""
    return [(f"{one.local:%d. %H:%M%z}", one.note) for one in coming(calendar, "UTC", since, count)]


@given(calendars, instants)
@settings(deadline=None)
def test_the_next_times_are_the_next_slots(calendar: Calendar, t: datetime) -> None:
    """One after the other, in UTC and in the calendar's own zone."""
    slots: list[datetime] = []
    after = t
    while len(slots) < 5 and (slot := next_after(calendar, after)) is not None:
        slots.append(slot)
        after = slot
    found = coming(calendar, "UTC", t)
    assert [one.at for one in found] == slots
    assert [one.local for one in found] == slots
    assert all(str(one.local.tzinfo) == getattr(calendar, "zone", "") for one in found)


def test_what_falls_into_a_skipped_hour_is_told() -> None:
    """Cron catches up with it, a timer of systemd leaves it out, Beat is as much later; real time has none of it."""
    eve = FORWARD - 20 * HOUR
    late = ("29. 03:00+0200", "the clock skips 02:30 on that day: it is due at 03:00 instead")
    assert told(Cron("30 2 * * *", BERLIN), eve, 2) == [late, ("30. 02:30+0200", "")]
    out = ("30. 02:30+0200", "the clock skips 02:30 before that: it is not due then")
    assert told(OnCalendar("02:30", BERLIN), eve, 2) == [out, ("31. 02:30+0200", "")]
    beat = ("29. 03:30+0200", "the clock skips 02:30 on that day: it is due at 03:30 instead")
    assert told(Crontab("30 2 * * *", BERLIN), eve, 1) == [beat]
    skipped = ("29. 03:00+0200", "the clock skips 02:00 before that: it is not due then")
    assert told(Cron("*/30 * * * *", BERLIN), FORWARD - HOUR, 3) == [("29. 01:30+0100", ""), skipped, ("29. 03:30+0200", "")]
    assert told(Cron("0 2,3 * * *", BERLIN), eve, 1) == [skipped]
    midnight = ("06. 01:00-0300", "the clock skips 00:00 on that day: it is due at 01:00 instead")
    assert told(Cron("0 0 * * *", "America/Santiago"), datetime(2026, 9, 5, 12, tzinfo=UTC), 1) == [midnight]


def test_what_falls_into_a_repeated_hour_is_told() -> None:
    """Once or twice."""
    once = ("25. 02:30+0200", "the clock shows 02:30 twice on that day: it is due the first time only")
    for calendar in (Cron("30 2 * * *", BERLIN), OnCalendar("02:30", BERLIN), Crontab("30 2 * * *", BERLIN)):
        assert told(calendar, BACK - 20 * HOUR, 2) == [once, ("26. 02:30+0100", "")]
    assert told(Cron("30 * * * *", BERLIN), BACK - HOUR, 3) == [
        ("25. 02:30+0200", "the clock shows 02:30 twice on that day: it is due both times"),
        ("25. 02:30+0100", "the clock shows 02:30 twice on that day: this is the second time"),
        ("25. 03:30+0100", ""),
    ]


def test_lines_with_zones_of_their_own_are_told_by_their_own_clocks() -> None:
    """What is due by several lines is told of each once."""
    three = OnCalendar("02:30\n*-*-* 00:30 UTC\n*:30 Europe/Paris", BERLIN)
    (first, *_) = coming(three, "UTC", BACK - HOUR)
    assert first.note == "the clock shows 02:30 twice on that day: it is due the first time only"


def test_a_period_and_what_a_scheduler_says_know_no_clock() -> None:
    """A period is counted from now and shown in the zone asked for; of a due that is over without a gap nothing comes."""
    assert [one.at for one in coming(Every(HOUR), BERLIN, FORWARD, 2)] == [FORWARD + HOUR, FORWARD + 2 * HOUR]
    assert coming(Every(HOUR), BERLIN, FORWARD - HOUR, 1)[0] == Coming(FORWARD, FORWARD.astimezone(ZoneInfo(BERLIN)))
    assert [one.note for one in coming(Declared(BACK, HOUR, BERLIN), "UTC", BACK - 2 * HOUR)] == [""] * 5
    assert coming(Declared(BACK, None, BERLIN), "UTC", BACK) == []
    assert len(coming(OnCalendar("2026-12-24", "UTC"), "UTC", BACK)) == 1


# ---- Every minute of those nights


@cache
def shown(zone: str, turn: datetime) -> dict[datetime, list[datetime]]:
    """Of each minute that a clock on the wall shows within a day of `turn`: the instants at which it does."""
    found: dict[datetime, list[datetime]] = {}
    for n in range(-24 * 60, 24 * 60):
        at = turn + n * MINUTE
        found.setdefault(at.astimezone(ZoneInfo(zone)).replace(tzinfo=None), []).append(at)
    return found


@cache
def turns(zone: str) -> list[datetime]:
    """The minutes of 2026 from which on another offset holds."""
    start, found = datetime(2026, 1, 1, tzinfo=UTC), []
    for hour in range(365 * 24):
        before, after = start + hour * HOUR, start + (hour + 1) * HOUR
        if before.astimezone(ZoneInfo(zone)).utcoffset() != after.astimezone(ZoneInfo(zone)).utcoffset():
            minute = next(
                m for m in range(61)
                if (before + m * MINUTE).astimezone(ZoneInfo(zone)).utcoffset() == after.astimezone(ZoneInfo(zone)).utcoffset()
            )  # fmt: skip
            found.append(before + minute * MINUTE)
    return found


ZONES = [zone for zone in SAMPLE if turns(zone)]
times = st.tuples(st.sampled_from(["0", "30", "15,45", "*/20", "*"]), st.sampled_from(["*", "1", "2", "2,3", "0-4", "*/3", "0"]))
kinds = st.sampled_from([Cron, Crontab, OnCalendar])


@given(st.sampled_from(ZONES), times, kinds, st.integers(-8, 4), st.data())
@settings(deadline=None, max_examples=300)
def test_every_note_is_true_and_none_is_missing(
    zone: str, time: tuple[str, str], kind: type[Calendar], hours: int, data: st.DataObject
) -> None:
    """What is shown twice is called so, with how often it is due; what is due at a time it does not name is told with that time;
    what is skipped since the slot before is told; and of nothing else anything is."""
    turn = data.draw(st.sampled_from(turns(zone)))
    minute, hour = time
    expression = (
        f"{hour.replace('-', '..').replace('*/', '0/')}:{minute.replace('*/', '0/')}"
        if kind is OnCalendar
        else f"{minute} {hour} * * *"
    )
    calendar = kind(expression, zone)  # type: ignore[call-arg, arg-type]
    in_utc = kind(expression, "UTC")  # type: ignore[call-arg, arg-type]
    on_wall = shown(zone, turn)
    found = coming(calendar, "UTC", turn + hours * HOUR, 8)
    for before, one in zip([None, *found], found, strict=False):
        wall = one.local.replace(tzinfo=None)
        if wall not in on_wall or abs(one.at - turn) > 20 * HOUR or before is None or abs(before.at - turn) > 20 * HOUR:
            continue
        named = next_after(in_utc, wall.replace(tzinfo=UTC) - MINUTE) == wall.replace(tzinfo=UTC)
        instants_of = on_wall[wall]
        if len(instants_of) == 2:
            second = instants_of[1]
            again = "both times" if next_after(calendar, second - MINUTE) == second else "the first time only"
            said = "this is the second time" if one.at == second else f"it is due {again}"
            assert one.note == f"the clock shows {wall:%H:%M} twice on that day: {said}"
            continue
        wall_before = before.local.replace(tzinfo=None)
        minutes = [wall_before + n * MINUTE for n in range(1, max(1, (wall - wall_before) // MINUTE))]
        gone = [
            m for m in minutes if m not in on_wall and next_after(in_utc, m.replace(tzinfo=UTC) - MINUTE) == m.replace(tzinfo=UTC)
        ]
        if not named:
            (skipped,) = re.findall(r"skips (\S+) on that day: it is due at", one.note)
            assert skipped == f"{gone[0]:%H:%M}"
        elif gone:
            assert one.note == f"the clock skips {gone[0]:%H:%M} before that: it is not due then"
        else:
            assert one.note == ""
