"""What people may do in which project."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, delete, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.domain.role import RANKS, Role
from app.store.row_security import confine
from app.store.tables import MembershipRow, ProjectRow, UserRow


@dataclass(frozen=True, slots=True)
class Membership:
    """A project that somebody is a member of. `delete_at`: when it goes, unless somebody repents."""

    project: UUID
    name: str
    role: Role
    delete_at: datetime | None


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a project."""

    user: UUID
    email: str
    role: Role
    joined_at: datetime


async def find(session: AsyncSession, project: UUID, user: UUID) -> Membership | None:
    """What somebody is in a project, to which the transaction is kept from now on; None both where there is no such project and
    where it is not theirs."""
    found = await _found(session, MembershipRow.user_id == user, MembershipRow.project_id == project, confined=True)
    return next(iter(found), None)


async def of_user(session: AsyncSession, user: UUID) -> list[Membership]:
    """All projects of a person, by name."""
    return await _found(session, MembershipRow.user_id == user)


async def add(session: AsyncSession, project: UUID, user: UUID, role: Role, now: datetime) -> None:
    """Somebody joins."""
    await session.execute(insert(MembershipRow).values(project_id=project, user_id=user, role=role.value, created_at=now))


async def members(session: AsyncSession, project: UUID) -> list[Member]:
    """Everybody in a project, who is most first. Under the project's lock nobody joins, leaves or changes meanwhile."""
    query = select(UserRow.id, UserRow.email, MembershipRow.role, MembershipRow.created_at)
    query = query.join(MembershipRow, MembershipRow.user_id == UserRow.id).where(MembershipRow.project_id == project)
    found = [Member(user, email, Role(role), at) for user, email, role, at in await session.execute(query)]
    return sorted(found, key=lambda member: (-RANKS[member.role], member.email.lower()))


async def count(session: AsyncSession, project: UUID) -> int:
    """How many they are."""
    query = select(func.count()).select_from(MembershipRow).where(MembershipRow.project_id == project)
    return (await session.execute(query)).scalar_one()


async def owned(session: AsyncSession, user: UUID) -> int:
    """How many projects somebody is an owner of."""
    query = select(func.count()).select_from(MembershipRow)
    owns = (MembershipRow.user_id == user, MembershipRow.role == Role.OWNER.value)
    return (await session.execute(query.where(*owns))).scalar_one()


async def one_founder(session: AsyncSession, user: UUID) -> None:
    """Until this transaction ends nobody makes another project for this person."""
    await session.execute(select(UserRow.id).where(UserRow.id == user).with_for_update(key_share=True))


async def set_role(session: AsyncSession, project: UUID, user: UUID, role: Role) -> None:
    """What a member is from now on. Under the project's lock, for one must stay its owner."""
    mine = (MembershipRow.project_id == project, MembershipRow.user_id == user)
    await session.execute(update(MembershipRow).where(*mine).values(role=role.value))


async def remove(session: AsyncSession, project: UUID, user: UUID) -> None:
    """From now on it is not theirs. Under the project's lock, for one must stay its owner."""
    mine = (MembershipRow.project_id == project, MembershipRow.user_id == user)
    await session.execute(delete(MembershipRow).where(*mine))


async def adopt(session: AsyncSession, user: UUID, now: datetime) -> list[UUID]:
    """Make somebody the owner of every project that has no member; returns those. For the first user of a service alone:
    whoever has a shell on it made those projects."""
    nobodys = select(ProjectRow.id, literal(user), literal(Role.OWNER.value), literal(now)).where(
        ~select(MembershipRow.user_id).where(MembershipRow.project_id == ProjectRow.id).exists()
    )
    names = ["project_id", "user_id", "role", "created_at"]
    made = await session.execute(insert(MembershipRow).from_select(names, nobodys).returning(MembershipRow.project_id))
    return list(made.scalars())


@dataclass(frozen=True, slots=True)
class Company:
    """A project of somebody, and who else is in it."""

    project: UUID
    name: str
    role: Role
    others: int
    other_owners: int


async def company(session: AsyncSession, user: UUID, lock: bool = False) -> list[Company]:
    """All projects of a person, with whom they share each; `lock`: and nobody joins, leaves or is made something else in one
    until this transaction ends."""
    mine = select(MembershipRow.project_id).where(MembershipRow.user_id == user)
    if lock:
        locked = select(ProjectRow.id).where(ProjectRow.id.in_(mine)).order_by(ProjectRow.id)
        await session.execute(locked.with_for_update(key_share=True))
    theirs = aliased(MembershipRow)
    is_owner = theirs.role == Role.OWNER.value
    query = (
        select(ProjectRow.id, ProjectRow.name, MembershipRow.role, func.count(theirs.user_id),
               func.count(theirs.user_id).filter(is_owner))
        .join(MembershipRow, MembershipRow.project_id == ProjectRow.id)
        .outerjoin(theirs, and_(theirs.project_id == ProjectRow.id, theirs.user_id != user))
        .where(MembershipRow.user_id == user)
        .group_by(ProjectRow.id, ProjectRow.name, MembershipRow.role)
        .order_by(ProjectRow.name, ProjectRow.id)
    )  # fmt: skip
    rows = await session.execute(query)
    return [Company(project, name, Role(role), others, owners) for project, name, role, others, owners in rows]


async def delete_projects_of(session: AsyncSession, user: UUID, now: datetime) -> int:
    """Those that nobody but this person is in are due to go, now: the worker deletes what is due. Returns how many."""
    theirs = aliased(MembershipRow)
    mine = select(MembershipRow.project_id).where(MembershipRow.user_id == user)
    shared = select(theirs.project_id).where(theirs.user_id != user, theirs.project_id == ProjectRow.id)
    due = update(ProjectRow).where(ProjectRow.id.in_(mine), ~shared.exists()).values(delete_at=now).returning(ProjectRow.id)
    return len((await session.execute(due)).all())


async def _found(session: AsyncSession, *conditions: object, confined: bool = False) -> list[Membership]:
    project = confine(ProjectRow.id) if confined else ProjectRow.id
    query = select(project, ProjectRow.name, MembershipRow.role, ProjectRow.delete_at)
    query = query.join(MembershipRow, MembershipRow.project_id == ProjectRow.id).where(*conditions)  # type: ignore[arg-type]
    rows = await session.execute(query.order_by(ProjectRow.name, ProjectRow.id))
    return [Membership(project, name, Role(role), delete_at) for project, name, role, delete_at in rows]
