"""Triggers of APScheduler 3 in the words of the service: a crontab or an interval where these say exactly the same, else its next
time as the scheduler reckons it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.cron.expressions import (
    AllExpression,
    MonthRangeExpression,
    RangeExpression,
    WeekdayRangeExpression,
)
from apscheduler.triggers.interval import IntervalTrigger

from missedbeat.timetable import DAYS, HOURS, MINUTES, MONTHS, WEEKDAYS, field_of, short, zone_name

BY_VALUE = (AllExpression, RangeExpression, MonthRangeExpression, WeekdayRangeExpression)
LEAST_GRACE, MOST_GRACE = 60.0, 3600.0
LOOKED_AT = 6


def describe(trigger: Any, next_run_time: datetime | None) -> dict[str, Any]:
    """The `schedule` of `job.declared`. Of a job that is paused nothing is expected."""
    due = due_again(next_run_time)
    zone = zone_name(getattr(trigger, "timezone", None))
    if due is not None and next_run_time is not None:
        expression = _crontab(trigger) if zone is not None else None
        if expression is not None:
            return {"kind": "crontab", "expression": expression, "zone": zone}
        if _is_plain_interval(trigger, next_run_time):
            return {"kind": "every", "seconds": short(trigger.interval.total_seconds()), "next_due": due}
    return {"kind": "declared", "next_due": due, "zone": zone or "UTC"}


def due_again(next_run_time: datetime | None) -> int | None:
    """An instant as events say it."""
    return None if next_run_time is None else round(next_run_time.timestamp() * 1000)


def grace_of(job: Any, is_opaque: bool) -> float | None:
    """How late a run may begin by the job's own settings, where that is more than the service allows by itself; of a schedule
    that only the scheduler knows always, as far as the time between two runs is known."""
    late = (job.misfire_grace_time or 0) + (getattr(job.trigger, "jitter", None) or 0)
    gap = _least_gap(job.trigger, job.next_run_time)
    if late < LEAST_GRACE and (not is_opaque or gap is None):
        return None
    return max(late + LEAST_GRACE, min(max((gap or 0.0) // 10, LEAST_GRACE), MOST_GRACE))


def _crontab(trigger: Any) -> str | None:
    """Five fields of numbers, or None where they would not say the same. Day of month and day of week both hold, as in Celery."""
    if type(trigger) is not CronTrigger or trigger.end_date is not None or not _has_begun(trigger):
        return None
    numbers = {one.name: _numbers(one) for one in trigger.fields}
    years, weeks = numbers["year"], numbers["week"]
    if years != [] or weeks != [] or numbers["second"] != [0] or any(found is None for found in numbers.values()):
        return None
    spans = {"minute": MINUTES, "hour": HOURS, "day": DAYS, "month": MONTHS, "day_of_week": WEEKDAYS}
    return " ".join(field_of(numbers[name] or range(span[0], span[1] + 1), *span) for name, span in spans.items())


def _numbers(one: Any) -> list[int] | None:
    """What a field lets through, by cron's counting; empty for everything, None where that depends on the date."""
    if any(type(expression) not in BY_VALUE for expression in one.expressions):
        return None
    if all(type(expression) is AllExpression and expression.step is None for expression in one.expressions):
        return []
    if one.name in ("year", "week"):
        return None
    least, most = one.get_min(_MONTH), one.get_max(_MONTH)
    found = [value for value in range(least, most + 1) if one.get_next_value(_day_with(one.name, value)) == value]
    return [(value + 1) % 7 for value in found] if one.name == "day_of_week" else found


_MONTH = datetime(2024, 1, 1, tzinfo=timezone.utc)  # of 31 days, and its first is a Monday


def _day_with(name: str, value: int) -> datetime:
    return _MONTH + timedelta(days=value) if name == "day_of_week" else _MONTH.replace(**{name: value})  # type: ignore[arg-type]


def _has_begun(trigger: Any) -> bool:
    return trigger.start_date is None or trigger.start_date <= datetime.now(timezone.utc)


def _is_plain_interval(trigger: Any, next_run_time: datetime) -> bool:
    if type(trigger) is not IntervalTrigger or trigger.end_date is not None:
        return False
    return bool(next_run_time <= datetime.now(timezone.utc) + 2 * trigger.interval)


def _least_gap(trigger: Any, next_run_time: datetime | None) -> float | None:
    """Seconds between two of the next runs. Only triggers of APScheduler's own are asked: others may count how often they are."""
    if type(trigger) not in (CronTrigger, IntervalTrigger) or next_run_time is None:
        return None
    times = [next_run_time]
    while len(times) < LOOKED_AT:
        following = trigger.get_next_fire_time(times[-1], times[-1])
        if following is None:
            break
        times.append(following)
    return min(((b - a).total_seconds() for a, b in zip(times, times[1:])), default=None)
