"""Silent schedulers: each is judged together with the monitors whose slots it dispatches, so that one trouble is told once."""

from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app import metrics
from app.domain.monitor import on_silence
from app.domain.state import Decision
from app.domain.vigil import Waiting, follow, on_release
from app.errors import in_words
from app.store import decisions, holding, monitors
from app.store.blackouts import Moment
from app.store.engine import Sessions
from app.store.holding import Beat
from app.store.monitors import UNREADABLE
from app.store.rows import Locked
from app.sweeper.aside import set_aside

log = structlog.get_logger()

MOST = 500


async def hold_back_once(sessions: Sessions, moment: Moment) -> int:
    """Turn down each scheduler silent past its deadline and hold back what waits for it; let go what waits for one that is not
    down. Returns how many schedulers were looked at. A row that makes no sense is set aside, and stops nobody else; a scheduler
    that cannot be judged is left for the next round, alone."""
    async with sessions() as session:
        beats = await holding.due(session, moment.horizon.at, MOST)
    for beat in beats:
        try:
            await _judge(sessions, moment, beat)
        except (DBAPIError, *UNREADABLE) as error:
            metrics.SET_ASIDE.inc()
            log.error("scheduler not judged", project=str(beat.project), source=beat.source, error=in_words(error))
    await _let_go(sessions, moment)
    return len(beats)


async def _judge(sessions: Sessions, moment: Moment, beat: Beat) -> None:
    async with sessions() as session:
        waiting = (await holding.waiting(session, [(beat.project, beat.source)]))[beat.project, beat.source]
        rows = await _lock(session, moment, [(beat.project, monitor) for monitor in {beat.id, *waiting}])
        row = rows.pop(beat.id, None)
        if row is not None:
            await decisions.write(session, moment.now, judged(row, list(rows.values()), moment))
        await session.commit()


def judged(row: Locked, waiting: list[Locked], moment: Moment) -> list[tuple[Locked, Decision]]:
    """What becomes of a scheduler's monitor by its silence, and of those that wait for it."""
    silence = on_silence(row.monitor, moment.horizon)
    decision, led = follow(silence, [Waiting(w.name or w.slug, w.monitor) for w in waiting], moment.now)
    made = [(row, decision)] + [(w, d) for w, d in zip(waiting, led, strict=True) if d is not None]
    for changed, decided in made:
        changed.monitor = decided.monitor
    return made


async def _let_go(sessions: Sessions, moment: Moment) -> None:
    async with sessions() as session:
        strays = await holding.strays(session, moment.horizon.at, MOST)
    if strays and not await _released(sessions, moment, strays):
        for stray in strays:
            await _released(sessions, moment, [stray])


async def _released(sessions: Sessions, moment: Moment, strays: Sequence[tuple[UUID, UUID]]) -> bool:
    """Whether they could be let go."""
    try:
        async with sessions() as session:
            rows = await _lock(session, moment, strays)
            made = [(row, d) for row in rows.values() if (d := on_release(row.monitor, moment.now)) is not None]
            await decisions.write(session, moment.now, made)
            await session.commit()
    except (DBAPIError, *UNREADABLE) as error:
        log.error("monitors not let go", monitors=len(strays), error=in_words(error))
        return False
    return True


async def _lock(session: AsyncSession, moment: Moment, keys: Sequence[tuple[UUID, UUID]]) -> dict[UUID, Locked]:
    rows, bad = await monitors.lock_readable(session, keys)
    for raw, error in bad:
        await set_aside(session, raw, moment, error)
    return rows
