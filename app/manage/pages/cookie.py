"""Small cookies beside that of the session: what a browser keeps while something is under way, and the theme of its pages."""

from datetime import timedelta

from fastapi import Request, Response

from app.domain import tokens
from app.manage.pages.frame import THEME_COOKIE, THEMES
from app.web import Shared

BROWSER = "missedbeat-browser"  # who asked for a letter: its link opens in this browser alone
SECOND_STEP = "missedbeat-step"  # who gave a password and has still to give a code
KEPT = timedelta(hours=1)
KEPT_LONG = timedelta(days=400)
LONGEST = 100


def kept(request: Request, house: Shared, name: str) -> str | None:
    """What this browser keeps under a name."""
    value = request.cookies.get(_full(house, name), "")
    return value if 0 < len(value) <= LONGEST else None


def keep(response: Response, house: Shared, name: str, value: str, lasts: timedelta = KEPT) -> None:
    """For a while, out of the reach of scripts."""
    seconds = int(lasts.total_seconds())
    response.set_cookie(_full(house, name), value, seconds, path="/", secure=house.is_https, httponly=True, samesite="lax")


def forget(response: Response, house: Shared, name: str) -> None:
    """Not any more."""
    response.delete_cookie(_full(house, name), path="/", secure=house.is_https, httponly=True, samesite="lax")


def browser_of(request: Request, house: Shared) -> str:
    """The secret of this browser, one that it has or a new one: `keep` it with the answer."""
    return kept(request, house, BROWSER) or tokens.new_secret()


def keep_theme(response: Response, house: Shared, theme: str) -> None:
    """So that the first paint is right; what is no theme means the system's."""
    value, lasts = (theme, KEPT_LONG) if theme in THEMES else ("", timedelta())
    response.set_cookie(
        THEME_COOKIE, value, int(lasts.total_seconds()), path="/", secure=house.is_https, httponly=True, samesite="lax"
    )


def _full(house: Shared, name: str) -> str:
    """Over https a name that browsers take from this very host alone."""
    return f"__Host-{name}" if house.is_https else name
