"""Monitors as rows: found, locked, written. The state is written only under the row lock."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.slug import free
from app.domain.state import Decision, Monitor, Rule
from app.domain.tokens import unique_key
from app.errors import Invalid, NotFound
from app.store import addresses, removed
from app.store.rows import COLUMN_NAMES, COLUMNS, NO_FILTERS, STATE, Locked, locked, rule_columns, state_of
from app.store.tables import AddressRow, MonitorRow, SubscriptionRow
from app.store.together import Asked, Row, ask, nothing
from app.store.unnest import array, arrays, insert_all, picked, unnest

SET_ASIDE_FOR = timedelta(hours=1)
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, Invalid)
"""What reading or judging a row that makes no sense may raise."""
NAMER = 0x6D69_7373  # the space of the advisory locks, one for each project, of those who look for a free name
Named = tuple[str, str, UUID]  # kind, key, monitor
_KEY = {"project_id": "uuid", "id": "uuid"}
_SAVED = {**_KEY, **STATE}

LOCK = text(f"""
    SELECT {COLUMNS} FROM monitors m JOIN {unnest(_KEY)} ON (m.project_id, m.id) = (v.project_id, v.id)
    ORDER BY m.id FOR NO KEY UPDATE OF m""")  # noqa: S608
LOCK_FREE = text(f"{LOCK.text} SKIP LOCKED")
LOCK_DUE = text(f"""
    SELECT {COLUMNS} FROM monitors m
    WHERE m.wake_at < :horizon AND m.deadline < :horizon AND m.beat_of = ''
        AND (m.set_aside_until IS NULL OR m.set_aside_until < :horizon)
    ORDER BY m.wake_at LIMIT :limit FOR NO KEY UPDATE OF m SKIP LOCKED""")  # noqa: S608
REWAKE = text("""
    UPDATE monitors SET wake_at = deadline WHERE (project_id, id) IN (
        SELECT project_id, id FROM monitors
        WHERE wake_at < :horizon AND (deadline IS NULL OR deadline >= :horizon)
        ORDER BY wake_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED)""")
SAVE = text(f"""
    UPDATE monitors m SET ({", ".join(STATE)}, set_aside_until, set_aside_why) = ROW({picked(STATE)}, NULL, NULL)
    FROM {unnest(_SAVED)} WHERE (m.project_id, m.id) = (v.project_id, v.id)""")  # noqa: S608


async def lock(session: AsyncSession, keys: Sequence[tuple[UUID, UUID]], patient: bool = True) -> dict[UUID, Locked]:
    """Lock these monitors, (project, id) each, in order of id, as everybody does; those that are gone are not in the answer.
    Impatient, those that somebody else holds are not in it either."""
    return {row["id"]: locked(row) for row in await _lock(session, keys, patient)}


async def lock_readable(
    session: AsyncSession, keys: Sequence[tuple[UUID, UUID]]
) -> tuple[dict[UUID, Locked], list[tuple[dict[str, Any], Exception]]]:
    """The same, but a row that makes no sense stops none of the others: these stand apart, raw, each with what is wrong."""
    good: dict[UUID, Locked] = {}
    bad: list[tuple[dict[str, Any], Exception]] = []
    for row in await _lock(session, keys, patient=True):
        try:
            good[row["id"]] = locked(row)
        except UNREADABLE as error:
            bad.append((row, error))
    return good, bad


async def _lock(session: AsyncSession, keys: Sequence[tuple[UUID, UUID]], patient: bool) -> list[dict[str, Any]]:
    given = {"project_id": array("uuid", [project for project, _ in keys]), "id": array("uuid", [id_ for _, id_ in keys])}
    return await ask(session, Asked(LOCK if patient else LOCK_FREE, given, _named))


def _named(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [dict(zip(COLUMN_NAMES, row, strict=True)) for row in rows]


async def lock_one(session: AsyncSession, project: UUID, monitor: UUID) -> Locked:
    """Lock one monitor of this project. Raises NotFound for any other id."""
    found = await lock(session, [(project, monitor)])
    if monitor not in found:
        raise NotFound("not found")
    return found[monitor]


async def lock_due(session: AsyncSession, horizon: datetime, limit: int) -> list[dict[str, Any]]:
    """Rows, locked, of monitors whose deadline lies before the horizon; those another sweeper holds are passed over. Schedulers'
    own are not among them: they are judged with all that waits for them (`holding.py`).

    Raw: one bad row must not stop the others, so the caller reads each by itself (`rows.locked`).
    """
    rows = await session.execute(LOCK_DUE, {"horizon": horizon, "limit": limit})
    return [dict(row) for row in rows.mappings()]


async def rewake(session: AsyncSession, horizon: datetime, limit: int) -> int:
    """Put off the look at monitors that were heard of meanwhile (`wake_at` passed, deadline not); returns how many."""
    result = await session.execute(REWAKE, {"horizon": horizon, "limit": limit})
    return int(result.rowcount)  # type: ignore[attr-defined]


async def set_aside(session: AsyncSession, project: UUID, monitor: UUID, until: datetime, why: str) -> None:
    """Leave a row that cannot be judged alone until then, so that it stops nobody else."""
    row = update(MonitorRow).where(MonitorRow.project_id == project, MonitorRow.id == monitor)
    await session.execute(row.values(set_aside_until=until, set_aside_why=why[:500]))


def saving(saved: Sequence[tuple[Locked, Decision]]) -> list[Asked[None]]:
    """Write the new states of locked monitors, in one statement."""
    rows = [{"project_id": r.project_id, "id": r.id, **state_of(r, decision.monitor)} for r, decision in saved]
    return [Asked(SAVE, arrays(_SAVED, rows), nothing)] if rows else []


async def create(session: AsyncSession, project: UUID, monitor: UUID, rule: Rule, now: datetime, names: dict[str, Any]) -> None:
    """A new monitor with its address. `names`: name, slug, tags, description, methods, filters, source, zone. A slug already
    taken is a violation of `monitors_slug`, which the caller turns into words."""
    await session.execute(insert(MonitorRow).values(row_of(project, monitor, Monitor(rule), now, names)))
    await addresses.add(session, "ping", str(monitor), project, monitor)


async def create_all(
    session: AsyncSession, project: UUID, rows: Sequence[dict[str, Any]], ears: Iterable[UUID], more: Sequence[Named] = ()
) -> None:
    """New monitors (`row_of`), each with its ping id and these channels, and more addresses of theirs, in three statements."""
    if not rows:
        return
    made = [row["id"] for row in rows]
    named = [*(("ping", str(monitor), monitor) for monitor in made), *more]
    places = [{"kind": kind, "key": key, "project_id": project, "monitor_id": monitor} for kind, key, monitor in named]
    await insert_all(session, MonitorRow, rows)
    await insert_all(session, AddressRow, places)
    listening = [{"project_id": project, "monitor_id": monitor, "channel_id": channel} for channel in ears for monitor in made]
    await insert_all(session, SubscriptionRow, listening)


def row_of(project: UUID, monitor: UUID, state: Monitor, now: datetime, names: dict[str, Any]) -> dict[str, Any]:
    """All columns of a new monitor."""
    blank = Locked(project, monitor, "", "", "", "", "", NO_FILTERS, None, state)
    key = {"project_id": project, "id": monitor, "unique_key": unique_key(monitor), "created_at": now}
    return {**key, "zone": "UTC", **names, **rule_columns(state.rule), **state_of(blank, state)}


async def create_unless_taken(
    session: AsyncSession, project: UUID, monitor: UUID, rule: Rule, now: datetime, names: dict[str, Any],
    alias: tuple[str, str],
) -> bool:  # fmt: skip
    """As `create`, with an alias (service, token) too; where another has that or the slug nothing is made and this is False."""
    async with session.begin_nested() as savepoint:
        try:
            await create(session, project, monitor, rule, now, names)
            key = addresses.alias_key(project, *alias)
            if not await addresses.add_unless_taken(session, alias[0], key, project, monitor):
                await savepoint.rollback()
                return False
        except IntegrityError as error:
            if "monitors_slug" not in str(error.orig):
                raise
            await savepoint.rollback()
            return False
    return True


async def edit(session: AsyncSession, project: UUID, monitor: UUID, columns: dict[str, Any]) -> None:
    """Write names or rule of a locked monitor; its state is written by `save`."""
    if columns:
        row = update(MonitorRow).where(MonitorRow.project_id == project, MonitorRow.id == monitor)
        await session.execute(row.values(**columns))


async def remove(session: AsyncSession, project: UUID, monitor: UUID, now: datetime) -> None:
    """Delete a locked monitor and its addresses. What it was heard to say is dropped with the days, its history after a while."""
    await removed.note(session, project, monitor, now)
    await session.execute(delete(AddressRow).where(AddressRow.project_id == project, AddressRow.monitor_id == monitor))
    await session.execute(delete(MonitorRow).where(MonitorRow.project_id == project, MonitorRow.id == monitor))


async def free_slug(session: AsyncSession, project: UUID, wanted: str, own: UUID | None = None) -> str:
    """`wanted`, or where it is taken by another monitor `wanted-2`, `wanted-3` and so on; none stays none."""
    if not wanted:
        return ""
    taken = select(MonitorRow.slug).where(
        MonitorRow.project_id == project,
        MonitorRow.id != (own or UUID(int=0)),
        MonitorRow.slug.startswith(wanted[:90], autoescape=True),
    )
    return free(wanted, set((await session.execute(taken)).scalars()))


async def one_namer(session: AsyncSession, project: UUID) -> None:
    """Until this transaction ends nobody else looks for a name in this project, to take it where it is free."""
    lock = text("SELECT pg_advisory_xact_lock(:space, hashtext(:project))")
    await session.execute(lock, {"space": NAMER, "project": str(project)})


async def count(session: AsyncSession, project: UUID) -> int:
    """How many monitors the project has."""
    query = select(func.count()).select_from(MonitorRow).where(MonitorRow.project_id == project)
    return int((await session.execute(query)).scalar_one())


async def statuses(session: AsyncSession, project: UUID, wanted: Sequence[UUID]) -> dict[UUID, str]:
    """Those of these monitors that the project has, each with its status."""
    query = select(MonitorRow.id, MonitorRow.status).where(MonitorRow.project_id == project, MonitorRow.id.in_(wanted))
    return {monitor: status for monitor, status in await session.execute(query)}


async def alike(session: AsyncSession, project: UUID, columns: dict[str, Any]) -> MonitorRow | None:
    """The oldest monitor of the project with these values. Under `one_namer` nobody makes another meanwhile."""
    mine = [MonitorRow.project_id == project, *(getattr(MonitorRow, column) == value for column, value in columns.items())]
    query = select(MonitorRow).where(*mine).order_by(MonitorRow.created_at, MonitorRow.id).limit(1)
    return (await session.execute(query)).scalar_one_or_none()


async def get(session: AsyncSession, project: UUID, monitor: UUID) -> MonitorRow:
    """One monitor of this project. Raises NotFound for any other id."""
    row = await session.get(MonitorRow, (project, monitor), populate_existing=True)
    if row is None:
        raise NotFound("not found")
    return row


async def by_unique_key(session: AsyncSession, project: UUID, key: str) -> MonitorRow:
    """One monitor of this project by the name that does not tell its ping id. Raises NotFound."""
    query = select(MonitorRow).where(MonitorRow.project_id == project, MonitorRow.unique_key == key)
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None:
        raise NotFound("not found")
    return row


async def subscribe(session: AsyncSession, project: UUID, monitor: UUID, channels: Sequence[UUID]) -> None:
    """From now on exactly these channels hear of the monitor."""
    mine = (SubscriptionRow.project_id == project, SubscriptionRow.monitor_id == monitor)
    await session.execute(delete(SubscriptionRow).where(*mine))
    rows = [{"project_id": project, "monitor_id": monitor, "channel_id": channel} for channel in channels]
    await insert_all(session, SubscriptionRow, rows)


async def subscribed(session: AsyncSession, project: UUID, monitor: UUID) -> list[UUID]:
    """The channels that hear of it."""
    query = select(SubscriptionRow.channel_id).where(SubscriptionRow.project_id == project, SubscriptionRow.monitor_id == monitor)
    return list((await session.execute(query)).scalars())
