"""Rows that make no sense: put aside for an hour, counted and said, so that one of them stops nobody else."""

from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app import metrics
from app.errors import in_words
from app.store import monitors, notices
from app.store.blackouts import Moment

log = structlog.get_logger()


async def set_aside(session: AsyncSession, raw: Mapping[str, Any], moment: Moment, error: Exception) -> None:
    """Leave this locked row alone for an hour."""
    metrics.SET_ASIDE.inc()
    why = in_words(error)
    log.error("monitor set aside for an hour", project=str(raw["project_id"]), unique_key=raw["unique_key"], error=why)
    words = f"The monitor {raw['unique_key']} cannot be judged and is set aside, each time for an hour: {why}"
    await notices.notice(session, "monitor set aside", f"{raw['unique_key']} {moment.now:%Y-%m-%d}", words, moment.now)
    await monitors.set_aside(session, raw["project_id"], raw["id"], moment.now + monitors.SET_ASIDE_FOR, why)
