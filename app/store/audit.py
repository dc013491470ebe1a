"""Audits: what must never stand in the tables, looked for each minute. Every query is bounded: it reads an index that holds next
to nothing where all is well, or the last hours only.

What they cost on a million monitors stands in docs/operations/README.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.fitness import DAYS_AHEAD
from app.store import partitions
from app.store.tables import AuditRow

SINCE = timedelta(hours=2)  # far less than settled deliveries are kept
LEASE_LONG_PAST = timedelta(minutes=5)
LISTED = 20
GUARDS = [
    "monitors_are_woken",
    "transitions_change_something",
    "transitions_pkey",
    "incidents_one_open",
    "deliveries_one_per_cause",
]

# Up, or new and armed, and without a deadline. Expected of none but: a calendar that is used up, a schedule that only its
# scheduler knows and has not said, and slots that wait for a silent scheduler. `wake_at` is never after the deadline, so one that
# gets lost is found here by the time it would have passed.
EXPECTED_WITHOUT_DEADLINE = """
    SELECT project_id, unique_key, status || ', ' || kind AS detail FROM monitors
    WHERE wake_at IS NULL AND status IN ('up', 'new') AND deadline IS NULL AND held_since IS NULL
        AND (status = 'up' OR anchor IS NOT NULL) AND NOT (due IS NULL AND kind IN ('oncalendar', 'declared'))"""
# Told to channels, and not in the outbox of each.
TOLD_WITHOUT_DELIVERY = """
    SELECT t.project_id, m.unique_key, 'transition ' || t.n AS detail
    FROM transitions t JOIN monitors m ON (m.project_id, m.id) = (t.project_id, t.monitor_id)
    WHERE t.noticed_at > :since AND cardinality(t.announced_to) > 0 AND EXISTS (
        SELECT FROM unnest(t.announced_to) AS c(id) WHERE NOT EXISTS (
            SELECT FROM deliveries d WHERE d.project_id = t.project_id AND d.cause_kind = 'transition'
                AND d.cause_id = t.monitor_id || ':' || t.n AND d.channel_id = c.id))"""
# Numbered without gaps, each from where the one before led, the last where the monitor is.
CHAIN_BROKEN = """
    SELECT t.project_id, m.unique_key, 'transition ' || t.n AS detail
    FROM transitions t JOIN monitors m ON (m.project_id, m.id) = (t.project_id, t.monitor_id)
    LEFT JOIN transitions p ON (p.project_id, p.monitor_id, p.n) = (t.project_id, t.monitor_id, t.n - 1)
    WHERE t.noticed_at > :since AND (
        t.from_status IS DISTINCT FROM CASE WHEN t.n = 1 THEN 'new' ELSE p.to_status END
        OR m.transition_count < t.n
        OR (m.transition_count = t.n AND m.status <> t.to_status)
        OR (m.transition_count > t.n AND NOT EXISTS (
            SELECT FROM transitions f WHERE (f.project_id, f.monitor_id, f.n) = (t.project_id, t.monitor_id, t.n + 1))))"""
DOWN_WITHOUT_INCIDENT = """
    SELECT m.project_id, m.unique_key, 'down' AS detail FROM monitors m
    WHERE m.status = 'down' AND NOT EXISTS (
        SELECT FROM incidents i WHERE (i.project_id, i.monitor_id) = (m.project_id, m.id) AND i.closed_at IS NULL)"""
INCIDENT_WITHOUT_DOWN = """
    SELECT i.project_id, coalesce(m.unique_key, '') AS unique_key, 'incident ' || i.id AS detail
    FROM incidents i LEFT JOIN monitors m ON (m.project_id, m.id) = (i.project_id, i.monitor_id)
    WHERE i.closed_at IS NULL AND m.status IS DISTINCT FROM 'down'"""
LEASE_OVERRUN = """
    SELECT d.project_id, coalesce(m.unique_key, '') AS unique_key, 'delivery ' || d.id AS detail
    FROM deliveries d LEFT JOIN monitors m ON (m.project_id, m.id) = (d.project_id, d.monitor_id)
    WHERE d.state = 'sending' AND d.due_at < :lease"""
# A wake-up after its deadline and a second open incident are refused by the database itself, as long as these stand.
GUARD_MISSING = """
    SELECT NULL::uuid AS project_id, '' AS unique_key, v.name AS detail FROM unnest(CAST(:guards AS text[])) AS v(name)
    WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conname = v.name AND convalidated AND contype IN ('c', 'p'))
        AND NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(v.name) AND indisvalid AND indisunique)"""

AUDITS: Mapping[str, str] = {
    "expected_without_deadline": EXPECTED_WITHOUT_DEADLINE,
    "told_without_delivery": TOLD_WITHOUT_DELIVERY,
    "chain_broken": CHAIN_BROKEN,
    "down_without_incident": DOWN_WITHOUT_INCIDENT,
    "incident_without_down": INCIDENT_WITHOUT_DOWN,
    "lease_overrun": LEASE_OVERRUN,
    "guard_missing": GUARD_MISSING,
}
PARTITIONS = "partitions_ahead"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be, of which monitor. `unique_key` names it without telling its ping URL."""

    project: UUID | None
    unique_key: str
    detail: str


async def find(session: AsyncSession, name: str, now: datetime) -> tuple[int, list[Finding]]:
    """Ask one audit: how many it finds, and the first of them."""
    if name == PARTITIONS:
        days = await partitions.days_ahead(session, now)
        few = [Finding(None, "", f"partitions of check-ins for {days} days")] if days < DAYS_AHEAD else []
        return len(few), few
    query = text(f"SELECT f.*, count(*) OVER () AS total FROM ({AUDITS[name]}) f LIMIT :listed")  # noqa: S608 (names of our own)
    given = {"since": now - SINCE, "lease": now - LEASE_LONG_PAST, "guards": GUARDS, "listed": LISTED}
    rows = (await session.execute(query, given)).all()
    return (rows[0].total if rows else 0), [Finding(row.project_id, row.unique_key, row.detail) for row in rows]


async def keep(session: AsyncSession, name: str, found: int, words: str, now: datetime) -> None:
    """Note what an audit found."""
    row = upsert(AuditRow).values(audit=name, at=now, found=found, words=words)
    await session.execute(row.on_conflict_do_update(index_elements=["audit"], set_={"at": now, "found": found, "words": words}))


async def last(session: AsyncSession) -> tuple[dict[str, tuple[int, str]], datetime | None]:
    """What each found when it was last asked, and since when that is known of all of them."""
    rows = (await session.execute(select(AuditRow).order_by(AuditRow.audit))).scalars().all()
    return {row.audit: (row.found, row.words) for row in rows}, min((row.at for row in rows), default=None)


async def newest(session: AsyncSession) -> datetime | None:
    """When somebody asked last."""
    return (await session.execute(select(func.max(AuditRow.at)))).scalar_one()


async def forget_others(session: AsyncSession) -> None:
    """Drop what audits found that are not asked any more."""
    await session.execute(delete(AuditRow).where(AuditRow.audit.not_in([*AUDITS, PARTITIONS])))
