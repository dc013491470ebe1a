"""Schedulers and the monitors whose slots wait for them: found here, locked and decided by whoever hears or judges."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.channel_limits import HEARS_OF
from app.store.unnest import unnest

DUE = text("""
    SELECT project_id, id, beat_of FROM monitors
    WHERE beat_of <> '' AND wake_at < :horizon AND deadline < :horizon
        AND (set_aside_until IS NULL OR set_aside_until < :horizon)
    ORDER BY wake_at LIMIT :limit""")
_SOURCE = {"project_id": "uuid", "source": "text"}
_TOLD_ALONE = f"""
    subscriptions j JOIN channels c ON (c.project_id, c.id) = (j.project_id, j.channel_id)
    WHERE (j.project_id, j.monitor_id) = (m.project_id, m.id) AND {HEARS_OF.format(c="c", m="m")} AND NOT EXISTS (
        SELECT FROM monitors b JOIN subscriptions s ON (s.project_id, s.monitor_id) = (b.project_id, b.id)
        WHERE b.project_id = m.project_id AND b.beat_of = m.source AND b.beat_of <> '' AND s.channel_id = j.channel_id
            AND {HEARS_OF.format(c="c", m="b")})"""
"""Whether somebody hears of this monitor who does not hear of its scheduler: then it does not wait, and tells for itself."""
WAITING = text(f"""
    SELECT m.project_id, m.source, m.id FROM monitors m
    JOIN {unnest(_SOURCE)} ON (m.project_id, m.source) = (v.project_id, v.source) AND m.source <> ''
    WHERE m.held_since IS NOT NULL OR NOT EXISTS (SELECT FROM {_TOLD_ALONE})""")  # noqa: S608
# Two questions apart, each a join: asked together they would be asked of each monitor that waits, each second.
STRAYS = text(f"""
    WITH held AS (
        SELECT project_id, id, source, tags FROM monitors
        WHERE held_since IS NOT NULL AND (set_aside_until IS NULL OR set_aside_until < :horizon))
    SELECT m.project_id, m.id FROM held m, {_TOLD_ALONE}
    UNION
    SELECT m.project_id, m.id FROM held m WHERE NOT EXISTS (
        SELECT FROM monitors b WHERE b.project_id = m.project_id AND b.beat_of = m.source AND b.beat_of <> ''
            AND (b.status = 'down' OR (b.status = 'up' AND b.memory ? 'left_at')))
    LIMIT :limit""")  # noqa: S608
DOWN_SINCE = text("""
    SELECT coalesce(last_success_at, down_since) FROM monitors
    WHERE project_id = :project AND beat_of = :source AND beat_of <> '' AND status = 'down'""")

Source = tuple[UUID, str]  # project, source


class Beat(NamedTuple):
    """The monitor of a scheduler, and the source whose slots it dispatches."""

    project: UUID
    id: UUID
    source: str


async def due(session: AsyncSession, horizon: datetime, limit: int) -> list[Beat]:
    """Schedulers silent past their deadline, not locked."""
    return [Beat(*row) for row in await session.execute(DUE, {"horizon": horizon, "limit": limit})]


async def waiting(session: AsyncSession, sources: Collection[Source]) -> dict[Source, list[UUID]]:
    """The monitors whose slots each of these dispatches."""
    found: dict[Source, list[UUID]] = {source: [] for source in sources}
    if sources:
        given = {"project_id": [project for project, _ in found], "source": [source for _, source in found]}
        for project, source, monitor in await session.execute(WAITING, given):
            found[project, source].append(monitor)
    return found


async def down_since(session: AsyncSession, project: UUID, source: str) -> datetime | None:
    """Since when the slots of this source wait, for its scheduler is down."""
    return (await session.execute(DOWN_SINCE, {"project": project, "source": source})).scalar()


async def strays(session: AsyncSession, horizon: datetime, limit: int) -> list[tuple[UUID, UUID]]:
    """Monitors, (project, id) each, that wait for a scheduler which is not down any more, or not there any more."""
    given = {"horizon": horizon, "limit": limit}
    return [(project, monitor) for project, monitor in await session.execute(STRAYS, given)]
