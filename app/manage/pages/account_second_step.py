"""The second step of an account: turned on with a first code of it, off with another; codes to fall back on are shown once."""

from datetime import datetime

from fastapi import Request, Response
from markupsafe import Markup

from app.domain.attempt import CODE_ACCOUNT
from app.domain.audit_action import AuditAction
from app.errors import TooMany
from app.manage import one_time_codes
from app.manage.access import SIGNED_IN, PageRoutes
from app.manage.acting import Person
from app.manage.pages.code import LONGEST_CODE, WRONG, use_code
from app.manage.pages.entry import asking_of
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, render, try_again
from app.store import attempts, audit_entries, second_steps, user_sessions, users
from app.store.audit_entries import Entry
from app.store.tables import UserRow
from app.store.user_sessions import Visitor
from app.visitor import Fresh
from app.web import House, Now, Session, Shared

pages = PageRoutes()

PATH = "/account/second-step"


@pages.get(PATH, SIGNED_IN)
async def second_step(request: Request, visitor: Fresh, session: Session) -> Response:
    """Whether it is on, and the way to turn it on or off."""
    return _page(request, await _user(session, visitor), Form())


@pages.post(PATH, SIGNED_IN)
async def propose(request: Request, visitor: Fresh, session: Session, house: House) -> Response:
    """A new secret, shown to who has just proved who they are, and at no other time. It counts once they gave a code of it."""
    if (await _user(session, visitor)).totp_secret is not None:
        return go_to(request, PATH)
    secret = one_time_codes.new_secret()
    await second_steps.propose(session, house.vault, visitor.user, secret)
    return _secret_page(request, house, visitor, secret, Form())


@pages.post(PATH + "/on", SIGNED_IN)
async def turn_on(
    request: Request, form: Sent, visitor: Fresh, actor: Person, session: Session, house: House, now: Now
) -> Response:
    """With the first code it is on, and ten codes to fall back on are shown, this once."""
    user = await _user(session, visitor)
    secret = second_steps.proposed(house.vault, user)
    if secret is None or user.totp_secret is not None:
        return go_to(request, PATH)
    step = one_time_codes.step_of(secret, form.text("code", LONGEST_CODE), now, None)
    if step is None:
        form.refuse("code", "This is not the code of this moment. Is your device's clock right?")
        return _secret_page(request, house, visitor, secret, form, 400)
    codes = one_time_codes.new_recovery_codes()
    await second_steps.turn_on(session, visitor.user, step, [one_time_codes.plain(code) for code in codes])
    await user_sessions.end_all(session, visitor.user, but=visitor.session)  # whoever is in already gave no code
    await audit_entries.write(session, actor, Entry(AuditAction.TOTP_ON), now)
    said = "The second step is on, and all other browsers are signed out."
    return render(request, "recovery_codes.html", codes=codes, said=said)


@pages.post(PATH + "/codes", SIGNED_IN)
async def new_codes(
    request: Request, form: Sent, visitor: Fresh, actor: Person, session: Session, house: House, now: Now
) -> Response:
    """Ten others to fall back on, for a code; those before open nothing any more."""
    refused = await _refused(request, form, visitor, session, house, now)
    if refused is not None:
        return refused
    codes = one_time_codes.new_recovery_codes()
    await second_steps.set_recovery_codes(session, visitor.user, [one_time_codes.plain(code) for code in codes])
    await audit_entries.write(session, actor, Entry(AuditAction.RECOVERY_CODES_MADE), now)
    return render(request, "recovery_codes.html", codes=codes, said="The codes before open nothing any more.")


@pages.post(PATH + "/off", SIGNED_IN)
async def turn_off(
    request: Request, form: Sent, visitor: Fresh, actor: Person, session: Session, house: House, now: Now
) -> Response:
    """For a code; from then on a password or a link is enough."""
    refused = await _refused(request, form, visitor, session, house, now)
    if refused is not None:
        return refused
    await second_steps.turn_off(session, visitor.user)
    await audit_entries.write(session, actor, Entry(AuditAction.TOTP_OFF), now)
    return go_to(request, "/account?done=second-step-off")


async def _refused(
    request: Request, form: Form, visitor: Visitor, session: Session, house: Shared, now: datetime
) -> Response | None:
    """The page with what is wrong; None for who gave a code, which is used up."""
    user = await _user(session, visitor)
    if user.totp_secret is None:
        return go_to(request, PATH)
    counted = asking_of(request, house, user.email_key).counted  # as at a sign-in: whoever guesses has one bucket
    try:
        await attempts.count(session, CODE_ACCOUNT, counted, now)
    except TooMany as error:
        form.refuse("code", try_again("too many attempts", error))
        return _page(request, user, form, 429)
    if await use_code(session, house, user, form.text("code", LONGEST_CODE), now) is None:
        form.refuse("code", WRONG)
        return _page(request, user, form, 400)
    await attempts.forgive(session, CODE_ACCOUNT, counted)
    return None


async def _user(session: Session, visitor: Visitor) -> UserRow:
    user = await users.locked(session, visitor.user)
    assert user is not None, "a session goes with its user"  # noqa: S101
    return user


def _page(request: Request, user: UserRow, form: Form, status: int = 200) -> Response:
    left = len(user.recovery_codes)
    is_on = user.totp_secret is not None
    return render(request, "account_second_step.html", status, form=form, is_on=is_on, codes_left=left)


def _secret_page(request: Request, house: Shared, visitor: Visitor, secret: str, form: Form, status: int = 200) -> Response:
    address = one_time_codes.address_of(secret, visitor.email, house.host)
    groups = " ".join(secret[n : n + 4] for n in range(0, len(secret), 4))
    picture = Markup(one_time_codes.picture_of(address))  # noqa: S704 (our own drawing: it holds paths, no text)
    return render(request, "second_step_secret.html", status, form=form, secret=groups, picture=picture)
