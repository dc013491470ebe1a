"""Deleting a project, with a week to repent. Until it is over everything goes on as before: a deletion by mistake must not miss a
dead job. All members are written to; only owners delete and keep."""

from datetime import datetime
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.audit_action import AuditAction
from app.domain.letter import LetterKind, compose
from app.domain.role import Action, Role
from app.errors import Conflict, Forbidden
from app.manage import team
from app.manage.access import Member, PageRoutes
from app.manage.acting import Person
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import day, go_to, render
from app.manage.team import Team
from app.store import audit_entries, deletions, letters
from app.store.audit_entries import Actor, Entry
from app.visitor import Fresh
from app.web import House, Now, Session, Shared

pages = PageRoutes()


@pages.get("/projects/{project}/delete", Action.DELETE)
async def delete_page(request: Request, member: Member, visitor: Fresh) -> Response:
    """Asks for its name; of one that was deleted, whether to keep it."""
    return render(request, "project_delete.html", member=member, form=Form())


@pages.post("/projects/{project}/delete", Action.DELETE)
async def delete(
    request: Request, form: Sent, member: Member, visitor: Fresh, actor: Person, house: House, session: Session, now: Now
) -> Response:
    """It goes in a week."""
    those = await _locked(session, member.project, actor)
    if " ".join(form.text("name").split()) != " ".join(those.project.name.split()):
        form.refuse("name", "this is not its name")
        return render(request, "project_delete.html", 400, member=member, form=form)
    if those.project.delete_at is None:
        at = now + deletions.WEEK
        await deletions.mark(session, member.project, at)
        entry = Entry(AuditAction.PROJECT_DELETING, those.project.name, member.project, {"at": at.isoformat()})
        await audit_entries.write(session, actor, entry, now)
        await _tell(session, house, those, LetterKind.PROJECT_DELETING, now, until=day(at))
    return go_to(request, f"/projects/{member.project}/settings")


@pages.post("/projects/{project}/keep", Action.DELETE)
async def keep(request: Request, member: Member, actor: Person, house: House, session: Session, now: Now) -> Response:
    """It stays after all. Raises Conflict once it is on its way out."""
    those = await _locked(session, member.project, actor)
    at = those.project.delete_at
    if at is not None and at <= now:
        raise Conflict("it is too late: the week is over, and the project is being deleted")
    if at is not None:
        await deletions.mark(session, member.project, None)
        await audit_entries.write(session, actor, Entry(AuditAction.PROJECT_KEPT, those.project.name, member.project), now)
        await _tell(session, house, those, LetterKind.PROJECT_KEPT, now)
    return go_to(request, f"/projects/{member.project}/settings")


async def _locked(session: AsyncSession, member_project: UUID, actor: Actor) -> Team:
    """The project, and that whoever acts is its owner still."""
    those = await team.locked(session, member_project, actor)
    if those.mine.role is not Role.OWNER:
        raise Forbidden("only an owner may do this")
    return those


async def _tell(session: AsyncSession, house: Shared, those: Team, kind: LetterKind, now: datetime, until: str = "") -> None:
    """All members, whoever did it too."""
    name, link = those.project.name, f"{house.base_url}/projects/{those.project.id}"
    letter = compose(kind, host=house.host, link=link, name=name, by=those.mine.email, until=until)
    for member in those.members if house.sends_mail else ():
        await letters.write(session, house.vault, letter, member.email, deletions.WEEK, now)
