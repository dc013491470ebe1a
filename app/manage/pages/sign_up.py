"""Making an account: an address and a password, then a link by mail; the account is made when the link is opened.

For an address that has an account, or may have none, everything is as for any other: words, status, time. What differs stands in
the letter.
"""

from datetime import datetime

from fastapi import Request, Response

from app.domain import mailbox, password
from app.domain.audit_action import AuditAction
from app.domain.letter import LetterKind
from app.errors import Invalid, TooMany
from app.manage.access import ANYONE, PageRoutes
from app.manage.founding import found
from app.manage.pages import cookie
from app.manage.pages.entry import LINK, Asking, Entered, asking_of, enter, go_in
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, leading_to, ours, render, try_again
from app.manage.pages.mailing import (
    TOO_MANY_LETTERS,
    count_letter,
    in_the_same_time,
    mailed,
    need_mail,
    opens_nothing,
    send_link,
    slow_down,
)
from app.manage.pages.sign_in import LONGEST_ADDRESS
from app.manage.pages.sign_in_by_link import LOGIN, OPEN
from app.manage.passwords import PasswordThreads
from app.store import audit_entries, blackouts, invitations, links, users
from app.store.audit_entries import Actor, Entry
from app.store.links import Link
from app.visitor import Visitor
from app.web import House, Session, Shared, transaction

pages = PageRoutes()

VERIFY = "verify"
CONFIRM = "/signup/confirm"
INVITATIONS = "/invitations/"


@pages.get("/signup", ANYONE)
async def sign_up_page(request: Request, session: Session, visitor: Visitor) -> Response:
    """The form; where nobody has an account yet, the set-up."""
    wanted = ours(request.query_params.get("next", "/"))
    if visitor is not None:
        return go_to(request, wanted)
    if not await users.any_user(session):
        return go_to(request, "/setup")
    return _form(request, Form(), wanted)


@pages.post("/signup", ANYONE)
async def sign_up(request: Request, form: Sent, house: House, threads: PasswordThreads) -> Response:
    """Send a link. 1. Look at what was typed. 2. Count the letter. 3. Hash the password, with no database held. 4. Write the
    letter: of a new account, or of the one that there is."""
    need_mail(house)
    wanted, chosen = ours(form.typed("next", "/")), form.secret("password")
    asking = asking_of(request, house, checked_address(form))
    refuse_weak(form, chosen, asking.email)
    if not form.is_fine:
        return _form(request, form, wanted, 400)
    try:
        async with transaction(house) as session:
            await count_letter(session, asking)
    except TooMany as error:
        form.refuse("all", try_again(TOO_MANY_LETTERS, error))
        return slow_down(_form(request, form, wanted, 429), error)
    hashed, browser = await threads.hash_of(chosen), cookie.browser_of(request, house)
    async with transaction(house) as session:
        if not await users.any_user(session):
            return go_to(request, "/setup")
        await _write(session, house, asking, browser, {"email": asking.email, "password_hash": hashed, "next": wanted})
    said = "If it may have an account here, a letter is on its way."
    return mailed(request, house, browser, asking.email, leading_to("/signup", wanted), said)


@pages.get(CONFIRM, ANYONE)
async def confirm_page(request: Request, house: House, session: Session) -> Response:
    """A button: programs that look at links in mail press none."""
    secret = request.query_params.get("token", "")
    link = await links.look(session, VERIFY, secret, cookie.kept(request, house, cookie.BROWSER), await blackouts.now(session))
    if link is None:
        return opens_nothing(request, "/signup")
    return render(request, "open_link.html", token=secret, path=CONFIRM, title="Confirm your address",
                  said=f"Make an account for {link.data['email']}.", button="Make the account")  # fmt: skip


@pages.post(CONFIRM, ANYONE)
async def confirm(request: Request, form: Sent, house: House) -> Response:
    """Use the link up: an account, signed in."""
    browser = cookie.kept(request, house, cookie.BROWSER)
    async with transaction(house) as session:
        now = await blackouts.now(session)
        link = await links.use(session, VERIFY, form.secret("token"), browser, now)
        entered = await _make(session, house, link, asking_of(request, house), now) if link is not None else None
    if link is None or entered is None:
        return opens_nothing(request, "/signup")
    return go_in(request, house, entered, ours(link.data["next"]))


def checked_address(form: Form, name: str = "email") -> str:
    """An address that was typed; refused in the form where it is none."""
    text = form.text(name, LONGEST_ADDRESS)
    try:
        return mailbox.checked(text)
    except Invalid as error:
        form.refuse(name, str(error))
        return text


def refuse_weak(form: Form, chosen: str, email: str, name: str = "password") -> None:
    """What is wrong with a new password, in the form."""
    fault = password.problem(chosen, email)
    if fault:
        form.refuse(name, fault)


async def _write(session: Session, house: Shared, asking: Asking, browser: str, data: dict[str, str]) -> None:
    now, key = await blackouts.now(session), mailbox.key_of(asking.email)
    user, invited = await users.of_address(session, asking.email), await invitations.is_invited(session, asking.email, now)
    new, known = Link(VERIFY, key, None, data), Link(LOGIN, key, user.id if user is not None else None, {"next": data["next"]})
    link, kind, path = (new, LetterKind.VERIFY, CONFIRM) if user is None else (known, LetterKind.KNOWN_ALREADY, OPEN)

    async def send() -> None:
        to = user.email if user is not None else asking.email
        await send_link(session, house, link, kind, path, asking, browser, to, now)

    await in_the_same_time(session, send, really=user is not None or invited or house.registration_open)


async def _make(session: Session, house: Shared, link: Link, asking: Asking, now: datetime) -> Entered | None:
    """The account, and a first project unless they come for one that they are invited to. None where the address has an account
    by now."""
    if await users.of_address(session, link.email_key) is not None:
        return None
    user = await users.create(session, link.data["email"], link.data["password_hash"], now, verified=True)
    actor = Actor(user.email, asking.address, user.id)
    await audit_entries.write(session, actor, Entry(AuditAction.USER_CREATED, subject=user.email), now)
    if not link.data["next"].startswith(INVITATIONS):
        await found(session, f"{user.email.partition('@')[0]}'s project", user.id, actor, house.plans, now)
    return await enter(session, user, asking, now, LINK)


def _form(request: Request, form: Form, wanted: str, status: int = 200) -> Response:
    is_open = request.app.state.shared.registration_open
    return render(request, "signup.html", status, form=form, next=wanted, is_open=is_open)
