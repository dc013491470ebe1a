"""A delivery as the API shows it."""

from typing import Any

from app.manage.api.wire import instant
from app.store.tables import DeliveryRow


def shape(row: DeliveryRow, channel_name: str | None) -> dict[str, Any]:
    """One message to one channel, with every attempt and what the receiver said to it. `next_try` while it waits."""
    return {
        "id": str(row.id), "kind": row.told["kind"], "channel": str(row.channel_id), "channel_name": channel_name,
        "check": None if row.monitor_id is None else str(row.monitor_id),
        "incident": None if row.incident_id is None else str(row.incident_id),
        "state": row.state, "reason": row.reason, "tries": row.tries, "attempts": row.attempts,
        "created_at": instant(row.created_at), "next_try": instant(row.due_at) if row.state == "waiting" else None,
        "settled_at": instant(row.settled_at),
    }  # fmt: skip
