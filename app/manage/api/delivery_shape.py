"""A delivery as the API shows it."""

from typing import Any

from app.manage.api.wire import instant
from app.store.channels import Sent


def shape(sent: Sent) -> dict[str, Any]:
    """One message to one channel, with every attempt and what the receiver said to it. `next_try` while it waits: what was not
    tried yet waits for the hours of its channel."""
    row, closed = sent.row, None if sent.row.first_try_at else sent.closed_until
    next_try = max(row.due_at, closed or row.due_at)
    return {
        "id": str(row.id), "kind": row.told["kind"], "channel": str(row.channel_id), "channel_name": sent.channel,
        "check": None if row.monitor_id is None else str(row.monitor_id),
        "incident": None if row.incident_id is None else str(row.incident_id),
        "state": row.state, "reason": row.reason, "tries": row.tries, "attempts": row.attempts,
        "created_at": instant(row.created_at), "next_try": instant(next_try) if row.state == "waiting" else None,
        "settled_at": instant(row.settled_at),
    }  # fmt: skip
