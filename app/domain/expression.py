"""What an expression means: cron as cronsim reads it, OnCalendar as oncalendar does, and Celery's crontab; and what becomes of it
when the clock changes. The walk along the clock stands in `timetable.py`.

Clock changes:

- **cron**, fixed time (neither minute nor hour starts with `*`): what falls into the skipped hour is due once, on the first
  moment after it; in the repeated hour only the first pass counts. Wildcard jobs (minute or hour starts with `*`; `@hourly`)
  follow real time: a skipped hour has no slots, a repeated hour has them twice. Source: Debian's cron(8), Notes, and
  blog.healthchecks.io/2021/10/how-debian-cron-handles-dst-transitions. Debian takes a jump of over 3 hours for a corrected
  clock; we, like cronsim, do not (the last such change of a zone was in 2011).
- **OnCalendar**: a slot in the skipped hour does not happen, in the repeated hour only the first pass counts. So does systemd
  (systemd#5595, systemd#8647), and so does oncalendar 1.1, though its docstring says that slots are repeated.
- **crontab** does as Celery's Beat does, odd or not, for Beat decides when the job runs: of the slots in the skipped hour only
  the first happens, as much later as the clock was put forward, and real ones that lie before it are left out. In the repeated
  hour only the first pass counts, also for `* * * * *`, which is silent for the second. Source: Celery 5.7,
  `crontab.remaining_delta` and `utils.time.remaining`: the next time on the wall after the last run, as an instant with fold 0.
- Days: of cron, if day of month or day of week starts with `*`, both must match, else either is enough (Debian), and 7 is Sunday
  too. Of crontab both must match, always.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from cronsim import CronSim, CronSimError
from oncalendar import BaseIterator, OnCalendarError

from app.domain.timetable import Change, Wall
from app.errors import Invalid

_YEARS = range(1970, 2200)  # where systemd stops; a 29 February on a given weekday is at most 40 years away
_WALL = datetime(2000, 1, 1)  # noqa: DTZ001 (a clock on the wall has no zone)
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
CRON = "cron takes five fields (minute, hour, day of month, month, day of week), no seconds, or one of " + ", ".join(ALIASES)
FORMS = f"{CRON}; OnCalendar reads like 'Mon..Fri *-*-* 03:00'"
CRONTAB = "Celery's crontab takes five fields (minute, hour, day of month, month, day of week 0-6 from Sunday)"
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 6))
_PART = re.compile(r"(?:\*|([0-9]+|[a-z]+)(?:-([0-9]+|[a-z]+))?)(?:/([0-9]+))?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NUMBERS = {name: number for number, name in enumerate(_MONTHS, 1)} | {name: number for number, name in enumerate(_WEEKDAYS)}


@dataclass(frozen=True, slots=True)
class Fields:
    """What an expression names, for words. `days`: of the month, -1 its last, -2 the one before; `weekdays`: Sunday is 0,
    each with which of its kind in the month, -1 the last, 0 all; `either`: a day that is in one of both is enough;
    `last_weekday`: the last day from Monday to Friday of the month is a day too."""

    hours: frozenset[int]
    minutes: frozenset[int]
    seconds: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[tuple[int, int]]
    either: bool = False
    last_weekday: bool = False
    years: frozenset[int] = frozenset(_YEARS)


def cron_fields(expression: str) -> Fields:
    """Of an expression that `read_cron` takes."""
    cron = _cron(expression)
    days = {-1 if day == CronSim.LAST else day for day in cron.days if day != CronSim.LAST_WEEKDAY}
    weekdays = {(day % 7, 0) if isinstance(day, int) else (day[0] % 7, max(day[1], -1)) for day in cron.weekdays}
    return Fields(
        frozenset(cron.hours), frozenset(cron.minutes), frozenset(cron.seconds), frozenset(days), frozenset(cron.months),
        frozenset(weekdays), not cron.day_and, CronSim.LAST_WEEKDAY in cron.days,
    )  # fmt: skip


def on_calendar_fields(text: str) -> Fields:
    """Of a line that `read_on_calendar` takes."""
    spec = _on_calendar(text)
    return Fields(
        frozenset(spec.hours), frozenset(spec.minutes), frozenset(spec.seconds), frozenset(spec.days), frozenset(spec.months),
        frozenset(((day + 1) % 7, 0) for day in spec.weekdays), years=frozenset(spec.years),
    )  # fmt: skip


def crontab_fields(expression: str) -> Fields:
    """Of an expression that `read_crontab` takes."""
    minutes, hours, days, months, weekdays = _crontab(expression)
    return Fields(
        frozenset(hours), frozenset(minutes), frozenset([0]), frozenset(days), frozenset(months),
        frozenset((day, 0) for day in weekdays),
    )  # fmt: skip


def read_cron(expression: str) -> tuple[Wall, Change]:
    """Debian's five fields as cronsim reads them. Raises Invalid."""
    cron = _cron(expression)
    follows_real_time = any(part.startswith("*") for part in cron.parts[1:3])
    wall = Wall(_YEARS, cron.months, cron.hours, cron.minutes, cron.seconds, cron.match_day)
    return wall, Change.REAL_TIME if follows_real_time else Change.RUN_LATE


def _cron(expression: str) -> CronSim:
    text = ALIASES.get(expression, expression)
    fields = text.split()
    if len(fields) != 5:
        raise Invalid(f"schedule: {expression!r} is not cron; {CRON}")
    try:
        return CronSim(text, _WALL)
    except CronSimError as error:
        why = str(error).lower().replace("bad day-of-month", "no month it names has such a day, so it never fires")
        raise Invalid(f"schedule: {expression!r} is not cron ({why}); {CRON}") from None


def read_on_calendar(text: str) -> Wall:
    """One line of systemd's, without a zone, as oncalendar reads it. Raises Invalid."""
    spec = _on_calendar(text)
    return Wall(
        spec.years, spec.months, spec.hours, spec.minutes, spec.seconds, lambda day: spec.match_dow(day) and spec.match_dom(day)
    )


def _on_calendar(text: str) -> BaseIterator:
    try:
        return BaseIterator(text, _WALL)
    except OnCalendarError as error:
        raise Invalid(f"schedule: {text!r} is neither cron nor OnCalendar ({str(error).lower()}); {FORMS}") from None


def read_crontab(expression: str) -> Wall:
    """Celery's five fields as its `crontab_parser` reads them: a range may go over the end (`22-4`), names count by their first
    three letters in any field, and a step stands after `*` or a range. Raises Invalid."""
    minutes, hours, days, months, weekdays = _crontab(expression)
    return Wall(_YEARS, months, hours, minutes, [0], lambda day: day.day in days and day.isoweekday() % 7 in weekdays)


def _crontab(expression: str) -> list[set[int]]:
    fields = expression.lower().split()
    if len(fields) != len(_FIELDS):
        raise Invalid(f"schedule: {expression!r} is no crontab; {CRONTAB}")
    return [_field(text, *field) for text, field in zip(fields, _FIELDS, strict=True)]


def _field(text: str, name: str, least: int, most: int) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        found = _part(part, least, most)
        if not found or not least <= min(found) <= max(found) <= most:
            raise Invalid(f"schedule: {part!r} is no {name}; {CRONTAB}, each a list of numbers, names, ranges and steps")
        values.update(found)
    return values


def _part(part: str, least: int, most: int) -> list[int]:
    """What `5`, `1-5`, `*`, `*/2` or `1-5/2` stands for; empty where it is none of these."""
    found = _PART.fullmatch(part)
    if found is None:
        return []
    first, last, step = found.groups()
    stride = int(step or 1)
    if first is None:
        values = list(range(least, most + 1))
    elif last is None:
        values = [_number(first)] if step is None else []
    else:
        values = _range(_number(first), _number(last), least, most)
    return values[::stride] if stride else []


def _range(first: int, last: int, least: int, most: int) -> list[int]:
    if not (least <= first <= most and least <= last <= most):
        return []
    return list(range(first, last + 1)) if first <= last else [*range(first, most + 1), *range(least, last + 1)]


def _number(text: str) -> int:
    """A number, or what a name of a month or weekday stands for; -1 for any other word."""
    return int(text) if text.isdecimal() else _NUMBERS.get(text[:3], -1)
