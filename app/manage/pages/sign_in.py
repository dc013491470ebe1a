"""Signing in with a password, and out. For an address that has no account everything is as for a wrong password: words, status,
time."""

from dataclasses import dataclass
from datetime import datetime

import structlog
from fastapi import Request, Response

from app.domain import mailbox
from app.domain.attempt import SIGN_IN_ACCOUNT, SIGN_IN_ADDRESS, network_of
from app.domain.audit_action import AuditAction
from app.errors import TooMany
from app.manage import passwords
from app.manage.access import ANYONE, PageRoutes
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, ours, render
from app.manage.passwords import Passwords, PasswordThreads
from app.store import attempts, audit_entries, blackouts, user_sessions, users
from app.store.audit_entries import Actor, Entry
from app.store.tables import UserRow
from app.visitor import Visitor, clear_cookie, set_cookie, token_of
from app.web import House, Session, Shared, transaction

log = structlog.get_logger()
pages = PageRoutes()

WRONG = "This address and this password do not belong together."
LONGEST_ADDRESS = 254


@dataclass(frozen=True, slots=True)
class Asking:
    """Who wants to be signed in: the address they typed, where they are, what with."""

    email: str
    address: str
    user_agent: str
    token: str | None  # of the session that this browser has already


@pages.get("/login", ANYONE)
async def login_page(request: Request, visitor: Visitor) -> Response:
    """The form; who is signed in already goes on."""
    wanted = ours(request.query_params.get("next", "/"))
    return go_to(request, wanted) if visitor is not None else _form(request, Form(), wanted)


@pages.post("/login", ANYONE)
async def login(request: Request, form: Sent, house: House, threads: PasswordThreads) -> Response:
    """Sign in. 1. Count the attempt. 2. Look the account up. 3. Compare, with no database held. 4. Begin a session."""
    asking, wanted = _asking(request, form, house), ours(form.typed("next", "/"))
    try:
        await _count(house, asking)
    except TooMany as error:
        form.refuse("all", f"Too many attempts. Try again in {_in_words(error.retry_after)}.")
        answer = _form(request, form, wanted, 429)
        answer.headers["retry-after"] = str(error.retry_after)
        return answer
    async with transaction(house) as session:
        user = await users.of_address(session, asking.email)
    password = form.secret("password")
    right = await threads.matches(user.password_hash if user is not None else None, password)
    token = await _sign_in(house, threads, user, password, asking) if user is not None and right else None
    if token is None:
        log.info("sign-in refused", address=asking.address)
        form.refuse("all", WRONG)
        return _form(request, form, wanted, 400)
    answer = go_to(request, wanted)
    set_cookie(answer, house, token)
    return answer


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


async def _sign_in(house: Shared, threads: Passwords, user: UserRow, password: str, asking: Asking) -> str | None:
    """A session for somebody who knew their password; None where that is not enough, or it was changed meanwhile."""
    if not _may_sign_in(user):
        return None
    renewed = await threads.hash_of(password) if passwords.is_outdated(user.password_hash or "") else None
    async with transaction(house) as session:
        now_theirs = await users.locked(session, user.id)
        if now_theirs is None or now_theirs.password_hash != user.password_hash:
            return None
        if renewed is not None:
            await users.set_password_hash(session, user.id, renewed)
        await attempts.forgive(session, SIGN_IN_ACCOUNT, user.email_key)
        return await begin(session, user, asking, await blackouts.now(session), "password")


async def begin(session: Session, user: UserRow, asking: Asking, now: datetime, by: str) -> str:
    """A new session in place of the one that this browser had; returns its token. `by`: what they proved themselves with."""
    if asking.token is not None:
        await user_sessions.end(session, asking.token)
    actor = Actor(user.email, asking.address, user.id)
    await audit_entries.write(session, actor, Entry(AuditAction.SIGNED_IN, details={"by": by}), now)
    return await user_sessions.begin(session, user.id, asking.address, asking.user_agent, now)


def _asking(request: Request, form: Form, house: Shared) -> Asking:
    agent = request.headers.get("user-agent", "")
    return Asking(form.text("email", LONGEST_ADDRESS), house.sender_of(request), agent, token_of(request, house))


async def _count(house: Shared, asking: Asking) -> None:
    """Against the address first: who is over that costs no account anything. Raises TooMany."""
    async with transaction(house) as session:
        now = await blackouts.now(session)
        await attempts.count(session, SIGN_IN_ADDRESS, network_of(asking.address), now)
        await attempts.count(session, SIGN_IN_ACCOUNT, mailbox.key_of(asking.email), now)


def _may_sign_in(user: UserRow) -> bool:
    """Whether a password alone lets them in: the address is known to be theirs, and no second step is asked for."""
    return user.verified_at is not None and user.totp_secret is None


def _form(request: Request, form: Form, wanted: str, status: int = 200) -> Response:
    return render(request, "login.html", status, form=form, next=wanted)


def _in_words(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} minutes"
