"""A schedule in the words of other schedulers: cron, systemd, Windows. What they cannot say is None, never something like it.

How each of them reads its words: crontab(5), systemd.time(7), the reference of `schtasks /create`.
"""

import re
from collections.abc import Sequence
from datetime import timedelta

from app.domain.expression import ALIASES
from app.domain.schedule import Cron, Every, OnCalendar, Schedule, knows_zone

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
NUMBERS = {name: n for n, name in enumerate(MONTHS, 1)} | {name: n for n, name in enumerate(WEEKDAYS)}
PART = re.compile(r"(?:\*|(\d+|[a-z]{3})(?:-(\d+|[a-z]{3}))?)(?:/(\d+))?")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NIGHT = "0 3 * * *"  # once a day, where a day is all that is known


def as_cron(schedule: Schedule) -> str | None:
    """Five fields that every cron reads alike: no alias, no seventh weekday, nothing that only some know."""
    if isinstance(schedule, Every):
        return _every(schedule.period)
    if not isinstance(schedule, Cron):
        return None
    fields = ALIASES.get(schedule.expression, schedule.expression).lower().split()
    if any("*" in field and "," in field for field in fields):  # every value, and some others
        return None
    if not all(_is_plain(part) for field in fields for part in field.split(",")):
        return None
    if not fields[4].startswith("*"):
        fields[4] = _short(_weekdays(fields[4]))
    return " ".join(fields)


def as_on_calendar(schedule: Schedule) -> list[str] | None:
    """Lines for systemd's `OnCalendar=`, each with its zone; any of them elapses the timer."""
    if isinstance(schedule, OnCalendar):
        return [_zoned(line, schedule.zone) for line in schedule.expression.splitlines()]
    cron = as_cron(schedule)
    if cron is None:
        return None
    minute, hour, day, month, weekday = cron.split()
    days, weekdays = _field(day, 1), "" if weekday == "*" else _names(_weekdays(weekday)) + " "
    both = day.startswith("*") or weekday.startswith("*")  # else either is enough for cron, while systemd wants both
    lines = [(weekdays, days)] if both else [("", days), (weekdays, "*")]
    time = f"{_field(hour, 0)}:{_field(minute, 0)}:00"
    zone = schedule.zone if isinstance(schedule, Cron) else "UTC"
    return [f"{weekdays}*-{_field(month, 1)}-{days} {time} {zone}" for weekdays, days in lines]


def as_task(cron: str | None) -> str | None:
    """Options of Windows' `schtasks /Create` for five fields of cron, by the machine's own clock."""
    minute, hour, day, month, weekday = (cron or "x x x x x").split()
    if month != "*" or (day != "*" and weekday != "*"):
        return None
    if minute.isdecimal() and hour.isdecimal():
        at = f"/ST {int(hour):02}:{int(minute):02}"
        if day.isdecimal():
            return f"/SC MONTHLY /D {int(day)} {at}"
        if day == "*":
            names = ",".join(WEEKDAYS[n].upper() for n in _weekdays(weekday))
            return f"/SC DAILY {at}" if weekday == "*" else f"/SC WEEKLY /D {names} {at}"
    if (hour, day, weekday) == ("*", "*", "*"):
        if minute.isdecimal():
            return f"/SC HOURLY /ST 00:{int(minute):02}"
        step = "1" if minute == "*" else minute.removeprefix("*/")
        if step.isdecimal() and 60 % int(step) == 0:
            return f"/SC MINUTE /MO {int(step)}"
    return None


def _is_plain(part: str) -> bool:
    """Whether all read it alike; of a single value with a step some go on to the end, and some refuse it."""
    found = PART.fullmatch(part)
    if found is None:
        return False
    first, last, step = found.groups()
    return step is None or first is None or last not in (None, first)


def _every(period: timedelta) -> str | None:
    """A period that fits into an hour, a day or a week without rest."""
    if period == 7 * DAY:
        return "0 3 * * 0"
    if period == DAY:
        return NIGHT
    if period % HOUR == timedelta() and DAY % period == timedelta():
        hours = period // HOUR
        return "0 * * * *" if hours == 1 else f"0 */{hours} * * *"
    if period % MINUTE == timedelta() and period < HOUR and HOUR % period == timedelta():
        minutes = period // MINUTE
        return "* * * * *" if minutes == 1 else f"*/{minutes} * * * *"
    return None


def _zoned(line: str, zone: str) -> str:
    """A line with a zone: its own, or the check's."""
    return line if knows_zone(line.rsplit(maxsplit=1)[-1]) else f"{line} {zone}"


def _field(field: str, least: int) -> str:
    """A field of numbers in systemd's words."""
    return ",".join(_part(part, least) for part in field.split(","))


def _part(part: str, least: int) -> str:
    found = PART.fullmatch(part)
    assert found is not None  # noqa: S101 (`as_cron` looked)
    first, last, step = found.groups()
    if first is None:
        return "*" if step in (None, "1") else f"{least:02}/{step}"
    words = f"{_number(first):02}" + (f"..{_number(last):02}" if last else "")
    return words + (f"/{step}" if step else "")


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else NUMBERS[text]


def _weekdays(field: str) -> list[int]:
    """The weekdays of a field, from Sunday, 0, on."""
    days: set[int] = set()
    for part in field.split(","):
        found = PART.fullmatch(part)
        assert found is not None  # noqa: S101 (`as_cron` looked)
        first, last, step = found.groups()
        start = 0 if first is None else _number(first)
        end = 6 if first is None else _number(last or first)
        days.update(day % 7 for day in range(start, end + 1, int(step or 1)))
    return sorted(days)


def _short(days: Sequence[int]) -> str:
    """As in 1-5, or 0,2."""
    return f"{days[0]}-{days[-1]}" if len(days) > 2 and days[-1] - days[0] == len(days) - 1 else ",".join(map(str, days))


def _names(days: Sequence[int]) -> str:
    """As in Mon..Fri, or Sun,Tue."""
    names = [WEEKDAYS[day].capitalize() for day in days]
    return f"{names[0]}..{names[-1]}" if "-" in _short(days) and days[0] else ",".join(names)
