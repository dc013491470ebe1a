"""The outbox: deliveries put with their cause in one transaction, withdrawn, and forgotten. How they are sent stands in
`claims.py`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.evidence import explain
from app.domain.message import Told
from app.domain.state import Reason, Status, Transition
from app.store.channel_limits import HEARS_OF
from app.store.rows import Locked
from app.store.tables import DeliveryRow
from app.store.unnest import insert_all, unnest

_HEARD = {"project_id": "uuid", "monitor_id": "uuid"}
# Of what a channel's tags leave out, it does not hear.
LISTENERS = text(f"""
    SELECT s.monitor_id, c.id, c.hears, c.disabled_at, c.disabled_why, p.name, CASE WHEN c.disabled_at IS NOT NULL THEN (
        SELECT o.id FROM channels o WHERE o.project_id = c.project_id AND o.disabled_at IS NULL
        ORDER BY o.fallback DESC, o.hours IS NOT NULL, o.failures > 0, o.created_at, o.id LIMIT 1) END
    FROM {unnest(_HEARD)}
    JOIN subscriptions s ON (s.project_id, s.monitor_id) = (v.project_id, v.monitor_id)
    JOIN monitors m ON (m.project_id, m.id) = (s.project_id, s.monitor_id)
    JOIN channels c ON (c.project_id, c.id) = (s.project_id, s.channel_id) AND {HEARS_OF.format(c="c", m="m")}
    JOIN projects p ON p.id = s.project_id
    ORDER BY c.created_at, c.id""")  # noqa: S608


@dataclass(frozen=True, slots=True)
class Listener:
    """A channel that is to hear of a monitor; `disabled` ones are recorded, not told. `fallback`: what hears it where all of them
    are disabled: the owner's mail, else another of the project's channels in use, best one that works at any hour."""

    channel: UUID
    hears: str
    disabled: str | None
    project_name: str
    fallback: UUID | None


async def listeners(session: AsyncSession, monitors: Collection[tuple[UUID, UUID]]) -> dict[UUID, list[Listener]]:
    """Who hears of each of these monitors, (project, monitor) each."""
    if not monitors:
        return {}
    given = {"project_id": [project for project, _ in monitors], "monitor_id": [monitor for _, monitor in monitors]}
    found: dict[UUID, list[Listener]] = {}
    for monitor, channel, hears, disabled_at, why, project_name, fallback in await session.execute(LISTENERS, given):
        disabled = (why or "disabled") if disabled_at is not None else None
        found.setdefault(monitor, []).append(Listener(channel, hears, disabled, project_name, fallback))
    return found


def told(row: Locked, t: Transition, incident: UUID | None) -> Told:
    """What is to be said of a transition, as data; the project's name is filled in when it is addressed."""
    m = t.evidence
    since, success = m.get("down_since"), m.get("last_success")
    return Told(
        kind="monitor.down" if t.after is Status.DOWN else "monitor.up",
        at=t.at, project="", name=row.name or row.slug or row.unique_key[:8], slug=row.slug, tags=tuple(row.tags.split()),
        unique_key=row.unique_key, schedule=m["schedule"], reason=str(t.reason), explain=explain(t.evidence),
        last_success=datetime.fromisoformat(success) if success else None,
        down_since=datetime.fromisoformat(since) if since else None,
        incident_id=str(incident) if incident else "",
        zone=m["zone"],
    )  # fmt: skip


def addressed(row: Locked, t: Transition, said: Told, ears: Sequence[Listener], now: datetime) -> list[dict[str, Any]]:
    """A row of `deliveries` for each channel that hears of this; and for another when every one of them is disabled."""
    takes_back = t.reason is Reason.WITHDRAWN  # whoever hears of alarms hears that one was wrong
    ways = [(ear.channel, ear.disabled) for ear in ears if takes_back or ear.hears in ("all", t.after)]
    if not ways:
        return []
    if all(disabled is not None for _, disabled in ways) and ears[0].fallback is not None:
        ways.append((ears[0].fallback, None))
    cause, words = f"{row.id}:{t.n}", {**said.to_json(), "project": ears[0].project_name}
    incident = UUID(said.incident_id) if said.incident_id else None
    return [
        {
            "project_id": row.project_id, "id": uuid4(), "channel_id": channel, "monitor_id": row.id, "incident_id": incident,
            "cause_kind": "transition", "cause_id": cause, "told": words, **standing(disabled, now),
        }
        for channel, disabled in ways
    ]  # fmt: skip


def standing(disabled: str | None, now: datetime) -> dict[str, Any]:
    """How a delivery begins: due now, or on record only, where its channel is disabled and why."""
    if disabled is None:
        return {"state": "waiting", "due_at": now, "created_at": now, "reason": None, "settled_at": None}
    reason = f"the channel is disabled: {disabled}"
    return {"state": "suppressed", "due_at": now, "created_at": now, "reason": reason, "settled_at": now}


async def put(session: AsyncSession, deliveries: Sequence[dict[str, Any]]) -> None:
    """Add deliveries that name the same columns. They become visible with their cause, or neither does."""
    await insert_all(session, DeliveryRow, deliveries)


async def drop_untold(session: AsyncSession, withdrawals: Sequence[dict[str, Any]], now: datetime) -> None:
    """Where nobody tried yet to tell a channel of an alarm, neither that nor its withdrawal, one of these deliveries, is told."""
    incidents = {d["incident_id"] for d in withdrawals if d["incident_id"] is not None}
    if incidents:
        given = {"projects": list({d["project_id"] for d in withdrawals}), "incidents": list(incidents), "now": now}
        await session.execute(UNTOLD, given)


UNTOLD = text("""
    WITH alarms AS (
        UPDATE deliveries SET state = 'suppressed', settled_at = :now, reason = 'it was withdrawn before it was told'
        WHERE project_id = ANY(CAST(:projects AS uuid[])) AND incident_id = ANY(CAST(:incidents AS uuid[]))
            AND state = 'waiting' AND first_try_at IS NULL AND told ->> 'kind' = 'monitor.down'
        RETURNING project_id, incident_id, channel_id)
    UPDATE deliveries d SET state = 'suppressed', settled_at = :now, reason = 'the alarm that it withdraws was not told'
    FROM alarms a WHERE (d.project_id, d.incident_id, d.channel_id) = (a.project_id, a.incident_id, a.channel_id)
        AND d.state = 'waiting' AND d.first_try_at IS NULL AND d.told ->> 'reason' = 'withdrawn'""")


async def suppress(session: AsyncSession, project: UUID, monitors: Sequence[UUID], why: str, now: datetime) -> None:
    """What waits to be told of these monitors is not told any more; an attempt under way is the last."""
    given = {"project": project, "monitors": list(monitors), "channel": None, "why": why, "now": now}
    await session.execute(WITHDRAW, given)


async def suppress_channel(session: AsyncSession, project: UUID, channel: UUID, why: str, now: datetime) -> None:
    """What waits to be told through this channel is not told any more; an attempt under way is the last."""
    given = {"project": project, "monitors": [], "channel": channel, "why": why[:500], "now": now}
    await session.execute(WITHDRAW, given)


WITHDRAW = text("""
    UPDATE deliveries SET withdrawn = :why,
        state = CASE state WHEN 'waiting' THEN 'suppressed' ELSE state END,
        reason = CASE state WHEN 'waiting' THEN :why ELSE reason END,
        settled_at = CASE state WHEN 'waiting' THEN CAST(:now AS timestamptz) END
    WHERE project_id = :project AND state IN ('waiting', 'sending')
        AND (monitor_id = ANY(CAST(:monitors AS uuid[])) OR channel_id = CAST(:channel AS uuid))""")


async def suppress_orphans(session: AsyncSession, now: datetime) -> None:
    """What was put for a channel in the instant in which it was deleted is not told: nobody is left to send it through."""
    await session.execute(
        text("""
            UPDATE deliveries d SET state = 'suppressed', reason = 'the channel was deleted', settled_at = :now, owner = NULL
            WHERE state IN ('waiting', 'sending') AND NOT EXISTS (
                SELECT FROM channels c WHERE (c.project_id, c.id) = (d.project_id, d.channel_id))"""),
        {"now": now},
    )


async def forget_settled(session: AsyncSession, before: datetime, limit: int = 5000) -> int:
    """Drop deliveries settled before an instant, some at a time; returns how many."""
    result = await session.execute(
        text("""
            DELETE FROM deliveries WHERE (project_id, id) IN (
                SELECT project_id, id FROM deliveries WHERE settled_at < :before ORDER BY settled_at LIMIT :limit)"""),
        {"before": before, "limit": limit},
    )
    return int(result.rowcount)  # type: ignore[attr-defined]
