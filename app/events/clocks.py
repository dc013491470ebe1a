"""The clock of who speaks, set right by ours."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.skew import OLDEST_REPORT, on_our_clock, skew_of

FUTURE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Clock:
    """Of one batch, by when it says that it was sent, and when it began to come: a slow line, or we ourselves, make no clock
    wrong. `received`: when all of it was there."""

    sent_at: datetime
    began: datetime
    received: datetime

    def of(self, said: datetime) -> datetime:
        """The instant by our clock, also one to come."""
        return on_our_clock(said, skew_of(self.sent_at, self.began), self.received)

    def past(self, said: datetime) -> datetime:
        """When that happened: never later than received, nor longer ago than is kept."""
        return min(max(self.of(said), self.received - OLDEST_REPORT), self.received)

    def ahead(self, said: datetime) -> bool:
        """Whether it lies in the future even so."""
        return self.of(said) > self.received + FUTURE
