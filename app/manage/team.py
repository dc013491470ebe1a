"""Who is in a project: members change, go and come, always under the project's row lock, so that of two at once the second sees
what the first did, and one member stays its owner. Nothing here commits."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import mailbox
from app.domain.audit_action import AuditAction
from app.domain.plan import PEOPLE, plan_of
from app.domain.role import Action, Role, may, may_change
from app.errors import Conflict, Forbidden, NotFound, OverLimit
from app.store import accounts, audit_entries, invitations, memberships
from app.store.audit_entries import Actor, Entry
from app.store.memberships import Member
from app.store.tables import InvitationRow, ProjectRow

MOST_INVITED = 50


@dataclass(frozen=True, slots=True)
class Team:
    """A project, locked, with everybody in it, and who acts."""

    project: ProjectRow
    members: list[Member]
    actor: Actor

    @property
    def mine(self) -> Member:
        """Whoever acts. Raises NotFound where they were removed just now."""
        return self.member(self.actor.user)

    def member(self, user: UUID | None) -> Member:
        """Somebody of the project. Raises NotFound for anybody else."""
        found = next((member for member in self.members if member.user == user), None)
        if found is None:
            raise NotFound("not found")
        return found

    def keep_an_owner(self, gone: Member) -> None:
        """Raises Conflict where nobody else is an owner."""
        if not any(member.role is Role.OWNER and member.user != gone.user for member in self.members):
            raise Conflict("a project needs an owner: make another member one first")


async def locked(session: AsyncSession, project: UUID, actor: Actor) -> Team:
    """Nobody else changes who is in the project until this transaction ends. Raises NotFound where it is gone."""
    row = await accounts.project(session, project, lock=True)
    return Team(row, await memberships.members(session, project), actor)


async def change_role(session: AsyncSession, team: Team, user: UUID, role: Role, now: datetime) -> None:
    """Make a member something else. Raises NotFound, Forbidden, and Conflict for the last owner."""
    member, mine = team.member(user), team.mine.role
    if not may_change(mine, member.role, role):
        raise Forbidden(
            f"you are a {mine.value} of this project, and may not change the role {member.role.value} to {role.value}"
        )
    if member.role is role:
        return
    if member.role is Role.OWNER:
        team.keep_an_owner(member)
    await memberships.set_role(session, team.project.id, user, role)
    action = AuditAction.PROJECT_TRANSFERRED if role is Role.OWNER else AuditAction.MEMBER_ROLE_CHANGED
    details = {"from": member.role.value, "to": role.value}
    await audit_entries.write(session, team.actor, Entry(action, member.email, team.project.id, details), now)


async def remove(session: AsyncSession, team: Team, user: UUID, now: datetime) -> None:
    """Take a member out, or leave oneself, which all may. Raises NotFound, Forbidden, and Conflict for the last owner."""
    member, leaves = team.member(user), user == team.mine.user
    if not leaves and not may_change(team.mine.role, member.role, None):
        raise Forbidden(
            f"you are a {team.mine.role.value} of this project, and may not remove a member with the role {member.role.value}"
        )
    if member.role is Role.OWNER:
        team.keep_an_owner(member)
    await memberships.remove(session, team.project.id, user)
    action = AuditAction.MEMBER_LEFT if leaves else AuditAction.MEMBER_REMOVED
    await audit_entries.write(session, team.actor, Entry(action, member.email, team.project.id), now)


async def invite(session: AsyncSession, team: Team, email: str, role: Role, now: datetime) -> str:
    """Offer a place to an address, anew where one was offered; returns the secret of the link. Raises Forbidden, Conflict for
    who is a member, and OverLimit where there is no place."""
    if not may(team.mine.role, Action.EDIT_MEMBERS) or not team.mine.role.covers(role):
        raise Forbidden(f"you are a {team.mine.role.value} of this project, and may not invite with the role {role.value}")
    if any(mailbox.key_of(member.email) == mailbox.key_of(email) for member in team.members):
        raise Conflict(f"{email} is a member already")
    offered = await invitations.count(session, team.project.id, now, but=email)
    if offered >= MOST_INVITED:
        raise OverLimit(f"{MOST_INVITED} invitations are open: revoke one first")
    _make_room(team, offered)
    secret = await invitations.make(session, team.project.id, email, role, team.mine.user, now)
    entry = Entry(AuditAction.MEMBER_INVITED, email, team.project.id, {"role": role.value})
    await audit_entries.write(session, team.actor, entry, now)
    return secret


async def revoke(session: AsyncSession, team: Team, invitation: UUID, now: datetime) -> None:
    """Take an offer back. Raises NotFound, and Forbidden for one of a place above one's own."""
    row = await offer(session, team, invitation)
    await invitations.revoke(session, row, now)
    await audit_entries.write(session, team.actor, Entry(AuditAction.INVITATION_REVOKED, row.email, team.project.id), now)


async def offer(session: AsyncSession, team: Team, invitation: UUID) -> InvitationRow:
    """An offer that stands. Raises NotFound, and Forbidden for one of a place above one's own."""
    row = await invitations.find(session, team.project.id, invitation)
    if row is None:
        raise NotFound("not found")
    if not may_change(team.mine.role, Role(row.role), None):
        raise Forbidden(
            f"you are a {team.mine.role.value} of this project, and may not change an invitation with the role {row.role}"
        )
    return row


async def accept(session: AsyncSession, secret: str, actor: Actor, email: str, now: datetime) -> UUID:
    """Take the place that a link offers; returns the project, for whoever is in it already too. Raises NotFound for a link that
    is none, Conflict for one that opens nothing any more, Forbidden for another's, OverLimit where the project is full."""
    found = await invitations.of_secret(session, secret)
    if found is None:
        raise NotFound("not found")
    team = await locked(session, found.project_id, actor)
    row = await invitations.of_secret(session, secret)
    if row is None or row.email_key != mailbox.key_of(email):
        raise Forbidden("this invitation is for another address")
    if any(member.user == actor.user for member in team.members):
        if row.accepted_at is None and row.revoked_at is None:
            await invitations.accept(session, row, now)
        return team.project.id
    problem = why_shut(row, now)
    if problem or actor.user is None:
        raise Conflict(problem or "sign in first")
    _make_room(team, 0)
    await memberships.add(session, team.project.id, actor.user, Role(row.role), now)
    await invitations.accept(session, row, now)
    entry = Entry(AuditAction.MEMBER_JOINED, email, team.project.id, {"role": row.role})
    await audit_entries.write(session, actor, entry, now)
    return team.project.id


def why_shut(row: InvitationRow, now: datetime) -> str:
    """Why it cannot be accepted any more; empty where it can."""
    if row.accepted_at is not None:
        return "this invitation was accepted already"
    if row.revoked_at is not None:
        return "this invitation was taken back, or another was sent in its place"
    return "this invitation ran out: ask for another" if row.expires_at <= now else ""


def _make_room(team: Team, offered: int) -> None:
    most = plan_of(team.project.plan).members
    if most is not None and len(team.members) + offered >= most:
        raise OverLimit(f"the plan of this project allows {most} {PEOPLE}: there is no room for more")
