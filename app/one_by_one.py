"""Work that takes the processor from the pings, done one at a time in each process, while a few wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import Unavailable


class OneByOne:
    """A door through which one goes at a time; at most `most` wait, the one inside included."""

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._inside = 0
        self._one = asyncio.Semaphore(1)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for it. Raises Unavailable at once where too many wait already."""
        if self._inside >= self._most:
            raise Unavailable
        self._inside += 1
        try:
            async with self._one:
                yield
        finally:
            self._inside -= 1
