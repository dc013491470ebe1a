"""Who is signed in: the cookie, and the two dependencies that pages ask it by. What they may do stands in `manage/access.py`."""

from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request, Response

from app.errors import MissedbeatError
from app.store import blackouts, user_sessions
from app.web import House, Session, Shared, transaction

LONGEST_TOKEN = 100
FRESH_FOR = timedelta(minutes=10)
FORM_FOR = 2 * FRESH_FOR  # a form that was opened in time may be sent as late as this, so that what was typed is not lost


class SignInFirst(MissedbeatError):
    """Nobody is signed in, or not any more."""


class ProveAgain(MissedbeatError):
    """Somebody is signed in, and it is too long ago that they proved who they are."""


def cookie_name(house: Shared) -> str:
    """Over https a name that browsers take from this very host alone; over http, as in a home's network, they would not."""
    return "__Host-missedbeat" if house.is_https else "missedbeat"


def set_cookie(response: Response, house: Shared, token: str) -> None:
    """Let this browser be signed in."""
    lasts = int(user_sessions.LASTS.total_seconds())
    response.set_cookie(cookie_name(house), token, max_age=lasts, path="/", secure=house.is_https, httponly=True, samesite="lax")


def clear_cookie(response: Response, house: Shared) -> None:
    """Let it forget."""
    response.delete_cookie(cookie_name(house), path="/", secure=house.is_https, httponly=True, samesite="lax")


def token_of(request: Request, house: Shared) -> str | None:
    """What this browser keeps."""
    token = request.cookies.get(cookie_name(house), "")
    return token if 0 < len(token) <= LONGEST_TOKEN else None


async def visitor_of(request: Request, house: House) -> user_sessions.Visitor | None:
    """Who asks; None for nobody that we know. Without a cookie the database is not asked. In a transaction of its own: a page
    that compares passwords holds no connection meanwhile, and no row that it writes later."""
    token = token_of(request, house)
    if token is None:
        return None
    async with transaction(house) as session:
        found = await user_sessions.visitor(session, token, await blackouts.now(session))
    request.state.visitor = found  # for the frame of the page, an error's too
    return found


def signed_in(visitor: Annotated[user_sessions.Visitor | None, Depends(visitor_of)]) -> user_sessions.Visitor:
    """Who asks. Raises SignInFirst."""
    if visitor is None:
        raise SignInFirst("sign in first")
    return visitor


async def proved(
    request: Request, visitor: Annotated[user_sessions.Visitor, Depends(signed_in)], session: Session
) -> user_sessions.Visitor:
    """Who asks, and that it is they: they proved it within ten minutes, or within twenty (`FORM_FOR`) where they send a form.
    Raises SignInFirst and ProveAgain."""
    if visitor.authenticated_at <= await blackouts.now(session) - fresh_for(request):
        raise ProveAgain("prove again who you are")
    return visitor


def fresh_for(request: Request) -> timedelta:
    """How long a proof counts for what is asked now."""
    return FRESH_FOR if request.method in ("GET", "HEAD") else FORM_FOR


Visitor = Annotated[user_sessions.Visitor | None, Depends(visitor_of)]
SignedIn = Annotated[user_sessions.Visitor, Depends(signed_in)]
Fresh = Annotated[user_sessions.Visitor, Depends(proved)]
"""For what an attacker at a browser left open must not do: keys, secrets, addresses, deletion."""
