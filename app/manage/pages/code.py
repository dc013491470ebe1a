"""The second step of a sign-in: after a password or a link, a code. And how a code is looked at, here and in the account."""

from datetime import datetime
from typing import Literal

from fastapi import Request, Response

from app.domain.attempt import CODE_ACCOUNT
from app.domain.audit_action import AuditAction
from app.errors import TooMany
from app.manage import one_time_codes
from app.manage.access import ANYONE, PageRoutes
from app.manage.pages import cookie
from app.manage.pages.entry import SECOND_STEP, Asking, Entered, asking_of, begin, go_in
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, leading_to, ours, render, try_again
from app.manage.pages.mailing import slow_down
from app.store import attempts, audit_entries, blackouts, links, second_steps, users
from app.store.audit_entries import Actor, Entry
from app.store.links import Link
from app.store.tables import UserRow
from app.web import House, Session, Shared, transaction

pages = PageRoutes()

WRONG = "This code does not open it: it may have run out or been used. Wait for the next one."
LONGEST_CODE = 40
By = Literal["code", "recovery code"]


@pages.get("/login/code", ANYONE)
async def code_page(request: Request, house: House, session: Session) -> Response:
    """The form, for who gave their password just now."""
    wanted = ours(request.query_params.get("next", "/"))
    step = cookie.kept(request, house, cookie.SECOND_STEP) or ""
    if await links.look(session, SECOND_STEP, step, None, await blackouts.now(session)) is None:
        return go_to(request, leading_to("/login", wanted))
    return _form(request, Form(), wanted)


@pages.post("/login/code", ANYONE)
async def give_code(request: Request, form: Sent, house: House) -> Response:
    """Signed in, if it is right. Attempts count for the account, whoever makes them."""
    wanted, step = ours(form.typed("next", "/")), cookie.kept(request, house, cookie.SECOND_STEP) or ""
    async with transaction(house) as session:
        link = await links.look(session, SECOND_STEP, step, None, await blackouts.now(session))
    if link is None:
        return go_to(request, leading_to("/login", wanted))
    asking = asking_of(request, house, link.email_key)
    try:
        async with transaction(house) as session:
            await attempts.count(session, CODE_ACCOUNT, asking.counted, await blackouts.now(session))
    except TooMany as error:
        form.refuse("code", try_again("too many attempts", error))
        return slow_down(_form(request, form, wanted, 429), error)
    async with transaction(house) as session:
        entered = await _enter(session, house, link, step, form.text("code", LONGEST_CODE), asking)
    if entered is None:
        form.refuse("code", WRONG)
        return _form(request, form, wanted, 400)
    return go_in(request, house, entered, wanted)


async def use_code(session: Session, house: Shared, user: UserRow, code: str, now: datetime) -> By | None:
    """Use up a code of somebody's app, or one to fall back on; None where it is neither."""
    secret = second_steps.secret_of(house.vault, user)
    step = one_time_codes.step_of(secret, code, now, user.totp_last_step) if secret is not None else None
    if step is not None:
        return "code" if await second_steps.use_step(session, user.id, step) else None
    is_one = user.totp_secret is not None and await second_steps.use_recovery_code(session, user.id, one_time_codes.plain(code))
    return "recovery code" if is_one else None


async def _enter(session: Session, house: Shared, link: Link, step: str, code: str, asking: Asking) -> Entered | None:
    """1. Use the code up. 2. Use up what the first step left. 3. Begin a session."""
    user = await users.locked(session, link.user) if link.user is not None else None
    now = await blackouts.now(session)
    by = await use_code(session, house, user, code, now) if user is not None else None
    if user is None or by is None or await links.use(session, SECOND_STEP, step, None, now) is None:
        return None
    await attempts.forgive(session, CODE_ACCOUNT, asking.counted)
    if by == "recovery code":
        actor = Actor(user.email, asking.address, user.id)
        await audit_entries.write(session, actor, Entry(AuditAction.RECOVERY_CODE_USED), now)
    token = await begin(session, user, asking, now, f"{link.data['by']} and {by}")
    return Entered(token, True, user.theme, user.email)


def _form(request: Request, form: Form, wanted: str, status: int = 200) -> Response:
    return render(request, "login_code.html", status, form=form, next=wanted)
