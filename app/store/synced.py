"""Monitors that a sync makes and keeps, many at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import tokens
from app.domain.alias import Service
from app.domain.state import Monitor, Rule
from app.store import monitors
from app.store.addresses import alias_key
from app.store.rows import rule_columns
from app.store.tables import AddressRow, ApiKeyRow, MonitorRow, SubscriptionRow
from app.store.unnest import arrays, unnest


@dataclass(frozen=True, slots=True)
class New:
    """A monitor to be made: `names` as in `monitors.create`, and its key in the service that declares it."""

    id: UUID
    key: str
    state: Monitor
    names: dict[str, Any]


class Changed(NamedTuple):
    """A monitor, locked, as it is declared from now on; it is not retired, or no longer."""

    id: UUID
    name: str
    source: str
    rule: Rule


_CHANGED = {
    "id": "uuid", "name": "text", "source": "text", "kind": "text", "period": "int", "expression": "text", "zone": "text",
    "grace": "int", "max_runtime": "int", "failures_to_alert": "int", "successes_to_recover": "int", "early": "int",
}  # fmt: skip
_WRITTEN = ", ".join(column for column in _CHANGED if column not in ("id", "zone"))
_TAKEN = ", ".join(f"v.{column}" for column in _CHANGED if column not in ("id", "zone"))
CHANGE = text(f"""
    UPDATE monitors m SET ({_WRITTEN}, zone, retired_at) = ROW({_TAKEN}, coalesce(v.zone, m.zone), NULL)
    FROM {unnest(_CHANGED)} WHERE m.project_id = :project AND m.id = v.id""")  # noqa: S608


async def change(session: AsyncSession, project: UUID, changed: Sequence[Changed]) -> None:
    """Write them all in one statement: pings wait for these rows."""
    if changed:
        rows = [{"zone": None, **one._asdict(), **rule_columns(one.rule)} for one in changed]
        await session.execute(CHANGE, {**arrays(_CHANGED, rows), "project": project})


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
