"""Projects on their way out: marked for a week, then deleted in small batches: no transaction is long, and no ping waits."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.tables import ProjectRow

WEEK = timedelta(days=7)

# What hangs on a project, in the order in which it goes: first what opens it, then its monitors, so that none falls silent in the
# eyes of a sweeper because its pings are not found any more; their history last.
OPENING = (("api_keys", "id"), ("addresses", ""))
LEFT = (
    ("deliveries", "id"),
    ("check_ins", "monitor_id, n, received_at"),
    ("idempotency", "monitor_id, key, signal"),
    ("runs", "monitor_id, key, at"),
    ("transitions", "monitor_id, n"),
    ("incidents", "id"),
    ("removed_monitors", "monitor_id"),
)
A_MONITORS_OWN = 10  # rows that one is taken for: its subscriptions, kept check-ins and reported runs go with it

# Not FOR UPDATE: whoever writes what belongs to a project, such as a sweeper an incident, would wait for the whole batch.
DUE = text("SELECT id FROM projects WHERE delete_at <= :now ORDER BY delete_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED")
# Those that somebody has in hand at this moment come in the next batch: nobody is waited for, and nobody waits in a circle.
FREE = text("SELECT id FROM monitors WHERE project_id = :project ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED")
# Their key does not begin with the project; each is taken where it lies.
ADDRESSES = """
    DELETE FROM addresses WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM addresses WHERE project_id = :project ORDER BY monitor_id LIMIT :limit))"""


async def mark(session: AsyncSession, project: UUID, at: datetime | None) -> None:
    """Let it go then; None: let it stay. Under the project's lock."""
    await session.execute(update(ProjectRow).where(ProjectRow.id == project).values(delete_at=at))


async def go_on(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete so many rows of a project whose week is over, and the project itself once nothing hangs on it; returns how many
    rows went. Whoever keeps a project takes its lock too, and finds that it is too late."""
    project = (await session.execute(DUE, {"now": now})).scalar_one_or_none()
    if project is None:
        return 0
    for table, key in OPENING:
        if gone := await _drop(session, table, key, project, limit):
            return gone
    if gone := await _drop_monitors(session, project, max(1, limit // A_MONITORS_OWN)):
        return gone
    for table, key in LEFT:
        if gone := await _drop(session, table, key, project, limit):
            return gone
    await session.execute(text("DELETE FROM projects WHERE id = :project"), {"project": project})
    return 1


async def _drop_monitors(session: AsyncSession, project: UUID, limit: int) -> int:
    """With the incidents that are open: one of no monitor is what an audit looks for."""
    ids = list((await session.execute(FREE, {"project": project, "limit": limit})).scalars())
    for sql in (
        "DELETE FROM incidents WHERE project_id = :project AND monitor_id = ANY(:ids) AND closed_at IS NULL",
        "DELETE FROM monitors WHERE project_id = :project AND id = ANY(:ids)",
    ):
        if ids:
            await session.execute(text(sql), {"project": project, "ids": ids})
    return len(ids)


async def _drop(session: AsyncSession, table: str, key: str, project: UUID, limit: int) -> int:
    """The first so many rows by the rest of their key. Up to the last of them in order, and not those of a list: that the planner
    would compare with every row of the table, for a few hundred thousand look cheaper read than looked up."""
    backwards = ", ".join(f"{column} DESC" for column in key.split(", "))
    first = f"SELECT {key} FROM {table} WHERE project_id = :project ORDER BY {key} LIMIT :limit"  # noqa: S608
    last = f"SELECT {key} FROM ({first}) AS first ORDER BY {backwards} LIMIT 1"  # noqa: S608
    sql = f"DELETE FROM {table} WHERE project_id = :project AND ({key}) <= ({last})" if key else ADDRESSES  # noqa: S608
    found = await session.execute(text(sql), {"project": project, "limit": limit})
    return int(found.rowcount)  # type: ignore[attr-defined]
