"""Looks, before each sweep, whether so many fell silent at once that we had better doubt ourselves; holds their verdicts then,
and lets them go when it is over or has lasted long enough."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app import metrics
from app.domain.mass_silence import AT_LEAST, HELD_AT_MOST, LOOKS_BACK, PROJECTS, SHARE, is_mass, may_hold
from app.domain.monitor import on_silence
from app.domain.state import Status
from app.store import blackouts, counts, holds, notices
from app.store.blackouts import Moment
from app.store.engine import Sessions
from app.store.holds import Hold
from app.store.monitors import UNREADABLE
from app.store.rows import locked

log = structlog.get_logger()

COUNTED = 3  # times what makes mass silence: that many are counted, and more only where they are of too few projects
LOOKS_EVERY = timedelta(seconds=5)  # while a hold is open: thousands may have to be looked at
MOST_ROWS = 2000
PIECE = 50  # rows


class Breaker:
    """One for each sweeper; what it decides stands in the database and holds for all."""

    _looked_at: datetime | None = None

    async def look_once(self, sessions: Sessions, moment: Moment) -> Moment | None:
        """Open a hold, keep it or release it; returns the moment as it is after that. None while another sweeper looks: what it
        would hold must not be judged meanwhile."""
        async with sessions() as session:
            if not await holds.alone(session):
                return None
            last = await holds.newest(session)
            is_open = last is not None and last.released_at is None
            if is_open and self._looked_at is not None and moment.now - self._looked_at < LOOKS_EVERY:
                return moment
            self._looked_at = moment.now
            silent = await _mass(session, moment, is_open)
            if last is not None and is_open and (moment.now >= last.until or not silent):
                await holds.release(session, last, moment.now)
                log.warning("mass silence: what was held is judged now", held_for=(moment.now - last.opened_at).total_seconds())
            elif silent and not is_open and may_hold(moment.now, _ran_out(last)):
                await _open(session, moment, silent)
            else:
                return moment
            await session.commit()
            return await blackouts.moment(session, moment.margin)


async def _mass(session: AsyncSession, moment: Moment, is_open: bool) -> Counter[UUID]:
    """By project: how many fell silent, where these are so many that we doubt ourselves; else nothing.

    Counted in SQL, no further than it matters; where that is many, looked at one by one, for those that were due in a blackout
    do not count: they become unknown.
    """
    silent = await holds.silent(session, moment.free.at, AT_LEAST + 1)
    if not silent and not is_open:
        return silent  # nobody whose verdict could be held
    recent = await holds.turned(session, moment.now - LOOKS_BACK)
    if silent.total() + recent.total() <= AT_LEAST:
        return Counter()
    active = await counts.active(session, moment.now)
    most = round(COUNTED * max(AT_LEAST, SHARE * active))
    while (silent := await holds.silent(session, moment.free.at, most)).total() == most and len(silent) < PROJECTS:
        most *= COUNTED
    if moment.free.blackouts:
        rows = await holds.silent_rows(session, moment.free.at, MOST_ROWS)
        told = await _down(rows, moment)
        share = max(1.0, silent.total() / len(rows)) if rows else 1.0  # of more than are looked at, these stand for all
        silent = Counter({project: round(count * share) for project, count in told.items()})
    return silent + recent if is_mass(silent + recent, active) else Counter()


async def _open(session: AsyncSession, moment: Moment, silent: Counter[UUID]) -> None:
    first = await holds.earliest(session, moment.free.at, silent.total())
    if first is None:
        return
    count, projects = silent.total(), len(silent)
    hold = Hold(first, moment.now, moment.now + HELD_AT_MOST, None, count, projects)
    await holds.open_hold(session, hold)
    words = (
        f"{count} jobs of {projects} projects fell silent at once. Their verdicts wait until they are heard again, and until "
        f"{hold.until:%H:%M:%S} UTC at most. If they are well, see whether their pings reach us: proxy, DNS, certificate."
    )
    await notices.notice(session, "mass silence", moment.now.isoformat(), words, moment.now)
    metrics.HOLDS.inc()
    log.error("mass silence: verdicts are held", silent=count, projects=projects, until=hold.until.isoformat())


async def _down(rows: Sequence[Mapping[str, Any]], moment: Moment) -> Counter[UUID]:
    """By project: how many of these would go down now. One that makes no sense does not count; the sweep sets it aside."""
    found: Counter[UUID] = Counter()
    for n, raw in enumerate(rows):
        if n % PIECE == 0:
            await asyncio.sleep(0)  # whoever shares this process goes on meanwhile
        try:
            row = locked(raw)
            found[row.project_id] += on_silence(row.monitor, moment.free).monitor.status is Status.DOWN
        except UNREADABLE:
            continue
    return found


def _ran_out(last: Hold | None) -> datetime | None:
    """When the last hold was let go because it had lasted long enough."""
    if last is None or last.released_at is None or last.released_at < last.until:
        return None
    return last.released_at
