"""The hours of a channel: the days of a week and the time of day in which it is told, by the clock of a zone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.domain.schedule import knows_zone
from app.domain.wording import runs

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIDNIGHT = "24:00"
UNREADABLE = (LookupError, TypeError, ValueError)
"""What is raised for hours as they are kept that make no sense, such as those of a zone that is not known any more."""


@dataclass(frozen=True, slots=True)
class Hours:
    """From `start` to `end` on each of `days` (0 is Monday), by the clock of `zone`. An end that is not after its start is on the
    day after; the whole day is from 00:00 to 00:00."""

    zone: str
    days: frozenset[int]
    start: time
    end: time

    def opens_at(self, now: datetime) -> datetime | None:
        """When they next begin, in UTC; None while they last."""
        opening = None
        for begins, ends in self._spans(now):
            if begins <= now < ends:
                return None
            if now < begins < ends and opening is None:
                opening = begins
        return opening

    def _spans(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Those of the day before and of the eight that follow; a time that a clock change leaves out is as long after
        midnight as ever, and hours that it leaves out whole do not begin."""
        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        for day in (today + timedelta(days=n) for n in range(-1, 9)):
            if day.weekday() in self.days:
                last = day if self.end > self.start else day + timedelta(days=1)
                yield (
                    datetime.combine(day, self.start, zone).astimezone(UTC),
                    datetime.combine(last, self.end, zone).astimezone(UTC),
                )

    def to_json(self) -> dict[str, Any]:
        """As it is kept, and as the API shows it."""
        return {
            "zone": self.zone, "days": [DAYS[day] for day in sorted(self.days)],
            "from": f"{self.start:%H:%M}", "to": f"{self.end:%H:%M}" if self.end != time() else MIDNIGHT,
        }  # fmt: skip

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Hours":
        """What `to_json` made."""
        return read_hours(kept["zone"], kept["days"], kept["from"], kept["to"])

    def __str__(self) -> str:
        """In words, as in Mon–Fri 08:00–18:00 Europe/Berlin."""
        kept = self.to_json()
        return f"{_days(sorted(self.days))} {kept['from']}–{kept['to']} {self.zone}"


def read_hours(zone: str, days: Iterable[str], start: str, end: str) -> Hours:
    """What somebody wrote: days as in DAYS, times as in 08:00, 24:00 for the end of a day. Raises ValueError with the name of
    what is wrong (zone, days, from, to), a colon, and what to write."""
    if not knows_zone(zone):
        raise ValueError("zone: choose a time zone such as Europe/Berlin")
    numbers = frozenset(DAYS.index(day) if day in DAYS else -1 for day in days)
    if not numbers or -1 in numbers:
        raise ValueError(f"days: choose some of {', '.join(DAYS)}")
    return Hours(zone, numbers, _time("from", start), time() if end == MIDNIGHT else _time("to", end))


def _time(name: str, text: str) -> time:
    hour, colon, minute = text.partition(":")
    if not (colon and text.isascii() and hour.isdigit() and minute.isdigit() and len(minute) == 2 and len(hour) in (1, 2)):
        raise ValueError(f"{name}: write a time such as 08:00")
    if int(hour) > 23 or int(minute) > 59:
        raise ValueError(f"{name}: write a time between 00:00 and 23:59")
    return time(int(hour), int(minute))


def _days(days: list[int]) -> str:
    """As in Mon–Fri, Sun."""
    names = [day.capitalize() for day in DAYS]
    return ", ".join(
        (names[run[0]] if len(run) == 1 else f"{names[run[0]]}{'–' if len(run) > 2 else ', '}{names[run[-1]]}")
        for run in runs(days)
    )


def in_words(kept: dict[str, Any] | None) -> str:
    """Hours as they are kept, as in Mon–Fri 08:00–18:00 Europe/Berlin; empty for any time. Of those that make no sense, that."""
    try:
        return str(Hours.from_json(kept)) if kept else ""
    except UNREADABLE:
        return "at any time, for its hours cannot be read: change them"


def opens_at(kept: dict[str, Any] | None, now: datetime) -> datetime | None:
    """When hours as they are kept next begin; None while they last, and at any time. Raises UNREADABLE."""
    return Hours.from_json(kept).opens_at(now) if kept else None
