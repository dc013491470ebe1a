"""Changing the password: the form asks for the present one, whenever somebody proved who they are. A mailed link that began the
session just now is as good: so is a forgotten password replaced."""

from fastapi import Request, Response

from app.domain.audit_action import AuditAction
from app.domain.letter import LetterKind
from app.manage.access import SIGNED_IN, PageRoutes
from app.manage.acting import Person
from app.manage.pages.confirm import is_theirs
from app.manage.pages.entry import Asking, asking_of
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, render
from app.manage.pages.mailing import tell
from app.manage.pages.sign_up import refuse_weak
from app.manage.passwords import PasswordThreads
from app.store import audit_entries, blackouts, links, user_sessions, users
from app.store.audit_entries import Actor, Entry
from app.store.user_sessions import Visitor
from app.visitor import ProveAgain, SignedIn, SignInFirst, fresh_for
from app.web import House, Session, Shared, transaction

pages = PageRoutes()

PRESENT = "present"


@pages.get("/account/password", SIGNED_IN)
async def password_page(request: Request, visitor: SignedIn, house: House) -> Response:
    """The form."""
    return _form(request, Form(), await _asks(request, house, visitor))


@pages.post("/account/password", SIGNED_IN)
async def change(
    request: Request, form: Sent, visitor: SignedIn, actor: Person, house: House, threads: PasswordThreads
) -> Response:
    """A new one. 1. Look at what was typed. 2. Compare the present one. 3. Hash, with no database held. 4. Write."""
    chosen, asks = form.secret("password"), await _asks(request, house, visitor)
    refuse_weak(form, chosen, visitor.email)
    if not form.is_fine:
        return _form(request, form, asks, 400)
    if asks and not await is_theirs(request, form, PRESENT, visitor, house, threads):
        return _form(request, form, asks, 429 if "all" in form.wrong else 400)
    hashed = await threads.hash_of(chosen)
    async with transaction(house) as session:
        await _write(session, house, visitor, actor, asking_of(request, house), hashed)
    return go_to(request, "/account?done=password")


async def _asks(request: Request, house: Shared, visitor: Visitor) -> bool:
    """Whether the form asks for the present password. Raises ProveAgain for who has none and proved too long ago who they are."""
    async with transaction(house) as session:
        now, has_one = await blackouts.now(session), await users.has_password(session, visitor.user)
    since = now - fresh_for(request)
    if not has_one and visitor.authenticated_at <= since:
        raise ProveAgain("prove again who you are")
    return has_one and not (visitor.by_link and visitor.began_at > since)


async def _write(session: Session, house: Shared, visitor: Visitor, actor: Actor, asking: Asking, hashed: str) -> None:
    """Whoever knew the old one is out: their sessions are over, and links that they were sent open nothing. Raises SignInFirst
    where somebody else changed it meanwhile, and ended this session."""
    await users.locked(session, visitor.user)
    now = await blackouts.now(session)
    if asking.token is None or await user_sessions.visitor(session, asking.token, now) is None:
        raise SignInFirst("sign in first")
    await users.set_password_hash(session, visitor.user, hashed)
    await user_sessions.end_all(session, visitor.user, but=visitor.session)
    await links.drop(session, visitor.user)
    await audit_entries.write(session, actor, Entry(AuditAction.PASSWORD_CHANGED), now)
    await tell(session, house, LetterKind.PASSWORD_CHANGED, visitor.email, asking, now)


def _form(request: Request, form: Form, asks: bool, status: int = 200) -> Response:
    return render(request, "account_password.html", status, form=form, asks=asks)
