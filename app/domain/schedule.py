"""When a job is due: the schedules that are known beforehand, how they are read, and the slots around an instant.

What becomes of a slot over time lives in `slot.py` and `monitor.py`. Local time exists only here; what comes out is aware UTC.
cronsim and oncalendar read the expressions and say which days match; the walk along the clock is ours. It goes backwards too
(oncalendar cannot), is fast for what never fires, and is right where cronsim 2.8 is not: wildcard jobs in Lord Howe and Chatham,
which do not shift by whole hours on the hour (it leaves minutes out or repeats itself for ever), or on a day without a midnight
(it fires at one o'clock), and, like oncalendar, an answer from the past in the second pass of a repeated hour.

Clock changes:

- **cron**, fixed time (neither minute nor hour starts with `*`): what falls into the skipped hour is due once, on the first
  moment after it; in the repeated hour only the first pass counts. Wildcard jobs (minute or hour starts with `*`; `@hourly`)
  follow real time: a skipped hour has no slots, a repeated hour has them twice. Source: Debian's cron(8), Notes, and
  blog.healthchecks.io/2021/10/how-debian-cron-handles-dst-transitions. Debian takes a jump of over 3 hours for a corrected
  clock; we, like cronsim, do not (the last such change of a zone was in 2011).
- **OnCalendar**: a slot in the skipped hour does not happen, in the repeated hour only the first pass counts. So does systemd
  (systemd#5595, systemd#8647), and so does oncalendar 1.1, though its docstring says that slots are repeated.
- Days of cron: if day of month or day of week starts with `*`, both must match, else either is enough (Debian). 0 and 7: Sunday.
"""

from array import array
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from oncalendar import BaseIterator, OnCalendarError

from app.errors import Invalid

LONGEST = 100  # characters of an expression
EARLY_AT_MOST = timedelta(minutes=5)

_SECOND = timedelta(seconds=1)
_YEARS = range(1970, 2200)  # where systemd stops; a 29 February on a given weekday is at most 40 years away
_SPAN = timedelta(days=2)  # how far we look for a clock change; no zone changes its clock and back within it
_WALL = datetime(2000, 1, 1)  # noqa: DTZ001 (a clock on the wall has no zone)
_Step = Callable[[datetime], datetime | None]
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_CRON = "cron takes five fields (minute, hour, day of month, month, day of week), no seconds, or one of " + ", ".join(_ALIASES)
_FORMS = f"{_CRON}; OnCalendar reads like 'Mon..Fri *-*-* 03:00'"


@dataclass(frozen=True, slots=True)
class Every:
    """Due a period after the last success or fail."""

    period: timedelta


@dataclass(frozen=True, slots=True)
class Cron:
    """Due when Debian's cron would run it; five fields or an @-form, and an IANA zone."""

    expression: str
    zone: str


@dataclass(frozen=True, slots=True)
class OnCalendar:
    """Due when a systemd timer would elapse; lines are alternatives, and a line may end with a zone of its own."""

    expression: str
    zone: str


Calendar = Cron | OnCalendar
Schedule = Every | Cron | OnCalendar


def parse(text: str, zone: str, now: datetime) -> Calendar:
    """Read a schedule: one line of five words, or of one that starts with '@', is cron; anything else OnCalendar.

    Raises Invalid for what cannot be read, is longer than LONGEST, or never fires after `now`. Answers any text within 50 ms.
    """
    check_zone(zone)
    lines = _lines(text)
    words = lines[0].split() if len(lines) == 1 else []
    if len(words) == 5 or (words and words[0].startswith("@")):
        calendar: Calendar = Cron(lines[0].lower() if lines[0].startswith("@") else lines[0], zone)
    elif len(words) > 5:
        raise Invalid(f"schedule: {lines[0]!r} has {len(words)} fields; {_CRON}")
    else:
        calendar = OnCalendar("\n".join(lines), zone)
    if next_after(calendar, now) is None:
        raise Invalid(f"schedule: {calendar.expression!r} never fires from now on; write one that does")
    return calendar


def check_zone(zone: str) -> None:
    """Raises Invalid unless `zone` is an IANA name, written exactly so."""
    if zone not in _zones():
        raise Invalid("zone: not a time zone we know; write an IANA name such as Europe/Berlin or UTC")


def next_after(calendar: Calendar, t: datetime) -> datetime | None:
    """The first slot strictly after `t`, in UTC; None when it never fires again."""
    start = t.astimezone(UTC).replace(microsecond=0)
    return min((slot for line in _compile(calendar) if (slot := line.after(start)) is not None), default=None)


def last_before(calendar: Calendar, t: datetime) -> datetime | None:
    """The last slot at or before `t`, in UTC; None when it had not fired yet. The exact mirror of `next_after`."""
    start = t.astimezone(UTC).replace(microsecond=0)
    return max((slot for line in _compile(calendar) if (slot := line.until(start)) is not None), default=None)


def early_of(calendar: Calendar, slot: datetime, early: timedelta | None) -> timedelta:
    """How much before `slot` a check-in counts for it: `early`, else a quarter of the gap to the slot before, 5 min at most."""
    if early is not None:
        return early
    before = last_before(calendar, slot - timedelta(microseconds=1))
    return EARLY_AT_MOST if before is None else min(EARLY_AT_MOST, (slot - before) / 4)


def slot_of(calendar: Calendar, t: datetime, grace: timedelta, early: timedelta | None) -> datetime | None:
    """The slot a check-in at `t` belongs to: the nearest S with S - early <= t <= S + grace, else the last S <= t.

    Of two equally near the earlier. None when nothing qualifies and nothing was due before. Source: semantics.md, Deadlines.
    """
    last, following = last_before(calendar, t), next_after(calendar, t)
    if following is None or t < following - early_of(calendar, following, early):
        return last
    if last is None or t > last + grace:
        return following
    return last if t - last <= following - t else following


def describe(schedule: Schedule) -> str:
    """The schedule in words for people: 'every 1 h 30 min', 'cron 0 3 * * * (Europe/Berlin)'."""
    match schedule:
        case Every(period):
            return f"every {_duration(period)}"
        case Cron(expression, zone):
            return f"cron {expression} ({zone})"
        case OnCalendar(expression, zone):
            return f"OnCalendar {'; '.join(expression.splitlines())} ({zone})"


def _duration(span: timedelta) -> str:
    """A span of time in its units, leaving out those that are zero."""
    minutes, seconds = divmod(span.seconds, 60)
    amounts = ((span.days, "d"), (minutes // 60, "h"), (minutes % 60, "min"), (seconds + span.microseconds / 1e6, "s"))
    return " ".join(f"{amount:g} {unit}" for amount, unit in amounts if amount) or "0 s"


def _lines(text: str) -> list[str]:
    """The lines with their blanks made single; raises Invalid for what no schedule is written in."""
    if len(text) > LONGEST:
        raise Invalid(f"schedule: {len(text)} characters; at most {LONGEST} are read")
    if not all(" " <= char <= "~" or char in "\t\r\n" for char in text):
        raise Invalid(f"schedule: has a character that is not plain ASCII; {_FORMS}")
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    if not lines:
        raise Invalid(f"schedule: is empty; {_FORMS}")
    return lines


@cache
def _zones() -> frozenset[str]:
    """The names a person may write; `localtime` and its kind say what the machine thinks, not where the job runs."""
    return frozenset(name for name in available_timezones() if not name.startswith(("localtime", "posix", "right/")))


@lru_cache(maxsize=1024)
def _compile(calendar: Calendar) -> tuple["_Line", ...]:
    """The expression ready to be searched, one `_Line` for each of its lines; raises Invalid."""
    check_zone(calendar.zone)
    if isinstance(calendar, Cron):
        return (_Line(*_read_cron(calendar.expression), ZoneInfo(calendar.zone)),)
    lines = []
    for text in dict.fromkeys(calendar.expression.splitlines()):
        head, _, last = text.rpartition(" ")
        body, zone = (head, last) if head and last in _zones() else (text, calendar.zone)
        lines.append(_Line(_read_on_calendar(body), _Change.LEFT_OUT, ZoneInfo(zone)))
    return tuple(lines)


class _Change(Enum):
    """What becomes of slots when the clock changes; all but REAL_TIME count the repeated hour once."""

    REAL_TIME = "the skipped hour has none, the repeated hour twice as many"
    RUN_LATE = "slots of the skipped hour fall on its end"
    LEFT_OUT = "slots of the skipped hour do not happen"


def _read_cron(expression: str) -> tuple["_Wall", _Change]:
    """Debian's five fields as cronsim reads them."""
    text = _ALIASES.get(expression, expression)
    fields = text.split()
    if len(fields) != 5:
        raise Invalid(f"schedule: {expression!r} is not cron; {_CRON}")
    try:
        cron = CronSim(text, _WALL)
    except CronSimError as error:
        why = str(error).lower().replace("bad day-of-month", "no month it names has such a day, so it never fires")
        raise Invalid(f"schedule: {expression!r} is not cron ({why}); {_CRON}") from None
    follows_real_time = fields[0].startswith("*") or fields[1].startswith("*")
    return _Wall(cron, _YEARS, cron.match_day), _Change.REAL_TIME if follows_real_time else _Change.RUN_LATE


def _read_on_calendar(text: str) -> "_Wall":
    """One line of systemd's, without a zone, as oncalendar reads it."""
    try:
        spec = BaseIterator(text, _WALL)
    except OnCalendarError as error:
        raise Invalid(f"schedule: {text!r} is neither cron nor OnCalendar ({str(error).lower()}); {_FORMS}") from None
    return _Wall(spec, spec.years, lambda day: spec.match_dow(day) and spec.match_dom(day))


class _Wall:
    """The times an expression names on a clock on the wall, which knows no zone and never changes."""

    def __init__(self, spec: CronSim | BaseIterator, years: Iterable[int], day_matches: Callable[[date], bool]) -> None:
        self._months = array("H", [12 * year + month - 1 for year in sorted(years) for month in sorted(spec.months)])
        self._minutes = array("H", [60 * hour + minute for hour in sorted(spec.hours) for minute in sorted(spec.minutes)])
        self._seconds = sorted(spec.seconds)
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


class _Line:
    """One expression in one zone: times on the wall turned into instants. Instants here are UTC and whole seconds."""

    def __init__(self, wall: _Wall, change: _Change, zone: ZoneInfo) -> None:
        self._wall, self._change, self._zone = wall, change, zone

    def after(self, start: datetime) -> datetime | None:
        """The first slot strictly after `start`."""
        if self._change is _Change.REAL_TIME:
            return self._real_after(start + _SECOND)
        return self._place(self._wall.after, self._reached(start), lambda gap_end: self._local(gap_end) - _SECOND)

    def until(self, start: datetime) -> datetime | None:
        """The last slot at or before `start`."""
        if self._change is _Change.REAL_TIME:
            return self._real_until(start)
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
            if self._change is _Change.RUN_LATE:
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

    def _turn(self, before: datetime, after: datetime) -> datetime:
        """The first instant after the clock change that lies between two instants of different offsets."""
        offset, seconds = self._offset(before), range((after - before) // _SECOND)
        return before + _SECOND * bisect_left(seconds, True, key=lambda at: self._offset(before + at * _SECOND) != offset)

    def _offset(self, instant: datetime) -> timedelta | None:
        return instant.astimezone(self._zone).utcoffset()

    def _local(self, instant: datetime) -> datetime:
        return instant.astimezone(self._zone).replace(tzinfo=None, fold=0)
