"""The first account of a service, made in a browser by whoever sees the terminal or the log of `serve`: the token stands there.

A request from this machine is not believed instead: behind a proxy every request is one.
"""

import hmac

from fastapi import Request, Response

from app.domain.audit_action import AuditAction
from app.errors import Forbidden
from app.manage.access import ANYONE, PageRoutes
from app.manage.founding import adopt
from app.manage.pages.entry import Asking, Entered, asking_of, enter, go_in
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, render
from app.manage.pages.sign_up import checked_address, refuse_weak
from app.manage.passwords import PasswordThreads
from app.store import audit_entries, blackouts, users
from app.store.audit_entries import Actor, Entry
from app.store.vault import set_up_token
from app.web import House, Session, Shared, transaction

pages = PageRoutes()


@pages.get("/setup", ANYONE)
async def set_up_page(request: Request, house: House, session: Session) -> Response:
    """The form for who holds the token; else where it is found."""
    if await users.any_user(session):
        return go_to(request, "/login")
    token = request.query_params.get("token", "")
    return _form(request, Form(), token if _is_right(house, token) else "")


@pages.post("/setup", ANYONE)
async def set_up(request: Request, form: Sent, house: House, threads: PasswordThreads) -> Response:
    """Make the account; of two at once one is the first. Its address counts as theirs: they run the service."""
    token, chosen = form.secret("token"), form.secret("password")
    if not _is_right(house, token):
        raise Forbidden("only the link that `serve` shows where it was started makes the first account")
    asking = asking_of(request, house, checked_address(form))
    refuse_weak(form, chosen, asking.email)
    if not form.is_fine:
        return _form(request, form, token, 400)
    hashed = await threads.hash_of(chosen)
    async with transaction(house) as session:
        entered = await _make(session, asking, hashed)
    return go_in(request, house, entered, "/") if entered is not None else go_to(request, "/login")


def _is_right(house: Shared, token: str) -> bool:
    return hmac.compare_digest(token.encode("utf-8", "replace"), set_up_token(house.vault).encode())


async def _make(session: Session, asking: Asking, hashed: str) -> Entered | None:
    """The account, with all projects that have no member; None where somebody was quicker."""
    await users.wait_for_first(session)
    if await users.any_user(session):
        return None
    now = await blackouts.now(session)
    user = await users.create(session, asking.email, hashed, now, verified=True)
    actor = Actor(user.email, asking.address, user.id)
    await adopt(session, user.id, actor, user.email, now)
    await audit_entries.write(session, actor, Entry(AuditAction.USER_CREATED, subject=user.email, details={"by": "set-up"}), now)
    return await enter(session, user, asking, now, "set-up")


def _form(request: Request, form: Form, token: str, status: int = 200) -> Response:
    return render(request, "set_up.html", status, form=form, token=token)
