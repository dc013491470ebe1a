"""Channels: the ways to people, and what was sent through them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.retry import pause_after
from app.errors import NotFound
from app.store import detours, outbox
from app.store.tables import ChannelRow, DeliveryRow

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


async def edit(session: AsyncSession, project: UUID, channel: UUID, columns: dict[str, Any]) -> None:
    """Write new settings; a channel that was disabled, or left alone for its failures, is in use again."""
    row = update(ChannelRow).where(ChannelRow.project_id == project, ChannelRow.id == channel)
    await session.execute(row.values(**columns, **WORKS, disabled_at=None, disabled_why=None, owner_told_at=None))


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


async def delivery(session: AsyncSession, project: UUID, delivery_id: UUID) -> tuple[DeliveryRow, str | None]:
    """One delivery of this project, with its channel's name. Raises NotFound for any other id."""
    query = _with_names().where(DeliveryRow.project_id == project, DeliveryRow.id == delivery_id)
    found = (await session.execute(query)).one_or_none()
    if found is None:
        raise NotFound("not found")
    return found[0], found[1]


async def of_incident(session: AsyncSession, project: UUID, incident: UUID) -> Sequence[tuple[DeliveryRow, str | None]]:
    """Every delivery of an incident, oldest first, each with its channel's name."""
    query = _with_names().where(DeliveryRow.project_id == project, DeliveryRow.incident_id == incident)
    return [(row, name) for row, name in await session.execute(query.order_by(DeliveryRow.seq))]


async def of_incidents(
    session: AsyncSession, project: UUID, wanted: Sequence[UUID]
) -> dict[UUID, list[tuple[DeliveryRow, str | None]]]:
    """The same of several incidents, in one query."""
    found: dict[UUID, list[tuple[DeliveryRow, str | None]]] = {incident: [] for incident in wanted}
    query = _with_names().where(DeliveryRow.project_id == project, DeliveryRow.incident_id.in_(wanted))
    for row, name in await session.execute(query.order_by(DeliveryRow.seq)):
        if row.incident_id is not None:
            found[row.incident_id].append((row, name))
    return found


def _with_names() -> Select[DeliveryRow, str | None]:
    channel = (ChannelRow.project_id == DeliveryRow.project_id) & (ChannelRow.id == DeliveryRow.channel_id)
    return select(DeliveryRow, ChannelRow.name).outerjoin(ChannelRow, channel)
