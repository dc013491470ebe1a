"""The walk along the clock: the times an expression names, and the instants at which a clock on the wall of a zone shows them.

What expressions mean is read in `expression.py`. Local time exists only here; what comes out is aware UTC. The walk goes
backwards too (oncalendar cannot), is fast for what never fires, and is right where cronsim 2.8 is not: wildcard jobs in Lord Howe
and Chatham, which do not shift by whole hours on the hour (it leaves minutes out or repeats itself for ever), or on a day without
a midnight (it fires at one o'clock), and, like oncalendar, an answer from the past in the second pass of a repeated hour.
"""

from array import array
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import NamedTuple
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)
_SPAN = timedelta(days=2)  # how far we look for a clock change; no zone changes its clock and back within it
_GAPS = 4  # remembered: one check-in asks around the slot it is of, and the one after
_Step = Callable[[datetime], datetime | None]


class Change(Enum):
    """What becomes of slots when the clock changes; all but REAL_TIME count the repeated hour once."""

    REAL_TIME = "the skipped hour has none, the repeated hour twice as many"
    RUN_LATE = "slots of the skipped hour fall on its end"
    LEFT_OUT = "slots of the skipped hour do not happen"
    PUT_OFF = "the first slot of the skipped hour comes as if the clock had not changed, in place of all until then"


class Wall:
    """The times an expression names on a clock on the wall, which knows no zone and never changes."""

    def __init__(
        self,
        years: Iterable[int],
        months: Iterable[int],
        hours: Iterable[int],
        minutes: Iterable[int],
        seconds: Iterable[int],
        day_matches: Callable[[date], bool],
    ) -> None:
        self._months = array("H", [12 * year + month - 1 for year in sorted(years) for month in sorted(months)])
        self._minutes = array("H", [60 * hour + minute for hour in sorted(hours) for minute in sorted(minutes)])
        self._seconds = sorted(seconds)
        self._daily = len(self._minutes) * len(self._seconds)
        self._day_matches = day_matches
        self._days: dict[tuple[int, int], list[int]] = {}  # by the shape of a month

    def after(self, wall: datetime) -> datetime | None:
        """The first time strictly after `wall`, which has no microseconds."""
        this, rank = 12 * wall.year + wall.month - 1, self._rank(wall)
        if rank < self._daily and wall.day in self._days_in(this):
            return self._at(this, wall.day, rank)
        months = self._months[bisect_left(self._months, this) :]
        days = ((month, day) for month in months for day in self._days_in(month) if month > this or day > wall.day)
        return next((self._at(month, day, 0) for month, day in days), None)

    def until(self, wall: datetime) -> datetime | None:
        """The last time at or before `wall`, which has no microseconds."""
        this, rank = 12 * wall.year + wall.month - 1, self._rank(wall)
        if rank > 0 and wall.day in self._days_in(this):
            return self._at(this, wall.day, rank - 1)
        months = reversed(self._months[: bisect_right(self._months, this)])
        days = ((month, day) for month in months for day in reversed(self._days_in(month)) if month < this or day < wall.day)
        return next((self._at(month, day, self._daily - 1) for month, day in days), None)

    def _days_in(self, month: int) -> list[int]:
        """The matching days; which they are depends only on the weekday the month begins with and on how long it is."""
        place = bisect_left(self._months, month)
        if place == len(self._months) or self._months[place] != month:
            return []
        shape = monthrange(month // 12, month % 12 + 1)
        if shape not in self._days:
            days = (date(month // 12, month % 12 + 1, day) for day in range(1, shape[1] + 1))
            self._days[shape] = [day.day for day in days if self._day_matches(day)]
        return self._days[shape]

    def _rank(self, wall: datetime) -> int:
        """How many times of a matching day are at or before the time of `wall`."""
        minute = 60 * wall.hour + wall.minute
        here = bisect_left(self._minutes, minute)
        reached = here < len(self._minutes) and self._minutes[here] == minute
        return here * len(self._seconds) + (bisect_right(self._seconds, wall.second) if reached else 0)

    def _at(self, month: int, day: int, rank: int) -> datetime:
        """The time on this day that has `rank` times before it."""
        minute, second = divmod(rank, len(self._seconds))
        hour, minute = divmod(self._minutes[minute], 60)
        return datetime(month // 12, month % 12 + 1, day, hour, minute, self._seconds[second])  # noqa: DTZ001 (as above)


class Gap(NamedTuple):
    """Two instants with no slot between them; `from_slot` and `to_slot` say whether they are slots themselves."""

    start: datetime
    end: datetime
    from_slot: bool
    to_slot: bool


class Line:
    """One expression in one zone: times on the wall turned into instants. Instants here are UTC and whole seconds.

    A walk costs some 15 µs, and nearly all are asked between the same two slots: the last gaps are remembered.
    """

    def __init__(self, wall: Wall, change: Change, zone: ZoneInfo) -> None:
        self._wall, self._change, self._zone = wall, change, zone
        self._gaps: deque[Gap] = deque(maxlen=_GAPS)

    def after(self, start: datetime) -> datetime | None:
        """The first slot strictly after `start`."""
        gap = self._gap(start)
        if gap is not None and gap.to_slot:
            return gap.end
        slot = self._walk_after(start)
        if slot is not None:
            self._remember(gap, Gap(start, slot, False, True) if gap is None else gap._replace(end=slot, to_slot=True))
        return slot

    def until(self, start: datetime) -> datetime | None:
        """The last slot at or before `start`."""
        gap = self._gap(start)
        if gap is not None and gap.from_slot:
            return gap.start
        slot = self._walk_until(start)
        if slot is not None:
            self._remember(
                gap, Gap(slot, start + _SECOND, True, False) if gap is None else gap._replace(start=slot, from_slot=True)
            )
        return slot

    def _gap(self, instant: datetime) -> Gap | None:
        for gap in self._gaps:
            if gap.start <= instant < gap.end:
                return gap
        return None

    def _remember(self, known: Gap | None, gap: Gap) -> None:
        """In place of what was known of it."""
        if known is not None:
            self._gaps.remove(known)
        self._gaps.append(gap)

    def _walk_after(self, start: datetime) -> datetime | None:
        if self._change is Change.REAL_TIME:
            return self._real_after(start + _SECOND)
        if self._change is Change.PUT_OFF:
            return self._put_off_after(start)
        return self._place(self._wall.after, self._reached(start), lambda gap_end: self._local(gap_end) - _SECOND)

    def _walk_until(self, start: datetime) -> datetime | None:
        if self._change is Change.REAL_TIME:
            return self._real_until(start)
        if self._change is Change.PUT_OFF:
            return self._put_off_until(start)
        return self._place(self._wall.until, self._reached(start), lambda gap_end: self._local(gap_end - _SECOND))

    def _reached(self, instant: datetime) -> datetime:
        """The farthest the clock on the wall has come; in the second pass of a repeated hour that is the end of the first."""
        local = instant.astimezone(self._zone)
        if local.fold == 0:
            return local.replace(tzinfo=None)
        return self._local(self._turn(local.replace(fold=0).astimezone(UTC), instant) - _SECOND)

    def _place(self, step: _Step, reached: datetime, beyond: Callable[[datetime], datetime]) -> datetime | None:
        """The instant of the next time on the wall; in a gap its end, where that counts, else what comes `beyond`."""
        while (wall := step(reached)) is not None:
            first, second = (wall.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1))
            if first <= second:
                return first
            gap_end = self._turn(second, first)
            if self._change is Change.RUN_LATE:
                return gap_end
            reached = beyond(gap_end)
        return None

    def _real_after(self, start: datetime) -> datetime | None:
        """The first instant from `start` on at which the clock shows a matching time, going from clock change to clock change."""
        while (wall := self._wall.after(self._local(start) - _SECOND)) is not None:
            slot = start + (wall - self._local(start))
            seen = min(slot, start + _SPAN)
            if self._offset(seen) != self._offset(start):
                start = self._turn(start, seen)
            elif seen == slot:
                return slot
            else:
                start = slot - _SPAN / 2
        return None

    def _real_until(self, end: datetime) -> datetime | None:
        """The last instant up to `end` at which the clock shows a matching time; `_real_after` run backwards."""
        while (wall := self._wall.until(self._local(end))) is not None:
            slot = end - (self._local(end) - wall)
            seen = max(slot, end - _SPAN)
            if self._offset(seen) != self._offset(end):
                end = self._turn(seen, end) - _SECOND
            elif seen == slot:
                return slot
            else:
                end = slot + _SPAN / 2
        return None

    def _put_off_after(self, start: datetime) -> datetime | None:
        """The first slot after `start` where one of the skipped hour comes late."""
        skipped = self._skipped(start)
        if skipped is not None and start < skipped[1]:
            return skipped[1]
        wall = self._wall.after(self._reached(start))
        return None if wall is None else self._instant(wall)

    def _put_off_until(self, start: datetime) -> datetime | None:
        """The last slot at or before `start` where one of the skipped hour comes late."""
        wall = self._wall.until(self._reached(start))
        if wall is None:
            return None
        slot = self._instant(wall)
        skipped = self._skipped(slot)
        if skipped is None:
            return slot
        gap_end, late = skipped
        if start < late:
            return self._put_off_until(gap_end - _SECOND)
        return slot if slot > late and self._local(slot) == wall else late

    def _skipped(self, until: datetime) -> tuple[datetime, datetime] | None:
        """Of a clock put forward shortly before `until`, if it skipped a slot: the end of the gap, and when that slot comes."""
        before = until - _SPAN
        if self._local(until) - self._local(before) <= _SPAN:
            return None
        gap_end = self._turn(before, until)
        wall = self._wall.after(self._local(gap_end - _SECOND))
        return (gap_end, self._instant(wall)) if wall is not None and wall < self._local(gap_end) else None

    def _instant(self, wall: datetime) -> datetime:
        """When the clock shows it first; of a time it skips, when it would have shown it without the change."""
        return wall.replace(tzinfo=self._zone, fold=0).astimezone(UTC)

    def _turn(self, before: datetime, after: datetime) -> datetime:
        """The first instant after the clock change that lies between two instants of different offsets."""
        offset, seconds = self._offset(before), range((after - before) // _SECOND)
        return before + _SECOND * bisect_left(seconds, True, key=lambda at: self._offset(before + at * _SECOND) != offset)

    def _offset(self, instant: datetime) -> timedelta | None:
        return instant.astimezone(self._zone).utcoffset()

    def _local(self, instant: datetime) -> datetime:
        return instant.astimezone(self._zone).replace(tzinfo=None, fold=0)
