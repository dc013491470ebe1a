"""The events that wait to be sent: never more than a fixed number, and what must go is counted.

Hooks only append: no lock is taken here, each step is one that the interpreter does not interrupt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from missedbeat.event import ENDS, LIVES, Event


class Buffer:
    """Ends of runs outlive everything else; of heartbeats only the newest waits."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ends: deque[Event] = deque()
        self._others: deque[Event] = deque()
        self._beats: dict[str, Sequence[Event]] = {}
        self.dropped: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._ends) + len(self._others)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, not even a heartbeat."""
        return not (self._ends or self._others or self._beats)

    def append(self, event: Event) -> None:
        """Take one more; where it is full, the oldest that is no end goes, or else the oldest."""
        if len(self) >= self._most:
            oldest = self._pop()
            if oldest is not None:
                self.drop(oldest.type)
        (self._ends if event.type in ENDS or event.type in LIVES else self._others).append(event)

    def beat(self, kind: str, events: Sequence[Event]) -> None:
        """Put the newest heartbeats of a kind in the place of those that were not sent yet."""
        for old in self._beats.get(kind, ()):
            self.drop(old.type)
        self._beats[kind] = events

    def take(self) -> Event | None:
        """The one that waits longest, heartbeats not counted."""
        return self._pop(by_age=True)

    def newest_beats(self) -> list[Sequence[Event]]:
        """The heartbeats that wait; they stay until `sent`."""
        return list(self._beats.values())

    def sent(self, beats: Sequence[Sequence[Event]]) -> None:
        """These heartbeats have arrived; newer ones stay."""
        for kind, waiting in list(self._beats.items()):
            if any(waiting is one for one in beats):
                self._beats.pop(kind, None)

    def drop(self, kind: str, times: int = 1) -> None:
        """So many events of this type will not be sent; the server is told the number."""
        self.dropped[kind] = self.dropped.get(kind, 0) + times

    def told(self, dropped: dict[str, int]) -> None:
        """The server knows of these."""
        for kind, times in dropped.items():
            self.dropped[kind] = self.dropped.get(kind, 0) - times
            if self.dropped[kind] <= 0:
                self.dropped.pop(kind)

    def _pop(self, by_age: bool = False) -> Event | None:
        first = self._others
        if by_age and self._ends and (not first or self._ends[0].ts < first[0].ts):
            first = self._ends
        for queue in (first, self._ends, self._others):
            try:
                return queue.popleft()
            except IndexError:  # empty, or another thread was quicker
                continue
        return None
