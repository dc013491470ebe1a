"""Signing in with a password, and out. For an address that has no account everything is as for a wrong password: words, status,
time."""

import structlog
from fastapi import Request, Response

from app.domain.attempt import SIGN_IN_ACCOUNT, SIGN_IN_ADDRESS, network_of
from app.domain.audit_action import AuditAction
from app.errors import TooMany
from app.manage import passwords
from app.manage.access import ANYONE, PageRoutes
from app.manage.pages.entry import Asking, Entered, asking_of, enter, go_in
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, ours, render, try_again
from app.manage.passwords import Passwords, PasswordThreads
from app.store import attempts, audit_entries, blackouts, user_sessions, users
from app.store.audit_entries import Actor, Entry
from app.store.tables import UserRow
from app.visitor import Visitor, clear_cookie, token_of
from app.web import House, Session, Shared, transaction

log = structlog.get_logger()
pages = PageRoutes()

WRONG = "This address and this password do not belong together."
LONGEST_ADDRESS = 254


@pages.get("/login", ANYONE)
async def login_page(request: Request, visitor: Visitor, session: Session) -> Response:
    """The form; who is signed in already goes on. Where nobody has an account yet it says how the first one is made."""
    wanted = ours(request.query_params.get("next", "/"))
    if visitor is not None:
        return go_to(request, wanted)
    return _form(request, Form(), wanted, awaits_first=not await users.any_user(session))


@pages.post("/login", ANYONE)
async def login(request: Request, form: Sent, house: House, threads: PasswordThreads) -> Response:
    """Sign in. 1. Count the attempt. 2. Look the account up. 3. Compare, with no database held. 4. Begin a session."""
    asking, wanted = asking_of(request, house, form.text("email", LONGEST_ADDRESS)), ours(form.typed("next", "/"))
    try:
        await _count(house, asking)
    except TooMany as error:
        form.refuse("all", try_again("too many attempts", error))
        answer = _form(request, form, wanted, 429)
        answer.headers["retry-after"] = str(error.retry_after)
        return answer
    async with transaction(house) as session:
        user = await users.of_address(session, asking.email)
    password = form.secret("password")
    right = await threads.matches(user.password_hash if user is not None else None, password)
    entered = await _sign_in(house, threads, user, password, asking) if user is not None and right else None
    if entered is None:
        log.info("sign-in refused", address=asking.address)
        form.refuse("all", WRONG)
        return _form(request, form, wanted, 400)
    return go_in(request, house, entered, wanted)


@pages.post("/logout", ANYONE)
async def logout(request: Request, house: House, visitor: Visitor, session: Session) -> Response:
    """Sign out: the session is over, here and in whoever has its token."""
    token = token_of(request, house)
    if visitor is not None and token is not None:
        await user_sessions.end(session, token)
        actor = Actor(visitor.email, house.sender_of(request), visitor.user)
        await audit_entries.write(session, actor, Entry(AuditAction.SIGNED_OUT), await blackouts.now(session))
    answer = go_to(request, "/login")
    clear_cookie(answer, house)
    return answer


async def _sign_in(house: Shared, threads: Passwords, user: UserRow, password: str, asking: Asking) -> Entered | None:
    """Somebody knew their password; None where that is not enough, or it was changed meanwhile."""
    if user.verified_at is None:
        return None
    renewed = await threads.hash_of(password) if passwords.is_outdated(user.password_hash or "") else None
    async with transaction(house) as session:
        now_theirs = await users.locked(session, user.id)
        if now_theirs is None or now_theirs.password_hash != user.password_hash:
            return None
        if renewed is not None:
            await users.set_password_hash(session, user.id, renewed)
        await attempts.forgive(session, SIGN_IN_ACCOUNT, asking.counted)
        return await enter(session, now_theirs, asking, await blackouts.now(session), "password")


async def _count(house: Shared, asking: Asking) -> None:
    """Against the address first: who is over that costs no account anything. Raises TooMany."""
    async with transaction(house) as session:
        now = await blackouts.now(session)
        await attempts.count(session, SIGN_IN_ADDRESS, network_of(asking.address), now)
        await attempts.count(session, SIGN_IN_ACCOUNT, asking.counted, now)


def _form(request: Request, form: Form, wanted: str, status: int = 200, awaits_first: bool = False) -> Response:
    return render(request, "login.html", status, form=form, next=wanted, awaits_first=awaits_first)
