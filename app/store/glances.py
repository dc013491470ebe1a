"""What a page shows of many monitors at a glance: how each stands, its last runs, how it turned, who hears of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.uptime import Turned
from app.store.channel_limits import HEARS_OF
from app.store.rows import NAMES, RULE, STATE
from app.store.unnest import array

MOST_TURNS = 1000  # of one monitor, the newest: one that turns more often is not read further back

# What is not shown of a row is read where it is judged by it alone, as in listings.py.
_COLUMNS = ", ".join(f"m.{column}" for column in (*NAMES, *RULE, *STATE) if column not in ("filters", "memory"))
ALL = text(f"""
    SELECT {_COLUMNS}, m.created_at, CASE WHEN m.deadline < :horizon OR m.memory ? 'runs' THEN m.memory END AS memory
    FROM monitors m WHERE m.project_id = :project ORDER BY m.id""")  # noqa: S608
RUNS = text("""
    SELECT r.monitor_id, r.at, r.outcome, r.started_at, r.ended_at, r.slot, r.count, r.run_id, r.cause
    FROM unnest(CAST(:ids AS uuid[])) AS wanted(id)
    CROSS JOIN LATERAL (
        SELECT * FROM runs WHERE project_id = :project AND monitor_id = wanted.id AND at > :since
        ORDER BY at DESC, key DESC LIMIT :limit) AS r""")
TURNS = text("""
    SELECT t.monitor_id, greatest(t.at, i.fine_until), t.from_status, t.to_status
    FROM unnest(CAST(:ids AS uuid[])) AS wanted(id)
    CROSS JOIN LATERAL (
        SELECT * FROM transitions WHERE project_id = :project AND monitor_id = wanted.id ORDER BY n DESC LIMIT :limit) AS t
    LEFT JOIN incidents i ON i.project_id = :project AND i.monitor_id = t.monitor_id AND i.opened_by = t.n
        AND i.fine_until IS NOT NULL
    WHERE greatest(t.at, i.fine_until) >= :since ORDER BY t.monitor_id, t.n""")
HEARERS = text(f"""
    SELECT s.monitor_id, c.name, c.kind, c.hears, c.disabled_at IS NOT NULL, c.hours IS NOT NULL FROM subscriptions s
    JOIN monitors m ON (m.project_id, m.id) = (s.project_id, s.monitor_id)
    JOIN channels c ON c.project_id = s.project_id AND c.id = s.channel_id AND {HEARS_OF.format(c="c", m="m")}
    WHERE s.project_id = :project AND s.monitor_id = ANY(CAST(:ids AS uuid[])) ORDER BY c.created_at, c.id""")  # noqa: S608
# Every change of a row gives it another xmin, and what is late turned so by time alone.
VERSION = text("""
    SELECT concat_ws(' ',
        (SELECT concat_ws(' ', count(*), sum(m.xmin::text::bigint), count(*) FILTER (WHERE m.due < :now))
            FROM monitors m WHERE m.project_id = :project),
        (SELECT concat_ws(' ', count(*), sum(i.xmin::text::bigint))
            FROM incidents i WHERE i.project_id = :project AND i.closed_at IS NULL),
        (SELECT concat_ws(' ', count(*), sum(d.xmin::text::bigint))
            FROM deliveries d WHERE d.project_id = :project AND d.state IN ('waiting', 'sending')),
        (SELECT concat_ws(' ', count(*), sum(c.xmin::text::bigint)) FROM channels c WHERE c.project_id = :project))""")


class RunGlance(NamedTuple):
    """A run as a strip shows it; `slots`: how many a missed one stands for."""

    monitor: UUID
    at: datetime
    outcome: str | None
    started_at: datetime | None
    ended_at: datetime | None
    slot: datetime | None
    slots: int
    run_id: str | None
    cause: str | None

    @property
    def seconds(self) -> float | None:
        """How long it took; None where that is not known, or not yet."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.started_at).total_seconds())


@dataclass(frozen=True, slots=True)
class Hearer:
    """A channel that hears of a monitor: of all its turnings, or of `down` or `up` alone; nothing while it is disabled; where it
    has hours, in those."""

    name: str
    kind: str
    hears: str
    is_disabled: bool
    has_hours: bool


async def all_of(session: AsyncSession, project: UUID, horizon: datetime) -> Sequence[RowMapping]:
    """Every monitor of a project: what is shown of it in a list, and what it is judged by."""
    return (await session.execute(ALL, {"project": project, "horizon": horizon})).mappings().all()


async def runs_of(
    session: AsyncSession, project: UUID, monitors: Sequence[UUID], since: datetime, limit: int
) -> dict[UUID, list[RunGlance]]:
    """The newest runs of each of these monitors, after an instant and so many at most, oldest first."""
    given = {"project": project, "ids": array("uuid", monitors), "since": since, "limit": limit}
    found: dict[UUID, list[RunGlance]] = {monitor: [] for monitor in monitors}
    for row in await session.execute(RUNS, given):
        found[row.monitor_id].append(RunGlance(*row))
    for runs in found.values():
        runs.reverse()
    return found


async def turns_of(session: AsyncSession, project: UUID, monitors: Sequence[UUID], since: datetime) -> dict[UUID, list[Turned]]:
    """How each of these monitors turned from an instant on, oldest first."""
    given = {"project": project, "ids": array("uuid", monitors), "since": since, "limit": MOST_TURNS}
    found: dict[UUID, list[Turned]] = {monitor: [] for monitor in monitors}
    for monitor, at, before, after in await session.execute(TURNS, given):
        found[monitor].append(Turned(at, before, after))
    return found


async def hearers_of(session: AsyncSession, project: UUID, monitors: Sequence[UUID]) -> dict[UUID, list[Hearer]]:
    """The channels that hear of each of these monitors, oldest first."""
    found: dict[UUID, list[Hearer]] = {monitor: [] for monitor in monitors}
    for monitor, *hearer in await session.execute(HEARERS, {"project": project, "ids": array("uuid", monitors)}):
        found[monitor].append(Hearer(*hearer))
    return found


async def version(session: AsyncSession, project: UUID, now: datetime) -> str:
    """A text that is another as soon as anything changed that pages of this project show live."""
    return str((await session.execute(VERSION, {"project": project, "now": now})).scalar_one())
