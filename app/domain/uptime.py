"""Uptime: which share of the time a monitor was up, of the time in which it could have been down and we could have heard it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.horizon import Blackout

COUNTED = ("up", "down")


@dataclass(frozen=True, slots=True)
class Turned:
    """A status turning, at an instant."""

    at: datetime
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """A status from one instant to the next."""

    status: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Uptime:
    """How long it was up and down; paused, new and what we could not hear count as neither."""

    up: timedelta
    down: timedelta

    @property
    def counted(self) -> timedelta:
        """The denominator."""
        return self.up + self.down

    @property
    def share(self) -> float | None:
        """From 0 to 1; None where there is nothing to count."""
        return self.up / self.counted if self.counted else None

    @property
    def in_words(self) -> str:
        """As in 99.98 %: cut, never rounded up, so that 100 % says that it was never down. A dash for nothing to count."""
        if self.share is None:
            return "–"
        if not self.down:
            return "100 %"
        return f"{min(int(self.share * 10_000), 9_999) / 100:.2f} %"


def stretches(turns: Sequence[Turned], status: str, start: datetime, end: datetime) -> list[Stretch]:
    """What a monitor was from `start` to `end`, oldest first, by its turns in that time, oldest first; `status`: as it is at the
    end, for one that did not turn."""
    found, since, current = list[Stretch](), start, turns[0].before if turns else status
    for turn in turns:
        at = min(max(turn.at, since), end)
        if at > since:
            found.append(Stretch(current, since, at))
        since, current = at, turn.after
    if end > since:
        found.append(Stretch(current, since, end))
    return found


def uptime(found: Iterable[Stretch], blackouts: Sequence[Blackout] = ()) -> Uptime:
    """Of these stretches, less what lies in a blackout."""
    spent = {status: timedelta() for status in COUNTED}
    for stretch in found:
        if stretch.status in COUNTED:
            deaf = sum((_both(stretch, blackout) for blackout in blackouts), timedelta())
            spent[stretch.status] += stretch.end - stretch.start - deaf
    return Uptime(spent["up"], spent["down"])


def within(found: Iterable[Stretch], start: datetime, end: datetime) -> list[Stretch]:
    """What of these stretches lies between two instants."""
    cut = (Stretch(s.status, max(s.start, start), min(s.end, end)) for s in found)
    return [stretch for stretch in cut if stretch.end > stretch.start]


def _both(stretch: Stretch, blackout: Blackout) -> timedelta:
    return max(timedelta(), min(stretch.end, blackout.end) - max(stretch.start, blackout.start))
