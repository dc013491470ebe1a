"""Projects and their keys."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, insert, literal_column, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import tokens
from app.domain.plan import PlanName, least, plan_of
from app.errors import Conflict, NotAllowed, NotFound
from app.store import addresses, keys, monitors
from app.store.row_security import confine
from app.store.tables import AddressRow, ApiKeyRow, ChannelRow, ProjectRow

REPORTER = text("""
    SELECT project_id, scope FROM api_keys WHERE hash = :hash AND revoked_at IS NULL AND service = ''
    UNION ALL
    SELECT project_id, 'ping' FROM addresses WHERE kind = 'ping_key' AND key = :key AND revoked_at IS NULL LIMIT 1""")

SUMMARIES = text("""
    SELECT p.id, p.name, p.plan, (SELECT count(*) FROM monitors m WHERE m.project_id = p.id),
        (SELECT count(*) FROM memberships s WHERE s.project_id = p.id)
    FROM projects p ORDER BY p.created_at, p.id""")


@dataclass(frozen=True, slots=True)
class NewProject:
    """A project just made, with its keys in clear: they are shown once."""

    id: UUID
    name: str
    api_key: str
    api_key_readonly: str
    ping_key: str


@dataclass(frozen=True, slots=True)
class Summary:
    """A project as the operator lists it."""

    id: UUID
    name: str
    plan: str
    monitors: int
    members: int


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports what happened: the project a key belongs to, and its scope; a project's ping key has the scope `ping`."""

    project: UUID
    scope: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the project a key belongs to, whether it may write, the key's id and its first letters; `use_is_due`: whether it
    is a minute since its use was noted."""

    project: UUID
    may_write: bool
    key: UUID
    hint: str
    use_is_due: bool


async def create_project(
    session: AsyncSession, name: str, email: str | None, now: datetime, monitor_limit: int | None = None,
    plan: PlanName = PlanName.UNLIMITED,
) -> NewProject:  # fmt: skip
    """A project with a read-write, a read-only and a ping key; with an address, its owner is told when all else fails."""
    id_, ping_key = await found_project(session, name, email, now, monitor_limit, plan)
    made = NewProject(id_, name, tokens.new_api_key("rw"), tokens.new_api_key("ro"), ping_key)
    for scope, key in (("rw", made.api_key), ("ro", made.api_key_readonly)):
        await keys.add(session, made.id, scope, key, now)
    return made


async def found_project(
    session: AsyncSession, name: str, email: str | None, now: datetime, monitor_limit: int | None = None,
    plan: PlanName = PlanName.UNLIMITED,
) -> tuple[UUID, str]:  # fmt: skip
    """A project with a ping key alone; returns its id and that key. With an address, its owner is told when all else fails."""
    id_, ping_key = uuid4(), tokens.new_ping_key()
    row = {"id": id_, "name": name, "owner_email": email, "ping_key": ping_key, "monitor_limit": monitor_limit}
    await session.execute(insert(ProjectRow).values(**row, plan=plan.value, created_at=now))
    await addresses.add(session, "ping_key", ping_key, id_)
    if email:
        await session.execute(
            insert(ChannelRow).values(
                project_id=id_,
                id=uuid4(),
                kind="email",
                name="owner",
                settings={"address": email},
                fallback=True,
                created_at=now,
            )
        )
    return id_, ping_key


async def caller(session: AsyncSession, key: str) -> Caller:
    """The project that an API key opens, to which the transaction is kept from now on. Raises NotAllowed for a key unknown or
    revoked, one that may only ping, and those of other services."""
    if tokens.looks_like_api_key(key):
        minute_ago: ColumnElement[datetime] = literal_column("missedbeat_now() - interval '1 minute'")
        due = or_(ApiKeyRow.last_used_at.is_(None), ApiKeyRow.last_used_at <= minute_ago)
        query = select(ApiKeyRow, due, confine(ApiKeyRow.project_id)).where(
            ApiKeyRow.hash == tokens.hashed(key),
            ApiKeyRow.revoked_at.is_(None),
            ApiKeyRow.service == "",
            ApiKeyRow.scope.in_(("rw", "ro")),
        )
        found = (await session.execute(query)).one_or_none()
        if found is not None:
            row, use_is_due, _ = found
            return Caller(row.project_id, row.scope == "rw", row.id, row.hint, use_is_due)
    raise NotAllowed("wrong api key")


async def reporter(session: AsyncSession, key: str) -> Reporter:
    """The project that a key of ours, or a project's ping key, speaks for. Raises NotAllowed for a key unknown or revoked, and
    those of other services."""
    if "\0" not in key:
        found = (await session.execute(REPORTER, {"hash": tokens.hashed(key), "key": key})).first()
        if found is not None:
            return Reporter(*found)
    raise NotAllowed("wrong api key")


async def project(session: AsyncSession, project_id: UUID, lock: bool = False) -> ProjectRow:
    """A project that was found just now. Raises NotFound where it is gone meanwhile."""
    query = select(ProjectRow).where(ProjectRow.id == project_id)
    query = query.with_for_update(key_share=True) if lock else query
    row = (await session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()
    if row is None:
        raise NotFound("not found")
    return row


async def rename(session: AsyncSession, project_id: UUID, name: str) -> None:
    """Call it something else."""
    await session.execute(update(ProjectRow).where(ProjectRow.id == project_id).values(name=name))


async def set_plan(session: AsyncSession, project_id: UUID, plan: PlanName) -> str | None:
    """Put it on a plan; returns the one that it was on, None where there is no such project."""
    query = select(ProjectRow.plan).where(ProjectRow.id == project_id)
    before = (await session.execute(query.with_for_update(key_share=True))).scalar_one_or_none()
    await session.execute(update(ProjectRow).where(ProjectRow.id == project_id).values(plan=plan.value))
    return before


async def summaries(session: AsyncSession) -> list[Summary]:
    """All projects, the oldest first."""
    return [Summary(*row) for row in (await session.execute(SUMMARIES)).all()]


async def set_ping_key(session: AsyncSession, project_id: UUID, key: str | None, now: datetime) -> None:
    """From now on pings by slug are heard by this key, or none; the one before opens nothing any more. Of two at once the
    later counts. A key that this project had before is taken back. Raises Conflict for one that another has or had."""
    before = (await project(session, project_id, lock=True)).ping_key
    if key is not None and key == before:
        return
    if before is not None:
        await addresses.revoke(session, "ping_key", before, now)
    if key is not None and not await _take(session, project_id, key):
        raise Conflict('this key cannot be used: let one be made, with "new"')
    await session.execute(update(ProjectRow).where(ProjectRow.id == project_id).values(ping_key=key))


async def _take(session: AsyncSession, project_id: UUID, key: str) -> bool:
    """Whether the ping key leads to this project from now on: new to all, or one that it had before."""
    mine = (AddressRow.kind == "ping_key", AddressRow.key == key, AddressRow.project_id == project_id)
    back = await session.execute(update(AddressRow).where(*mine).values(revoked_at=None).returning(AddressRow.key))
    return back.first() is not None or await addresses.add_unless_taken(session, "ping_key", key, project_id, None)


async def has_room(session: AsyncSession, project_id: UUID) -> bool:
    """Whether one more monitor fits into the project's limit. Nobody else makes one as `room` says."""
    left = await room(session, project_id)
    return left is None or left > 0


async def room(session: AsyncSession, project_id: UUID, times: int = 1) -> int | None:
    """How many more monitors fit into the project's limit, so many times over; None for any number. Where there is a limit,
    nobody else makes one in this project until this transaction ends."""
    limit = monitor_limit(await project(session, project_id))
    if limit is None:
        return None
    await monitors.one_namer(session, project_id)
    return max(0, limit * times - await monitors.count(session, project_id))


def monitor_limit(row: ProjectRow) -> int | None:
    """How many monitors it may have: the stricter of its own limit and its plan's; None for any number."""
    return least(row.monitor_limit, plan_of(row.plan).monitors)


async def log_limit(session: AsyncSession, project_id: UUID, service: int) -> int:
    """How many check-ins of each monitor are shown, where the service as a whole shows so many."""
    return least(service, plan_of((await project(session, project_id)).plan).log) or service


async def any_project(session: AsyncSession) -> bool:
    """Whether there is a project yet; the first start makes one."""
    return (await session.execute(select(ProjectRow.id).limit(1))).first() is not None
