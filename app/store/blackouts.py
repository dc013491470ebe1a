"""The service's own signs of life: ticks, the blackouts that their holes show, and the horizon that follows from both."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.horizon import Blackout, Horizon, hole, horizon_at
from app.store.tables import BlackoutRow, HeartbeatRow, TickRow

HOLE = timedelta(seconds=5)
FIRST_HOLE = timedelta(seconds=2)
TICKS_KEPT = timedelta(hours=48)
BLACKOUTS_KEPT = timedelta(days=400)  # longer than any period, grace or run
MOMENT = text("""
    SELECT missedbeat_now() AS now, (SELECT max(at) FROM ticks) AS tick,
        (SELECT coalesce(json_agg(json_build_array(from_at, to_at)), '[]') FROM blackouts) AS deaf""")

PROBE = text("""
    INSERT INTO check_ins (project_id, monitor_id, n, received_at, signal, scheme, method, remote_addr, user_agent)
    SELECT id, id, 0, missedbeat_now(), 'log', '', '', '', '' FROM (VALUES (CAST(:nil AS uuid))) AS v(id)""").bindparams(
    nil=UUID(int=0)
)


@dataclass(frozen=True, slots=True)
class Moment:
    """The database's clock and what may be judged by it, read in one statement."""

    now: datetime
    tick: datetime | None
    horizon: Horizon


async def moment(session: AsyncSession, margin: timedelta) -> Moment:
    """Now, and the horizon H = min(now, newest tick) - margin with every blackout."""
    now, tick, deaf = (await session.execute(MOMENT)).one()
    blackouts = tuple(Blackout(datetime.fromisoformat(a), datetime.fromisoformat(b)) for a, b in deaf)
    return Moment(now, tick, horizon_at(now, tick, margin, blackouts))


async def now(session: AsyncSession) -> datetime:
    """The database's clock."""
    at: datetime = (await session.execute(text("SELECT missedbeat_now()"))).scalar_one()
    return at


async def tick(session: AsyncSession, process: UUID, first: bool, last: bool = False) -> Blackout | None:
    """Note that this process can commit, in this transaction. A hole that this tick ends is written as a blackout.

    A hole is 5 s without any tick; 2 s where this is the first tick of a process and no other is alive.
    """
    at, before = (await session.execute(text("SELECT missedbeat_now(), (SELECT max(at) FROM ticks)"))).one()
    found = hole(before, at, FIRST_HOLE if first else HOLE)
    if found is not None:
        row = upsert(BlackoutRow).values(from_at=found.start, to_at=found.end)
        await session.execute(row.on_conflict_do_nothing())
    await session.execute(insert(TickRow).values(at=at, process=process, last=last))
    return found


async def probe(session: AsyncSession, deaf_for: timedelta) -> None:
    """Do what recording a check-in does, and leave nothing of it; raises what that raises. A process that could not for longer
    than a hole may be writes that time as a blackout."""
    await session.execute(PROBE)
    await session.execute(text("DELETE FROM check_ins WHERE project_id = :nil AND monitor_id = :nil"), {"nil": UUID(int=0)})
    if deaf_for > HOLE:
        at = await now(session)
        row = upsert(BlackoutRow).values(from_at=at - deaf_for, to_at=at)
        await session.execute(row.on_conflict_do_nothing())


async def forget_ticks(session: AsyncSession, at: datetime) -> None:
    """Drop ticks and blackouts past their time."""
    await session.execute(delete(TickRow).where(TickRow.at < at - TICKS_KEPT))
    await session.execute(delete(BlackoutRow).where(BlackoutRow.to_at < at - BLACKOUTS_KEPT))


async def beat(session: AsyncSession, name: str, at: datetime) -> None:
    """A loop of the worker finished a round."""
    row = upsert(HeartbeatRow).values(name=name, at=at)
    await session.execute(row.on_conflict_do_update(index_elements=["name"], set_={"at": at}))


async def beats(session: AsyncSession) -> dict[str, datetime]:
    """When each loop of the worker last finished a round."""
    return {name: at for name, at in await session.execute(select(HeartbeatRow.name, HeartbeatRow.at))}
