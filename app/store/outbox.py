"""The outbox: deliveries put with their cause in one transaction, claimed under a lease, settled behind a fence."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert, select, text, tuple_
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


async def listeners(session: AsyncSession, monitors: Collection[tuple[UUID, UUID]]) -> dict[UUID, list[Listener]]:
    """Who hears of each of these monitors, (project, monitor) each."""
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
        .where(tuple_(SubscriptionRow.project_id, SubscriptionRow.monitor_id).in_(monitors))
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


# claiming

LAY_OFF = text("""
    UPDATE deliveries SET state = 'suppressed', reason = withdrawn, owner = NULL, settled_at = :now
    WHERE state = 'sending' AND due_at <= :now AND withdrawn IS NOT NULL""")
CHANNELS = text("""
    WITH due AS (
        SELECT project_id, channel_id, min(seq) FILTER (WHERE tries = 0) AS fresh, min(due_at) AS oldest
        FROM deliveries WHERE state IN ('waiting', 'sending') AND due_at <= :now GROUP BY project_id, channel_id),
    ranked AS (
        SELECT *, row_number() OVER (PARTITION BY project_id ORDER BY fresh NULLS LAST, oldest) AS turn FROM due),
    busy AS (
        SELECT project_id, channel_id, count(*) AS n FROM deliveries
        WHERE state = 'sending' AND due_at > :now GROUP BY project_id, channel_id)
    SELECT c.project_id, c.id, :per_channel - coalesce(b.n, 0) AS free
    FROM ranked r JOIN channels c ON (c.project_id, c.id) = (r.project_id, r.channel_id)
    LEFT JOIN busy b ON (b.project_id, b.channel_id) = (r.project_id, r.channel_id)
    WHERE coalesce(b.n, 0) < :per_channel
    ORDER BY r.turn, r.fresh NULLS LAST, r.oldest LIMIT :slots FOR NO KEY UPDATE OF c SKIP LOCKED""")
CLAIM = text("""
    WITH chosen AS (
        SELECT * FROM unnest(CAST(:projects AS uuid[]), CAST(:channels AS uuid[]), CAST(:free AS int[]))
            WITH ORDINALITY AS v(project_id, channel_id, free, turn)),
    heads AS (
        SELECT c.turn, h.* FROM chosen c CROSS JOIN LATERAL (
            SELECT d.project_id, d.id, row_number() OVER (ORDER BY d.tries > 0, d.seq) AS place FROM deliveries d
            WHERE (d.project_id, d.channel_id) = (c.project_id, c.channel_id) AND d.state IN ('waiting', 'sending')
                AND d.due_at <= :now AND NOT EXISTS (
                    SELECT 1 FROM deliveries o
                    WHERE (o.project_id, o.channel_id, o.monitor_id) = (d.project_id, d.channel_id, d.monitor_id)
                        AND o.state IN ('waiting', 'sending') AND o.seq < d.seq)
            ORDER BY d.tries > 0, d.seq LIMIT c.free) h)
    UPDATE deliveries d SET state = 'sending', claim_no = d.claim_no + 1, owner = :owner, due_at = :lease_until,
        first_try_at = coalesce(d.first_try_at, :now)
    FROM (SELECT * FROM heads ORDER BY place, turn LIMIT :slots) r
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
            AND k.signal IN ('success', 'fail') AND k.n > m.heard - 200
        ORDER BY k.n DESC LIMIT 1) o ON d.told ->> 'kind' = 'monitor.down'
    WHERE d.project_id = ANY(CAST(:projects AS uuid[])) AND d.id = ANY(CAST(:ids AS uuid[])) ORDER BY d.seq""")


async def claim(session: AsyncSession, now: datetime, owner: UUID, slots: int, per_channel: int) -> list[Claimed]:
    """Take up to `slots` deliveries that are due, under a lease of 30 s.

    The channels' rows are locked, so that no two senders take from one channel at once; of one monitor on one channel only
    the oldest open delivery is taken, so that messages keep their order; untried ones go before retries, and projects take
    turns. What was withdrawn while a sender held it, and that sender never settled, is laid off.
    """
    await session.execute(LAY_OFF, {"now": now})
    channels = (await session.execute(CHANNELS, {"now": now, "slots": slots, "per_channel": per_channel})).all()
    if not channels:
        return []
    given = {
        "projects": [c[0] for c in channels], "channels": [c[1] for c in channels], "free": [c[2] for c in channels],
        "now": now, "owner": owner, "lease_until": now + LEASE, "slots": slots,
    }  # fmt: skip
    taken = (await session.execute(CLAIM, given)).all()
    if not taken:
        return []
    rows = await session.execute(DETAILS, {"projects": list({t[0] for t in taken}), "ids": [t[1] for t in taken]})
    return [Claimed(**{**row, "told": Told.from_json(row["told"])}) for row in rows.mappings()]


# settling

SETTLE = text("""
    UPDATE deliveries d SET state = v.state, due_at = :due_at, tries = :tries, owner = NULL,
        reason = CASE WHEN v.state = 'suppressed' THEN d.withdrawn ELSE :reason END,
        settled_at = CASE WHEN v.state <> 'waiting' THEN CAST(:now AS timestamptz) END,
        attempts = (CASE WHEN jsonb_array_length(attempts) >= :kept THEN attempts - 0 ELSE attempts END)
            || CAST(:attempt AS jsonb)
    FROM (SELECT project_id, id,
            CASE WHEN :state = 'waiting' AND withdrawn IS NOT NULL THEN 'suppressed' ELSE :state END AS state
        FROM deliveries WHERE project_id = :project AND id = :id FOR NO KEY UPDATE) v
    WHERE (d.project_id, d.id) = (v.project_id, v.id) AND d.owner = :owner AND d.claim_no = :claim_no
        AND d.state = 'sending'""")


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
        text("""
            UPDATE deliveries SET due_at = :now, owner = NULL, reason = coalesce(withdrawn, reason),
                state = CASE WHEN withdrawn IS NULL THEN 'waiting' ELSE 'suppressed' END,
                settled_at = CASE WHEN withdrawn IS NULL THEN NULL ELSE CAST(:now AS timestamptz) END
            WHERE owner = :owner AND state = 'sending'"""),
        {"owner": owner, "now": now},
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
