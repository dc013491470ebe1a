"""When a job is due: the schedules that are known beforehand or declared, and the slots around an instant.

How expressions are read, and what they do when the clock changes, stands in `expression.py`, the walk along the clock in
`timetable.py`; what becomes of a slot over time in `slot.py` and `monitor.py`. What comes out is aware UTC, in whole seconds.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

from app.domain.cron_list import condense
from app.domain.expression import CRON, FORMS, read_cron, read_crontab, read_on_calendar
from app.domain.timetable import Change, Line
from app.errors import Invalid

LONGEST = 100  # characters of an expression
LONGEST_CRONTAB = 400  # programs write out every value; each of them, in lists that cannot be made short, is less
LONGEST_GAP = timedelta(days=3660)
EARLY_AT_MOST = timedelta(minutes=5)
DECLARED = "declared"
SAME = timedelta(seconds=10)  # nearer to each other no two slots are declared: it is the shortest period there is


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


@dataclass(frozen=True, slots=True)
class Crontab:
    """Due when Celery's Beat would send it; five fields, day of month *and* day of week, and an IANA zone."""

    expression: str
    zone: str


@dataclass(frozen=True, slots=True)
class Declared:
    """Due when its scheduler says, which alone knows: the newest due it declared, and the gap between that and the one before.

    Until it declares another, one is expected every gap after it; without a gap no other. Whole seconds.
    """

    due: datetime | None
    gap: timedelta | None
    zone: str

    def told(self, due: datetime, now: datetime) -> "Declared":
        """With what the scheduler says at `now`: a newer due, and as gap the time since the one before. An older one changes
        nothing, for what is told may come late, and neither does one within SAME of the known due, which is the same one computed
        again. While the known due is still to come, any other means that the plan was changed: then only that one is known."""
        due = due.astimezone(UTC).replace(microsecond=0)
        if self.due is None:
            return replace(self, due=due)
        if self.due > now + SAME:
            return self if due <= now or abs(due - self.due) < SAME else replace(self, due=due, gap=None)
        gap = due - self.due
        return self if gap < SAME else replace(self, due=due, gap=gap if gap <= LONGEST_GAP else None)

    def until(self, t: datetime) -> datetime | None:
        """The last slot at or before `t`."""
        if self.due is None or (self.gap is None and self.due > t):
            return None
        return self.due if self.gap is None else self.due + (t - self.due) // self.gap * self.gap

    def after(self, t: datetime) -> datetime | None:
        """The first slot strictly after `t`."""
        if self.due is None or (self.gap is None and self.due <= t):
            return None
        return self.due if self.gap is None else self.due + ((t - self.due) // self.gap + 1) * self.gap


Calendar = Cron | OnCalendar | Crontab | Declared
Schedule = Every | Calendar


def parse(text: str, zone: str, now: datetime) -> Cron | OnCalendar:
    """Read a schedule: one line of five words, or of one that starts with '@', is cron; anything else OnCalendar.

    Raises Invalid for what cannot be read, is longer than LONGEST, or never fires after `now`. Answers any text within 50 ms.
    """
    check_zone(zone)
    lines = _lines(text, LONGEST)
    words = lines[0].split() if len(lines) == 1 else []
    if len(words) == 5 or (words and words[0].startswith("@")):
        calendar: Cron | OnCalendar = Cron(lines[0].lower() if lines[0].startswith("@") else lines[0], zone)
    elif len(words) > 5:
        raise Invalid(f"schedule: {lines[0]!r} has {len(words)} fields; {CRON}")
    else:
        calendar = OnCalendar("\n".join(lines), zone)
    if next_after(calendar, now) is None:
        raise Invalid(f"schedule: {calendar.expression!r} never fires from now on; write one that does")
    return calendar


def parse_crontab(text: str, zone: str, now: datetime) -> Crontab:
    """Read Celery's crontab, five fields with no blanks inside; lists of all values or of evenly spaced ones are made short.

    Raises Invalid for what Celery would not take either, and for more than LONGEST_CRONTAB characters.
    """
    check_zone(zone)
    crontab = Crontab(condense(" ".join(_lines(text, LONGEST_CRONTAB))), zone)
    if next_after(crontab, now) is None:
        raise Invalid(f"schedule: {crontab.expression!r} never fires: no month it names has such a day; write one that does")
    return crontab


def knows_zone(zone: str) -> bool:
    """Whether `zone` is an IANA name, written exactly so."""
    return zone in _zones()


def check_zone(zone: str) -> None:
    """Raises Invalid unless `zone` is an IANA name, written exactly so."""
    if not knows_zone(zone):
        raise Invalid("zone: not a time zone we know; write an IANA name such as Europe/Berlin or UTC")


def next_after(calendar: Calendar, t: datetime) -> datetime | None:
    """The first slot strictly after `t`, in UTC; None when it never fires again."""
    start = t.astimezone(UTC).replace(microsecond=0)
    return min((slot for line in _lines_of(calendar) if (slot := line.after(start)) is not None), default=None)


def last_before(calendar: Calendar, t: datetime) -> datetime | None:
    """The last slot at or before `t`, in UTC; None when it had not fired yet. The exact mirror of `next_after`."""
    start = t.astimezone(UTC).replace(microsecond=0)
    return max((slot for line in _lines_of(calendar) if (slot := line.until(start)) is not None), default=None)


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
    """The schedule in words for people: 'every 1 h 30 min', 'cron 0 3 * * * (Europe/Berlin)', 'crontab …'."""
    match schedule:
        case Every(period):
            return f"every {_duration(period)}"
        case Cron(expression, zone):
            return f"cron {expression} ({zone})"
        case OnCalendar(expression, zone):
            return f"OnCalendar {'; '.join(expression.splitlines())} ({zone})"
        case Crontab(expression, zone):
            return f"crontab {expression} ({zone})"
        case Declared(due, _, zone):
            next_due = "" if due is None else f" ({due.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}, {zone})"
            return f"when its scheduler says{next_due}"


def by_line(calendar: OnCalendar) -> tuple[OnCalendar, ...]:
    """Each of its lines by itself, with the zone that it is read in taken out of it."""
    lines = []
    for text in dict.fromkeys(calendar.expression.splitlines()):
        head, _, last = text.rpartition(" ")
        lines.append(OnCalendar(head, last) if head and last in _zones() else OnCalendar(text, calendar.zone))
    return tuple(lines)


def written(schedule: Schedule) -> str:
    """What stands for it where schedules are shown and taken back as text; nothing for a period."""
    match schedule:
        case Every():
            return ""
        case Declared():
            return DECLARED
        case _:
            return schedule.expression


def _duration(span: timedelta) -> str:
    """A span of time in its units, leaving out those that are zero."""
    minutes, seconds = divmod(span.seconds, 60)
    amounts = ((span.days, "d"), (minutes // 60, "h"), (minutes % 60, "min"), (seconds + span.microseconds / 1e6, "s"))
    return " ".join(f"{amount:g} {unit}" for amount, unit in amounts if amount) or "0 s"


def _lines(text: str, longest: int) -> list[str]:
    """The lines with their blanks made single; raises Invalid for what no schedule is written in."""
    if len(text) > longest:
        raise Invalid(f"schedule: {len(text)} characters; at most {longest} are read")
    if not all(" " <= char <= "~" or char in "\t\r\n" for char in text):
        raise Invalid(f"schedule: has a character that is not plain ASCII; {FORMS}")
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    if not lines:
        raise Invalid(f"schedule: is empty; {FORMS}")
    return lines


@cache
def _zones() -> frozenset[str]:
    """The names a person may write; `localtime` and its kind say what the machine thinks, not where the job runs."""
    return frozenset(name for name in available_timezones() if not name.startswith(("localtime", "posix", "right/")))


def _lines_of(calendar: Calendar) -> tuple[Line, ...] | tuple[Declared]:
    return (calendar,) if isinstance(calendar, Declared) else _compile(calendar)


@lru_cache(maxsize=1024)
def _compile(calendar: Cron | OnCalendar | Crontab) -> tuple[Line, ...]:
    """The expression ready to be searched, one `Line` for each of its lines; raises Invalid."""
    check_zone(calendar.zone)
    if isinstance(calendar, Cron):
        return (Line(*read_cron(calendar.expression), ZoneInfo(calendar.zone)),)
    if isinstance(calendar, Crontab):
        return (Line(read_crontab(calendar.expression), Change.PUT_OFF, ZoneInfo(calendar.zone)),)
    return tuple(Line(read_on_calendar(line.expression), Change.LEFT_OUT, ZoneInfo(line.zone)) for line in by_line(calendar))
