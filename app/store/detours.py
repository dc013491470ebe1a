"""What cannot be told through its channel is told through another: the owner's mail, or where the project has none, another
channel in use, best one that works. Once for each delivery; a stand-in that fails as well is not passed on again."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.message import Told
from app.domain.retry import FALLBACK_AFTER
from app.store import channel_limits
from app.store.channel_limits import IS_OPEN
from app.store.tables import ChannelRow, DeliveryRow, ProjectRow

HELD_AT_ONCE = 200
LOOKED_AT_ONCE = 200


class Place(NamedTuple):
    """Where a look at the open deliveries ended, in the order of their index."""

    project: UUID = UUID(int=0)
    channel: UUID = UUID(int=0)
    monitor: UUID = UUID(int=0)
    seq: int = 0


START = Place()

_BEST = """
    ORDER BY c.fallback DESC, c.hours IS NOT NULL, c.failures > 0, (
        SELECT w.settled_at FROM deliveries w WHERE (w.project_id, w.channel_id) = (c.project_id, c.id)
            AND w.state = 'delivered' ORDER BY w.seq DESC LIMIT 1) DESC NULLS LAST, c.created_at, c.id LIMIT 1"""
# Another channel that has heard, or will hear, the same by itself is no detour; where one has heard it, none is needed.
TELL = text(f"""
    WITH told AS (
        UPDATE deliveries SET fallback_told = true
        WHERE project_id = ANY(CAST(:projects AS uuid[])) AND id = ANY(CAST(:ids AS uuid[]))
            AND cause_kind <> 'test' AND NOT fallback_told AND (monitor_id IS NULL OR EXISTS (
                SELECT FROM monitors m WHERE (m.project_id, m.id) = (deliveries.project_id, deliveries.monitor_id)
                    AND m.status <> 'paused')) RETURNING *)
    INSERT INTO deliveries (project_id, id, channel_id, monitor_id, incident_id, cause_kind, cause_id, told, due_at, created_at,
        fallback_told)
    SELECT t.project_id, gen_random_uuid(), way.id, t.monitor_id, t.incident_id, t.cause_kind, t.cause_id,
        t.told || jsonb_build_object('instead_of', t.channel_name), :now, :now, true
    FROM (SELECT t.*, coalesce(nullif(f.name, ''), f.kind, 'deleted') AS channel_name FROM told t
            LEFT JOIN channels f ON (f.project_id, f.id) = (t.project_id, t.channel_id)) t
    CROSS JOIN LATERAL (
        SELECT c.id FROM channels c WHERE c.project_id = t.project_id AND c.id <> t.channel_id AND c.disabled_at IS NULL
            AND (c.fallback OR (
                (c.hears <> 'down' OR t.told ->> 'kind' <> 'monitor.up') AND NOT EXISTS (
                    SELECT FROM deliveries o
                    WHERE (o.project_id, o.cause_kind, o.cause_id) = (t.project_id, t.cause_kind, t.cause_id)
                        AND (o.channel_id = c.id OR o.state = 'delivered'))))
        {_BEST}) way
    ORDER BY t.seq ON CONFLICT DO NOTHING""")  # noqa: S608
HELD = text(f"""
    SELECT d.project_id, d.id FROM channels c CROSS JOIN LATERAL (
        SELECT w.project_id, w.id, w.seq FROM deliveries w
        WHERE (w.project_id, w.channel_id) = (c.project_id, c.id) AND w.state IN ('waiting', 'sending') AND NOT w.fallback_told
            AND w.created_at <= :since AND w.cause_kind <> 'test' ORDER BY w.created_at LIMIT :limit) d
    WHERE c.open_until IS NOT NULL AND c.failing_since <= :since AND {IS_OPEN.format(c="c")}
    ORDER BY d.seq LIMIT :limit""")  # noqa: S608
# Only a look at the oldest open one of a monitor on a channel tells whether others wait behind it, so a look goes on where the
# last one ended; what was tried before always is the oldest.
BEHIND = text("""
    WITH next AS (
        SELECT w.* FROM deliveries w WHERE w.state IN ('waiting', 'sending') AND w.monitor_id IS NOT NULL
            AND (w.project_id, w.channel_id, w.monitor_id, w.seq) > (:project, :channel, :monitor, :seq)
        ORDER BY w.project_id, w.channel_id, w.monitor_id, w.seq LIMIT :limit)
    SELECT n.id, n.project_id, n.channel_id, n.monitor_id, n.seq, h.id AS head,
        n.first_try_at IS NULL AND NOT n.fallback_told AND n.created_at <= :since
            AND h.seq < n.seq AND coalesce(h.first_try_at <= :since, false) AND h.attempts <> '[]' AS is_held
    FROM next n CROSS JOIN LATERAL (
        SELECT o.id, o.seq, o.first_try_at, o.attempts FROM deliveries o
        WHERE (o.project_id, o.channel_id, o.monitor_id) = (n.project_id, n.channel_id, n.monitor_id)
            AND o.state IN ('waiting', 'sending') ORDER BY o.seq LIMIT 1) h
    ORDER BY n.project_id, n.channel_id, n.monitor_id, n.seq""")
UNTOLD = text("""
    SELECT NOT EXISTS (
        SELECT FROM deliveries o LEFT JOIN channels c ON (c.project_id, c.id) = (o.project_id, o.channel_id)
        WHERE (o.project_id, o.cause_kind, o.cause_id) = (d.project_id, d.cause_kind, d.cause_id)
            AND (o.state = 'delivered' OR o.id <> d.id AND o.state IN ('waiting', 'sending') AND c.id IS NOT NULL))
    FROM deliveries d WHERE (d.project_id, d.id) = (:project, :id)""")
WAY = text(f"""
    SELECT c.id FROM channels c WHERE c.project_id = :project AND c.id <> :channel AND c.disabled_at IS NULL {_BEST}""")  # noqa: S608


async def tell(session: AsyncSession, deliveries: Sequence[tuple[UUID, UUID]], now: datetime) -> int:
    """Tell these deliveries, (project, id) each, another way; returns how many messages that makes."""
    given = {"projects": [project for project, _ in deliveries], "ids": [id for _, id in deliveries], "now": now}
    return int((await session.execute(TELL, given)).rowcount)  # type: ignore[attr-defined]


async def nobody_heard(session: AsyncSession, project: UUID, delivery: UUID) -> bool:
    """Whether what this delivery was to say has reached nobody, and is on no other way any more."""
    return bool(await session.scalar(UNTOLD, {"project": project, "id": delivery}))


async def tell_held(session: AsyncSession, now: datetime) -> int:
    """Tell another way what waits for 10 min behind a channel that failed all the while and is left alone, some at a time;
    not what waits for the hours of one."""
    await channel_limits.close_failing(session, now)
    held = (await session.execute(HELD, {"now": now, "since": now - FALLBACK_AFTER, "limit": HELD_AT_ONCE})).all()
    return await tell(session, [(project, delivery) for project, delivery in held], now) if held else 0


async def tell_behind(session: AsyncSession, now: datetime, after: Place) -> Place:
    """Tell another way what was never tried and waits for 10 min behind an older one of its monitor that its channel has not
    taken for as long, though it may take others; and that one first, so that they are told in their order. A look costs the same
    however much waits: it begins where the one before ended, and returns where the next is to begin."""
    looked_at = (await session.execute(BEHIND, {**after._asdict(), "since": now - FALLBACK_AFTER, "limit": LOOKED_AT_ONCE})).all()
    held = {(row.project_id, id) for row in looked_at if row.is_held for id in (row.head, row.id)}
    if held:
        await tell(session, list(held), now)
    if len(looked_at) < LOOKED_AT_ONCE:
        return START
    last = looked_at[-1]
    return Place(last.project_id, last.channel_id, last.monitor_id, last.seq)


async def tell_waiting(session: AsyncSession, project: UUID, channel: UUID, now: datetime) -> int:
    """Tell another way all that waits for this channel, and what is on its way: that may fail as well."""
    query = select(DeliveryRow.project_id, DeliveryRow.id).where(
        DeliveryRow.project_id == project, DeliveryRow.channel_id == channel, DeliveryRow.state.in_(("waiting", "sending"))
    )
    return await tell(session, [(row[0], row[1]) for row in await session.execute(query)], now)


async def tell_of_failure(session: AsyncSession, project: UUID, channel: UUID, cause: str, why: str, now: datetime) -> bool:
    """Tell the project, once per cause, that a channel fails. False where there is no other way, or where it was told."""
    query = (
        select(ChannelRow.name, ChannelRow.kind, ProjectRow.name)
        .join(ProjectRow, ProjectRow.id == ChannelRow.project_id)
        .where(
            ChannelRow.project_id == project, ChannelRow.id == channel, ~ChannelRow.fallback, ChannelRow.owner_told_at.is_(None)
        )
    )
    found = (await session.execute(query)).one_or_none()
    way = (await session.execute(WAY, {"project": project, "channel": channel})).scalar_one_or_none()
    if found is None or way is None:
        return False
    said = Told(kind="channel.failed", at=now, project=found[2], channel=f"{found[0]} ({found[1]})", failure=why)
    row = update(ChannelRow).where(ChannelRow.project_id == project, ChannelRow.id == channel)
    await session.execute(row.values(owner_told_at=now))
    delivery = {
        "project_id": project, "id": uuid4(), "channel_id": way, "cause_kind": "channel", "cause_id": cause,
        "told": said.to_json(), "due_at": now, "created_at": now, "fallback_told": True,
    }  # fmt: skip
    await session.execute(insert(DeliveryRow).values(**delivery))
    return True
