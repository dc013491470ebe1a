"""Channels: the ways to people, and what was sent through them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Select, delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.message import Told
from app.errors import NotFound
from app.store import outbox
from app.store.tables import ChannelRow, DeliveryRow, ProjectRow


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
    """Write new settings; a channel that was disabled is in use again."""
    row = update(ChannelRow).where(ChannelRow.project_id == project, ChannelRow.id == channel)
    await session.execute(row.values(**columns, disabled_at=None, disabled_why=None, owner_told_at=None))


async def remove(session: AsyncSession, project: UUID, channel: UUID, now: datetime) -> None:
    """Delete a channel; what waits for it is not told through it any more. Raises NotFound."""
    await get(session, project, channel, lock=True)
    await outbox.suppress_channel(session, project, channel, "the channel was deleted", now)
    await session.execute(delete(ChannelRow).where(ChannelRow.project_id == project, ChannelRow.id == channel))


async def disable(session: AsyncSession, project: UUID, channel: UUID, why: str, now: datetime) -> None:
    """The receiver is gone for good: nothing more is sent there until somebody edits the channel.

    Its owner hears of it, and of everything that still waited, by the fallback mail.
    """
    row = update(ChannelRow).where(ChannelRow.project_id == project, ChannelRow.id == channel, ChannelRow.disabled_at.is_(None))
    await session.execute(row.values(disabled_at=now, disabled_why=why[:500]))
    await session.execute(
        text("""
            INSERT INTO deliveries
                (project_id, id, channel_id, monitor_id, incident_id, cause_kind, cause_id, told, due_at, created_at)
            SELECT d.project_id, gen_random_uuid(), f.id, d.monitor_id, d.incident_id, d.cause_kind, d.cause_id, d.told,
                :now, :now
            FROM deliveries d JOIN channels f ON f.project_id = d.project_id AND f.fallback AND f.id <> d.channel_id
            WHERE d.project_id = :project AND d.channel_id = :channel AND d.state = 'waiting' AND NOT d.fallback_told
            ORDER BY d.seq ON CONFLICT DO NOTHING"""),
        {"project": project, "channel": channel, "now": now},
    )
    await outbox.suppress_channel(session, project, channel, f"the channel was disabled: {why}", now)


async def tell_owner(session: AsyncSession, project: UUID, channel: UUID, cause: str, why: str, now: datetime) -> bool:
    """Tell the project's owner by mail, once per cause, that a channel fails. False where the project has no owner's address."""
    query = (
        select(ChannelRow.name, ChannelRow.kind, ProjectRow.name)
        .join(ProjectRow, ProjectRow.id == ChannelRow.project_id)
        .where(
            ChannelRow.project_id == project, ChannelRow.id == channel, ~ChannelRow.fallback, ChannelRow.owner_told_at.is_(None)
        )
    )
    found = (await session.execute(query)).one_or_none()
    fallback = await session.execute(select(ChannelRow.id).where(ChannelRow.project_id == project, ChannelRow.fallback))
    mail = fallback.scalar_one_or_none()
    if found is None or mail is None:
        return False
    said = Told(kind="channel.failed", at=now, project=found[2], channel=f"{found[0]} ({found[1]})", failure=why)
    row = update(ChannelRow).where(ChannelRow.project_id == project, ChannelRow.id == channel)
    await session.execute(row.values(owner_told_at=now))
    await session.execute(
        insert(DeliveryRow).values(
            project_id=project,
            id=uuid4(),
            channel_id=mail,
            cause_kind="channel",
            cause_id=cause,
            told=said.to_json(),
            due_at=now,
            created_at=now,
        )
    )
    return True


async def works_again(session: AsyncSession, project: UUID, channel: UUID) -> None:
    """A delivery went through: the next failure is worth telling the owner again."""
    row = update(ChannelRow).where(
        ChannelRow.project_id == project, ChannelRow.id == channel, ChannelRow.owner_told_at.is_not(None)
    )
    await session.execute(row.values(owner_told_at=None))


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


def _with_names() -> Select[DeliveryRow, str | None]:
    channel = (ChannelRow.project_id == DeliveryRow.project_id) & (ChannelRow.id == DeliveryRow.channel_id)
    return select(DeliveryRow, ChannelRow.name).outerjoin(ChannelRow, channel)
