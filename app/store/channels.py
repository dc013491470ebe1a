"""Channels: the ways to people, and what was sent through them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, delete, func, insert, literal, select, text, true, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.domain.retry import pause_after
from app.errors import NotFound
from app.store import detours, outbox
from app.store.channel_limits import HEARS_OF
from app.store.tables import ChannelRow, DeliveryRow, MonitorRow, SubscriptionRow


class Sent(NamedTuple):
    """A delivery, with the name of its channel, None once that is deleted; and until when that is outside of its hours, or was
    when somebody last looked."""

    row: DeliveryRow
    channel: str | None
    closed_until: datetime | None


_HEARD = f"""subscriptions s JOIN monitors m ON (m.project_id, m.id) = (s.project_id, s.monitor_id)
    JOIN channels c ON (c.project_id, c.id) = (s.project_id, s.channel_id) AND {HEARS_OF.format(c="c", m="m")}
    WHERE s.project_id = :project"""
COUNTS = text(f"SELECT s.channel_id, count(*) FROM {_HEARD} GROUP BY s.channel_id")  # noqa: S608
HEARD_OF = text(f"SELECT s.monitor_id FROM {_HEARD} AND s.channel_id = :channel")  # noqa: S608
WORKS = {"failures": 0, "failing_since": None, "open_until": None}


async def add(session: AsyncSession, row: dict[str, Any]) -> None:
    """A new channel: project_id, id, kind, name, settings, secret (sealed), hears, created_at."""
    await session.execute(insert(ChannelRow).values(**row))


async def get(session: AsyncSession, project: UUID, channel: UUID, lock: bool = False) -> ChannelRow:
    """One channel of this project. Raises NotFound for any other id, and for the owner's fallback, which is not for editing."""
    query = select(ChannelRow).where(ChannelRow.project_id == project, ChannelRow.id == channel, ~ChannelRow.fallback)
    query = query.with_for_update(key_share=True) if lock else query
    row = (await session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()
    if row is None:
        raise NotFound("not found")
    return row


async def listed(session: AsyncSession, project: UUID) -> list[ChannelRow]:
    """The project's channels, oldest first."""
    query = select(ChannelRow).where(ChannelRow.project_id == project, ~ChannelRow.fallback)
    return list((await session.execute(query.order_by(ChannelRow.created_at, ChannelRow.id))).scalars())


async def ids(session: AsyncSession, project: UUID) -> list[UUID]:
    """What `*` means: all of the project's channels as of now."""
    return [row.id for row in await listed(session, project)]


async def counts(session: AsyncSession, project: UUID) -> dict[UUID, int]:
    """How many monitors each channel hears of, by its tags too; those that hear of none are left out."""
    return {channel: count for channel, count in await session.execute(COUNTS, {"project": project})}


async def heard_of(session: AsyncSession, project: UUID, channel: UUID) -> set[UUID]:
    """The monitors that a channel hears of, by its tags too; none for a channel that is not there."""
    return set((await session.execute(HEARD_OF, {"project": project, "channel": channel})).scalars())


async def hear_of_all(session: AsyncSession, project: UUID, channel: UUID) -> None:
    """From now on the channel hears of all monitors that there are."""
    there = select(MonitorRow.project_id, MonitorRow.id, literal(channel)).where(MonitorRow.project_id == project)
    rows = postgresql.insert(SubscriptionRow).from_select(["project_id", "monitor_id", "channel_id"], there)
    await session.execute(rows.on_conflict_do_nothing())


async def hear_of_none(session: AsyncSession, project: UUID, channel: UUID) -> None:
    """From now on the channel hears of no monitor."""
    mine = (SubscriptionRow.project_id == project, SubscriptionRow.channel_id == channel)
    await session.execute(delete(SubscriptionRow).where(*mine))


async def edit(session: AsyncSession, project: UUID, channel: UUID, columns: dict[str, Any]) -> None:
    """Write new settings; a channel that was disabled, or left alone for its failures, is in use again, in its hours."""
    row = update(ChannelRow).where(ChannelRow.project_id == project, ChannelRow.id == channel)
    fresh = {**WORKS, "closed_until": None, "disabled_at": None, "disabled_why": None, "owner_told_at": None}
    await session.execute(row.values(**columns, **fresh))


async def remove(session: AsyncSession, project: UUID, channel: UUID, now: datetime) -> None:
    """Delete a channel; what waits for it is not told through it any more. Raises NotFound."""
    await get(session, project, channel, lock=True)
    await outbox.suppress_channel(session, project, channel, "the channel was deleted", now)
    await session.execute(delete(ChannelRow).where(ChannelRow.project_id == project, ChannelRow.id == channel))


async def disable(session: AsyncSession, project: UUID, channel: UUID, why: str, now: datetime) -> None:
    """The receiver is gone for good: nothing more is sent there until somebody edits the channel.

    What still waited is told another way.
    """
    row = update(ChannelRow).where(ChannelRow.project_id == project, ChannelRow.id == channel, ChannelRow.disabled_at.is_(None))
    await session.execute(row.values(disabled_at=now, disabled_why=why[:500]))
    await detours.tell_waiting(session, project, channel, now)
    await outbox.suppress_channel(session, project, channel, f"the channel was disabled: {why}", now)


async def note_success(session: AsyncSession, project: UUID, channel: UUID) -> None:
    """A delivery went through: the channel is in use as ever, and its next failure is worth telling the owner again."""
    mine = (ChannelRow.project_id == project, ChannelRow.id == channel)
    marked = (ChannelRow.failures > 0) | ChannelRow.owner_told_at.is_not(None)
    await session.execute(update(ChannelRow).where(*mine, marked).values(**WORKS, owner_told_at=None))


async def note_failure(session: AsyncSession, project: UUID, channel: UUID, now: datetime) -> None:
    """An attempt failed; from the fifth in a row on the channel is left alone for a while. What had begun before it was, and
    fails after, does not count. Locks the channel before anything of its deliveries is, as those do who delete it."""
    mine = (ChannelRow.project_id == project, ChannelRow.id == channel)
    query = select(ChannelRow.failures, ChannelRow.open_until).where(*mine).with_for_update(key_share=True)
    found = (await session.execute(query)).one_or_none()
    if found is None or (found.open_until is not None and found.open_until > now):
        return
    failures = found.failures + 1
    pause = pause_after(failures)
    values = {"failures": failures, "open_until": None if pause is None else now + pause}
    since = func.coalesce(ChannelRow.failing_since, now)
    await session.execute(update(ChannelRow).where(*mine).values(**values, failing_since=since))


async def deliveries(session: AsyncSession, project: UUID, channel: UUID, limit: int) -> list[DeliveryRow]:
    """The newest deliveries of a channel, newest first."""
    query = select(DeliveryRow).where(DeliveryRow.project_id == project, DeliveryRow.channel_id == channel)
    return list((await session.execute(query.order_by(DeliveryRow.seq.desc()).limit(limit))).scalars())


async def last_deliveries(session: AsyncSession, project: UUID) -> dict[UUID, DeliveryRow]:
    """The newest delivery of each channel of the project; those without one are left out."""
    newest = select(DeliveryRow).where(DeliveryRow.project_id == project, DeliveryRow.channel_id == ChannelRow.id)
    last = aliased(DeliveryRow, newest.order_by(DeliveryRow.seq.desc()).limit(1).lateral())
    query = select(last).select_from(ChannelRow).join(last, true()).where(ChannelRow.project_id == project)
    return {row.channel_id: row for row in (await session.execute(query)).scalars()}


async def delivery(session: AsyncSession, project: UUID, delivery_id: UUID) -> Sent:
    """One delivery of this project, with its channel's name. Raises NotFound for any other id."""
    query = _with_names().where(DeliveryRow.project_id == project, DeliveryRow.id == delivery_id)
    found = (await session.execute(query)).one_or_none()
    if found is None:
        raise NotFound("not found")
    return Sent(*found)


async def of_incident(session: AsyncSession, project: UUID, incident: UUID) -> Sequence[Sent]:
    """Every delivery of an incident, oldest first, each with its channel's name."""
    query = _with_names().where(DeliveryRow.project_id == project, DeliveryRow.incident_id == incident)
    return [Sent(*found) for found in await session.execute(query.order_by(DeliveryRow.seq))]


async def of_incidents(session: AsyncSession, project: UUID, wanted: Sequence[UUID]) -> dict[UUID, list[Sent]]:
    """The same of several incidents, in one query."""
    found: dict[UUID, list[Sent]] = {incident: [] for incident in wanted}
    query = _with_names().where(DeliveryRow.project_id == project, DeliveryRow.incident_id.in_(wanted))
    for sent in await session.execute(query.order_by(DeliveryRow.seq)):
        if sent[0].incident_id is not None:
            found[sent[0].incident_id].append(Sent(*sent))
    return found


def _with_names() -> Select[DeliveryRow, str | None, datetime | None]:
    channel = (ChannelRow.project_id == DeliveryRow.project_id) & (ChannelRow.id == DeliveryRow.channel_id)
    return select(DeliveryRow, ChannelRow.name, ChannelRow.closed_until).outerjoin(ChannelRow, channel)
