"""What was decided, written: states, runs, transitions, incidents and deliveries, all in the caller's transaction.

Every change of a monitor comes through `write`, whoever caused it, so that state and telling commit together or not at all.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.incident import Turning, turning
from app.domain.state import Decision, Reason, Status, Transition
from app.store import monitors, outbox, runs, unheard
from app.store.rows import Locked
from app.store.tables import IncidentRow, TransitionRow
from app.store.together import Asked, together
from app.store.unnest import arrays, insert_all, unnest

_CLOSED = {"project_id": "uuid", "monitor_id": "uuid", "at": "timestamptz", "reason": "text"}
CLOSE = text(f"""
    UPDATE incidents i SET closed_at = greatest(v.at, i.opened_at), closed_by = v.reason,
        fine_until = CASE v.reason WHEN 'withdrawn' THEN greatest(v.at, i.opened_at) ELSE i.fine_until END FROM {unnest(_CLOSED)}
    WHERE (i.project_id, i.monitor_id) = (v.project_id, v.monitor_id) AND i.closed_at IS NULL RETURNING i.monitor_id, i.id""")  # noqa: S608
_FINE = {"project_id": "uuid", "monitor_id": "uuid", "opened_by": "bigint", "until": "timestamptz"}
FINE = text(f"""
    UPDATE incidents i SET fine_until = v.until FROM {unnest(_FINE)}
    WHERE (i.project_id, i.monitor_id, i.opened_by) = (v.project_id, v.monitor_id, v.opened_by)
        AND i.closed_by IS DISTINCT FROM 'withdrawn'""")  # noqa: S608


async def write(
    session: AsyncSession,
    now: datetime,
    made: Sequence[tuple[Locked, Decision]],
    beside: Sequence[Asked[Any]] = (),
    after: Sequence[Asked[Any]] = (),
) -> list[Any]:
    """Write decisions about locked monitors, and what stands `beside` them first; returns what `after` says, asked when all is
    written. One monitor may stand in it several times, in order: its last state counts."""
    latest = {row.id: (row, decision) for row, decision in made}
    saved = monitors.saving(list(latest.values()))
    kept = runs.writing([(row.project_id, row.id, record) for row, d in made for record in d.records])
    written = [*beside, *saved, *kept, *unheard.adding(made)]
    turned = [(row, transition) for row, d in made for transition in d.transitions]
    fine = _fine_until(made)
    if not turned and not fine:
        return (await together(session, *written, *after))[len(written) :]
    await together(session, *written)
    if turned:
        await _announce(session, now, turned)
    if fine:
        await session.execute(FINE, arrays(_FINE, fine))
    return await together(session, *after)


def _fine_until(made: Sequence[tuple[Locked, Decision]]) -> list[dict[str, Any]]:
    """Of each incident the last that late news says of it: the transition that opened it, and until when all was well."""
    last = {(row.id, d.monitor.transition_count): (row, d.fine_until) for row, d in made if d.fine_until is not None}
    return [
        {"project_id": row.project_id, "monitor_id": id_, "opened_by": n, "until": until}
        for (id_, n), (row, until) in last.items()
    ]


async def close_for_good(session: AsyncSession, row: Locked, now: datetime) -> None:
    """A monitor is deleted: its incident closes, what was not yet told stays untold."""
    closing = {"project_id": row.project_id, "monitor_id": row.id, "at": now, "reason": "deleted"}
    await session.execute(CLOSE, arrays(_CLOSED, [closing]))
    await outbox.suppress(session, row.project_id, [row.id], "the monitor was deleted", now)


async def _announce(session: AsyncSession, now: datetime, turned: Sequence[tuple[Locked, Transition]]) -> None:
    incidents = await _turn_incidents(session, turned)
    heard_by = await outbox.listeners(session, {(row.project_id, row.id) for row, t in turned if t.told})
    deliveries, transitions = [], []
    for row, t in turned:
        ears = heard_by.get(row.id, []) if t.told else []
        told = outbox.told(row, t, incidents.get((row.id, t.n)))
        addressed = outbox.addressed(row, t, told, ears, now)
        deliveries += addressed
        transitions.append(
            {
                "project_id": row.project_id, "monitor_id": row.id, "n": t.n, "from_status": str(t.before),
                "to_status": str(t.after), "at": t.at, "noticed_at": now, "reason": str(t.reason), "evidence": t.evidence,
                "announced_to": [d["channel_id"] for d in addressed],
            }
        )  # fmt: skip
    await insert_all(session, TransitionRow, transitions)
    await outbox.put(session, deliveries)
    if any(t.reason is Reason.WITHDRAWN for _, t in turned):
        await outbox.drop_untold(session, [d for d in deliveries if d["told"]["reason"] == Reason.WITHDRAWN], now)
    paused: dict[UUID, list[UUID]] = {}
    for row, t in turned:
        if t.after is Status.PAUSED:
            paused.setdefault(row.project_id, []).append(row.id)
    for project, those in paused.items():
        await outbox.suppress(session, project, those, "the monitor was paused", now)


async def _turn_incidents(session: AsyncSession, turned: Sequence[tuple[Locked, Transition]]) -> dict[tuple[UUID, int], UUID]:
    """Open and close incidents; returns the incident of each transition (monitor, n). Of several transitions of one monitor
    the first are written first, so that what opens in this batch can close in it."""
    rounds: list[list[tuple[Locked, Transition]]] = []
    seen: dict[UUID, int] = {}
    for row, t in turned:
        if turning(t) is not Turning.NOTHING:
            turn = seen[row.id] = seen.get(row.id, -1) + 1
            if turn == len(rounds):
                rounds.append([])
            rounds[turn].append((row, t))
    found: dict[tuple[UUID, int], UUID] = {}
    for in_turn in rounds:
        found |= await _open(session, [(r, t) for r, t in in_turn if turning(t) is Turning.OPENS])
        found |= await _close(session, [(r, t) for r, t in in_turn if turning(t) is Turning.CLOSES])
    return found


async def _open(session: AsyncSession, turned: Sequence[tuple[Locked, Transition]]) -> dict[tuple[UUID, int], UUID]:
    ids = {(row.id, t.n): uuid4() for row, t in turned}
    rows = [
        {
            "project_id": row.project_id, "id": ids[row.id, t.n], "monitor_id": row.id, "monitor_name": row.name,
            "opened_at": t.at, "opened_by": t.n, "reason": str(t.reason), "evidence": t.evidence,
        }
        for row, t in turned
    ]  # fmt: skip
    await insert_all(session, IncidentRow, rows)
    return ids


async def _close(session: AsyncSession, turned: Sequence[tuple[Locked, Transition]]) -> dict[tuple[UUID, int], UUID]:
    if not turned:
        return {}
    rows = [{"project_id": r.project_id, "monitor_id": r.id, "at": t.at, "reason": str(t.reason)} for r, t in turned]
    closed = {monitor: incident for monitor, incident in await session.execute(CLOSE, arrays(_CLOSED, rows))}
    return {(row.id, t.n): closed[row.id] for row, t in turned if row.id in closed}
