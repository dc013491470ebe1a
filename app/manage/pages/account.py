"""The account of whoever is signed in: where they are signed in, how pages look to them, the way to all that can be changed."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from fastapi import Request, Response

from app.domain.audit_action import AuditAction
from app.manage.access import SIGNED_IN, PageRoutes
from app.manage.acting import Person
from app.manage.pages import cookie
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, render
from app.store import audit_entries, user_sessions, users
from app.store.audit_entries import Entry
from app.store.user_sessions import Seen, Visitor
from app.visitor import SignedIn
from app.web import House, Now, Session

pages = PageRoutes()

THEMES = {"auto": "As the system", "light": "Light", "dark": "Dark"}
DONE = {
    "password": "Your password is changed, and all other browsers are signed out.",
    "address": "Your address is changed.",
    "second-step-off": "The second step is off.",
    "sessions": "They are signed out.",
    "look": "Saved.",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A browser that is signed in, in words."""

    id: UUID
    here: bool
    browser: str
    address: str
    since: str
    seen: str


@pages.get("/account", SIGNED_IN)
async def account(request: Request, visitor: SignedIn, session: Session, now: Now) -> Response:
    """All of it on a page."""
    return await _page(request, visitor, session, now, Form(), DONE.get(request.query_params.get("done", ""), ""))


@pages.post("/account/sessions", SIGNED_IN)
async def revoke(request: Request, form: Sent, visitor: SignedIn, actor: Person, session: Session, now: Now) -> Response:
    """Sign another browser out, or all others. One that is not theirs is none."""
    one = form.text("session")
    if one == "others":
        await user_sessions.end_all(session, visitor.user, but=visitor.session)
    elif not await user_sessions.revoke(session, visitor.user, _id_of(one)):
        return go_to(request, "/account")
    await audit_entries.write(session, actor, Entry(AuditAction.SESSION_REVOKED), now)
    return go_to(request, "/account?done=sessions")


@pages.post("/account/look", SIGNED_IN)
async def look(request: Request, form: Sent, visitor: SignedIn, session: Session, house: House, now: Now) -> Response:
    """In which zone times are shown, and in which colours."""
    zone, theme = form.text("zone"), form.text("theme")
    if zone not in zones():
        form.refuse("zone", "choose a zone of the list")
    if theme not in THEMES:
        form.refuse("theme", "choose one of these")
    if not form.is_fine:
        return await _page(request, visitor, session, now, form, "", 400)
    await users.set_look(session, visitor.user, zone, theme)
    answer = go_to(request, "/account?done=look")
    cookie.keep_theme(answer, house, theme)
    return answer


@cache
def zones() -> tuple[str, ...]:
    """The zones there are to choose from."""
    return tuple(sorted(name for name in available_timezones() if name[:1].isupper() and name not in ("Factory", "SystemV")))


async def _page(
    request: Request, visitor: Visitor, session: Session, now: datetime, form: Form, done: str, status: int = 200
) -> Response:
    seen = await user_sessions.of_user(session, visitor.user, now)
    sessions = [_shown(one, visitor) for one in seen]
    return render(request, "account.html", status, form=form, sessions=sessions, zones=zones(), themes=THEMES, done=done)


def _shown(one: Seen, visitor: Visitor) -> Shown:
    zone = ZoneInfo(visitor.zone)
    since, seen = (f"{at.astimezone(zone):%Y-%m-%d %H:%M}" for at in (one.created_at, one.last_seen_at))
    return Shown(one.id, one.id == visitor.session, one.user_agent or "a browser without a name", one.address, since, seen)


def _id_of(text: str) -> UUID:
    """What is no id is that of nothing."""
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)
