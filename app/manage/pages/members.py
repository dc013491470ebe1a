"""Who is in a project: roles, removal, leaving, invitations. What may be done to whom stands in `manage/team.py`."""

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.attempt import INVITATIONS
from app.domain.letter import LetterKind, compose
from app.domain.mailbox import is_mailbox
from app.domain.plan import PEOPLE, notice, plan_of
from app.domain.role import RANKS, Action, Role
from app.errors import Conflict, Forbidden, Invalid, MissedbeatError, OverLimit, TooMany
from app.manage import team
from app.manage.access import Member, PageRoutes
from app.manage.acting import Person
from app.manage.api.wire import id_of
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, render, sentence, try_again
from app.manage.pages.mailing import slow_down
from app.manage.team import Team
from app.store import accounts, attempts, blackouts, invitations, letters, memberships
from app.store.memberships import Membership
from app.visitor import SignedIn
from app.web import House, Now, Session, Shared

pages = PageRoutes()

LONGEST_ADDRESS = 254
REFUSED = (Conflict, Forbidden, OverLimit)


@pages.get("/projects/{project}/members", Action.SEE)
async def members_page(request: Request, member: Member, session: Session) -> Response:
    """Everybody in it, and the places that are offered."""
    return await _shown(request, session, member, Form())


@pages.post("/projects/{project}/members/{user}/role", Action.EDIT_MEMBERS)
async def change_role(
    request: Request, user: str, form: Sent, member: Member, actor: Person, session: Session, now: Now
) -> Response:
    """Make somebody something else; making an owner is how a project is handed over."""
    try:
        await team.change_role(session, await team.locked(session, member.project, actor), id_of(user), _role(form), now)
    except REFUSED as error:
        return await _refused(request, session, member, error)
    return go_to(request, f"/projects/{member.project}/members")


@pages.post("/projects/{project}/members/{user}/remove", Action.EDIT_MEMBERS)
async def remove(request: Request, user: str, member: Member, actor: Person, session: Session, now: Now) -> Response:
    """Take somebody out."""
    try:
        await team.remove(session, await team.locked(session, member.project, actor), id_of(user), now)
    except REFUSED as error:
        return await _refused(request, session, member, error)
    return go_to(request, f"/projects/{member.project}/members" if id_of(user) != actor.user else "/")


@pages.post("/projects/{project}/leave", Action.SEE)
async def leave(request: Request, member: Member, visitor: SignedIn, actor: Person, session: Session, now: Now) -> Response:
    """Leave it, which everybody may but the last owner."""
    try:
        await team.remove(session, await team.locked(session, member.project, actor), visitor.user, now)
    except REFUSED as error:
        return await _refused(request, session, member, error)
    return go_to(request, "/")


@pages.post("/projects/{project}/invitations", Action.EDIT_MEMBERS)
async def invite(request: Request, form: Sent, member: Member, actor: Person, house: House, session: Session) -> Response:
    """Offer a place to an address, by a letter with a link."""
    email = form.text("email", LONGEST_ADDRESS)
    if not is_mailbox(email):
        form.refuse("email", "give one e-mail address such as anna@example.com")
    try:
        role = _role(form)
    except Invalid as error:
        form.refuse("all", sentence(error))
        role = Role.VIEWER
    those = await team.locked(session, member.project, actor)
    return await _offer(request, session, house, member, those, form, email, role)


@pages.post("/projects/{project}/invitations/{invitation}/again", Action.EDIT_MEMBERS)
async def send_again(
    request: Request, invitation: str, member: Member, actor: Person, house: House, session: Session
) -> Response:
    """Another letter with another link; the one before opens nothing any more."""
    those = await team.locked(session, member.project, actor)
    row = await team.offer(session, those, id_of(invitation))
    return await _offer(request, session, house, member, those, Form(), row.email, Role(row.role))


@pages.post("/projects/{project}/invitations/{invitation}/revoke", Action.EDIT_MEMBERS)
async def revoke(request: Request, invitation: str, member: Member, actor: Person, session: Session, now: Now) -> Response:
    """Take an offer back."""
    await team.revoke(session, await team.locked(session, member.project, actor), id_of(invitation), now)
    return go_to(request, f"/projects/{member.project}/members")


async def _offer(
    request: Request, session: AsyncSession, house: Shared, member: Membership, those: Team, form: Form, email: str, role: Role
) -> Response:
    """Where no mail can be sent the link is shown this once, to be passed on."""
    link = ""
    if form.is_fine:
        try:
            link = await _write(session, house, those, email, role)
        except REFUSED as error:
            form.refuse("all", sentence(error))
        except TooMany as error:
            form.refuse("all", try_again("too many invitations", error))
            return slow_down(await _shown(request, session, member, form, 429), error)
    if not form.is_fine:
        return await _shown(request, session, member, form, 400)
    if house.sends_mail:
        return go_to(request, f"/projects/{member.project}/members")
    return await _shown(request, session, member, Form(), link=link)


async def _write(session: AsyncSession, house: Shared, those: Team, email: str, role: Role) -> str:
    """The offer, its letter, its entry, in one transaction; returns the link. Counted, so that nobody floods strangers with
    letters of ours; raises TooMany."""
    now = await blackouts.now(session)
    await attempts.count(session, INVITATIONS, str(those.mine.user), now)
    secret = await team.invite(session, those, email, role, now)
    link = f"{house.base_url}/invitations/{secret}"
    letter = compose(
        LetterKind.INVITATION,
        host=house.host,
        link=link,
        valid=invitations.GOOD_FOR,
        name=those.project.name,
        by=those.mine.email,
    )
    if house.sends_mail:
        await letters.write(session, house.vault, letter, email, invitations.GOOD_FOR, now)
    return link


async def _refused(request: Request, session: AsyncSession, member: Membership, error: MissedbeatError) -> Response:
    """Why not, on the page where it was asked for and something else can be done."""
    return await _shown(request, session, member, Form(), 409 if isinstance(error, Conflict) else 403, problem=sentence(error))


async def _shown(
    request: Request, session: AsyncSession, member: Membership, form: Form, status: int = 200, link: str = "", problem: str = ""
) -> Response:
    people, now = await memberships.members(session, member.project), await blackouts.now(session)
    plan = plan_of((await accounts.project(session, member.project)).plan)
    offered = await invitations.count(session, member.project, now)
    return render(
        request, "members.html", status, form=form, member=member, people=people, link=link, problem=problem,
        offers=await invitations.listed(session, member.project), now=now,
        roles=[role for role in reversed(Role) if member.role.covers(role)],
        rank=lambda role: RANKS[Role(role)], notice=notice(len(people) + offered, plan.members, PEOPLE),
    )  # fmt: skip


def _role(form: Form) -> Role:
    try:
        return Role(form.text("role"))
    except ValueError:
        raise Invalid("choose a role: owner, manager, member or viewer") from None
