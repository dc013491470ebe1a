"""How a browser comes to be signed in, whatever proved who is there: at once, or after a code where there is a second step."""

from dataclasses import dataclass
from datetime import datetime

from fastapi import Request, Response

from app.domain.audit_action import AuditAction
from app.manage.pages import cookie, known_browser
from app.manage.pages.frame import go_to, leading_to
from app.store import audit_entries, links, user_sessions
from app.store.audit_entries import Actor, Entry
from app.store.links import Link
from app.store.tables import UserRow
from app.visitor import set_cookie, token_of
from app.web import Session, Shared

SECOND_STEP = "second step"  # the purpose of a link that no mail holds: its secret is in the browser's cookie

LINK = "link"  # by which somebody proved who they are


@dataclass(frozen=True, slots=True)
class Asking:
    """Who wants to be signed in: the address they typed, where they are, what with. `counted`: against what their attempts at
    that account count."""

    email: str
    counted: str
    address: str
    user_agent: str
    token: str | None  # of the session that this browser has already


@dataclass(frozen=True, slots=True)
class Entered:
    """The token of a session, or, where it is not `whole`, of a second step that has still to come."""

    token: str
    whole: bool
    theme: str
    email: str


def asking_of(request: Request, house: Shared, email: str = "") -> Asking:
    """Who asks."""
    counted = known_browser.counted_as(request, house, email)
    return Asking(email, counted, house.sender_of(request), request.headers.get("user-agent", ""), token_of(request, house))


async def enter(session: Session, user: UserRow, asking: Asking, now: datetime, by: str) -> Entered:
    """Somebody has proved who they are, `by` a password, a link: signed in, unless they have a second step.
    A step begun in another browser stays: who knows the password alone keeps nobody from giving their code."""
    if user.totp_secret is None:
        return Entered(await begin(session, user, asking, now, by), True, user.theme, user.email)
    step = Link(SECOND_STEP, user.email_key, user.id, {"by": by})
    return Entered(await links.make(session, step, now, in_place=False), False, user.theme, user.email)


async def begin(session: Session, user: UserRow, asking: Asking, now: datetime, by: str) -> str:
    """A new session in place of the one that this browser had; returns its token. `by`: what they proved themselves with."""
    if asking.token is not None:
        await user_sessions.end(session, asking.token)
    actor = Actor(user.email, asking.address, user.id)
    await audit_entries.write(session, actor, Entry(AuditAction.SIGNED_IN, details={"by": by}), now)
    by_link = by.startswith(LINK)
    return await user_sessions.begin(session, user.id, asking.address, asking.user_agent, now, by_link)


def go_in(request: Request, house: Shared, entered: Entered, wanted: str) -> Response:
    """The answer: to the page that they wanted, or to that of the second step, which remembers it."""
    if not entered.whole:
        answer: Response = go_to(request, leading_to("/login/code", wanted))
        cookie.keep(answer, house, cookie.SECOND_STEP, entered.token)
        return answer
    answer = go_to(request, wanted)
    set_cookie(answer, house, entered.token)
    known_browser.remember(request, answer, house, entered.email)
    if cookie.kept(request, house, cookie.SECOND_STEP) is not None:
        cookie.forget(answer, house, cookie.SECOND_STEP)
    if entered.theme != "auto":
        cookie.keep_theme(answer, house, entered.theme)
    return answer
