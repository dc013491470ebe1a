"""The slots of a sender process, and who may have how many of them, so that nobody's endpoints hold up anybody else."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from app.store.claims import Room

SLOTS = 256  # attempts under way at once; each is a task and mostly waits
SLOW_SLOTS = 64  # of these, for what is known to fail


class Slots:
    """Attempts under way. A project may have a third of what it leaves free: a quarter of all where it is alone, with others
    less, so that one that comes new finds some. The same holds among those that failed before, which can never take all."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._taken: Counter[UUID] = Counter()
        self._slow: Counter[UUID] = Counter()

    def room(self) -> Room:
        """What may be begun now: at most half of what is free, so that several who come together leave some too."""
        free, slow = SLOTS - self._taken.total(), SLOW_SLOTS - self._slow.total()
        shares = {project: (share(free, n), share(slow, self._slow[project])) for project, n in self._taken.items()}
        return Room((free + 1) // 2, (slow + 1) // 2, (share(free, 0), share(slow, 0)), shares)

    def begin(self, project: UUID, slow: bool, attempt: Coroutine[Any, Any, None]) -> None:
        """Take a slot for an attempt until it is over, however it ends."""
        task = asyncio.create_task(attempt)
        taken = (self._taken, self._slow) if slow else (self._taken,)
        for count in taken:
            count[project] += 1
        self.tasks.add(task)

        def over(_: asyncio.Task[None]) -> None:
            self.tasks.discard(task)
            for count in taken:
                count[project] -= 1
                if not count[project]:
                    del count[project]

        task.add_done_callback(over)


def share(free: int, taken: int) -> int:
    """How many more one may take who has `taken`, so that three times as many as it has then stay free; and one, where there is
    one, who has none."""
    return max(0, (free - 3 * taken) // 4, min(free, 1) if not taken else 0)
