"""Schedules in the words of the service, whichever library they are of: the field of a crontab, the name of a zone, seconds."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS = (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)


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


def zone_here() -> str | None:
    """The name of the zone of this machine; None where that has none."""
    said = os.environ.get("TZ", "").lstrip(":")
    path = str(Path("/etc/localtime").resolve())
    name = said or path.rpartition("zoneinfo/")[2]
    here = datetime.now(timezone.utc).astimezone()
    found = zone_name(name)
    return found if found is not None and datetime.now(ZoneInfo(found)).utcoffset() == here.utcoffset() else None


def short(seconds: float) -> float | int:
    """A length of time without a point where it needs none."""
    return int(seconds) if seconds == int(seconds) else seconds


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
