"""Keeping house: partitions made ahead, what is past its time dropped."""

from datetime import timedelta

import structlog

from app.store import blackouts, checkins, notices, outbox, partitions, reported, unheard
from app.store.engine import Sessions

log = structlog.get_logger()


async def keep_partitions(sessions: Sessions, retention_days: int, log_limit: int) -> list[str]:
    """Make the partitions ahead and drop those past their time, each in its own transaction; returns those dropped."""
    async with sessions() as session:
        now = await blackouts.now(session)
        made = await partitions.make(session, partitions.wanted(now))
        await session.commit()
    async with sessions() as session:
        past = await partitions.outlived(session, now, retention_days)
    for name in past:
        async with sessions() as session:
            await partitions.drop(session, name, log_limit)
            await session.commit()
    if made or past:
        log.info("partitions kept", made=len(made), dropped=past)
    return past


async def prune_once(sessions: Sessions, retention_days: int) -> None:
    """Forget old ticks, blackouts, answers to Idempotency-Keys, what was reported of runs long over, notices told long
    ago, and deliveries settled longer ago than check-ins are kept."""
    async with sessions() as session:
        now = await blackouts.now(session)
        await blackouts.forget_ticks(session, now)
        await checkins.forget_answers(session, now)
        await reported.forget(session, now)
        await unheard.forget(session, now - timedelta(days=retention_days))
        await outbox.forget_settled(session, now - timedelta(days=retention_days))
        await notices.forget(session, now)
        await session.commit()
