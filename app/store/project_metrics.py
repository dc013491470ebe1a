"""What the metrics of a project are read from: its monitors, how their newest runs ended, and how its channels fare."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.rows import COLUMNS, Columns

MONITORS = text(f"SELECT {COLUMNS} FROM monitors m WHERE m.project_id = :project ORDER BY m.created_at, m.id")  # noqa: S608
# Bounded however often they run: some index entries for each monitor, of the months since `since` alone.
OUTCOMES = text("""
    SELECT m.id, ended.outcome, ended.count FROM monitors m CROSS JOIN LATERAL (
        SELECT newest.outcome, sum(newest.count) AS count FROM (
            SELECT r.outcome, r.count FROM runs r
            WHERE r.project_id = m.project_id AND r.monitor_id = m.id AND r.at >= :since AND r.outcome IS NOT NULL
            ORDER BY r.at DESC, r.key DESC LIMIT :most) newest
        GROUP BY newest.outcome) ended
    WHERE m.project_id = :project ORDER BY ended.outcome""")

CHANNELS = text("""
    SELECT c.name, c.kind, c.id, c.failing_since IS NOT NULL OR c.disabled_at IS NOT NULL AS failing, (
        SELECT count(*) FROM deliveries d
        WHERE (d.project_id, d.channel_id) = (c.project_id, c.id) AND d.state = 'dead')::int AS dead
    FROM channels c WHERE c.project_id = :project AND NOT c.fallback ORDER BY c.created_at, c.id""")


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel: whether nothing gets through at present, and how many of the deliveries that are kept died."""

    name: str
    kind: str
    id: UUID
    failing: bool
    dead: int


async def channels(session: AsyncSession, project: UUID) -> list[Channel]:
    """All channels of a project that people made, oldest first."""
    return [Channel(**row) for row in (await session.execute(CHANNELS, {"project": project})).mappings()]


async def monitors(session: AsyncSession, project: UUID) -> Sequence[Columns]:
    """All monitors of a project, oldest first."""
    return (await session.execute(MONITORS, {"project": project})).mappings().all()


async def outcomes(session: AsyncSession, project: UUID, most: int, since: datetime) -> dict[UUID, dict[str, int]]:
    """How the newest runs of each monitor ended, so many of them at most and none from before `since`; slots missed in a row
    count one by one."""
    found: dict[UUID, dict[str, int]] = {}
    for monitor, outcome, count in await session.execute(OUTCOMES, {"project": project, "most": most, "since": since}):
        found.setdefault(monitor, {})[outcome] = int(count)
    return found
