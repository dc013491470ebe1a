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

STILL_SENDING = timedelta(minutes=1)

READ = text("""
    SELECT
        coalesce((SELECT extract(epoch FROM :horizon - min(deadline)) FROM monitors WHERE wake_at < :horizon
            AND deadline < :horizon AND (set_aside_until IS NULL OR set_aside_until < :horizon)), 0)::float8 AS sweep_lag,
        coalesce((SELECT greatest(0, extract(epoch FROM missedbeat_now() - at)) FROM heartbeats WHERE name = 'sweep'),
            -1)::float8 AS sweep_age,
        coalesce((SELECT greatest(0, extract(epoch FROM missedbeat_now() - at)) FROM heartbeats WHERE name = 'deliver'),
            -1)::float8 AS deliver_age,
        coalesce((SELECT extract(epoch FROM :now - min(created_at)) FROM deliveries
            WHERE state IN ('waiting', 'sending')), 0)::float8 AS oldest_delivery,
        (SELECT count(*) FROM monitors WHERE set_aside_until > :now)::int AS set_aside""")
# Due, first in its row, and to a channel to which nobody is sending and that is not left alone: what a sender would take now.
STUCK = text("""
    SELECT coalesce(extract(epoch FROM :now - min(d.due_at)), 0)::float8 FROM deliveries d
    JOIN channels c ON (c.project_id, c.id) = (d.project_id, d.channel_id) AND c.open_until IS NULL
    WHERE d.state IN ('waiting', 'sending') AND d.due_at < :now
        AND NOT EXISTS (
            SELECT FROM deliveries b WHERE (b.project_id, b.channel_id) = (d.project_id, d.channel_id)
                AND b.state = 'sending' AND b.due_at > :now)
        AND NOT EXISTS (
            SELECT FROM deliveries o WHERE (o.project_id, o.channel_id, o.monitor_id) = (d.project_id, d.channel_id, d.monitor_id)
                AND o.state IN ('waiting', 'sending') AND o.seq < d.seq)""")
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
class Counts:
    """Deliveries by state and monitors by stored status."""

    deliveries: dict[str, int]
    monitors: dict[str, int]


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
    stuck = (await session.execute(STUCK, now)).scalar_one()
    found, audited_at = await audit.last(session)
    untold, oldest = await notices.untold(session)
    return Vitals(
        sweep_lag=row.sweep_lag, sweep_age=row.sweep_age, deliver_age=row.deliver_age, oldest_delivery=row.oldest_delivery,
        stuck_delivery=stuck, horizon_lag=_age(moment.now, moment.free.at if moment.tick is not None else None),
        canary_age=await _canary_age(session, moment.now),
        set_back=moment.behind.total_seconds(), held=(moment.free.at - moment.horizon.at).total_seconds(),
        deaf_today=_deaf_since(moment, timedelta(days=1)),
        days_ahead=await partitions.days_ahead(session, moment.now), set_aside=row.set_aside,
        audits={name: Audit(count, words) for name, (count, words) in found.items()}, audit_age=_age(moment.now, audited_at),
        untold=untold, untold_age=_age(moment.now, oldest),
    )  # fmt: skip


async def count(session: AsyncSession) -> Counts:
    """How many there are of what; reads whole tables."""
    deliveries = await session.execute(text("SELECT state, count(*) FROM deliveries GROUP BY state"))
    monitors = await session.execute(text("SELECT status, count(*) FROM monitors GROUP BY status"))
    return Counts({state: n for state, n in deliveries}, {status: n for status, n in monitors})


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
