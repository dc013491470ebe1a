"""The events that wait to be sent: never more than a fixed number, and what must go is counted.

Hooks only append: no lock is taken here, each step is one that the interpreter does not interrupt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from math import inf
from typing import Union

from missedbeat.event import ENDS, GOOD_ENDS, LIVES, SYNC, Event, Told

Waiting = Union[Event, Told]


class Buffer:
    """Failures and losses outlive successes, these everything else. Of heartbeats and of the schedule only the newest waits."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._others: deque[Waiting] = deque()
        self._good_ends: deque[Waiting] = deque()
        self._bad_ends: deque[Waiting] = deque()
        self._by_worth = (self._others, self._good_ends, self._bad_ends)
        self._beats: dict[str, Sequence[Event]] = {}
        self.dropped: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._others) + len(self._good_ends) + len(self._bad_ends)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, not even a heartbeat."""
        return not (len(self) or self._beats)

    @property
    def in_memory(self) -> int:
        """How many events are nowhere else."""
        return len(self)

    @property
    def is_bypassed(self) -> bool:
        """Whether what waits goes with the process; here it always does."""
        return True

    def append(self, event: Waiting) -> None:
        """Take one more; where it is full, the oldest of those that are worth least goes."""
        if len(self) >= self._most:
            oldest = _first(self._by_worth)
            if oldest is not None:
                self.drop(oldest.type)
        self._queue_of(event.type).append(event)

    def beat(self, kind: str, events: Sequence[Event]) -> None:
        """Put the newest heartbeats of a kind, or the schedule, in the place of those that were not sent yet."""
        for old in self._beats.get(kind, ()):
            self.drop(old.type)
        self._beats[kind] = events

    def take(self) -> Waiting | None:
        """The schedule, if it waits, for others mean its entries; or else the one that waits longest, heartbeats not counted."""
        for sync in self._beats.pop(SYNC, ()):
            return sync
        return self.oldest()

    def oldest(self) -> Waiting | None:
        """Take the one that waits longest, heartbeats and the schedule not counted."""
        oldest = min((queue for queue in self._by_worth if queue), key=_age, default=None)
        return None if oldest is None else _first((oldest,))

    def put_back(self, events: Sequence[Waiting]) -> None:
        """These were taken, and wait after all."""
        for event in reversed(events):
            self._queue_of(event.type).appendleft(event)

    def settled(self) -> None:
        """All that was taken has arrived, or is given up; here it is gone already."""

    def store(self) -> None:
        """The process may end now: what waits is put where it outlives that, if there is such a place."""

    def close(self) -> None:
        """Nothing more is appended."""

    def abandon(self) -> None:
        """In a process that was forked: leave to the other one what is its own."""

    def newest_beats(self) -> list[Sequence[Event]]:
        """The heartbeats that wait; they stay until `sent`."""
        return [events for kind, events in list(self._beats.items()) if kind != SYNC]

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

    def _queue_of(self, kind: str) -> deque[Waiting]:
        if kind in GOOD_ENDS:
            return self._good_ends
        return self._bad_ends if kind in ENDS or kind in LIVES else self._others


def _first(queues: Iterable[deque[Waiting]]) -> Waiting | None:
    for queue in queues:
        try:
            return queue.popleft()
        except IndexError:  # empty, or another thread was quicker
            continue
    return None


def _age(queue: deque[Waiting]) -> float:
    """When its first was seen."""
    try:
        return queue[0].ts
    except IndexError:  # another thread was quicker
        return inf
