"""How far silence may be judged, and when we could not hear. Who writes ticks and blackouts is the store's affair."""

from dataclasses import dataclass
from datetime import datetime, timedelta

AFTER_BLACKOUT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Blackout:
    """Time [start, end) in which we could not hear; nobody is blamed for silence in it."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Horizon:
    """Silence is judged for deadlines before `at`, and never where it touches a blackout."""

    at: datetime
    blackouts: tuple[Blackout, ...] = ()

    def deaf_until(self, opens: datetime, closes: datetime) -> datetime | None:
        """The end of the last blackout that touches the window [opens, closes]; None when we heard all of it."""
        return max((b.end for b in self.blackouts if b.start <= closes and b.end > opens), default=None)


def horizon_at(now: datetime, newest_tick: datetime | None, margin: timedelta, blackouts: tuple[Blackout, ...] = ()) -> Horizon:
    """H = min(database clock, newest tick) - margin. Without any tick nothing was ever heard, so nothing is judged."""
    heard_until = datetime.min.replace(tzinfo=now.tzinfo) + margin if newest_tick is None else min(now, newest_tick)
    return Horizon(heard_until - margin, blackouts)


def hole(previous_tick: datetime | None, now: datetime, limit: timedelta) -> Blackout | None:
    """The blackout that a tick at `now` ends, when more than `limit` passed since the tick before it."""
    if previous_tick is None or now - previous_tick <= limit:
        return None
    return Blackout(previous_tick, now)
