"""What channels are limited to: checks with certain tags, and hours."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.hours import UNREADABLE, opens_at

log = structlog.get_logger()

HEARS_OF = "({c}.tags = '' OR string_to_array({c}.tags, ' ') && string_to_array({m}.tags, ' '))"
"""Whether a channel c hears of a monitor m, as far as its tags go: it has one of them, or the channel none."""
IS_OPEN = "({c}.closed_until IS NULL OR {c}.closed_until <= :now)"
"""Whether a channel may be told now, as far as is known: `close` knows better, and is asked before anything is sent."""
OPENED_AT = "CASE WHEN {c}.closed_until <= :now THEN {c}.closed_until END"
"""When a channel that may be told now was last opened by its hours; null where nobody looked, and for one without."""
FAILING = text(f"""
    SELECT c.project_id, c.id, c.hours FROM channels c
    WHERE c.open_until IS NOT NULL AND c.hours IS NOT NULL AND {IS_OPEN.format(c="c")} FOR NO KEY UPDATE SKIP LOCKED""")  # noqa: S608
CLOSE = text("""
    UPDATE channels c SET closed_until = v.until
    FROM unnest(CAST(:projects AS uuid[]), CAST(:ids AS uuid[]), CAST(:untils AS timestamptz[])) AS v(project_id, id, until)
    WHERE (c.project_id, c.id) = (v.project_id, v.id)""")


async def close(session: AsyncSession, channels: Sequence[RowMapping], now: datetime) -> None:
    """Of these locked channels (project_id, id, hours) note until when those are closed whose hours do not last now."""
    closed = [(c["project_id"], c["id"], until) for c in channels if c["hours"] and (until := _until(c["id"], c["hours"], now))]
    if closed:
        projects, ids, untils = zip(*closed, strict=True)
        await session.execute(CLOSE, {"projects": list(projects), "ids": list(ids), "untils": list(untils)})


async def close_failing(session: AsyncSession, now: datetime) -> None:
    """Note it of those that are left alone, of which nothing is taken that would."""
    await close(session, (await session.execute(FAILING, {"now": now})).mappings().all(), now)


def _until(channel: UUID, kept: dict[str, Any], now: datetime) -> datetime | None:
    """When it opens; None where it is open, as one is whose hours cannot be read: rather told too early than never."""
    try:
        return opens_at(kept, now)
    except UNREADABLE as error:
        log.error("hours_unreadable", channel=str(channel), error=str(error))
        return None
