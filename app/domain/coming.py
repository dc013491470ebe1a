"""When a schedule is due next, as a clock on the wall shows it, and what a change of that clock does to it.

Which instants these are `schedule.next_after` says alone. What is told of them is found by asking the same schedule as if it
stood in UTC, where no clock is ever changed: those are the times that it names.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from app.domain import slot as slots
from app.domain.schedule import Calendar, Declared, Every, OnCalendar, Schedule, by_line, last_before, next_after

SHOWN = 5
SECOND = timedelta(seconds=1)
NEAR = timedelta(days=2)  # of a slot: no zone changes its clock and back within it, and by a day at most


@dataclass(frozen=True, slots=True)
class Coming:
    """A slot to come: the instant, in UTC and on the wall of the zone, with its offset. `note`: what a change of the clock does
    to it, in words; empty for nearly all."""

    at: datetime
    local: datetime
    note: str = ""


def coming(schedule: Schedule, zone: str, now: datetime, count: int = SHOWN) -> list[Coming]:
    """The next slots after `now`; fewer where it does not fire so often any more. A period is counted from `now`, as if it were
    heard then; a calendar is shown in its own zone, and a period in `zone`."""
    shown_in = ZoneInfo(getattr(schedule, "zone", zone))
    found: list[Coming] = []
    at: datetime | None = now.astimezone(UTC).replace(microsecond=0)
    while at is not None and len(found) < count:
        at = slots.following(schedule, at)
        if at is not None:
            found.append(Coming(at, at.astimezone(shown_in), _note(schedule, at)))
    return found


def _note(schedule: Schedule, at: datetime) -> str:
    """Of the lines of an OnCalendar those speak that are due then."""
    if isinstance(schedule, (Every, Declared)):
        return ""
    lines: tuple[Calendar, ...] = by_line(schedule) if isinstance(schedule, OnCalendar) else (schedule,)
    notes = [_of_line(line, at, ZoneInfo(line.zone)) for line in lines if _is_due(line, at)]
    return "; ".join(dict.fromkeys(note for note in notes if note))


def _of_line(line: Calendar, at: datetime, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    wall = local.replace(tzinfo=UTC, fold=0)
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first < second:
        return _repeated(line, at, first, second, _shown(wall))
    if _is_due(_in_utc(line), wall):
        return _skipped(line, at, wall, zone)
    skipped = _first_skipped(line, at, zone)
    return "" if skipped is None else f"the clock skips {_shown(skipped)} on that day: it is due at {_shown(wall)} instead"


def _repeated(line: Calendar, at: datetime, first: datetime, second: datetime, shown: str) -> str:
    """The clock shows this time twice."""
    if at == second:
        return f"the clock shows {shown} twice on that day: this is the second time"
    again = "it is due both times" if _is_due(line, second) else "it is due the first time only"
    return f"the clock shows {shown} twice on that day: {again}"


def _skipped(line: Calendar, at: datetime, wall: datetime, zone: ZoneInfo) -> str:
    """A time before this one that the clock never shows."""
    before = last_before(line, at - SECOND)
    if before is None:
        return ""
    named = next_after(_in_utc(line), before.astimezone(zone).replace(tzinfo=UTC, fold=0))
    if named is None or named >= wall or not _is_never_shown(named, zone):
        return ""
    return f"the clock skips {_shown(named)} before that: it is not due then"


def _first_skipped(line: Calendar, at: datetime, zone: ZoneInfo) -> datetime | None:
    """The first time that the line names and that a change of the clock shortly before skipped."""
    offset, seconds = at.astimezone(zone).utcoffset(), range(NEAR // SECOND)
    start = at - NEAR
    turn = start + SECOND * bisect_left(seconds, True, key=lambda n: (start + n * SECOND).astimezone(zone).utcoffset() == offset)
    last_shown = (turn - SECOND).astimezone(zone).replace(tzinfo=UTC, fold=0)
    named = next_after(_in_utc(line), last_shown)
    return named if named is not None and _is_never_shown(named, zone) else None


def _is_never_shown(wall: datetime, zone: ZoneInfo) -> bool:
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first > second


def _is_due(calendar: Calendar, at: datetime) -> bool:
    return last_before(calendar, at) == at


def _in_utc(line: Calendar) -> Calendar:
    return replace(line, zone="UTC")


def _shown(wall: datetime) -> str:
    return wall.strftime("%H:%M:%S" if wall.second else "%H:%M")
