"""Proving once more who one is, before what an attacker at a browser left open must not do (`visitor.Fresh`)."""

from fastapi import Request, Response

from app.domain.attempt import SIGN_IN_ACCOUNT, SIGN_IN_ADDRESS, network_of
from app.errors import TooMany
from app.manage.access import SIGNED_IN, PageRoutes
from app.manage.pages import known_browser
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, ours, render, try_again
from app.manage.passwords import Passwords, PasswordThreads
from app.store import attempts, blackouts, user_sessions, users
from app.store.tables import UserRow
from app.store.user_sessions import Visitor
from app.visitor import SignedIn
from app.web import House, Session, Shared, transaction

pages = PageRoutes()

WRONG = "This is not the password of your account."


@pages.get("/confirm", SIGNED_IN)
async def confirm_page(request: Request, visitor: SignedIn, session: Session) -> Response:
    """Asks for the password; whoever has none signs in anew, by a link."""
    has_password = await users.has_password(session, visitor.user)
    return _form(request, Form(), ours(request.query_params.get("next", "/")), has_password)


@pages.post("/confirm", SIGNED_IN)
async def confirm(request: Request, visitor: SignedIn, form: Sent, house: House, threads: PasswordThreads) -> Response:
    """The right password leads on to the page that asked."""
    wanted = ours(form.typed("next", "/"))
    if not await is_theirs(request, form, "password", visitor, house, threads):
        return _form(request, form, wanted, True, 429 if "all" in form.wrong else 400)
    return go_to(request, wanted)


async def is_theirs(request: Request, form: Form, field: str, visitor: Visitor, house: Shared, threads: Passwords) -> bool:
    """Whether a field holds the present password of whoever is signed in; where not the form says so. 1. Count the attempt, as
    those of the sign-in. 2. Compare, with no database held. 3. Note that it was they."""
    user = await _counted(request, visitor, house, form)
    if form.is_fine:
        password_hash = user.password_hash if user is not None else None
        right = await threads.matches(password_hash, form.secret(field))
        counted = known_browser.counted_as(request, house, visitor.email)
        if not right or not await _note(house, visitor, password_hash, counted):
            form.refuse(field, WRONG)
    return form.is_fine


async def _counted(request: Request, visitor: Visitor, house: Shared, form: Form) -> UserRow | None:
    """Who they are in the tables. Over the limit the form is refused."""
    try:
        async with transaction(house) as session:
            now = await blackouts.now(session)
            await attempts.count(session, SIGN_IN_ADDRESS, network_of(house.sender_of(request)), now)
            await attempts.count(session, SIGN_IN_ACCOUNT, known_browser.counted_as(request, house, visitor.email), now)
    except TooMany as error:
        form.refuse("all", try_again("too many attempts", error))
    async with transaction(house) as session:
        return await users.of_address(session, visitor.email)


async def _note(house: Shared, visitor: Visitor, password_hash: str | None, counted: str) -> bool:
    """That they proved it just now; False where the password was changed meanwhile."""
    async with transaction(house) as session:
        user = await users.locked(session, visitor.user)
        if user is None or user.password_hash != password_hash:
            return False
        await attempts.forgive(session, SIGN_IN_ACCOUNT, counted)
        await user_sessions.prove_again(session, visitor.user, visitor.session, await blackouts.now(session))
    return True


def _form(request: Request, form: Form, wanted: str, has_password: bool, status: int = 200) -> Response:
    return render(request, "confirm.html", status, form=form, next=wanted, has_password=has_password)
