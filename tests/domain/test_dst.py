"""Clock changes: every zone, both kinds of change, many expressions, against a minute-by-minute scan of the documented rules.

The scan is written from Debian's cron(8), Notes, and from systemd#5595 and #8647, not from the code it judges: it steps through
real minutes, looks at the clock on the wall, and knows nothing of folds, gaps or offsets.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest

from app.domain.schedule import Calendar, Cron, OnCalendar, last_before, next_after
from tests.faults.rig import measured

MINUTE = timedelta(minutes=1)
AROUND = timedelta(hours=26)
SAMPLE = (
    "Africa/Cairo",  # at midnight
    "Africa/Casablanca",  # four changes in some years, for Ramadan
    "America/Havana",  # at midnight, back into the day before
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/St_Johns",
    "Antarctica/Troll",  # by two hours
    "Asia/Beirut",
    "Atlantic/Azores",
    "Australia/Lord_Howe",  # by half an hour
    "Europe/Berlin",
    "Europe/Dublin",  # its summer is standard time
    "Europe/London",
    "Pacific/Auckland",
    "Pacific/Chatham",  # at a quarter to three
    "Pacific/Easter",
)
Walls = tuple[datetime, ...]


# ---- The rules, from scratch


def numbers(field: str, lowest: int, highest: int) -> set[int]:
    """What a field of numbers, lists, ranges and steps stands for."""
    found: set[int] = set()
    for term in field.split(","):
        span, _, step = term.partition("/")
        first, _, last = span.partition("-")
        low, high = (lowest, highest) if span == "*" else (int(first), int(last or (highest if step else first)))
        found |= set(range(low, high + 1, int(step or 1)))
    return found


def minutes_between(farthest: datetime, wall: datetime) -> list[datetime]:
    """The minutes the clock on the wall has come farther; none when it went back."""
    return [farthest + late * MINUTE for late in range(1, (wall - farthest) // MINUTE + 1)]


def scan(expression: str, walls: Walls, systemd: bool = False) -> list[int]:
    """The minutes, as places in `walls`, at which a daemon that wakes up every minute starts the job."""
    minute, hour, day, month, weekday = expression.split()
    minutes, hours, days, months = numbers(minute, 0, 59), numbers(hour, 0, 23), numbers(day, 1, 31), numbers(month, 1, 12)
    weekdays = {number % 7 for number in numbers(weekday, 0, 7)}
    both = day[0] == "*" or weekday[0] == "*"

    def wanted(wall: datetime) -> bool:
        if wall.minute not in minutes or wall.hour not in hours or wall.month not in months:
            return False
        by_day, by_weekday = wall.day in days, wall.isoweekday() % 7 in weekdays
        return (by_day and by_weekday) if both else (by_day or by_weekday)

    due, farthest = [], walls[0] - MINUTE
    for place, wall in enumerate(walls):
        if systemd:  # a time is due when the clock shows it first; a time it never shows is not
            starts = wall > farthest and wanted(wall)
        elif minute[0] == "*" or hour[0] == "*":  # wildcard jobs: by the clock as it is now
            starts = wanted(wall)
        else:  # fixed times: what was skipped is caught up with, what was done is not done again
            passed = [wall] if wall - farthest == MINUTE else minutes_between(farthest, wall)
            starts = any(map(wanted, passed))
        farthest = max(farthest, wall)
        if starts:
            due.append(place)
    return due


# ---- The cases


def changes(zone: ZoneInfo, years: range) -> Iterator[datetime]:
    """The first minute after each clock change of these years."""
    last = datetime(years[0], 1, 1, tzinfo=UTC)
    while last.year <= years[-1]:
        quarter = last + timedelta(hours=6)
        if quarter.astimezone(zone).utcoffset() != last.astimezone(zone).utcoffset():
            minutes = (last + step * MINUTE for step in range(1, 361))
            yield next(at for at in minutes if at.astimezone(zone).utcoffset() != last.astimezone(zone).utcoffset())
        last = quarter


def expressions(walls: Walls) -> list[str]:
    """Cron around the hour that is skipped or repeated."""
    jump = next(place for place in range(1, len(walls)) if walls[place] - walls[place - 1] != MINUTE)
    before, after = walls[jump - 1] + MINUTE, walls[jump]
    first, last = min(before, after), max(before, after) - MINUTE
    inside = first + (last - first) // 2
    h, m, day, weekday = inside.hour, inside.minute, inside.day, inside.isoweekday()
    hours = ",".join(str(hour) for hour in sorted({(h + step) % 24 for step in (-1, 0, 1, 2)}))
    fixed = [f"{m} {h}", f"{first.minute} {first.hour}", f"{last.minute} {last.hour}", f"{after.minute} {after.hour}"]
    fixed += [
        f"{before.minute} {before.hour}",
        f"0,15,30,45 {h}",
        f"0-59/7 {h}",
        f"0,30 {hours}",
        f"10 {hours}",
        f"45 {h}-23/2",
        "0 0",
    ]
    wild = [
        f"* {h}",
        f"*/20 {hours}",
        f"*/30 {after.hour}",
        "*/15 *",
        "5 *",
        f"{m} */2",
        f"*/10 {last.hour}-23",
        "0,45 *",
        "*/30 0",
    ]
    some_days = [f"* * {weekday}", f"{day} * *", f"{day} * {(weekday + 1) % 7}", f"{day} * {weekday}", f"*/2 * {weekday}"]
    some_days += [f"{day},{(inside + timedelta(days=1)).day} {inside.month} */2"]
    return (
        [f"{times} * * *" for times in fixed + wild]
        + [f"{m} {h} {days}" for days in some_days]
        + [f"*/30 {h} {days}" for days in some_days]
    )


@cache
def expected(walls: Walls) -> list[tuple[str, bool, list[int]]]:
    """Each expression and what the scan says of it, as cron and as systemd; kept, for many zones show the same clock."""
    found = [(expression, False, scan(expression, walls)) for expression in expressions(walls)]
    for expression in expressions(walls):
        if expression.endswith("* * *") and not expression.startswith("*/") and "/" not in expression:
            found.append((expression, True, scan(expression, walls, systemd=True)))
    return found


def calendar(expression: str, systemd: bool, zone: str) -> Calendar:
    """The expression as a schedule; for systemd written its way."""
    if not systemd:
        return Cron(expression, zone)
    minute, hour, *_ = expression.split()
    return OnCalendar(f"*-*-* {hour.replace('-', '..')}:{minute.replace('-', '..')}", zone)


def check(schedule: Calendar, slots: list[datetime], start: datetime, change: datetime) -> None:
    """The slots forwards, the same backwards, and from moments on and beside the change."""
    end = change + (change - start)
    forwards, backwards = [], []
    slot = next_after(schedule, start - MINUTE)
    while slot is not None and slot < end:
        forwards.append(slot)
        slot = next_after(schedule, slot)
    assert forwards == slots, schedule
    slot = last_before(schedule, end - MINUTE)
    while slot is not None and slot >= start:
        backwards.append(slot)
        slot = last_before(schedule, slot - timedelta(microseconds=1))
    assert backwards == slots[::-1], schedule
    for seconds in (-5400, -1800.5, -1, -0.000001, 0, 0.000001, 1, 1799.5, 1800, 5400, 7199):
        t = change + timedelta(seconds=seconds)
        passed = bisect_right(slots, t)
        if passed < len(slots):
            assert next_after(schedule, t) == slots[passed], (schedule, t)
        if passed > 0:
            assert last_before(schedule, t) == slots[passed - 1], (schedule, t)


def prove(names: tuple[str, ...], years: range) -> tuple[int, int, int]:
    """Check every change of the zones; how many went forward, how many back, and how many cases that made.

    Where another zone has shown the same clock at the same change (links, mostly), every sixth expression must do.
    """
    forward = back = cases = 0
    proven = set()
    for name in names:
        for change in changes(ZoneInfo(name), years):
            start = change - AROUND
            instants = [start + step * MINUTE for step in range(2 * AROUND // MINUTE)]
            walls = tuple(at.astimezone(ZoneInfo(name)).replace(tzinfo=None, fold=0) for at in instants)
            chosen = expected(walls)[cases % 6 :: 6] if (change, walls) in proven else expected(walls)
            proven.add((change, walls))
            for expression, systemd, due in chosen:
                check(calendar(expression, systemd, name), [instants[place] for place in due], start, change)
                cases += 1
            goes_forward = walls[-1] - walls[0] > 2 * AROUND - MINUTE
            forward, back = forward + goes_forward, back + (not goes_forward)
    return forward, back, cases


# ---- The promises


def test_every_slot_around_a_clock_change_is_where_the_rules_put_it_in_the_zones_that_are_odd() -> None:
    """cron and OnCalendar keep their documented rules in spring and autumn; `last_before` mirrors `next_after`."""
    forward, back, cases = prove(SAMPLE, range(2026, 2027))
    assert forward >= 15
    assert back >= 15
    assert cases >= 1200


@pytest.mark.prove
def test_every_slot_around_a_clock_change_is_where_the_rules_put_it_in_all_zones() -> None:
    """The same for every IANA zone and every change of three years."""
    forward, back, cases = prove(tuple(sorted(available_timezones() - {"localtime"})), range(2025, 2028))
    assert forward >= 500
    assert back >= 500
    assert cases >= 12_000
    measured(f"{forward} changes forward, {back} back, {cases} cases")


def slots(schedule: Calendar, start: str, count: int) -> list[str]:
    """The first slots after a moment, as people of that zone write them."""
    found, t = [], datetime.fromisoformat(start)
    for _ in range(count):
        slot = next_after(schedule, t)
        assert slot is not None
        assert slot.tzinfo is UTC
        found.append(slot.astimezone(ZoneInfo(schedule.zone)).isoformat(timespec="minutes"))
        t = slot
    return found


EXAMPLES: dict[str, tuple[Calendar, str, list[str]]] = {
    "a fixed time in the skipped hour is due right after it, once": (
        Cron("15,45 2 * * *", "Europe/Berlin"),
        "2026-03-28T12:00+01:00",
        ["2026-03-29T03:00+02:00", "2026-03-30T02:15+02:00", "2026-03-30T02:45+02:00"],
    ),
    "a fixed time in the repeated hour is due in its first pass": (
        Cron("30 2 * * *", "Europe/Berlin"),
        "2026-10-24T12:00+02:00",
        ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"],
    ),
    "asked in the second pass, a fixed time is due the next day, not an hour ago": (
        Cron("30 2 * * *", "Europe/Berlin"),
        "2026-10-25T02:10+01:00",
        ["2026-10-26T02:30+01:00"],
    ),
    "a wildcard job has no slots in the skipped hour": (
        Cron("*/30 * * * *", "Europe/Berlin"),
        "2026-03-29T01:00+01:00",
        ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00"],
    ),
    "a wildcard job runs through both passes of the repeated hour": (
        Cron("*/30 2 * * *", "Europe/Berlin"),
        "2026-10-25T01:00+02:00",
        ["2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00"],
    ),
    "in Lord Howe half an hour is skipped, and no minute after it (cronsim 2.8 begins at 03:30)": (
        Cron("*/10 3 * * *", "Australia/Lord_Howe"),
        "2026-10-04T01:40+10:30",
        ["2026-10-04T03:00+11:00", "2026-10-04T03:10+11:00", "2026-10-04T03:20+11:00", "2026-10-04T03:30+11:00"],
    ),
    "in Chatham the minutes from 03:45 are there (cronsim 2.8 leaves them out)": (
        Cron("*/5 3 * * *", "Pacific/Chatham"),
        "2026-09-27T02:40+12:45",
        ["2026-09-27T03:45+13:45", "2026-09-27T03:50+13:45", "2026-09-27T03:55+13:45", "2026-09-28T03:00+13:45"],
    ),
    "a midnight that does not exist is due at one o'clock": (
        Cron("0 0 * * *", "Africa/Cairo"),
        "2026-04-23T12:00+02:00",
        ["2026-04-24T01:00+03:00", "2026-04-25T00:00+03:00"],
    ),
    "a wildcard job of the hour from midnight skips a day without it (cronsim 2.8 fires at one o'clock)": (
        Cron("*/30 0 * * 5,6", "Africa/Cairo"),
        "2026-04-23T12:00+02:00",
        ["2026-04-25T00:00+03:00"],
    ),
    "systemd leaves out what the clock skips": (
        OnCalendar("02:30", "Europe/Berlin"),
        "2026-03-28T12:00+01:00",
        ["2026-03-30T02:30+02:00"],
    ),
    "systemd counts the repeated hour once": (
        OnCalendar("*:00/30", "Europe/Berlin"),
        "2026-10-25T02:10+02:00",
        ["2026-10-25T02:30+02:00", "2026-10-25T03:00+01:00"],
    ),
    "asked in the second pass, systemd's next is after it": (
        OnCalendar("*:00/30", "Europe/Berlin"),
        "2026-10-25T02:10+01:00",
        ["2026-10-25T03:00+01:00"],
    ),
}


@pytest.mark.parametrize("what", EXAMPLES)
def test_the_rules_by_example(what: str) -> None:
    """The documented rules, one by one, with the dates written out."""
    schedule, start, expected_slots = EXAMPLES[what]
    assert slots(schedule, start, len(expected_slots)) == expected_slots
