"""The service's own signs of life: ticks, the blackouts that their holes show, and the horizon that follows from both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.horizon import AFTER_BLACKOUT, PATIENCE, Blackout, Canary, Horizon, hole, horizon_at
from app.store.tables import BlackoutRow, CanaryRow, HeartbeatRow, HoldRow, TickRow
from app.store.together import Asked, Row, ask

HOLE = timedelta(seconds=5)
FIRST_HOLE = timedelta(seconds=2)
TICKS_KEPT = timedelta(hours=48)
BLACKOUTS_KEPT = timedelta(days=400)  # longer than any period, grace or run
NOW = text("SELECT greatest(missedbeat_now(), (SELECT max(at) FROM ticks))")
# BETWEEN … AND 'infinity', for a bound alone that is not known beforehand is taken for a third of the table.
MOMENT = text("""
    WITH t AS (SELECT max(at) AS tick FROM ticks),
    c AS (
        SELECT max(sent_at) FILTER (WHERE heard_at IS NOT NULL) AS heard, max(sent_at) AS sent
        FROM canaries WHERE sent_at BETWEEN (SELECT tick FROM t) - interval '20 min' AND 'infinity'),
    lost AS (
        SELECT sent_at, sent_at - lag(sent_at) OVER (ORDER BY sent_at) > interval '30 s' AS after_a_gap
        FROM canaries WHERE sent_at BETWEEN (SELECT heard FROM c) AND 'infinity' AND sent_at > (SELECT heard FROM c)
            AND heard_at IS NULL)
    SELECT missedbeat_now() AS clock, t.tick,
        (SELECT coalesce(json_agg(json_build_array(from_at, to_at) ORDER BY from_at), '[]') FROM blackouts) AS deaf,
        (SELECT coalesce(array_agg(at), '{}') FROM (
            SELECT max(at) AS at FROM ticks WHERE at BETWEEN (SELECT tick FROM t) - interval '2 min' AND 'infinity'
            GROUP BY process HAVING NOT bool_or(last)) AS p) AS processes,
        c.heard, c.sent,
        (SELECT min(sent_at) FROM lost WHERE sent_at >= coalesce(
            (SELECT max(sent_at) FROM lost WHERE after_a_gap), '-infinity')) AS failing,
        (SELECT min(from_at) FROM holds WHERE released_at IS NULL AND until > missedbeat_now()) AS held
    FROM t CROSS JOIN c""")

PROBE = text("""
    INSERT INTO check_ins (project_id, monitor_id, n, received_at, signal, scheme, method, remote_addr, user_agent)
    SELECT id, id, 0, missedbeat_now(), 'log', '', '', '', '' FROM (VALUES (CAST(:nil AS uuid))) AS v(id)""").bindparams(
    nil=UUID(int=0)
)
# What is written with a check-in: a lock on a whole table, a lost right or a missing table is met as recording meets it.
WRITES = tuple(
    text(write)
    for write in (
        "UPDATE monitors SET heard = heard WHERE false",
        *(
            f"INSERT INTO {table} SELECT * FROM {table} WHERE false"  # noqa: S608
            for table in ("runs", "transitions", "incidents", "idempotency")
        ),
        "INSERT INTO deliveries (project_id) SELECT project_id FROM deliveries WHERE false",
    )
)


@dataclass(frozen=True, slots=True)
class Moment:
    """The database's clock and what may be judged by it, read in one statement.

    `now` never goes back behind the newest tick; where the clock was set back, `behind` says how far: then time stands still
    until the clock is there again. `free`: how far silence could be judged if the breaker for mass silence held nothing.
    """

    now: datetime
    tick: datetime | None
    horizon: Horizon
    free: Horizon
    behind: timedelta
    margin: timedelta


class Signs(NamedTuple):
    """The row of MOMENT."""

    clock: datetime
    tick: datetime | None
    deaf: list[tuple[str, str]]
    processes: list[datetime]
    heard: datetime | None
    sent: datetime | None
    failing: datetime | None
    held: datetime | None


async def moment(session: AsyncSession, margin: timedelta) -> Moment:
    """Now, and the horizon H = min(now, newest tick) - margin with every blackout, or less where one must wait."""
    return await ask(session, asking_moment(margin))


def asking_moment(margin: timedelta) -> Asked[Moment]:
    """The same, to be asked together with others."""
    return Asked(MOMENT, {}, lambda rows: _moment(Signs(*rows[0]), margin))


def _moment(row: Signs, margin: timedelta) -> Moment:
    now = row.clock if row.tick is None else max(row.clock, row.tick)
    blackouts = tuple(Blackout(datetime.fromisoformat(a), datetime.fromisoformat(b)) for a, b in row.deaf)
    free = horizon_at(now, row.tick, margin, blackouts, row.processes, Canary(row.heard, row.failing, row.sent))
    held = free if row.held is None or row.held >= free.at else replace(free, at=row.held)
    return Moment(now, row.tick, held, free, now - row.clock, margin)


async def now(session: AsyncSession) -> datetime:
    """The database's clock; where it was set back, the newest tick until it is there again."""
    return await ask(session, asking_now())


def asking_now() -> Asked[datetime]:
    """The same, to be asked together with others."""
    return Asked(NOW, {}, _instant)


def _instant(rows: Sequence[Row]) -> datetime:
    at: datetime = rows[0][0]
    return at


async def clock(session: AsyncSession) -> datetime:
    """The database's clock as it is, also where it was set back: for what only waits, such as retries, and proves nothing."""
    at: datetime = (await session.execute(select(func.missedbeat_now()))).scalar_one()
    return at


async def tick(session: AsyncSession, process: UUID, first: bool, last: bool = False) -> Blackout | None:
    """Note that this process can commit, in this transaction. A hole that this tick ends is written as a blackout.

    A hole is 5 s without any tick; 2 s where this is the first tick of a process and no other is alive.
    """
    at, before = (await session.execute(text("SELECT missedbeat_now(), (SELECT max(at) FROM ticks)"))).one()
    found = hole(before, at, FIRST_HOLE if first else HOLE)
    if found is not None:
        await _note_joined(session, found)
    await session.execute(insert(TickRow).values(at=at, process=process, last=last))
    return found


async def probe(session: AsyncSession) -> None:
    """Do what recording a check-in does, and leave nothing of it; raises what that raises."""
    await session.execute(PROBE)
    await session.execute(text("DELETE FROM check_ins WHERE project_id = :nil AND monitor_id = :nil"), {"nil": UUID(int=0)})
    for write in WRITES:
        await session.execute(write)


async def was_deaf(session: AsyncSession, since: timedelta, until: timedelta) -> None:
    """A process could record nothing in this time, given as how long ago: a blackout."""
    at = await now(session)
    await _note_joined(session, Blackout(at - since, await _not_written_off(session, at - since, at - until)))


async def _not_written_off(session: AsyncSession, since: datetime, until: datetime) -> datetime:
    """How long the deafness of one process counts: where others heard all the while, its clients had half a minute to go."""
    query = text("SELECT count(*) FROM ticks WHERE at > :limit AND at <= :until")
    limit = since + PATIENCE
    heard = (await session.execute(query, {"limit": limit, "until": until})).scalar_one() if limit < until else 0
    return limit if heard else until


async def _note_joined(session: AsyncSession, blackout: Blackout) -> None:
    """One that begins within a minute of another's end continues it: in that minute nothing was judged anyway, and
    trouble that comes and goes all day is some rows, not thousands, which every look reads."""
    joined = update(BlackoutRow).where(
        BlackoutRow.from_at <= blackout.start, BlackoutRow.to_at >= blackout.start - AFTER_BLACKOUT
    )
    longer = joined.values(to_at=func.greatest(BlackoutRow.to_at, blackout.end)).returning(BlackoutRow.from_at)
    if not (await session.execute(longer)).all():
        await _note(session, blackout)


async def _note(session: AsyncSession, blackout: Blackout) -> None:
    row = upsert(BlackoutRow).values(from_at=blackout.start, to_at=blackout.end)
    await session.execute(row.on_conflict_do_nothing())


async def canary_sent(session: AsyncSession, at: datetime) -> bool:
    """A check-in of our own is on its way through the public address. False where one left at this instant already: the clock
    was set back and stands still, nothing is judged meanwhile, and one more would prove nothing."""
    row = upsert(CanaryRow).values(sent_at=at).on_conflict_do_nothing().returning(CanaryRow.sent_at)
    return (await session.execute(row)).scalar_one_or_none() is not None


async def canary_heard(session: AsyncSession, sent_at: datetime) -> bool:
    """It came through; False where nobody sent it. The time in which none did, if there was one, is written as a blackout."""
    row = (await session.execute(MOMENT)).one()
    mine = update(CanaryRow).where(CanaryRow.sent_at == sent_at, CanaryRow.heard_at.is_(None))
    result = await session.execute(mine.values(heard_at=row.clock))
    if int(result.rowcount) != 1:  # type: ignore[attr-defined]
        return False
    deaf = Canary(row.heard, row.failing, row.sent).deaf(row.clock)
    if deaf is not None and sent_at > deaf.start:
        await _note(session, deaf)
    return True


async def keep_deafness(session: AsyncSession) -> Blackout | None:
    """A canary that failed for so long that it is not trusted any more leaves the blackout that it proved; returned when new."""
    row = (await session.execute(MOMENT)).one()
    deaf = Canary(row.heard, row.failing, row.sent).deaf(row.clock)
    if deaf is None or deaf.end >= row.clock:
        return None
    known = await session.scalar(select(BlackoutRow.from_at).where(BlackoutRow.from_at == deaf.start))
    await _note(session, deaf)
    return deaf if known is None else None


async def listed(session: AsyncSession, limit: int) -> list[Blackout]:
    """The last blackouts, newest first."""
    query = select(BlackoutRow.from_at, BlackoutRow.to_at).order_by(BlackoutRow.from_at.desc()).limit(limit)
    return [Blackout(start, end) for start, end in await session.execute(query)]


async def forget_ticks(session: AsyncSession, at: datetime) -> None:
    """Drop ticks, canaries and blackouts past their time. The newest tick stays: by it the next one, however late, finds the
    hole."""
    newest = select(func.max(TickRow.at)).scalar_subquery()
    await session.execute(delete(TickRow).where(TickRow.at < at - TICKS_KEPT, TickRow.at < newest))
    await session.execute(delete(CanaryRow).where(CanaryRow.sent_at < at - TICKS_KEPT))
    await session.execute(delete(BlackoutRow).where(BlackoutRow.to_at < at - BLACKOUTS_KEPT))
    await session.execute(delete(HoldRow).where(HoldRow.until < at - BLACKOUTS_KEPT))


async def beat(session: AsyncSession, name: str) -> None:
    """A loop of the worker finished a round."""
    row = upsert(HeartbeatRow).values(name=name, at=func.missedbeat_now())
    await session.execute(row.on_conflict_do_update(index_elements=["name"], set_={"at": row.excluded.at}))


async def beats(session: AsyncSession) -> dict[str, timedelta]:
    """How long ago each loop of the worker last finished a round."""
    ages = select(HeartbeatRow.name, func.missedbeat_now() - HeartbeatRow.at)
    return {name: age for name, age in await session.execute(ages)}
