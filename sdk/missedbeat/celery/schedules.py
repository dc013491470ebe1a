"""Celery's schedules in the words of the service: crontab, interval, or `declared` where Celery alone knows when it is due."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from celery.schedules import BaseSchedule, crontab, schedule

from missedbeat.reporter import now_ms
from missedbeat.timetable import DAYS, HOURS, MINUTES, MONTHS, WEEKDAYS, field_of, short, zone_name


def describe(given: Any) -> dict[str, Any]:
    """The `schedule` of an entry of `schedule.sync`; of `declared` without the next time."""
    if _is_plain_crontab(given):
        zone = zone_name(given.tz)
        if zone is not None:
            return {"kind": "crontab", "expression": expression_of(given), "zone": zone}
    if _is_plain_interval(given):
        return {"kind": "every", "seconds": short(given.run_every.total_seconds())}
    return {"kind": "declared", "zone": zone_name(getattr(given, "tz", None)) or "UTC"}


def next_due(given: Any, last_run_at: datetime) -> int | None:
    """When it is due next by Celery's own reckoning, in milliseconds; in the past where it is overdue.

    None where that cannot be known: `is_due` alone says when to ask again, which need not be when it is due. None too where it
    never is again, as a rule of RedBeat may say.
    """
    if not _reckons(type(given)):
        return None
    remaining: timedelta | None = given.remaining_estimate(last_run_at)
    return None if remaining is None else now_ms() + int(remaining.total_seconds() * 1000)


def expression_of(given: Any) -> str:
    """Five fields of numbers; day of month and day of week both hold, as Celery has it."""
    return " ".join(
        field_of(numbers, *span)
        for numbers, span in (
            (given.minute, MINUTES), (given.hour, HOURS), (given.day_of_month, DAYS), (given.month_of_year, MONTHS),
            (given.day_of_week, WEEKDAYS),
        )
    )  # fmt: skip


def _is_plain_crontab(given: Any) -> bool:
    """Whether its times follow from its fields: no method of it was replaced, and it has no clock of its own, which before
    Celery 5.7 is a way to say another zone. That of django-celery-beat only adds a zone."""
    kind = type(given)
    plain = kind is crontab or (isinstance(given, crontab) and kind.__module__ == "django_celery_beat.tzcrontab")
    return plain and (given.nowfun is None or kind is not crontab)


def _reckons(kind: type) -> bool:
    """Whether `remaining_estimate` is as good as `is_due`: no subclass replaced the one and not the other."""
    estimate, due = (
        next((depth for depth, one in enumerate(kind.__mro__) if name in vars(one)), None)
        for name in ("remaining_estimate", "is_due")
    )
    return estimate is not None and due is not None and estimate <= due and kind.__mro__[estimate] is not BaseSchedule


def _is_plain_interval(given: Any) -> bool:
    plain = type(given) is schedule and not given.relative and isinstance(given.run_every, timedelta)
    return plain and bool(given.run_every > timedelta())
