"""Projects: all of a person, a new one, and what one is called."""

from fastapi import Request, Response

from app.domain.audit_action import AuditAction
from app.domain.plan import PEOPLE, notice, plan_of
from app.domain.role import Action
from app.manage.access import SIGNED_IN, Member, PageRoutes
from app.manage.acting import Person
from app.manage.founding import found
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, render
from app.store import accounts, audit_entries, blackouts, invitations, memberships, monitors
from app.store.audit_entries import Entry
from app.store.memberships import Membership
from app.visitor import SignedIn
from app.web import House, Now, Session

pages = PageRoutes()

LONGEST_NAME = 100
MOST_OWNED = 50


@pages.get("/", SIGNED_IN)
async def projects_page(request: Request, visitor: SignedIn, session: Session) -> Response:
    """All projects of theirs; whoever has one alone comes to it at once, unless they ask for all."""
    found = await memberships.of_user(session, visitor.user)
    if len(found) == 1 and "all" not in request.query_params:
        return go_to(request, f"/projects/{found[0].project}")
    return render(request, "projects.html", projects=found)


@pages.get("/projects/new", SIGNED_IN)
async def new_project(request: Request) -> Response:
    """The form for one."""
    return render(request, "project_new.html", form=Form())


@pages.post("/projects", SIGNED_IN)
async def create_project(
    request: Request, form: Sent, visitor: SignedIn, house: House, actor: Person, session: Session, now: Now
) -> Response:
    """Make a project; whoever makes it owns it."""
    name = named(form)
    await memberships.one_founder(session, visitor.user)
    if form.is_fine and await memberships.owned(session, visitor.user) >= MOST_OWNED:
        form.refuse("all", f"You own {MOST_OWNED} projects, which is the most that one person may.")
    if not form.is_fine:
        return render(request, "project_new.html", 400, form=form)
    project = await found(session, name, visitor.user, actor, house.plans, now)
    return go_to(request, f"/projects/{project}")


@pages.get("/projects/{project}/settings", Action.SEE)
async def settings_page(request: Request, member: Member, session: Session) -> Response:
    """What it is called, what it may have and has."""
    return await _settings(request, session, member, Form())


@pages.post("/projects/{project}/settings", Action.EDIT_PROJECT)
async def rename(request: Request, form: Sent, member: Member, actor: Person, session: Session, now: Now) -> Response:
    """Call it something else."""
    name = named(form)
    if not form.is_fine:
        return await _settings(request, session, member, form, 400)
    before = (await accounts.project(session, member.project, lock=True)).name
    if name != before:
        await accounts.rename(session, member.project, name)
        entry = Entry(AuditAction.PROJECT_RENAMED, name, member.project, {"from": before})
        await audit_entries.write(session, actor, entry, now)
    return go_to(request, f"/projects/{member.project}/settings")


async def _settings(request: Request, session: Session, member: Membership, form: Form, status: int = 200) -> Response:
    row = await accounts.project(session, member.project)
    plan, count = plan_of(row.plan), await monitors.count(session, member.project)
    limit, people = accounts.monitor_limit(row), await memberships.count(session, member.project)
    offered = await invitations.count(session, member.project, await blackouts.now(session))
    notices = [notice(count, limit, "checks"), notice(people + offered, plan.members, PEOPLE)]
    return render(
        request, "project_settings.html", status, form=form, member=member, row=row, plan=plan, count=count, limit=limit,
        people=people, offered=offered, notices=[words for words in notices if words],
    )  # fmt: skip


def named(form: Form) -> str:
    """The name that was typed; the form says what is wrong with it."""
    name = form.text("name", LONGEST_NAME)
    if not name:
        form.refuse("name", "give it a name")
    elif not name.isprintable():
        form.refuse("name", "leave out the character that cannot be shown")
    return name
