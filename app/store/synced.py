"""Monitors that a sync makes and keeps, many at a time, and when each source said last what its schedule is."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import exists, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import tokens
from app.domain.alias import Service
from app.domain.schedule import Declared
from app.domain.state import Monitor, Rule, Status
from app.domain.sync import Stands
from app.store import monitors
from app.store.addresses import alias_key
from app.store.rows import Locked, rule_columns
from app.store.tables import AddressRow, ApiKeyRow, MonitorRow, SyncRow
from app.store.unnest import arrays, picked, unnest


@dataclass(frozen=True, slots=True)
class New:
    """A monitor to be made: what it is called in the service that declares it, and how it is to stand."""

    id: UUID
    key: str
    state: Monitor
    stands: Stands


class Changed(NamedTuple):
    """A monitor, locked, as it stands from now on; it is not retired, or no longer."""

    id: UUID
    stands: Stands


_TEXTS = {"name": "text", "tags": "text", "description": "text", "source": "text", "beat_of": "text", "declared": "jsonb"}
_CHANGED = {
    "id": "uuid", **_TEXTS, "kind": "text", "period": "int", "expression": "text", "zone": "text",
    "grace": "int", "max_runtime": "int", "failures_to_alert": "int", "successes_to_recover": "int", "early": "int",
    "max_wait": "int", "dispatched": "bool", "manual_resume": "bool",
}  # fmt: skip
_WRITTEN = ", ".join(column for column in _CHANGED if column not in ("id", "zone"))
_TAKEN = picked({column: kind for column, kind in _CHANGED.items() if column not in ("id", "zone")})
CHANGE = text(f"""
    UPDATE monitors m SET ({_WRITTEN}, zone, retired_at) = ROW({_TAKEN}, coalesce(v.zone, m.zone), NULL)
    FROM {unnest(_CHANGED)} WHERE m.project_id = :project AND m.id = v.id""")  # noqa: S608
_SAID = {"id": "uuid"}
SAID = text(f"""
    SELECT m.id, m.description, m.declared FROM monitors m JOIN {unnest(_SAID)} ON m.id = v.id
    WHERE m.project_id = :project""")  # noqa: S608
_DUE = {"project_id": "uuid", "id": "uuid", "expression": "text", "period": "int"}
REDECLARE = text(f"""
    UPDATE monitors m SET (expression, period) = ROW(v.expression, v.period) FROM {unnest(_DUE)}
    WHERE (m.project_id, m.id) = (v.project_id, v.id)""")  # noqa: S608
MOST_BOOTS = 10
NEWEST = text("""
    INSERT INTO syncs (project_id, source, at, boots) VALUES (:project, :source, :at, :boots)
    ON CONFLICT (project_id, source) DO UPDATE SET at = excluded.at, boots = excluded.boots
    WHERE syncs.at < excluded.at RETURNING at""")


async def change(session: AsyncSession, project: UUID, changed: Sequence[Changed]) -> None:
    """Write them all in one statement: pings wait for these rows."""
    if changed:
        rows = [{"zone": None, "id": one.id, **_columns(one.stands)} for one in changed]
        await session.execute(CHANGE, {**arrays(_CHANGED, rows), "project": project})


async def stand(session: AsyncSession, project: UUID, rows: Collection[Locked]) -> Mapping[UUID, Stands]:
    """How these locked monitors stand."""
    said = await session.execute(SAID, {"project": project, "id": [row.id for row in rows]})
    more = {monitor: (description, declared) for monitor, description, declared in said}
    return {
        row.id: Stands(
            row.name, row.slug, row.monitor.rule, row.tags, more[row.id][0], row.source, row.beat_of, row.retired_at is not None,
            more[row.id][1],
        )
        for row in rows
    }  # fmt: skip


async def redeclare(session: AsyncSession, declared: Mapping[tuple[UUID, UUID], Declared]) -> None:
    """Write what schedulers said of when these locked monitors, (project, id) each, are due."""
    if declared:
        rows = [{"project_id": p, "id": m, **rule_columns(Rule(schedule, timedelta()))} for (p, m), schedule in declared.items()]
        await session.execute(REDECLARE, arrays(_DUE, rows))


async def boots(session: AsyncSession, project: UUID, source: str) -> list[str]:
    """The starts of programs that said all of this schedule, the newest last, locked."""
    query = select(SyncRow.boots).where(SyncRow.project_id == project, SyncRow.source == source).with_for_update()
    return (await session.execute(query)).scalar() or []


async def newest(session: AsyncSession, project: UUID, source: str, at: datetime, boots: Sequence[str]) -> bool:
    """Whether no later sync of this source, or this one itself, came before; it is noted then, with these boots."""
    given = {"project": project, "source": source, "at": at, "boots": list(boots)[-MOST_BOOTS:]}
    return (await session.execute(NEWEST, given)).first() is not None


async def opened_by(session: AsyncSession, service: Service, key: str) -> ApiKeyRow | None:
    """The key, one of ours or of this service's, if it is not revoked."""
    query = select(ApiKeyRow).where(
        ApiKeyRow.hash == tokens.hashed(key), ApiKeyRow.revoked_at.is_(None), ApiKeyRow.service.in_(("", str(service)))
    )
    return (await session.execute(query)).scalar_one_or_none()


async def of_source(session: AsyncSession, project: UUID, source: str, retired: bool = True) -> list[UUID]:
    """The monitors of this source, with or without those that are retired."""
    query = select(MonitorRow.id).where(MonitorRow.project_id == project, MonitorRow.source == source, MonitorRow.source != "")
    query = query if retired else query.where(MonitorRow.retired_at.is_(None), MonitorRow.status != Status.PAUSED)
    return list((await session.execute(query)).scalars())


async def retire(session: AsyncSession, project: UUID, those: Collection[UUID], at: datetime | None) -> None:
    """Note of these locked monitors when a sync paused them; None for those that came back."""
    rows = update(MonitorRow).where(MonitorRow.project_id == project, MonitorRow.id.in_(those))
    await session.execute(rows.values(retired_at=at))


async def made_by_hand(session: AsyncSession, project: UUID, slugs: Collection[str]) -> dict[str, UUID]:
    """The monitors with these slugs that no program calls by a name of its own."""
    if not slugs:
        return {}
    its = (AddressRow.project_id == project, AddressRow.monitor_id == MonitorRow.id, AddressRow.kind == str(Service.CELERY))
    query = select(MonitorRow.slug, MonitorRow.id).where(
        MonitorRow.project_id == project, MonitorRow.slug.in_(slugs), MonitorRow.slug != "", ~exists().where(*its)
    )
    return {slug: id_ for slug, id_ in await session.execute(query)}


async def slugs(session: AsyncSession, project: UUID) -> set[str]:
    """All slugs of the project. Under `monitors.one_namer` those that are derived from a name stay what they are."""
    query = select(MonitorRow.slug).where(MonitorRow.project_id == project, MonitorRow.slug != "")
    return set((await session.execute(query)).scalars())


async def make(
    session: AsyncSession, project: UUID, service: Service, made: Sequence[New], ears: Iterable[UUID], now: datetime
) -> None:
    """Make them all, each with its ping id, its alias and these channels."""
    rows = [monitors.row_of(project, new.id, new.state, now, {"slug": new.stands.slug, **_columns(new.stands)}) for new in made]
    aliases = [(str(service), alias_key(project, service, new.key), new.id) for new in made]
    await monitors.create_all(session, project, rows, ears, aliases)


def _columns(stands: Stands) -> dict[str, Any]:
    return {**{name: getattr(stands, name) for name in _TEXTS}, **rule_columns(stands.rule)}
