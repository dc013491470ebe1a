"""Signing in by a link that is mailed: for who forgot the password, or wants none. The link is single, good for ten minutes, and
opens in the browser that asked for it; for an address without an account everything is the same but the letter."""

from fastapi import Request, Response

from app.domain import mailbox
from app.domain.attempt import SIGN_IN_ACCOUNT
from app.domain.letter import LetterKind
from app.errors import TooMany
from app.manage.access import ANYONE, PageRoutes
from app.manage.pages import cookie
from app.manage.pages.entry import LINK, Asking, Entered, asking_of, enter, go_in
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import leading_to, ours, render, try_again
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
from app.store import attempts, blackouts, links, users
from app.store.links import Link
from app.web import House, Session, Shared, transaction

pages = PageRoutes()

LOGIN = "login"
OPEN = "/login/link/open"
ASK = "/login/link"


@pages.get(ASK, ANYONE)
async def ask_page(request: Request) -> Response:
    """The form."""
    return _form(request, Form(), ours(request.query_params.get("next", "/")))


@pages.post(ASK, ANYONE)
async def ask(request: Request, form: Sent, house: House) -> Response:
    """Send a link, if there is an account to send it to."""
    need_mail(house)
    asking, wanted = asking_of(request, house, form.text("email", LONGEST_ADDRESS)), ours(form.typed("next", "/"))
    if not mailbox.is_mailbox(asking.email):
        form.refuse("email", "give one e-mail address such as anna@example.com")
        return _form(request, form, wanted, 400)
    try:
        async with transaction(house) as session:
            await count_letter(session, asking)
    except TooMany as error:
        form.refuse("all", try_again(TOO_MANY_LETTERS, error))
        return slow_down(_form(request, form, wanted, 429), error)
    browser = cookie.browser_of(request, house)
    async with transaction(house) as session:
        await _write(session, house, asking, browser, wanted)
    return mailed(
        request, house, browser, asking.email, leading_to(ASK, wanted), "If it has an account here, a letter is on its way."
    )


@pages.get(OPEN, ANYONE)
async def open_page(request: Request, house: House, session: Session) -> Response:
    """A button: programs that look at links in mail press none."""
    secret = request.query_params.get("token", "")
    link = await links.look(session, LOGIN, secret, cookie.kept(request, house, cookie.BROWSER), await blackouts.now(session))
    if link is None:
        return opens_nothing(request, ASK)
    said = f"You will be signed in as {link.email_key}."
    return render(request, "open_link.html", token=secret, path=OPEN, title="Sign in", said=said, button="Sign in")


@pages.post(OPEN, ANYONE)
async def open_link(request: Request, form: Sent, house: House) -> Response:
    """Use it up: signed in, or on to the second step."""
    browser = cookie.kept(request, house, cookie.BROWSER)
    async with transaction(house) as session:
        link = await links.use(session, LOGIN, form.secret("token"), browser, await blackouts.now(session))
        entered = await _sign_in(session, link, asking_of(request, house)) if link is not None else None
    if link is None or entered is None:
        return opens_nothing(request, ASK)
    return go_in(request, house, entered, ours(link.data.get("next", "/")))


async def _write(session: Session, house: Shared, asking: Asking, browser: str, wanted: str) -> None:
    now, key = await blackouts.now(session), mailbox.key_of(asking.email)
    user = await users.of_address(session, asking.email)
    link = Link(LOGIN, key, user.id if user is not None else None, {"next": wanted})

    async def send() -> None:
        to = user.email if user is not None else asking.email
        await send_link(session, house, link, LetterKind.LOGIN, OPEN, asking, browser, to, now)

    await in_the_same_time(session, send, really=user is not None)


async def _sign_in(session: Session, link: Link, asking: Asking) -> Entered | None:
    """None where they are gone, or have another address by now."""
    user = await users.locked(session, link.user) if link.user is not None else None
    if user is None or user.email_key != link.email_key:
        return None
    now = await blackouts.now(session)
    await users.set_verified(session, user.id, now)
    await attempts.forgive(session, SIGN_IN_ACCOUNT, user.email_key)
    return await enter(session, user, asking, now, LINK)


def _form(request: Request, form: Form, wanted: str, status: int = 200) -> Response:
    return render(request, "login_link.html", status, form=form, next=wanted)
