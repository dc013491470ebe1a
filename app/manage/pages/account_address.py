"""Changing the address: a link goes to the new one, and once it is opened a letter to the old one tells. Whether the new one has
an account already is told to nobody."""

from fastapi import Request, Response

from app.domain import mailbox
from app.domain.audit_action import AuditAction
from app.domain.letter import LetterKind
from app.errors import Conflict, TooMany
from app.manage.access import SIGNED_IN, PageRoutes
from app.manage.acting import Person
from app.manage.pages import cookie
from app.manage.pages.entry import Asking, asking_of
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, render, try_again
from app.manage.pages.mailing import (
    TOO_MANY_LETTERS,
    count_letter,
    in_the_same_time,
    mailed,
    opens_nothing,
    send_link,
    slow_down,
    tell,
)
from app.manage.pages.sign_up import checked_address
from app.store import audit_entries, blackouts, links, users
from app.store.audit_entries import Actor, Entry
from app.store.links import Link
from app.store.user_sessions import Visitor
from app.visitor import Fresh, SignedIn
from app.web import House, Now, Session, Shared

pages = PageRoutes()

CHANGE_ADDRESS = "change address"
PATH = "/account/address"
CONFIRM = "/account/address/confirm"


@pages.get(PATH, SIGNED_IN)
async def address_page(request: Request, visitor: Fresh) -> Response:
    """The form."""
    return _form(request, Form())


@pages.post(PATH, SIGNED_IN)
async def ask(request: Request, form: Sent, visitor: Fresh, actor: Person, session: Session, house: House, now: Now) -> Response:
    """Send a link to the new address. A service without mail takes it at its owner's word."""
    email = checked_address(form)
    asking = asking_of(request, house, email)
    if not form.is_fine:
        return _form(request, form, 400)
    if not house.sends_mail:
        return await _change_at_once(request, form, session, house, visitor, actor, asking)
    try:
        await count_letter(session, asking)
    except TooMany as error:
        form.refuse("all", try_again(TOO_MANY_LETTERS, error))
        return slow_down(_form(request, form, 429), error)
    browser = cookie.browser_of(request, house)
    is_free = await users.of_address(session, email) is None
    link = Link(CHANGE_ADDRESS, mailbox.key_of(email), visitor.user, {"email": email})

    async def send() -> None:
        await send_link(session, house, link, LetterKind.CHANGE_ADDRESS, CONFIRM, asking, browser, email, now, by=visitor.email)

    await in_the_same_time(session, send, really=is_free)
    return mailed(request, house, browser, email, PATH, "If it can be used, a letter is on its way.")


@pages.get(CONFIRM, SIGNED_IN)
async def confirm_page(request: Request, visitor: SignedIn, session: Session, house: House, now: Now) -> Response:
    """A button: programs that look at links in mail press none."""
    secret, browser = request.query_params.get("token", ""), cookie.kept(request, house, cookie.BROWSER)
    link = await links.look(session, CHANGE_ADDRESS, secret, browser, now)
    if link is None or link.user != visitor.user:
        return opens_nothing(request, PATH)
    said = f"From now on you sign in as {link.data['email']}."
    return render(request, "open_link.html", token=secret, path=CONFIRM, title="Change your address", said=said,
                  button="Change the address")  # fmt: skip


@pages.post(CONFIRM, SIGNED_IN)
async def confirm(
    request: Request, form: Sent, visitor: SignedIn, actor: Person, session: Session, house: House, now: Now
) -> Response:
    """Use the link up; one that is another's, in a browser that several people use, stays theirs."""
    browser = cookie.kept(request, house, cookie.BROWSER)
    link = await links.use(session, CHANGE_ADDRESS, form.secret("token"), browser, now, by=visitor.user)
    if link is None:
        return opens_nothing(request, PATH)
    await _change(session, house, visitor, link.data["email"], actor, asking_of(request, house))
    return go_to(request, "/account?done=address")


async def _change(session: Session, house: Shared, visitor: Visitor, email: str, actor: Actor, asking: Asking) -> None:
    """Links to the old address open nothing any more. Raises Conflict."""
    user = await users.locked(session, visitor.user)
    old = user.email if user is not None else visitor.email
    await users.set_email(session, visitor.user, email)
    await links.drop(session, visitor.user)
    now = await blackouts.now(session)
    details = {"from": old, "to": email}
    await audit_entries.write(session, actor, Entry(AuditAction.ADDRESS_CHANGED, subject=email, details=details), now)
    await tell(session, house, LetterKind.ADDRESS_CHANGED, old, asking, now)


async def _change_at_once(
    request: Request, form: Form, session: Session, house: Shared, visitor: Visitor, actor: Actor, asking: Asking
) -> Response:
    try:
        await _change(session, house, visitor, asking.email, actor, asking)
    except Conflict as error:
        form.refuse("email", str(error))
        return _form(request, form, 400)
    return go_to(request, "/account?done=address")


def _form(request: Request, form: Form, status: int = 200) -> Response:
    return render(request, "account_address.html", status, form=form)
