"""What was expected while we could not hear, until somebody was told of it or the job was heard of again."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.horizon import AFTER_BLACKOUT, Blackout
from app.domain.state import Decision
from app.store.rows import Locked
from app.store.together import Asked, nothing
from app.store.unnest import arrays, picked, unnest

_ADDED = {
    "project_id": "uuid", "monitor_id": "uuid", "from_at": "timestamptz", "to_at": "timestamptz", "expected_at": "timestamptz",
    "heard": "bigint",
}  # fmt: skip
ADD = text(f"""
    INSERT INTO unheard ({", ".join(_ADDED)}) SELECT DISTINCT ON (project_id, monitor_id, from_at) {picked(_ADDED)}
    FROM {unnest(_ADDED)} ORDER BY project_id, monitor_id, from_at, expected_at ON CONFLICT DO NOTHING""")  # noqa: S608
DUE = text("""
    SELECT u.project_id AS project, u.monitor_id AS monitor, u.from_at, coalesce(b.to_at, u.to_at) AS to_at, u.expected_at,
        coalesce(nullif(m.name, ''), nullif(m.slug, ''), left(m.unique_key, 8)) AS name, m.zone,
        m.status NOT IN ('up', 'new') OR coalesce(m.last_applied_at >= coalesce(b.to_at, u.to_at), false) OR EXISTS (
            SELECT FROM check_ins k WHERE (k.project_id, k.monitor_id) = (u.project_id, u.monitor_id)
                AND k.n > u.heard AND k.received_at >= u.from_at - interval '1 h' AND k.signal IN ('start', 'success', 'fail')
        ) AS is_known
    FROM unheard u JOIN monitors m ON (m.project_id, m.id) = (u.project_id, u.monitor_id)
    LEFT JOIN blackouts b ON b.from_at = u.from_at
    WHERE u.settled_at IS NULL
        AND coalesce(b.to_at, u.to_at + interval '20 min') < CAST(:horizon AS timestamptz) - CAST(:after AS interval)
    ORDER BY u.to_at LIMIT :limit FOR UPDATE OF u SKIP LOCKED""")
_KEY = {"project_id": "uuid", "monitor_id": "uuid", "from_at": "timestamptz"}
SETTLE = text(f"""
    UPDATE unheard u SET settled_at = :now FROM {unnest(_KEY)}
    WHERE (u.project_id, u.monitor_id, u.from_at) = (v.project_id, v.monitor_id, v.from_at)""")  # noqa: S608


class Expected(NamedTuple):
    """A monitor that was expected in a blackout. `is_known`: it was heard of since, or people know how it stands."""

    project: UUID
    monitor: UUID
    blackout: Blackout
    at: datetime
    name: str
    zone: str
    is_known: bool


def adding(made: Sequence[tuple[Locked, Decision]]) -> list[Asked[None]]:
    """Keep what these decisions could not judge; of one monitor and blackout once."""
    rows = [
        {
            "project_id": row.project_id, "monitor_id": row.id, "from_at": u.blackout.start, "to_at": u.blackout.end,
            "expected_at": u.expected, "heard": u.heard,
        }
        for row, decision in made for u in decision.unheard
    ]  # fmt: skip
    return [Asked(ADD, arrays(_ADDED, rows), nothing)] if rows else []


async def due(session: AsyncSession, horizon: datetime, limit: int) -> list[Expected]:
    """What is to be settled now, a minute after its blackout: locked; what another process settles is passed over. A blackout
    that a canary shows is written when it is over: until then its end moves."""
    rows = await session.execute(DUE, {"horizon": horizon, "after": AFTER_BLACKOUT, "limit": limit})
    return [
        Expected(
            r["project"], r["monitor"], Blackout(r["from_at"], r["to_at"]), r["expected_at"], r["name"], r["zone"], r["is_known"]
        )
        for r in rows.mappings()
    ]


async def settle(session: AsyncSession, settled: Sequence[Expected], now: datetime) -> None:
    """Nobody is told of these again."""
    rows = [{"project_id": e.project, "monitor_id": e.monitor, "from_at": e.blackout.start} for e in settled]
    if rows:
        await session.execute(SETTLE, {**arrays(_KEY, rows), "now": now})


async def forget(session: AsyncSession, before: datetime) -> None:
    """Drop what was settled before an instant."""
    await session.execute(text("DELETE FROM unheard WHERE settled_at < :before"), {"before": before})
