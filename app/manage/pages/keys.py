"""API keys: listed, made, revoked. A key is shown once, on the page that answers the form; whoever makes or revokes one proved
within ten minutes who they are."""

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import tokens
from app.domain.role import Action
from app.domain.tokens import Scope
from app.errors import Conflict, OverLimit
from app.manage import credentials
from app.manage.access import Member, PageRoutes
from app.manage.acting import Person
from app.manage.api.wire import id_of
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, render, sentence
from app.store import accounts, keys
from app.store.memberships import Membership
from app.visitor import Fresh
from app.web import Now, Session

pages = PageRoutes()

LONGEST_NAME = 100
SCOPES: dict[str, tuple[Scope, str]] = {
    "rw": ("rw", "read and write: everything the API can do"),
    "ro": ("ro", "read: look at checks, not at their ping URLs"),
    "ping": ("ping", "ping: report what happened, and nothing else"),
}


@pages.get("/projects/{project}/keys", Action.EDIT_KEYS)
async def keys_page(request: Request, member: Member, session: Session) -> Response:
    """All that open something."""
    return await _shown(request, session, member)


@pages.get("/projects/{project}/keys/new", Action.EDIT_KEYS)
async def new_key(request: Request, member: Member, visitor: Fresh) -> Response:
    """The form for one."""
    return _form(request, member, Form())


@pages.post("/projects/{project}/keys", Action.EDIT_KEYS)
async def make_key(
    request: Request, form: Sent, member: Member, visitor: Fresh, actor: Person, session: Session, now: Now
) -> Response:
    """Make one and show it, this once."""
    name, scope = form.text("name", LONGEST_NAME), form.text("scope")
    if scope not in SCOPES:
        form.refuse("scope", "choose what it may do")
    if not name.isprintable():
        form.refuse("name", "leave out the character that cannot be shown")
    await accounts.project(session, member.project, lock=True)
    try:
        await credentials.make_room(session, member.project)
    except OverLimit as error:
        form.refuse("all", sentence(error))
    if not form.is_fine:
        return _form(request, member, form, 400)
    made = tokens.new_api_key(SCOPES[scope][0])
    row = await keys.add(session, member.project, scope, made, now, name, made_by=actor.words)
    await credentials.note_made(session, actor, member.project, row, now)
    return await _shown(request, session, member, made=made)


@pages.post("/projects/{project}/keys/{key}/revoke", Action.EDIT_KEYS)
async def revoke_key(
    request: Request, key: str, member: Member, visitor: Fresh, actor: Person, session: Session, now: Now
) -> Response:
    """From now on it opens nothing."""
    try:
        await credentials.revoke(session, actor, member.project, id_of(key), now)
    except Conflict as error:
        return await _shown(request, session, member, problem=sentence(error), status=409)
    return go_to(request, f"/projects/{member.project}/keys")


async def _shown(
    request: Request, session: AsyncSession, member: Membership, made: str = "", problem: str = "", status: int = 200
) -> Response:
    return render(
        request, "keys.html", status, member=member, keys=await keys.listed(session, member.project), made=made, problem=problem,
        scopes={scope: words.partition(":")[0] for scope, (_, words) in SCOPES.items()},
    )  # fmt: skip


def _form(request: Request, member: Membership, form: Form, status: int = 200) -> Response:
    choices = {scope: words for scope, (_, words) in SCOPES.items()}
    return render(request, "key_new.html", status, member=member, form=form, choices=choices)
