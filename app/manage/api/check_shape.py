"""A check as the API shows it: Healthchecks' object with our fields beside it. What a body may say stands in
`check_given.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.domain.monitor import Seen, as_seen
from app.errors import Invalid
from app.manage.api.check_given import LATER_FLAGS, LATER_TEXTS
from app.store.blackouts import Moment
from app.store.rows import monitor_of
from app.store.tables import MonitorRow

WRITTEN = {"late": "grace"}  # our word -> Healthchecks'


@dataclass(frozen=True, slots=True)
class View:
    """Who looks: which version of the API, whether with a read-only key, from which public address, and when."""

    version: int
    read_only: bool
    base_url: str
    moment: Moment


def shape(row: MonitorRow, view: View, channels: Sequence[UUID]) -> dict[str, Any]:
    """One check, its status as it is now, whether or not a sweeper runs."""
    seen = _seen(row, view.moment)
    status = WRITTEN.get(seen.status, seen.status)
    if view.version == 1 and seen.running and status != "down":
        status = "started"
    shown = {
        "name": row.name, "slug": row.slug, "tags": row.tags, "desc": row.description, "grace": row.grace, "n_pings": row.heard,
        "status": status, "started": seen.running, "last_ping": second(row.last_end_at), "next_ping": second(seen.due),
        "manual_resume": row.manual_resume, "methods": row.methods,
        **dict.fromkeys(LATER_TEXTS, ""), **dict.fromkeys(LATER_FLAGS, False), "badge_url": None,
    }  # fmt: skip
    if row.last_duration is not None:
        shown["last_duration"] = int(row.last_duration)
    shown |= {"unique_key": row.unique_key} if view.read_only else _urls(row, view, channels)
    shown |= {"timeout": row.period} if row.kind == "every" else {"schedule": row.expression, "tz": row.zone}
    return shown | {
        "kind": row.kind, "early": row.early, "max_runtime": row.max_runtime, "failures_to_alert": row.failures_to_alert,
        "successes_to_recover": row.successes_to_recover, "deadline": second(seen.deadline),
    }  # fmt: skip


def _seen(row: MonitorRow, moment: Moment) -> Seen:
    """As the domain judges it now. A row that makes no sense is shown as it is stored, and does not take the list with it."""
    try:
        return as_seen(monitor_of(row), moment.now, moment.horizon)
    except (ValueError, Invalid):
        return Seen(row.status, False, row.due, row.deadline)


def second(at: datetime | None) -> str | None:
    """An instant as Healthchecks writes it: without microseconds, with +00:00."""
    return None if at is None else at.astimezone(UTC).replace(microsecond=0).isoformat()


def _urls(row: MonitorRow, view: View, channels: Sequence[UUID]) -> dict[str, Any]:
    """What a read-only key does not see: it names the ping id."""
    own = f"{view.base_url}/api/v{view.version}/checks/{row.id}"
    return {
        "uuid": str(row.id), "ping_url": f"{view.base_url}/ping/{row.id}", "update_url": own, "pause_url": f"{own}/pause",
        "resume_url": f"{own}/resume", "channels": ",".join(str(channel) for channel in channels),
    }  # fmt: skip
