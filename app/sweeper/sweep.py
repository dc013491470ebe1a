"""The sweep: monitors silent past their deadline are turned down. Any number of sweepers may run; rows are claimed, not jobs."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.exc import DataError, IntegrityError, InternalError, ProgrammingError

from app.domain.horizon import Horizon
from app.domain.monitor import on_silence
from app.domain.state import Decision
from app.failpoint import failpoint
from app.store import blackouts, decisions, monitors, partitions
from app.store.blackouts import Moment
from app.store.engine import Sessions
from app.store.rows import Locked, locked
from app.sweeper.aside import set_aside
from app.sweeper.breaker import Breaker
from app.sweeper.hold import hold_back_once
from app.sweeper.unheard import tell_unheard_once

log = structlog.get_logger()

BATCH = 250
AT_ONCE = 2  # batches, where there is more than one: while PostgreSQL has one in hand we have the other; each takes a connection
PIECE = 50  # rows
MOST_PUT_OFF = 500
UNWRITABLE = (DataError, IntegrityError, InternalError, ProgrammingError)


@dataclass(frozen=True, slots=True)
class Swept:
    """What one look found: rows looked at, of which so many turned, and so many were set aside."""

    looked_at: int
    turned: int
    set_aside: int

    def __add__(self, other: "Swept") -> "Swept":
        return Swept(self.looked_at + other.looked_at, self.turned + other.turned, self.set_aside + other.set_aside)


NOTHING = Swept(0, 0, 0)


async def sweep(sessions: Sessions, margin: timedelta, breaker: Breaker | None = None) -> Swept:
    """Look until nothing is due any more, then note that the sweep is alive. `breaker`: what may hold mass silence back."""
    total, at_once = NOTHING, 1
    async with sessions() as session:
        moment = await blackouts.moment(session, margin)
    while await _put_off(sessions, moment.free) == MOST_PUT_OFF:
        pass  # whoever was heard of meanwhile is not counted among the silent
    looked = moment if breaker is None else await breaker.look_once(sessions, moment)
    while looked is not None:
        swept = await sweep_once(sessions, margin, looked.horizon.at, at_once=at_once)
        total, at_once = total + swept, AT_ONCE
        if swept.looked_at < BATCH:
            break
    if looked is not None:  # whoever looks instead of us says that it lives
        async with sessions() as session:
            await blackouts.beat(session, "sweep")
            await session.commit()
    await tell_unheard_once(sessions, moment)
    return total


async def sweep_once(sessions: Sessions, margin: timedelta, until: datetime, limit: int = BATCH, at_once: int = 1) -> Swept:
    """Judge up to `limit` monitors whose deadline lies before the horizon and before `until`, which is as far as the breaker has
    counted, in one transaction, and so many such batches `at_once`; schedulers first, each with what waits for it.

    Down is dated at the deadline. A row that cannot be judged, or whose verdict cannot be written, is set aside for an hour,
    counted, and stops nobody else.
    """
    async with sessions() as session:
        moment = await blackouts.moment(session, margin)
    moment = replace(moment, horizon=replace(moment.horizon, at=min(moment.horizon.at, until)))
    await hold_back_once(sessions, moment)
    batches = await asyncio.gather(*(_batch(sessions, moment, limit) for _ in range(at_once)), return_exceptions=True)
    swept = NOTHING
    for batch in batches:  # all have ended: what one of them cannot do costs no other
        if isinstance(batch, BaseException):
            raise batch
        swept += batch
    return swept


async def _batch(sessions: Sessions, moment: Moment, limit: int) -> Swept:
    try:
        return await _judge_batch(sessions, moment, limit)
    except UNWRITABLE as error:
        if partitions.are_missing(error):
            async with sessions() as session:
                await partitions.make(session, partitions.wanted(moment.now))
                await session.commit()
        log.warning("a batch could not be written, its rows are taken one by one", error=str(error.orig).splitlines()[0])
        return await _judge_apart(sessions, moment, limit)


async def _put_off(sessions: Sessions, horizon: Horizon) -> int:
    async with sessions() as session:
        put_off = await monitors.rewake(session, horizon.at, MOST_PUT_OFF)
        await session.commit()
    return put_off


async def _judge_batch(sessions: Sessions, moment: Moment, limit: int) -> Swept:
    async with sessions() as session:
        rows = await monitors.lock_due(session, moment.horizon.at, limit)
        if rows:
            failpoint("sweep.locked")
        judged, poison = [], 0
        for n, raw in enumerate(rows):
            if n % PIECE == 0:
                await asyncio.sleep(0)  # whoever shares this process goes on meanwhile, and its alerts out
            try:
                judged.append(_judge(raw, moment.horizon))
            except Exception as error:  # noqa: BLE001 (poison: one row must not stop the others)
                poison += 1
                await set_aside(session, raw, moment, error)
        await decisions.write(session, moment.now, judged)
        if judged:
            failpoint("sweep.judged")
        await session.commit()
    return Swept(len(rows), sum(bool(decision.transitions) for _, decision in judged), poison)


async def _judge_apart(sessions: Sessions, moment: Moment, limit: int) -> Swept:
    total = NOTHING
    for _ in range(limit):
        async with sessions() as session:
            due = await monitors.lock_due(session, moment.horizon.at, 1)
        if not due:
            break
        try:
            swept = await _judge_batch(sessions, moment, 1)
        except UNWRITABLE as error:
            async with sessions() as session:
                await set_aside(session, due[0], moment, error)
                await session.commit()
            swept = Swept(1, 0, 1)
        total += swept
    return total


def _judge(raw: Mapping[str, Any], horizon: Horizon) -> tuple[Locked, Decision]:
    row = locked(raw)
    return row, on_silence(row.monitor, horizon)
