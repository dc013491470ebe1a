"""Cron expressions as programs write them out: every value of a field in one list, as cronradar-celery does of each of Celery's
schedules, three hundred characters and more."""

import re

FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))  # minute, hour, day of month, month, day of week
SUNDAY_TOO = 7
LIST = re.compile(r"[0-9]{1,2}(,[0-9]{1,2}){2,59}", re.ASCII)


def condense(expression: str) -> str:
    """The same with `*` for a list of all values and a range for evenly spaced ones; what is no list stays as it is.

    A list of all days is no restriction. Taken as one, cron's rule for two restricted day fields (either may match) would make
    `0 2 1,2,…,31 1,2,…,12 1`, Celery's Monday at two, every day at two.
    """
    parts = expression.split()
    if len(parts) != len(FIELDS):
        return expression
    shorter = [_field(part, least, most) for part, (least, most) in zip(parts, FIELDS, strict=True)]
    return expression if shorter == parts else " ".join(shorter)


def _field(part: str, least: int, most: int) -> str:
    if not LIST.fullmatch(part):
        return part
    values = sorted({int(value) for value in part.split(",")})
    if set(range(least, most + 1)) <= {least if (most, value) == (6, SUNDAY_TOO) else value for value in values}:
        return "*"
    step = values[1] - values[0] if len(values) > 1 else 0
    if len(values) < 3 or values != list(range(values[0], values[-1] + 1, step)):
        return part
    return f"{values[0]}-{values[-1]}" + (f"/{step}" if step > 1 else "")
