"""The figures an operator must be able to trust: read from the tables, so that no dead process can make them look good."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.store import blackouts, partitions
from app.store.blackouts import Moment

READ = text("""
    SELECT
        coalesce((SELECT extract(epoch FROM :horizon - min(deadline)) FROM monitors WHERE wake_at < :horizon
            AND deadline < :horizon AND (set_aside_until IS NULL OR set_aside_until < :horizon)), 0)::float8 AS sweep_lag,
        coalesce((SELECT extract(epoch FROM :now - at) FROM heartbeats WHERE name = 'sweep'), -1)::float8 AS sweep_age,
        coalesce((SELECT extract(epoch FROM :now - min(created_at)) FROM deliveries
            WHERE state IN ('waiting', 'sending')), 0)::float8 AS oldest_delivery,
        (SELECT count(*) FROM monitors WHERE set_aside_until > :now)::int AS set_aside""")


@dataclass(frozen=True, slots=True)
class Vitals:
    """Ages and lags in seconds; `sweep_age` is -1 where nothing ever swept."""

    sweep_lag: float
    sweep_age: float
    oldest_delivery: float
    horizon_lag: float
    set_back: float
    held: float
    deaf_today: float
    days_ahead: int
    set_aside: int
    deliveries: dict[str, int]
    monitors: dict[str, int]


async def read(session: AsyncSession, margin: timedelta) -> Vitals:
    """Everything, as of now."""
    moment = await blackouts.moment(session, margin)
    row = (await session.execute(READ, {"horizon": moment.horizon.at, "now": moment.now})).one()
    deliveries = await session.execute(text("SELECT state, count(*) FROM deliveries GROUP BY state"))
    monitors = await session.execute(text("SELECT status, count(*) FROM monitors GROUP BY status"))
    horizon_lag = (moment.now - moment.horizon.at).total_seconds() if moment.tick is not None else -1.0
    return Vitals(
        sweep_lag=row.sweep_lag, sweep_age=row.sweep_age, oldest_delivery=row.oldest_delivery, horizon_lag=horizon_lag,
        set_back=moment.behind.total_seconds(), held=(moment.free.at - moment.horizon.at).total_seconds(),
        deaf_today=_deaf_since(moment, timedelta(days=1)),
        days_ahead=await partitions.days_ahead(session, moment.now), set_aside=row.set_aside,
        deliveries={state: count for state, count in deliveries},
        monitors={status: count for status, count in monitors},
    )  # fmt: skip


def _deaf_since(moment: Moment, span: timedelta) -> float:
    """Seconds of the last `span` in which we could not hear."""
    since, deaf = moment.now - span, timedelta()
    for blackout in sorted(moment.free.blackouts, key=lambda b: b.start):
        start = max(blackout.start, since)
        if blackout.end > start:
            deaf, since = deaf + (blackout.end - start), blackout.end
    return deaf.total_seconds()
