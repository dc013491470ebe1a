"""Celery's schedules in the words of the service: crontab, interval, or `declared` where Celery alone knows when it is due."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from celery.schedules import BaseSchedule, crontab, schedule

from missedbeat.reporter import now_ms

MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS = (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)


def describe(given: Any) -> dict[str, Any]:
    """The `schedule` of an entry of `schedule.sync`; of `declared` without the next time."""
    if _is_plain_crontab(given):
        zone = zone_name(given.tz)
        if zone is not None:
            return {"kind": "crontab", "expression": expression_of(given), "zone": zone}
    if _is_plain_interval(given):
        return {"kind": "every", "seconds": _short(given.run_every.total_seconds())}
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


def field_of(numbers: Iterable[int], first: int, last: int) -> str:
    """One field, short: `*`, `*/10`, `1-5`, `0,30`."""
    due = sorted(set(numbers))
    if due == list(range(first, last + 1)):
        return "*"
    if len(due) > 2 and due[0] == first:
        step = due[1] - due[0]
        if step > 1 and due == list(range(first, last + 1, step)):
            return f"*/{step}"
    return ",".join(_stretches(due))


def zone_name(zone: Any) -> str | None:
    """The IANA name of a zone, or one of its fixed offsets (`Etc/GMT-2` is two hours ahead); None if it has none."""
    if zone is None:
        return None
    for name in (zone, getattr(zone, "key", None), getattr(zone, "zone", None)):
        if isinstance(name, str) and _is_known(name):
            return name
    offset: timedelta | None = zone.utcoffset(None) if isinstance(zone, timezone) else None
    if offset is None or offset % timedelta(hours=1):
        return None
    hours = int(offset / timedelta(hours=1))
    name = f"Etc/GMT{-hours:+d}" if hours else "UTC"
    return name if _is_known(name) else None


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


def _stretches(due: list[int]) -> list[str]:
    """Neighbours as a range, where that is shorter than a list."""
    stretches: list[list[int]] = []
    for number in due:
        if stretches and number == stretches[-1][-1] + 1:
            stretches[-1].append(number)
        else:
            stretches.append([number])
    return [text for one in stretches for text in ([f"{one[0]}-{one[-1]}"] if len(one) > 2 else map(str, one))]


def _is_known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return False
    return True


def _short(seconds: float) -> float | int:
    return int(seconds) if seconds == int(seconds) else seconds
