"""A check as the API shows it: Healthchecks' object with our fields beside it. What a body may say stands in
`check_given.py`."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from app.domain.filters import Filters
from app.domain.monitor import Seen
from app.domain.schedule import DECLARED
from app.manage import standing
from app.store.blackouts import Moment
from app.store.listings import Listed
from app.store.rows import Columns

WRITTEN = {"late": "grace"}  # our word -> Healthchecks'


@dataclass(frozen=True, slots=True)
class View:
    """Who looks: which version of the API, whether with a read-only key, from which public address, when, and to which domain
    pings may be mailed."""

    version: int
    read_only: bool
    base_url: str
    moment: Moment
    ping_email_domain: str = ""


def shape(listed: Listed, view: View) -> dict[str, Any]:
    """One check, its status as it is now, whether or not a sweeper runs."""
    row = listed.row
    seen = standing.seen(row, view.moment)
    status = WRITTEN.get(seen.status, seen.status)
    if view.version == 1 and seen.running and status != "down":
        status = "started"
    shown = {
        "name": row["name"], "slug": row["slug"], "tags": row["tags"], "desc": row["description"], "grace": row["grace"],
        "n_pings": row["heard"], "status": status, "started": seen.running, "last_ping": second(row["last_end_at"]),
        "next_ping": second(_expected(row, seen)), "manual_resume": row["manual_resume"], "methods": row["methods"],
        **_filters(row), "badge_url": f"{view.base_url}/b/2/{row['badge_key']}.svg",
    }  # fmt: skip
    if row["last_duration"] is not None:
        shown["last_duration"] = int(row["last_duration"])
    shown |= {"unique_key": row["unique_key"]} if view.read_only else _urls(listed, view)
    return shown | _schedule(row) | {
        "kind": row["kind"], "early": row["early"], "max_runtime": row["max_runtime"], "max_wait": row["max_wait"],
        "failures_to_alert": row["failures_to_alert"], "successes_to_recover": row["successes_to_recover"],
        "deadline": second(seen.deadline),
        "source": row["source"], "retired": row["retired_at"] is not None,
    }  # fmt: skip


def _schedule(row: Columns) -> dict[str, Any]:
    """Healthchecks' clients know a timeout, or schedule and tz; what only its scheduler knows is the word `declared` to them."""
    if row["kind"] == "every":
        return {"timeout": row["period"]}
    return {"schedule": DECLARED if row["kind"] == "declared" else row["expression"], "tz": row["zone"]}


def _expected(row: Columns, seen: Seen) -> datetime | None:
    """Since when or from when it is waited for. While it runs, and only its grace limits that, since its start, so that
    next_ping + grace stays the deadline. Source: Healthchecks."""
    if not seen.running or row["max_runtime"] is not None or seen.status == "down":
        return seen.due
    return min((at for at in (seen.due, row["last_start_at"]) if at is not None), default=None)


def _filters(row: Columns) -> dict[str, Any]:
    """With the older names for keywords that are looked for in a mail's subject. Source: Healthchecks."""
    return _filled(row["filters"]) if row["filters"] else UNFILTERED


def _filled(filters: dict[str, Any]) -> dict[str, Any]:
    kept = {**asdict(Filters()), **filters}
    subjects = (kept["success_kw"], kept["failure_kw"]) if kept["filter_subject"] else ("", "")
    return {"subject": subjects[0], "subject_fail": subjects[1], **kept}


UNFILTERED = _filled({})


def second(at: datetime | None) -> str | None:
    """An instant as Healthchecks writes it: without microseconds, with +00:00."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")


def _urls(listed: Listed, view: View) -> dict[str, Any]:
    """What a read-only key does not see: it names the ping id."""
    own = f"{view.base_url}/api/v{view.version}/checks/{listed.id}"
    by_mail = {"ping_email": f"{listed.id}@{view.ping_email_domain}"} if view.ping_email_domain else {}
    return by_mail | {
        "uuid": listed.id, "ping_url": f"{view.base_url}/ping/{listed.id}", "update_url": own, "pause_url": f"{own}/pause",
        "resume_url": f"{own}/resume", "channels": ",".join(listed.channels),
        "aliases": [{"service": service, "token": token} for service, token in listed.aliases],
    }  # fmt: skip
