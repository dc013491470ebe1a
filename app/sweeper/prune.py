"""Keeping house: partitions made ahead, what is past its time dropped."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.store import (
    attempts,
    audit_entries,
    blackouts,
    checkins,
    deletions,
    incidents,
    letters,
    links,
    notices,
    outbox,
    partitions,
    removed,
    reported,
    unheard,
    user_sessions,
)
from app.store.engine import Sessions

log = structlog.get_logger()

SLICE = 5000  # rows deleted in one transaction
SLICES = 20  # in a round, which comes every ten minutes
BATCH = 500  # rows of a project that is deleted, each of which takes others with it
ROUNDS = 500


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
    """Forget old ticks, blackouts, answers to Idempotency-Keys, what was reported of runs long over, notices told long ago,
    deliveries and what was unheard, settled longer ago than check-ins are kept, and monitors deleted as long ago; transitions and
    closed incidents after 13 months, as runs, and so entries of the audit log; of people's sessions, links, attempts and letters
    those that are over. What waits for a channel that is gone is laid off, and
    what hangs on projects deleted a week ago goes with them."""
    async with sessions() as session:
        now = await blackouts.now(session)
        await blackouts.forget_ticks(session, now)
        await checkins.forget_answers(session, now)
        await reported.forget(session, now)
        await unheard.forget(session, now - timedelta(days=retention_days))
        await notices.forget(session, now)
        await outbox.suppress_orphans(session, now)
        await session.commit()
    async with sessions() as session:
        for of_people in (user_sessions, links, attempts, letters):
            await of_people.forget(session, now)
        await session.commit()
    await _in_slices(sessions, lambda session: deletions.go_on(session, now, BATCH), least=1)
    kept = now - timedelta(days=retention_days)
    await _in_slices(sessions, lambda session: outbox.forget_settled(session, kept, SLICE))
    await _in_slices(sessions, lambda session: removed.forget(session, kept, SLICE))
    await _in_slices(sessions, lambda session: audit_entries.forget(session, SLICE))
    months = now - timedelta(days=31 * partitions.MONTHS_KEPT)
    await _in_slices(sessions, lambda session: incidents.forget(session, months, SLICE))


async def _in_slices(sessions: Sessions, forget: Callable[[AsyncSession], Awaitable[int]], least: int = SLICE) -> None:
    """Each slice in a transaction of its own; so many in a round that it catches up, and ends. Fewer rows than `least` say that
    there is nothing more."""
    for _ in range(SLICES if least == SLICE else ROUNDS):
        async with sessions() as session:
            gone = await forget(session)
            await session.commit()
        if gone < least:
            return
