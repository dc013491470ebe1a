"""What badges show: monitors by badge key and tag. Those that can be late or down are read whole, the rest only counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import NotFound
from app.store.rows import COLUMNS, Columns
from app.store.tables import ProjectRow

# A monitor that is not down, with nothing due and no deadline before `now`, is up, new or paused, whatever else is in its row.
OF_PROJECT = text(f"""
    WITH shown AS NOT MATERIALIZED (
        SELECT m.* FROM monitors m JOIN projects p ON p.id = m.project_id
        WHERE p.badge_key = :key AND (CAST(:tag AS text) IS NULL OR CAST(:tag AS text) = ANY (string_to_array(m.tags, ' '))))
    SELECT p.name AS project_name, (SELECT count(*) FROM shown) AS total, {COLUMNS}
    FROM projects p LEFT JOIN shown m ON m.status = 'down' OR m.due < :now OR m.deadline < :now
    WHERE p.badge_key = :key""")  # noqa: S608
OF_MONITOR = text(f"SELECT {COLUMNS} FROM monitors m WHERE m.badge_key = :key")  # noqa: S608
TAGS = text("""
    SELECT DISTINCT tag FROM monitors m, string_to_table(m.tags, ' ') AS tag WHERE m.project_id = :project AND tag <> ''""")
CHECKS = text("""
    SELECT id, coalesce(nullif(name, ''), nullif(slug, ''), 'unnamed') AS name, badge_key FROM monitors
    WHERE project_id = :project ORDER BY lower(name), id""")


class Badged(NamedTuple):
    """A monitor that has a badge, by the name that the badge shows."""

    id: UUID
    name: str
    badge_key: UUID


@dataclass(frozen=True, slots=True)
class Shown:
    """What a badge counts: the project's name, how many monitors, and the rows of those that may be late or down."""

    name: str
    total: int
    rows: Sequence[Columns]


async def of_project(session: AsyncSession, key: UUID, tag: str | None, now: datetime) -> Shown:
    """The monitors of the project with this badge key, those with `tag` where given, in one query. Raises NotFound."""
    rows = (await session.execute(OF_PROJECT, {"key": key, "tag": tag, "now": now})).mappings().all()
    if not rows:
        raise NotFound("not found")
    return Shown(rows[0]["project_name"], rows[0]["total"], [row for row in rows if row["id"] is not None])


async def of_monitor(session: AsyncSession, key: UUID) -> Columns:
    """The monitor with this badge key. Raises NotFound."""
    row = (await session.execute(OF_MONITOR, {"key": key})).mappings().one_or_none()
    if row is None:
        raise NotFound("not found")
    return row


async def key_of(session: AsyncSession, project: UUID) -> UUID:
    """The project's badge key."""
    return (await session.execute(select(ProjectRow.badge_key).where(ProjectRow.id == project))).scalar_one()


async def tags(session: AsyncSession, project: UUID) -> list[str]:
    """Every tag that a monitor of the project has, sorted."""
    return sorted((await session.execute(TAGS, {"project": project})).scalars())


async def checks(session: AsyncSession, project: UUID) -> list[Badged]:
    """Every monitor of the project, by name."""
    return [Badged(*row) for row in await session.execute(CHECKS, {"project": project})]
