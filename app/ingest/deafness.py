"""Since when this process could record nothing that it heard. The inbox notes what becomes of its batches, the ticker reads it: a
process that cannot hear does not tick, and says afterwards when it could not.

Noted are batches, not what the inbox refuses before: we hear others meanwhile, and who floods must not be able to make a
blackout, in which nobody's silence would be judged."""

from collections import deque
from dataclasses import dataclass, field

from app.store.blackouts import HOLE

QUIET = HOLE.total_seconds()  # after so long without a failure it counts as over, though nothing came that could be recorded
KEPT = 50


@dataclass(slots=True)
class Deafness:
    """Seconds of the monotonic clock. `since`: the first failure after which nothing was recorded; `failed_at`: the last.
    `over`: times of more than a hole that have ended and are not written yet, [since, until) each."""

    since: float | None = None
    failed_at: float = 0.0
    over: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def failed(self, at: float) -> None:
        """A batch of which nothing could be recorded."""
        self.since = at if self.since is None else self.since
        self.failed_at = at

    def recorded(self, at: float) -> None:
        """A batch of which something was."""
        if self.since is not None and at - self.since > QUIET:
            self.over.append((self.since, at))
        self.since = None

    def settle(self, now: float) -> None:
        """Nothing failed for a while: then nothing was there to fail."""
        if self.since is not None and now - self.failed_at >= QUIET:
            self.recorded(self.failed_at)
