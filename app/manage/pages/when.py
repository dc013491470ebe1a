"""Instants as one person reads them: in their zone, and how long ago."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

SHORT = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class When:
    """Of a page that is written now, for somebody in this zone."""

    now: datetime
    zone: str = "UTC"

    def exact(self, at: datetime) -> str:
        """As in Sat 5 Dec 2026, 14:05:09 CET."""
        return f"{self._local(at):%a %-d %b %Y, %H:%M:%S %Z}"

    def clock(self, at: datetime) -> str:
        """As in 14:05, or 5 Dec 14:05 on another day, or 5 Dec 2025 in another year."""
        local, today = self._local(at), self._local(self.now)
        if local.date() == today.date():
            return f"{local:%H:%M}"
        return f"{local:%-d %b %H:%M}" if local.year == today.year else f"{local:%-d %b %Y}"

    def second(self, at: datetime) -> str:
        """As in 14:05:09, or 5 Dec 14:05:09 on another day."""
        local, today = self._local(at), self._local(self.now)
        return f"{local:%H:%M:%S}" if local.date() == today.date() else f"{local:%-d %b %H:%M:%S}"

    def hour(self, at: datetime) -> str:
        """As in 14:00."""
        return f"{self._local(at):%H:%M}"

    def three_hours(self, at: datetime) -> datetime:
        """The last multiple of three hours on the reader's clock, at or before an instant."""
        local = self._local(at)
        return at - timedelta(hours=local.hour % 3, minutes=local.minute, seconds=local.second, microseconds=local.microsecond)

    def local_days(self, count: int) -> list[date]:
        """The last days on the reader's calendar, today the last."""
        today = self._local(self.now).date()
        return [today - timedelta(days=n) for n in reversed(range(count))]

    def midnights(self, count: int) -> list[datetime]:
        """When each of these days began."""
        return [self._began(day) for day in self.local_days(count)]

    def local_months(self, count: int) -> list[date]:
        """The first days of the last months, this one's the last."""
        today = self._local(self.now).date()
        whole = today.year * 12 + today.month - 1
        return [date((whole - n) // 12, (whole - n) % 12 + 1, 1) for n in reversed(range(count))]

    def first_days(self, count: int) -> list[datetime]:
        """When each of these months began."""
        return [self._began(day) for day in self.local_months(count)]

    def ago(self, at: datetime | None) -> str:
        """As in 3 min ago, or in 2 h; never for none."""
        if at is None:
            return "never"
        span = self.now - at
        if abs(span) < timedelta(seconds=1):
            return "now"
        whole = timedelta(seconds=int(abs(span).total_seconds()))
        return f"{short(whole)} ago" if span > timedelta() else f"in {short(whole)}"

    def machine(self, at: datetime) -> str:
        """For programs that read the page."""
        return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    def _began(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def _local(self, at: datetime) -> datetime:
        return at.astimezone(ZoneInfo(self.zone))


def short(span: timedelta | float | None) -> str:
    """A span in at most two units, as in 45 s, 2 min 5 s, 3 h, 1 d 4 h; below 10 s with a tenth, 12 ms. A dash for none."""
    if span is None:
        return "–"
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if 0 < seconds < 0.0995:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    place = next(n for n, (_, size) in enumerate(SHORT) if whole >= size)
    unit, size = SHORT[place]
    words = f"{whole // size} {unit}"
    if place + 1 < len(SHORT) and whole // size < 10:
        lesser, smaller = SHORT[place + 1]
        rest = whole % size // smaller
        words += f" {rest} {lesser}" if rest else ""
    return words
