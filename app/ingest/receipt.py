"""The receipt: what a ping came to, for a client that asks for JSON."""

from datetime import UTC, datetime
from typing import Any

from app.domain.state import Decision, Signal
from app.ingest.ping import Ping
from app.store.rows import Locked


def receipt(row: Locked, ping: Ping, decision: Decision) -> dict[str, Any]:
    """`{id, n, monitor, signal, slot, next_expected, deadline, warnings}`. Instants are ISO 8601 in UTC, null where there is
    none; `slot` is the newest slot satisfied. Names no ping id."""
    m = decision.monitor
    return {
        "id": f"{row.unique_key}/{m.heard}",
        "n": m.heard,
        "monitor": {"unique_key": row.unique_key, "name": row.name, "slug": row.slug, "status": str(m.status)},
        "signal": str(decision.kept_as),
        "slot": _text(m.satisfied),
        "next_expected": _text(m.due),
        "deadline": _text(m.deadline()),
        "warnings": _warnings(ping, decision),
    }


def _warnings(ping: Ping, decision: Decision) -> list[str]:
    found = list(dict.fromkeys(ping.warnings))
    if ping.truncated:
        found.append(f"the body was cut off after {len(ping.body)} bytes")
    if decision.kept_as is Signal.IGNORED:
        paused = decision.monitor.rule.manual_resume and not ping.ignored
        found.append(f"ignored: {ping.ignored or ('it is paused until resumed' if paused else 'the filters keep it out')}")
    return found


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()
