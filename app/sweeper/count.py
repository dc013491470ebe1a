"""Counting, once a minute: how many monitors and deliveries there are, for /metrics and for the breaker."""

from datetime import timedelta

from app.store import blackouts, counts
from app.store.engine import Sessions

COUNTED_LATELY = timedelta(seconds=50)


async def count_once(sessions: Sessions) -> bool:
    """Count; False where another worker just did."""
    async with sessions() as session:
        now, counted = await blackouts.now(session), await counts.newest(session)
        if counted is not None and timedelta() <= now - counted < COUNTED_LATELY:
            return False
        await counts.count(session, now)
        await session.commit()
    return True
