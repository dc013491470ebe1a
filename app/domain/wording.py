"""A schedule in words: what its expression names, from the very sets that the walk along the clock goes by.

Times that are few are named, regular ones as such, and what is neither field by field. What becomes of them when the clock
changes stands in `coming.py`.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from app.domain.expression import Fields, cron_fields, crontab_fields, on_calendar_fields
from app.domain.schedule import Cron, Crontab, Every, OnCalendar, Schedule, by_line, describe

NAMED = 8  # times of a day that are still listed one by one
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip
DAYS = range(1, 32)
WEEK = frozenset((day, 0) for day in range(7))
WORK_DAYS = frozenset((day, 0) for day in range(1, 6))
YEARS = Fields.__dataclass_fields__["years"].default


def in_words(schedule: Schedule) -> str:
    """As in 'at 02:30 on weekdays, Europe/Berlin'. Raises Invalid for an expression that makes no sense."""
    match schedule:
        case Every(period):
            return f"{describe(Every(period))}, counted from when it was last heard"
        case Cron(expression, zone):
            return f"{_named(cron_fields(expression))}, {zone}"
        case Crontab(expression, zone):
            return f"{_named(crontab_fields(expression))}, {zone}"
        case OnCalendar():
            return "; and ".join(f"{_named(on_calendar_fields(line.expression))}, {line.zone}" for line in by_line(schedule))
        case _:
            return "when its scheduler says"


def _named(fields: Fields) -> str:
    parts = (_times(fields), _days(fields), _years(fields))
    return " ".join(part for part in parts if part)


# times of a day


def _times(fields: Fields) -> str:
    hours, minutes, seconds = sorted(fields.hours), sorted(fields.minutes), sorted(fields.seconds)
    if len(hours) * len(minutes) * len(seconds) <= NAMED:
        return f"at {_list(_clock(h, m, s, seconds) for h in hours for m in minutes for s in seconds)}"
    if seconds != [0]:
        return _by_the_second(hours, minutes, seconds)
    return _hourly(hours, minutes[0]) if len(minutes) == 1 else _by_the_minute(hours, minutes)


def _by_the_minute(hours: Sequence[int], minutes: Sequence[int]) -> str:
    """Some minutes of every hour, or of some."""
    step = _step(minutes, 60)
    if step is None:
        return f"at {_values(minutes, 'minute')} of {_hours(hours)}"
    often = "every minute" if step == 1 else f"every {step} minutes"
    if len(hours) == 24:
        return often if minutes[0] == 0 else f"{often} at {_values(minutes, 'minute')}"
    if _is_range(hours):
        return f"{often} from {hours[0]:02}:{minutes[0]:02} to {hours[-1]:02}:{minutes[-1]:02}"
    return f"{'every minute' if step == 1 else 'at ' + _values(minutes, 'minute')} of {_hours(hours)}"


def _hourly(hours: Sequence[int], minute: int) -> str:
    """Many hours, one minute."""
    step = _stride(hours)
    if len(hours) == 24:
        return "every hour on the hour" if minute == 0 else f"every hour at minute {minute}"
    if step is None:
        return f"at minute {minute} of {_hours(hours)}"
    often = "every hour" if step == 1 else f"every {step} hours"
    return f"{often} from {hours[0]:02}:{minute:02} to {hours[-1]:02}:{minute:02}"


def _clock(hour: int, minute: int, second: int, seconds: Collection[int]) -> str:
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if seconds != [0] else "")


def _by_the_second(hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int]) -> str:
    """Many times that are no whole minutes."""
    step, whole_day = _step(seconds, 60), len(hours) == 24 and len(minutes) == 60
    if step is not None and whole_day and seconds[0] == 0:
        return "every second" if step == 1 else f"every {step} seconds"
    exact = "every second" if len(seconds) == 60 else f"at {_values(seconds, 'second')}"
    return f"{exact} of {'every minute' if len(minutes) == 60 else _values(minutes, 'minute')} of {_hours(hours)}"


def _values(values: Sequence[int], unit: str) -> str:
    return f"{unit} {values[0]}" if len(values) == 1 else f"{unit}s {_numbers(values)}"


def _hours(hours: Sequence[int]) -> str:
    if len(hours) == 24:
        return "every hour"
    return f"hour {hours[0]}" if len(hours) == 1 else f"hours {_numbers(hours)}"


# days, months, years


def _days(fields: Fields) -> str:
    """Which days, in which months."""
    all_days, all_week, months = set(DAYS) <= fields.days, fields.weekdays >= WEEK, _months(fields)
    if (all_days and all_week) or (fields.either and (all_days or all_week)):
        few = len(fields.hours) * len(fields.minutes) * len(fields.seconds) <= NAMED
        return " ".join(["every day"] * few + [months] * bool(months))
    of_week = _of_week(fields.weekdays)
    if all_week:
        return f"on {_of_month(fields, by_stride=True)} of {_listed_months(fields) if months else 'the month'}"
    if all_days:
        days = of_week
    elif fields.either:
        days = f"on {_of_month(fields)} of the month and also {of_week}"
    else:
        days = f"{of_week} if that is {_of_month(fields)} of the month"
    return f"{days} {months}".rstrip()


def _of_month(fields: Fields, by_stride: bool = False) -> str:
    days = sorted(day for day in fields.days if day > 0)
    step, plain = _stride(days), not fields.last_weekday and len(days) == len(fields.days)
    if by_stride and plain and len(days) > 4 and step is not None and step > 1:
        return f"every {_ordinal(step)} day from the {_ordinal(days[0])} to the {_ordinal(days[-1])}"
    named = [_ordinals(days)] if days else []
    backwards = sorted(-day for day in fields.days if day < 0)
    named += [f"{'last' if place == 1 else _ordinal(place) + ' last'} day" for place in backwards]
    named += ["last weekday"] if fields.last_weekday else []
    return f"the {_list(named)}"


def _of_week(weekdays: Collection[tuple[int, int]]) -> str:
    plain = sorted((day for day, nth in weekdays if nth == 0), key=lambda day: (day - 1) % 7)  # from Monday
    counted = sorted(((nth, day) for day, nth in weekdays if nth and (day, 0) not in weekdays), key=lambda c: (c[0] < 0, c))
    if frozenset(weekdays) == WORK_DAYS:
        return "on weekdays"
    if not counted and len(plain) > 2 and _is_range([(day - 1) % 7 for day in plain]):
        return f"from {WEEKDAYS[plain[0]]} to {WEEKDAYS[plain[-1]]}"
    named = [f"{WEEKDAYS[day]}s" for day in plain]
    named += [f"the {'last' if nth == -1 else _ordinal(nth)} {WEEKDAYS[day]} of the month" for nth, day in counted]
    return f"on {_list(named)}"


def _months(fields: Fields) -> str:
    months = sorted(fields.months)
    if len(months) == len(MONTHS):
        return ""
    if len(months) > 2 and _is_range(months):
        return f"from {MONTHS[months[0] - 1]} to {MONTHS[months[-1] - 1]}"
    return f"in {_listed_months(fields)}"


def _listed_months(fields: Fields) -> str:
    return _list(MONTHS[month - 1] for month in sorted(fields.months))


def _years(fields: Fields) -> str:
    return "" if fields.years == YEARS else f"in {_numbers(sorted(fields.years))}"


# lists


def _step(values: Sequence[int], size: int) -> int | None:
    """The step of values that go round a whole hour evenly; None where they do not."""
    step = _stride(values)
    return step if step is not None and step * len(values) == size else None


def _stride(values: Sequence[int]) -> int | None:
    """The one distance between each two of them."""
    steps = {after - before for before, after in pairwise(values)}
    return steps.pop() if len(steps) == 1 else None


def _is_range(values: Sequence[int]) -> bool:
    return len(values) == values[-1] - values[0] + 1


def _numbers(values: Sequence[int]) -> str:
    """Runs of three and more as such."""
    return _list(f"{run[0]} to {run[-1]}" if len(run) > 2 else _list(map(str, run)) for run in _long_runs(values))


def _ordinals(days: Sequence[int]) -> str:
    return _list(
        f"{_ordinal(run[0])} to {_ordinal(run[-1])}" if len(run) > 2 else _list(map(_ordinal, run)) for run in _long_runs(days)
    )


def _long_runs(values: Sequence[int]) -> list[list[int]]:
    """Neighbours together, where at least three are; else each by itself."""
    return [part for run in runs(values) for part in ([run] if len(run) > 2 else [[value] for value in run])]


def runs(values: Iterable[int]) -> list[list[int]]:
    """Each value that follows the one before it, together with that; the values rise."""
    found: list[list[int]] = []
    for value in values:
        if found and value == found[-1][-1] + 1:
            found[-1].append(value)
        else:
            found.append([value])
    return found


def _ordinal(number: int) -> str:
    kind = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number not in (11, 12, 13) else "th"
    return f"{number}{kind}"


def _list(words: Iterable[str]) -> str:
    """As in a, b and c."""
    *before, last = words
    return f"{', '.join(before)} and {last}" if before else last
