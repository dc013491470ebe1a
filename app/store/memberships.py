"""What people may do in which project."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.role import Role
from app.store.tables import MembershipRow, ProjectRow


@dataclass(frozen=True, slots=True)
class Membership:
    """A project that somebody is a member of. `delete_at`: when it goes, unless somebody repents."""

    project: UUID
    name: str
    role: Role
    delete_at: datetime | None


async def find(session: AsyncSession, project: UUID, user: UUID) -> Membership | None:
    """What somebody is in a project; None both where there is no such project and where it is not theirs."""
    return next(iter(await _found(session, MembershipRow.user_id == user, MembershipRow.project_id == project)), None)


async def of_user(session: AsyncSession, user: UUID) -> list[Membership]:
    """All projects of a person, by name."""
    return await _found(session, MembershipRow.user_id == user)


async def add(session: AsyncSession, project: UUID, user: UUID, role: Role, now: datetime) -> None:
    """Somebody joins."""
    await session.execute(insert(MembershipRow).values(project_id=project, user_id=user, role=role.value, created_at=now))


async def adopt(session: AsyncSession, user: UUID, now: datetime) -> int:
    """Make somebody the owner of every project that has no member; returns how many. For the first user of a service alone:
    whoever has a shell on it made those projects."""
    nobodys = select(ProjectRow.id, literal(user), literal(Role.OWNER.value), literal(now)).where(
        ~select(MembershipRow.user_id).where(MembershipRow.project_id == ProjectRow.id).exists()
    )
    names = ["project_id", "user_id", "role", "created_at"]
    made = await session.execute(insert(MembershipRow).from_select(names, nobodys).returning(MembershipRow.project_id))
    return len(made.all())


async def _found(session: AsyncSession, *conditions: object) -> list[Membership]:
    query = select(ProjectRow.id, ProjectRow.name, MembershipRow.role, ProjectRow.delete_at)
    query = query.join(MembershipRow, MembershipRow.project_id == ProjectRow.id).where(*conditions)  # type: ignore[arg-type]
    rows = await session.execute(query.order_by(ProjectRow.name, ProjectRow.id))
    return [Membership(project, name, Role(role), delete_at) for project, name, role, delete_at in rows]
