"""Changing the password: it needs the present one, or a sign-in just now, as after a link by mail; it ends all other sessions."""

from fastapi import Request, Response

from app.domain.audit_action import AuditAction
from app.domain.letter import LetterKind
from app.manage.access import SIGNED_IN, PageRoutes
from app.manage.pages.account import actor_of
from app.manage.pages.entry import asking_of
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, render
from app.manage.pages.mailing import tell
from app.manage.pages.proof import is_fresh, prove
from app.manage.pages.sign_up import refuse_weak
from app.manage.passwords import PasswordThreads
from app.store import audit_entries, links, user_sessions, users
from app.store.audit_entries import Entry
from app.visitor import SignedIn
from app.web import House, Now, Session

pages = PageRoutes()


@pages.get("/account/password", SIGNED_IN)
async def password_page(request: Request, visitor: SignedIn, now: Now) -> Response:
    """The form."""
    return render(request, "account_password.html", form=Form(), fresh=is_fresh(visitor, now))


@pages.post("/account/password", SIGNED_IN)
async def change(
    request: Request, form: Sent, visitor: SignedIn, session: Session, house: House, threads: PasswordThreads, now: Now
) -> Response:
    """A new one. Whoever knew the old one is out: their sessions are over, and links that they were sent open nothing."""
    chosen, fresh = form.secret("password"), is_fresh(visitor, now)
    refuse_weak(form, chosen, visitor.email)
    if not form.is_fine or not await prove(form, session, threads, visitor, now):
        return render(request, "account_password.html", 400, form=form, fresh=fresh)
    hashed = await threads.hash_of(chosen)
    await users.locked(session, visitor.user)
    await users.set_password_hash(session, visitor.user, hashed)
    await user_sessions.end_all(session, visitor.user, but=visitor.session)
    await links.drop(session, visitor.user)
    await audit_entries.write(session, actor_of(request, house, visitor), Entry(AuditAction.PASSWORD_CHANGED), now)
    await tell(session, house, LetterKind.PASSWORD_CHANGED, visitor.email, asking_of(request, house), now)
    return go_to(request, "/account?done=password")
