"""How often a key may call the API: counted in this process's memory. With several web processes each counts for itself."""

from math import ceil
from uuid import UUID

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from app.clock import utc_now
from app.errors import TooMany


class ApiLimit:
    """So many calls in a minute, which begins with the first of them."""

    def __init__(self, per_minute: int) -> None:
        self._minute = RateLimitItemPerMinute(per_minute)
        self._calls = FixedWindowRateLimiter(MemoryStorage())

    async def count(self, key: UUID) -> None:
        """Count a call with this key. Raises TooMany, with the seconds until the next minute."""
        if not await self._calls.hit(self._minute, str(key)):
            until = (await self._calls.get_window_stats(self._minute, str(key))).reset_time
            wait = max(1, ceil(until - utc_now().timestamp()))
            raise TooMany(f"more than {self._minute.amount} calls a minute with this key: wait {wait} s", wait)
