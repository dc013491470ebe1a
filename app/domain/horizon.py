"""How far silence may be judged, and when we could not hear. Who writes ticks, canaries and blackouts is the store's affair."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

AFTER_BLACKOUT = timedelta(seconds=60)
PATIENCE = timedelta(seconds=30)  # with a process that is gone without a word, and with a canary that is under way
CANARY_EVERY = timedelta(seconds=10)
CANARY_TRUSTED_FOR = timedelta(minutes=10)  # a canary that fails longer says more about itself than about us


@dataclass(frozen=True, slots=True)
class Blackout:
    """Time [start, end) in which we could not hear; nobody is blamed for silence in it."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Canary:
    """Check-ins of our own through the public address: the newest that was heard, the first sent since and not heard, the
    newest sent. What was lost before nobody sent any for half a minute does not count: with whoever sends them away, that proves
    nothing."""

    heard: datetime | None = None
    failing_since: datetime | None = None
    sent: datetime | None = None

    def deaf(self, now: datetime) -> Blackout | None:
        """The time in which none came through, while it lasts and after: from the last that was heard, for 10 min at most. A
        canary that was never heard proves nothing, nor does one that was never sent."""
        if self.heard is None or self.failing_since is None or now - self.heard <= PATIENCE:
            return None
        if (
            self.sent is None
            or self.sent - self.failing_since < CANARY_EVERY
            or now - self.failing_since < PATIENCE - CANARY_EVERY
        ):
            return None  # too few were sent
        since = max(self.heard, self.failing_since - CANARY_EVERY)
        return Blackout(since, min(now, self.sent + PATIENCE, since + CANARY_TRUSTED_FOR))

    def limit(self, now: datetime, margin: timedelta) -> datetime | None:
        """No silence after this is judged: a canary sent after the deadline is waited for, half a minute at most."""
        written_off = self.failing_since is not None and now - self.failing_since > CANARY_TRUSTED_FOR
        if self.heard is None or self.sent is None or now - self.sent > PATIENCE or written_off:
            return None
        return max(self.heard, now - margin - PATIENCE)


@dataclass(frozen=True, slots=True)
class Horizon:
    """Silence is judged for deadlines before `at`, and never where it touches a blackout."""

    at: datetime
    blackouts: tuple[Blackout, ...] = ()

    def deafness(self, opens: datetime, closes: datetime) -> Blackout | None:
        """The last blackout that touches the window [opens, closes]; None when we heard all of it."""
        return max(self._touching(opens, closes), key=lambda b: b.end, default=None)

    def deaf_since(self, opens: datetime, closes: datetime) -> datetime:
        """Where in the window [opens, closes], which a blackout touches, the first of them begins."""
        return max(opens, min((b.start for b in self._touching(opens, closes)), default=opens))

    def _touching(self, opens: datetime, closes: datetime) -> list[Blackout]:
        return [b for b in self.blackouts if b.start <= closes and b.end > opens]


def horizon_at(
    now: datetime,
    newest_tick: datetime | None,
    margin: timedelta,
    blackouts: tuple[Blackout, ...] = (),
    processes: Sequence[datetime] = (),
    canary: Canary = Canary(),
) -> Horizon:
    """H = min(database clock, newest tick) - margin. Without any tick nothing was ever heard, so nothing is judged.

    `processes`: the last ticks of those that did not sign off. What was due while one of them fell silent is judged half a
    minute later, for clients that it refused are on their way to another.
    """
    if newest_tick is None:
        return Horizon(datetime.min.replace(tzinfo=now.tzinfo), blackouts)
    at = min(now, newest_tick) - margin
    limits = [at] + [max(t - margin, at - PATIENCE) for t in processes if at < t + 2 * PATIENCE]
    waits = canary.limit(now, margin)
    deaf = canary.deaf(now)
    return Horizon(min([*limits, *([] if waits is None else [waits])]), blackouts if deaf is None else (*blackouts, deaf))


def hole(previous_tick: datetime | None, now: datetime, limit: timedelta) -> Blackout | None:
    """The blackout that a tick at `now` ends, when more than `limit` passed since the tick before it."""
    if previous_tick is None or now - previous_tick <= limit:
        return None
    return Blackout(previous_tick, now)
