"""The figures an operator must be able to trust: read from the tables, so that no dead process can make them look good."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.fitness import NEVER, Audit, Vitals
from app.domain.horizon import CANARY_EVERY
from app.store import audit, blackouts, notices, partitions
from app.store.blackouts import Moment
from app.store.channel_limits import IS_OPEN
from app.store.claims import OPEN_CHANNELS

STILL_SENDING = timedelta(minutes=1)

# However much is due or waits, a look costs some index entries for each channel with something open, and no more: it is taken
# when things are bad, too. The sweep takes what is due in order of wake-up, so the first of it say how late it is.
READ = text("""
    SELECT
        coalesce((SELECT extract(epoch FROM :horizon - min(deadline)) FROM (
            SELECT deadline FROM monitors WHERE wake_at < :horizon AND deadline < :horizon
                AND (set_aside_until IS NULL OR set_aside_until < :horizon) ORDER BY wake_at LIMIT 1000) AS due), 0)::float8
            AS sweep_lag,
        coalesce((SELECT greatest(0, extract(epoch FROM missedbeat_now() - at)) FROM heartbeats WHERE name = 'sweep'),
            -1)::float8 AS sweep_age,
        coalesce((SELECT greatest(0, extract(epoch FROM missedbeat_now() - at)) FROM heartbeats WHERE name = 'deliver'),
            -1)::float8 AS deliver_age,
        (SELECT count(*) FROM monitors WHERE set_aside_until > :now)::int AS set_aside""")
# Stuck: due, first in its row, and to a channel to which nobody is sending and that is neither left alone nor outside of its
# hours: what a sender would take now, and since when. Of a monitor's open deliveries to a channel one that was tried is the
# first.
WAITING = text(f"""
    WITH RECURSIVE {OPEN_CHANNELS}
    SELECT coalesce(extract(epoch FROM :now - min(least(f.created_at, t.created_at))), 0)::float8 AS oldest,
        coalesce(extract(epoch FROM :now - min(least(h.due_at, t.due_at)) FILTER (
            WHERE c.open_until IS NULL AND least(h.due_at, t.due_at) < :now AND NOT EXISTS (
                SELECT FROM deliveries b WHERE (b.project_id, b.channel_id) = (o.project_id, o.channel_id)
                    AND b.state = 'sending' AND b.due_at > :now))), 0)::float8 AS stuck
    FROM open o LEFT JOIN channels c ON (c.project_id, c.id) = (o.project_id, o.channel_id)
    LEFT JOIN LATERAL (
        SELECT greatest(d.created_at, c.closed_until) AS created_at FROM deliveries d
        WHERE (d.project_id, d.channel_id) = (o.project_id, o.channel_id)
            AND d.state = 'waiting' AND d.first_try_at IS NULL ORDER BY d.seq LIMIT 1) f ON {IS_OPEN.format(c="c")}
    LEFT JOIN LATERAL (
        SELECT greatest(d.due_at, c.closed_until) AS due_at FROM deliveries d
        WHERE (d.project_id, d.channel_id) = (o.project_id, o.channel_id)
            AND d.state = 'waiting' AND d.first_try_at IS NULL AND (d.monitor_id IS NULL OR d.seq = (
                SELECT e.seq FROM deliveries e WHERE (e.project_id, e.channel_id, e.monitor_id)
                    = (d.project_id, d.channel_id, d.monitor_id) AND e.state IN ('waiting', 'sending') ORDER BY e.seq LIMIT 1))
        ORDER BY d.seq LIMIT 1) h ON {IS_OPEN.format(c="c")}
    LEFT JOIN LATERAL (
        SELECT min(d.created_at) AS created_at, min(d.due_at) AS due_at FROM deliveries d
        WHERE (d.project_id, d.channel_id) = (o.project_id, o.channel_id)
            AND d.state IN ('waiting', 'sending') AND d.first_try_at IS NOT NULL) t ON true""")  # noqa: S608
CANARIES = text("""
    WITH h AS (SELECT sent_at, heard_at FROM canaries WHERE heard_at IS NOT NULL ORDER BY sent_at DESC LIMIT 1)
    SELECT (SELECT heard_at FROM h) AS heard, (SELECT max(sent_at) FROM canaries) AS sent,
        (SELECT min(sent_at) FROM canaries WHERE sent_at > coalesce((SELECT sent_at FROM h), '-infinity')) AS failing""")
TICKING = text("""
    SELECT process, extract(epoch FROM :now - max(at))::float8 AS age, bool_or(last) AS left FROM ticks
    WHERE at > :now - interval '60 s' GROUP BY process ORDER BY age""")
SERVER = text("""
    SELECT clock_timestamp() AS clock, current_setting('server_version') AS version,
        (SELECT version_num FROM alembic_version) AS revision""")


@dataclass(frozen=True, slots=True)
class Ticking:
    """A web process that ticked within a minute: seconds since, and whether it has signed off."""

    process: UUID
    age: float
    left: bool


@dataclass(frozen=True, slots=True)
class Server:
    """The database: its real clock, its version, and the revision of the schema in it."""

    clock: datetime
    version: str
    revision: str


async def read(session: AsyncSession, margin: timedelta) -> Vitals:
    """Every figure by which `domain/fitness.py` judges, as of now. Cheap enough for every few seconds."""
    moment = await blackouts.moment(session, margin)
    now = {"now": moment.now}
    row = (await session.execute(READ, {"horizon": moment.horizon.at, **now})).one()
    waiting = (await session.execute(WAITING, now)).one()
    found, audited_at = await audit.last(session)
    untold, oldest = await notices.untold(session)
    return Vitals(
        sweep_lag=row.sweep_lag, sweep_age=row.sweep_age, deliver_age=row.deliver_age, oldest_delivery=waiting.oldest,
        stuck_delivery=waiting.stuck, horizon_lag=_age(moment.now, moment.free.at if moment.tick is not None else None),
        canary_age=await _canary_age(session, moment.now),
        set_back=moment.behind.total_seconds(), held=(moment.free.at - moment.horizon.at).total_seconds(),
        deaf_today=_deaf_since(moment, timedelta(days=1)),
        days_ahead=await partitions.days_ahead(session, moment.now), set_aside=row.set_aside,
        audits={name: Audit(count, words) for name, (count, words) in found.items()}, audit_age=_age(moment.now, audited_at),
        untold=untold, untold_age=_age(moment.now, oldest),
    )  # fmt: skip


async def ticking(session: AsyncSession, now: datetime) -> list[Ticking]:
    """The web processes of the last minute, the freshest first."""
    return [Ticking(*row) for row in await session.execute(TICKING, {"now": now})]


async def server(session: AsyncSession) -> Server:
    """What answers us there."""
    return Server(*(await session.execute(SERVER)).one())


async def _canary_age(session: AsyncSession, now: datetime) -> float:
    """Who is not sending has nothing to hear; who begins again after a pause is not blamed for the pause."""
    row = (await session.execute(CANARIES)).one()
    if row.sent is None or now - row.sent > STILL_SENDING:
        return NEVER
    begun = None if row.failing is None else row.failing - (CANARY_EVERY if row.heard is not None else timedelta())
    return max(0.0, _age(now, max(at for at in (row.heard, begun) if at is not None)))


def _age(now: datetime, at: datetime | None) -> float:
    return NEVER if at is None else (now - at).total_seconds()


def _deaf_since(moment: Moment, span: timedelta) -> float:
    """Seconds of the last `span` in which we could not hear."""
    since, deaf = moment.now - span, timedelta()
    for blackout in sorted(moment.free.blackouts, key=lambda b: b.start):
        start = max(blackout.start, since)
        if blackout.end > start:
            deaf, since = deaf + (blackout.end - start), blackout.end
    return deaf.total_seconds()
