"""The outbox: deliveries put with their cause in one transaction, claimed under a lease, settled behind a fence."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.domain.evidence import explain
from app.domain.message import Told
from app.domain.schedule import Every, describe
from app.domain.state import Status, Transition
from app.store.rows import Locked
from app.store.tables import ChannelRow, DeliveryRow, ProjectRow, SubscriptionRow

LEASE = timedelta(seconds=30)
ATTEMPTS_KEPT = 20


@dataclass(frozen=True, slots=True)
class Listener:
    """A channel that is to hear of a monitor; `disabled` ones are recorded, not told."""

    channel: UUID
    hears: str
    disabled: str | None
    project_name: str
    fallback: UUID | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process may send until its lease ends, with all that is needed to send it."""

    project: UUID
    id: UUID
    claim_no: int
    lease_until: datetime
    channel: UUID
    kind: str
    channel_name: str
    is_fallback: bool
    settings: dict[str, Any]
    secret: bytes | None
    told: Told
    tries: int
    first_try_at: datetime
    status_now: str | None
    output: bytes | None
    fallback_told: bool


# putting


async def listeners(session: AsyncSession, monitors: Collection[UUID]) -> dict[UUID, list[Listener]]:
    """Who hears of each of these monitors."""
    if not monitors:
        return {}
    owner = aliased(ChannelRow)
    query = (
        select(
            SubscriptionRow.monitor_id, ChannelRow.id, ChannelRow.hears, ChannelRow.disabled_at, ChannelRow.disabled_why,
            ProjectRow.name, owner.id,
        )
        .join(ChannelRow, (ChannelRow.project_id == SubscriptionRow.project_id) & (ChannelRow.id == SubscriptionRow.channel_id))
        .join(ProjectRow, ProjectRow.id == SubscriptionRow.project_id)
        .outerjoin(owner, (owner.project_id == ProjectRow.id) & owner.fallback)
        .where(SubscriptionRow.monitor_id.in_(monitors))
        .order_by(ChannelRow.created_at, ChannelRow.id)
    )  # fmt: skip
    found: dict[UUID, list[Listener]] = {}
    for monitor, channel, hears, disabled_at, why, project_name, fallback in await session.execute(query):
        disabled = (why or "disabled") if disabled_at is not None else None
        found.setdefault(monitor, []).append(Listener(channel, hears, disabled, project_name, fallback))
    return found


def told(row: Locked, t: Transition, incident: UUID | None) -> Told:
    """What is to be said of a transition, as data; the project's name is filled in when it is addressed."""
    schedule, m = row.monitor.rule.schedule, t.evidence
    since, success = m.get("down_since"), m.get("last_success")
    return Told(
        kind="monitor.down" if t.after is Status.DOWN else "monitor.up",
        at=t.at, project="", name=row.name or row.slug or row.unique_key[:8], slug=row.slug, tags=tuple(row.tags.split()),
        unique_key=row.unique_key, schedule=describe(schedule), reason=str(t.reason), explain=explain(t.evidence),
        last_success=datetime.fromisoformat(success) if success else None,
        down_since=datetime.fromisoformat(since) if since else None,
        incident_id=str(incident) if incident else "",
        zone="UTC" if isinstance(schedule, Every) else schedule.zone,
    )  # fmt: skip


def addressed(row: Locked, t: Transition, said: Told, ears: Sequence[Listener], now: datetime) -> list[dict[str, Any]]:
    """A row of `deliveries` for each channel that hears of this; the owner's mail too when every channel is disabled."""
    deliveries = []
    for ear in ears:
        if ear.hears not in ("all", str(t.after)):
            continue
        deliveries.append(_delivery(row, t, said, ear, ear.channel, now, ear.disabled))
    if deliveries and all(d["state"] == "suppressed" for d in deliveries) and ears[0].fallback is not None:
        deliveries.append(_delivery(row, t, said, ears[0], ears[0].fallback, now, None))
    return deliveries


def _delivery(
    row: Locked, t: Transition, said: Told, ear: Listener, channel: UUID, now: datetime, disabled: str | None
) -> dict[str, Any]:
    return {
        "project_id": row.project_id, "id": uuid4(), "channel_id": channel, "monitor_id": row.id,
        "incident_id": UUID(said.incident_id) if said.incident_id else None,
        "cause_kind": "transition", "cause_id": f"{row.id}:{t.n}", "told": {**said.to_json(), "project": ear.project_name},
        "state": "waiting" if disabled is None else "suppressed", "due_at": now, "created_at": now,
        "reason": None if disabled is None else f"the channel is disabled: {disabled}",
        "settled_at": None if disabled is None else now,
    }  # fmt: skip


async def put(session: AsyncSession, deliveries: Sequence[dict[str, Any]]) -> None:
    """Add deliveries. They become visible with their cause, or neither does."""
    if deliveries:
        await session.execute(insert(DeliveryRow), list(deliveries))


async def suppress(session: AsyncSession, project: UUID, monitor: UUID, why: str, now: datetime) -> None:
    """What waits to be told of this monitor is not told any more."""
    await session.execute(
        text("""UPDATE deliveries SET state = 'suppressed', reason = :why, settled_at = :now
            WHERE project_id = :project AND monitor_id = :monitor AND state = 'waiting'"""),
        {"project": project, "monitor": monitor, "why": why, "now": now},
    )


# claiming

CHANNELS = text("""
    SELECT c.project_id, c.id FROM channels c
    WHERE (c.project_id, c.id) IN (
        SELECT project_id, channel_id FROM (
            SELECT project_id, channel_id, tries, due_at FROM deliveries
            WHERE state IN ('waiting', 'sending') AND due_at <= :now ORDER BY tries > 0, due_at LIMIT 2000) AS due
        GROUP BY project_id, channel_id)
    ORDER BY c.id LIMIT :slots FOR NO KEY UPDATE OF c SKIP LOCKED""")
CLAIM = text("""
    WITH chosen AS (SELECT * FROM unnest(CAST(:projects AS uuid[]), CAST(:channels AS uuid[])) AS v(project_id, channel_id)),
    heads AS (
        SELECT DISTINCT ON (d.project_id, d.channel_id, coalesce(d.monitor_id, d.id))
            d.project_id, d.channel_id, d.id, d.seq, d.tries, d.state, d.due_at
        FROM deliveries d JOIN chosen USING (project_id, channel_id) WHERE d.state IN ('waiting', 'sending')
        ORDER BY d.project_id, d.channel_id, coalesce(d.monitor_id, d.id), d.seq),
    ready AS (
        SELECT h.*, row_number() OVER (PARTITION BY h.project_id, h.channel_id ORDER BY h.tries > 0, h.seq)
            + (SELECT count(*) FROM heads f WHERE (f.project_id, f.channel_id) = (h.project_id, h.channel_id)
                AND f.state = 'sending' AND f.due_at > :now) AS place
        FROM heads h WHERE h.due_at <= :now)
    UPDATE deliveries d SET state = 'sending', claim_no = d.claim_no + 1, owner = :owner, due_at = :lease_until,
        first_try_at = coalesce(d.first_try_at, :now)
    FROM (SELECT * FROM ready WHERE place <= :per_channel ORDER BY tries > 0, seq LIMIT :slots) r
    WHERE d.project_id = r.project_id AND d.id = r.id RETURNING d.project_id, d.id""")
DETAILS = text("""
    SELECT d.project_id AS project, d.id, d.claim_no, d.due_at AS lease_until, d.channel_id AS channel, c.kind,
        c.name AS channel_name, c.fallback AS is_fallback, c.settings, c.secret, d.told, d.tries, d.first_try_at,
        m.status AS status_now, d.fallback_told, o.body AS output
    FROM deliveries d
    JOIN channels c ON (c.project_id, c.id) = (d.project_id, d.channel_id)
    LEFT JOIN monitors m ON (m.project_id, m.id) = (d.project_id, d.monitor_id)
    LEFT JOIN LATERAL (
        SELECT substr(k.body, 1, 4000) AS body FROM check_ins k
        WHERE (k.project_id, k.monitor_id) = (m.project_id, m.id) AND k.received_at >= m.last_applied_at
            AND k.signal IN ('success', 'fail')
        ORDER BY k.n DESC LIMIT 1) o ON d.told ->> 'kind' = 'monitor.down'
    WHERE d.project_id = ANY(CAST(:projects AS uuid[])) AND d.id = ANY(CAST(:ids AS uuid[])) ORDER BY d.seq""")


async def claim(session: AsyncSession, now: datetime, owner: UUID, slots: int, per_channel: int) -> list[Claimed]:
    """Take up to `slots` deliveries that are due, under a lease of 30 s.

    The channels' rows are locked, so that no two senders take from one channel at once; of one monitor on one channel only
    the oldest open delivery is taken, so that messages keep their order; untried ones go before retries.
    """
    channels = (await session.execute(CHANNELS, {"now": now, "slots": slots})).all()
    if not channels:
        return []
    given = {
        "projects": [c[0] for c in channels], "channels": [c[1] for c in channels], "now": now, "owner": owner,
        "lease_until": now + LEASE, "slots": slots, "per_channel": per_channel,
    }  # fmt: skip
    taken = (await session.execute(CLAIM, given)).all()
    if not taken:
        return []
    rows = await session.execute(DETAILS, {"projects": list({t[0] for t in taken}), "ids": [t[1] for t in taken]})
    return [Claimed(**{**row, "told": Told.from_json(row["told"])}) for row in rows.mappings()]


# settling

SETTLE = text("""
    UPDATE deliveries SET state = :state, due_at = :due_at, tries = :tries, reason = :reason, owner = NULL,
        settled_at = CASE WHEN :state IN ('delivered', 'dead', 'suppressed') THEN CAST(:now AS timestamptz) END,
        attempts = (CASE WHEN jsonb_array_length(attempts) >= :kept THEN attempts - 0 ELSE attempts END)
            || CAST(:attempt AS jsonb)
    WHERE project_id = :project AND id = :id AND owner = :owner AND claim_no = :claim_no AND state = 'sending'""")


@dataclass(frozen=True, slots=True)
class Settled:
    """How an attempt ended: delivered, dead or suppressed, or waiting again until `due_at`."""

    state: str
    tries: int
    due_at: datetime
    reason: str | None
    attempt_json: str


async def settle(session: AsyncSession, claimed: Claimed, owner: UUID, now: datetime, settled: Settled) -> bool:
    """Write how an attempt ended. False behind the fence: the lease was lost meanwhile and the row is another's."""
    result = await session.execute(
        SETTLE,
        {
            "project": claimed.project, "id": claimed.id, "owner": owner, "claim_no": claimed.claim_no, "now": now,
            "state": settled.state, "due_at": settled.due_at, "tries": settled.tries, "reason": settled.reason,
            "attempt": settled.attempt_json, "kept": ATTEMPTS_KEPT,
        },
    )  # fmt: skip
    return int(result.rowcount) == 1  # type: ignore[attr-defined]


async def give_back(session: AsyncSession, owner: UUID, now: datetime) -> None:
    """On the way out: what this process claimed and did not settle is due again at once."""
    await session.execute(
        text("UPDATE deliveries SET state = 'waiting', due_at = :now, owner = NULL WHERE owner = :owner AND state = 'sending'"),
        {"owner": owner, "now": now},
    )


async def tell_fallback(session: AsyncSession, claimed: Claimed, now: datetime) -> bool:
    """The project's owner hears by mail what this delivery could not tell. Once per delivery; False where there is no owner."""
    result = await session.execute(
        text("""
            WITH told AS (
                UPDATE deliveries SET fallback_told = true
                WHERE project_id = :project AND id = :id AND NOT fallback_told RETURNING *)
            INSERT INTO deliveries
                (project_id, id, channel_id, monitor_id, incident_id, cause_kind, cause_id, told, due_at, created_at)
            SELECT t.project_id, :new, c.id, t.monitor_id, t.incident_id, t.cause_kind, t.cause_id, t.told, :now, :now
            FROM told t JOIN channels c ON c.project_id = t.project_id AND c.fallback ON CONFLICT DO NOTHING"""),
        {"project": claimed.project, "id": claimed.id, "new": uuid4(), "now": now},
    )
    return int(result.rowcount) == 1  # type: ignore[attr-defined]
