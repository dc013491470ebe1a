"""Proving once more who one is, before what an attacker at a browser left open must not do (`visitor.Fresh`)."""

from fastapi import Request, Response

from app.domain.attempt import SIGN_IN_ACCOUNT, SIGN_IN_ADDRESS, network_of
from app.errors import TooMany
from app.manage.access import SIGNED_IN, PageRoutes
from app.manage.pages import known_browser
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, ours, render
from app.manage.passwords import PasswordThreads
from app.store import attempts, blackouts, user_sessions, users
from app.store.tables import UserRow
from app.store.user_sessions import Visitor
from app.visitor import SignedIn
from app.web import House, Session, Shared, transaction

pages = PageRoutes()

WRONG = "This is not the password of your account."


@pages.get("/confirm", SIGNED_IN)
async def confirm_page(request: Request, visitor: SignedIn, session: Session) -> Response:
    """Asks for the password; whoever has none signs in anew."""
    user = await users.of_address(session, visitor.email)
    return _form(request, Form(), ours(request.query_params.get("next", "/")), user is not None and bool(user.password_hash))


@pages.post("/confirm", SIGNED_IN)
async def confirm(request: Request, visitor: SignedIn, form: Sent, house: House, threads: PasswordThreads) -> Response:
    """1. Count the attempt, as those of the sign-in. 2. Compare, with no database held. 3. Note that it was they."""
    wanted, user = ours(form.typed("next", "/")), await _counted(request, visitor, house, form)
    if not form.is_fine:
        return _form(request, form, wanted, True, 429)
    password_hash = user.password_hash if user is not None else None
    right = await threads.matches(password_hash, form.secret("password"))
    if not right or not await _note(house, visitor, password_hash, known_browser.counted_as(request, house, visitor.email)):
        form.refuse("password", WRONG)
        return _form(request, form, wanted, True, 400)
    return go_to(request, wanted)


async def _counted(request: Request, visitor: Visitor, house: Shared, form: Form) -> UserRow | None:
    """Who they are in the tables. Over the limit the form is refused."""
    try:
        async with transaction(house) as session:
            now = await blackouts.now(session)
            await attempts.count(session, SIGN_IN_ADDRESS, network_of(house.sender_of(request)), now)
            await attempts.count(session, SIGN_IN_ACCOUNT, known_browser.counted_as(request, house, visitor.email), now)
    except TooMany as error:
        form.refuse("all", f"Too many attempts. Try again in {error.retry_after} s.")
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
