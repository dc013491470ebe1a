"""The frame around every page: how a template becomes an answer, and an error a page."""

import gzip
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import iter_route_contexts
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.routing import Match

from app.domain.role import Action, may
from app.domain.span import in_words
from app.domain.tokens import unique_key
from app.domain.unseen import UNSEEN
from app.errors import TooMany
from app.manage.pages.static import static_path
from app.visitor import ProveAgain, SignInFirst
from app.web import Shared, shared

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# With `no-referrer` browsers would send forms with an Origin of `null`; to other sites nothing is told either way.
HEADERS = {
    "content-security-policy": CSP,
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "vary": "Cookie, Accept-Encoding",
}
WORTH_PACKING, PACKED_BY = 2000, 5  # bytes, and gzip's level
THEMES = ("light", "dark")
THEME_COOKIE = "theme"
TITLES = {
    400: "That did not work", 403: "Not allowed", 404: "Not found", 405: "Not allowed", 408: "Too slow", 409: "Changed meanwhile",
    413: "Too large", 429: "Too many attempts", 500: "Something broke here", 503: "Back in a moment",
}  # fmt: skip
SAID = {
    404: ("not found", "there is nothing at this address, or nothing that you may see"),
    405: ("method not allowed", "nothing is to be seen where a form is sent: open the page that it stands on"),
}  # instead of the words for programs

LEFT_OUT = re.compile(f"[\u0000-\u0008{UNSEEN}]")


def _seen(value: Any) -> Any:
    """Words of others, without what cannot be seen; what we marked as HTML, and all that is no text, as it is."""
    return LEFT_OUT.sub("", value) if type(value) is str else value


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent.parent / "templates"), finalize=_seen,
    autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False,
)  # fmt: skip


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """The page from its template, which knows `url`, `static`, `visitor`, `theme`, `sends_mail`, `may`, `day`, `moment`, `key_of`
    and these values. What it does not know is an error, never a blank."""
    house, visitor = shared(request), getattr(request.state, "visitor", None)
    zone = "UTC" if visitor is None else visitor.zone
    given = {
        "url": lambda path: url(house, path), "static": lambda name: url(house, static_path(name)),
        "visitor": visitor, "theme": _theme(request), "sends_mail": house.sends_mail,
        "may": lambda role, action: may(role, Action[action]), "day": day, "zone": zone,
        "moment": lambda at: _moment(at, zone),
        "key_of": unique_key,
    }  # fmt: skip
    return _packed(request, HTMLResponse(TEMPLATES.get_template(template).render({**given, **values}), status, HEADERS))


def _packed(request: Request, page: HTMLResponse) -> HTMLResponse:
    """A tenth of its size, where the browser takes that. What stands on a page cannot be guessed from its size: no other site
    has our cookies sent along, which are SameSite."""
    if len(page.body) >= WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
        page.body = gzip.compress(page.body, PACKED_BY, mtime=0)
        page.headers["content-encoding"] = "gzip"
        page.headers["content-length"] = str(len(page.body))
    return page


def url(house: Shared, path: str) -> str:
    """A path of ours as a browser sees it, behind the path of the public address."""
    return house.prefix + path


def go_to(request: Request, path: str) -> RedirectResponse:
    """After a form that went well: look at another page of ours."""
    return RedirectResponse(quote(url(shared(request), path), safe="/?&=%"), 303, HEADERS)


def ours(path: str) -> str:
    """The path, if it is one of ours; else that of the first page. So no link to us sends anybody elsewhere."""
    elsewhere = not path.startswith("/") or path[1:2] in ("/", "\\") or not path.isprintable() or len(path) > 500
    return "/" if elsewhere else path


def leading_to(path: str, wanted: str) -> str:
    """A page on the way to the one that was wanted, which knows that."""
    return path + (f"?{urlencode({'next': wanted})}" if wanted != "/" else "")


def sentence(words: object) -> str:
    """Words as errors have them, as a sentence on a page."""
    text = str(words)
    return f"{text[:1].upper()}{text[1:]}."


def try_again(words: str, error: TooMany) -> str:
    """That something was too much, in these words, and when it may be tried again."""
    return f"{sentence(words)} Try again in {in_words(timedelta(seconds=error.retry_after))}."


def error_page(request: Request, status: int, said: str, request_id: str) -> Response:
    """An error in words; `request_id` is what the operator finds it by."""
    title, (plain, better) = TITLES.get(status, "That did not work"), SAID.get(status, ("", ""))
    back = _page_at(request, request.scope["path"]) if status == 405 else "/"
    said = better if said == plain else said
    return render(request, "error.html", status, title=title, said=said, request_id=request_id, back=back)


def send_to_sign_in(app: FastAPI) -> None:
    """Whoever must be signed in, or prove again who they are, is sent there, and after that to the page they wanted."""
    app.add_exception_handler(SignInFirst, _sign_in_first)
    app.add_exception_handler(ProveAgain, _prove_again)


async def _sign_in_first(request: Request, _: Exception) -> Response:
    """A stream is not sent anywhere: 204 ends it, and its page finds out."""
    if request.headers.get("accept", "") == "text/event-stream":
        return Response(status_code=204, headers=HEADERS)
    return go_to(request, leading_to("/login", _asked(request) if request.method in ("GET", "HEAD") else "/"))


async def _prove_again(request: Request, _: Exception) -> Response:
    """A form is not sent on by itself: they go back to the page that it stands on."""
    wanted = _asked(request) if request.method in ("GET", "HEAD") else _came_from(request)
    return go_to(request, f"/confirm?{urlencode({'next': wanted})}")


def _asked(request: Request) -> str:
    """The page that somebody wanted, with all that its address says."""
    path = str(request.scope["path"])
    return f"{path}?{request.url.query}" if request.url.query and path != "/" else path


def _came_from(request: Request) -> str:
    """The page that a form was on, or the nearest one above it."""
    try:
        there = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return "/"
    path = ours(there.path.removeprefix(shared(request).prefix))
    page = _page_at(request, path)
    whole = f"{page}?{there.query}" if there.query and page == path else page
    return whole if ours(whole) == whole else page


def _page_at(request: Request, path: str) -> str:
    """The page of this path, or the nearest one above it: a form that came back stands where forms alone are sent."""
    asked = {**request.scope, "method": "GET"}
    routes = list(iter_route_contexts(request.app.routes))
    while path != "/" and not any(route.matches({**asked, "path": path})[0] is Match.FULL for route in routes):
        path = path.rpartition("/")[0] or "/"
    return path


def day(at: datetime) -> str:
    """As in 5 December 2026, 14:05 UTC."""
    return f"{at.astimezone(UTC):%-d %B %Y, %H:%M} UTC"


def _moment(at: datetime | None, zone: str) -> str:
    """As in 2026-12-05 14:05, by the reader's clock; never for none."""
    return "never" if at is None else f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def _theme(request: Request) -> str:
    """What the cookie says, so that the first paint is right; empty: what the system says."""
    theme = request.cookies.get(THEME_COOKIE, "")
    return theme if theme in THEMES else ""
