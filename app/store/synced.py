"""Monitors that a sync makes and keeps, many at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import tokens
from app.domain.alias import Service
from app.domain.state import Monitor
from app.store import monitors
from app.store.addresses import alias_key
from app.store.tables import AddressRow, ApiKeyRow, MonitorRow, SubscriptionRow


@dataclass(frozen=True, slots=True)
class New:
    """A monitor to be made: `names` as in `monitors.create`, and its key in the service that declares it."""

    id: UUID
    key: str
    state: Monitor
    names: dict[str, Any]


async def opened_by(session: AsyncSession, service: Service, key: str) -> ApiKeyRow | None:
    """The key, one of ours or of this service's, if it is not revoked."""
    query = select(ApiKeyRow).where(
        ApiKeyRow.hash == tokens.hashed(key), ApiKeyRow.revoked_at.is_(None), ApiKeyRow.service.in_(("", str(service)))
    )
    return (await session.execute(query)).scalar_one_or_none()


async def of_source(session: AsyncSession, project: UUID, source: str) -> list[UUID]:
    """The monitors of this source."""
    query = select(MonitorRow.id).where(MonitorRow.project_id == project, MonitorRow.source == source, MonitorRow.source != "")
    return list((await session.execute(query)).scalars())


async def retire(session: AsyncSession, project: UUID, gone: Sequence[UUID], now: datetime) -> None:
    """Note of these locked monitors that a sync paused them."""
    rows = update(MonitorRow).where(MonitorRow.project_id == project, MonitorRow.id.in_(gone))
    await session.execute(rows.values(retired_at=now))


async def slugs(session: AsyncSession, project: UUID) -> set[str]:
    """All slugs of the project. Under `monitors.one_namer` those that are derived from a name stay what they are."""
    query = select(MonitorRow.slug).where(MonitorRow.project_id == project, MonitorRow.slug != "")
    return set((await session.execute(query)).scalars())


async def make(
    session: AsyncSession, project: UUID, service: Service, made: Sequence[New], ears: Iterable[UUID], now: datetime
) -> None:
    """Make them all, each with its ping id, its alias and these channels, in three statements."""
    if not made:
        return
    at = [(f"{new.id}", "ping", new.id) for new in made]
    at += [(alias_key(project, service, new.key), str(service), new.id) for new in made]
    listening = [{"project_id": project, "monitor_id": new.id, "channel_id": channel} for channel in ears for new in made]
    rows = [monitors.row_of(project, new.id, new.state, now, new.names) for new in made]
    await session.execute(insert(MonitorRow), rows)
    addresses = [{"kind": kind, "key": key, "project_id": project, "monitor_id": monitor} for key, kind, monitor in at]
    await session.execute(insert(AddressRow), addresses)
    if listening:
        await session.execute(insert(SubscriptionRow), listening)
