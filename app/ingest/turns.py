"""Turns: in which order pings wait for their batch, and who gives way when there is no more room.

They are taken in rounds, and in a round each project has one turn. So a project's first ping is in the next batch, however many
of another's wait; and a project's pings keep their order. Who has a turn in the last round has the most waiting, and gives way.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from app.ingest.answers import Answer
from app.ingest.ping import Ping

MOST_REMEMBERED = 20_000


@dataclass(slots=True)
class Waiting:
    """A ping, the future its client waits on, and the project whose turn it takes."""

    ping: Ping
    answer: asyncio.Future[Answer]
    project: int


class Turns:
    """What waits: `count` of them, `bytes` of bodies. Each step costs the same however many there are, but for expiring."""

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        self._rounds: deque[deque[Waiting]] = deque()
        self._first = 0  # the number of the round that is taken next
        self._next: dict[int, int] = {}  # the round of a project's next ping, where it is not the first

    def add(self, waiting: Waiting) -> None:
        """It waits for its project's next turn."""
        turn = self._turn(waiting.project)
        if turn == self._first + len(self._rounds):
            self._rounds.append(deque())
        self._rounds[turn - self._first].append(waiting)
        self._next[waiting.project] = turn + 1
        self._count(waiting, 1)
        if len(self._next) > MOST_REMEMBERED:
            self._next = {project: turn for project, turn in self._next.items() if turn > self._first}

    def give_way(self, project: int) -> Waiting | None:
        """Take out, for a ping of this project, the one whose turn is last: the newest of a project that has more waiting. None
        where none has."""
        while self._rounds and not self._rounds[-1]:
            self._rounds.pop()
        last = self._first + len(self._rounds) - 1
        if self._turn(project) >= last:
            return None
        waiting = self._rounds[-1].pop()
        self._next[waiting.project] = last
        self._count(waiting, -1)
        return waiting

    def take(self) -> Waiting | None:
        """The one whose turn is next."""
        while self._rounds and not self._rounds[0]:
            self._rounds.popleft()
            self._first += 1
        if not self._rounds:
            self._next.clear()
            return None
        waiting = self._rounds[0].popleft()
        self._count(waiting, -1)
        return waiting

    def expire(self, oldest: float, refuse: Callable[[Waiting], None]) -> None:
        """Take out those that were heard before then, a time of the monotonic clock, and do this with each."""
        before = self.count
        for those in self._rounds:
            while those and those[0].ping.heard_at < oldest:
                self._count(those[0], -1)
                refuse(those.popleft())
        if self.count < before:
            self._close_ranks()

    def _close_ranks(self) -> None:
        """Nobody's turn comes later for pings of theirs that wait no more."""
        left = sorted((waiting for those in self._rounds for waiting in those), key=lambda waiting: waiting.ping.heard_at)
        self.count = self.bytes = 0
        self._rounds.clear()
        self._next.clear()
        for waiting in left:
            self.add(waiting)

    def _turn(self, project: int) -> int:
        """The number of the round in which its next ping has its turn."""
        return min(max(self._next.get(project, 0), self._first), self._first + len(self._rounds))

    def _count(self, waiting: Waiting, one: int) -> None:
        self.count += one
        self.bytes += one * len(waiting.ping.body)
