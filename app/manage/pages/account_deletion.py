"""Deleting an account: refused while a project of others would be left without an owner; projects of theirs alone go with it."""

from dataclasses import dataclass

from fastapi import Request, Response

from app.domain.audit_action import AuditAction
from app.domain.role import Role
from app.manage.access import SIGNED_IN, PageRoutes
from app.manage.acting import Person
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, render
from app.store import audit_entries, memberships, users
from app.store.audit_entries import Entry
from app.store.memberships import Company
from app.store.user_sessions import Visitor
from app.visitor import Fresh, clear_cookie
from app.web import House, Now, Session

pages = PageRoutes()


@dataclass(frozen=True, slots=True)
class Standing:
    """What hangs on an account: projects that others are in and nobody else owns, and those that nobody else is in."""

    needed: list[Company]
    alone: list[str]


@pages.get("/account/delete", SIGNED_IN)
async def delete_page(request: Request, visitor: Fresh, session: Session) -> Response:
    """What goes, what keeps it from going, and the form."""
    return _form(request, Form(), await _standing(session, visitor))


@pages.post("/account/delete", SIGNED_IN)
async def delete(
    request: Request, form: Sent, visitor: Fresh, actor: Person, session: Session, house: House, now: Now
) -> Response:
    """Everything of theirs is gone at once. Their projects are locked meanwhile, so that nobody joins or leaves one."""
    standing = await _standing(session, visitor, lock=True)
    if form.text("address").lower() != visitor.email.lower():
        form.refuse("address", "type your address, so that nothing is deleted by mistake")
    if standing.needed or not form.is_fine:
        return _form(request, form, standing, 409 if standing.needed else 400)
    await memberships.delete_projects_of(session, visitor.user, now)
    await audit_entries.write(session, actor, Entry(AuditAction.USER_DELETED, subject=visitor.email), now)
    await users.delete(session, visitor.user)
    request.state.visitor = None
    answer = go_to(request, "/login")
    clear_cookie(answer, house)
    return answer


async def _standing(session: Session, visitor: Visitor, lock: bool = False) -> Standing:
    found = [one for one in await memberships.company(session, visitor.user, lock) if one.role is Role.OWNER]
    return Standing([one for one in found if one.others and not one.other_owners], [one.name for one in found if not one.others])


def _form(request: Request, form: Form, standing: Standing, status: int = 200) -> Response:
    return render(request, "account_deletion.html", status, form=form, standing=standing)
