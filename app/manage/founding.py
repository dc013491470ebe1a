"""How a project comes to its first owner, a new one or one that had none, and what its log says of that. Nothing here commits."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.audit_action import AuditAction
from app.domain.plan import PlanName
from app.domain.role import Role
from app.store import accounts, audit_entries, memberships
from app.store.audit_entries import Actor, Entry


async def found(session: AsyncSession, name: str, owner: UUID, actor: Actor, plans: bool, now: datetime) -> UUID:
    """A project that somebody owns; returns its id. `plans`: whether the service has plans, and it begins on the free one."""
    plan = PlanName.FREE if plans else PlanName.UNLIMITED
    project, _ = await accounts.found_project(session, name, None, now, plan=plan)
    await memberships.add(session, project, owner, Role.OWNER, now)
    await audit_entries.write(session, actor, Entry(AuditAction.PROJECT_CREATED, name, project, {"plan": plan.value}), now)
    return project


async def adopt(session: AsyncSession, owner: UUID, actor: Actor, email: str, now: datetime) -> int:
    """Every project that has no member is theirs, for they are the first user of the service; returns how many."""
    adopted = await memberships.adopt(session, owner, now)
    for project in adopted:
        entry = Entry(AuditAction.MEMBER_JOINED, email, project, {"role": Role.OWNER.value})
        await audit_entries.write(session, actor, entry, now)
    return len(adopted)
