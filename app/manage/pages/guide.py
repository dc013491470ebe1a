"""The guide, for anyone: a page for each file of docs/, and the contents. It does not show who is signed in, so that browsers and
proxies may keep it for a while."""

import hashlib

from fastapi import Request, Response

from app.errors import NotFound
from app.manage import guide
from app.manage.access import ANYONE, PageRoutes
from app.manage.guide import GROUPS, Article
from app.manage.pages.frame import render
from app.web import House

pages = PageRoutes()

KEPT = "public, max-age=300"


@pages.get("/docs", ANYONE)
@pages.get("/docs/", ANYONE)
async def contents(request: Request) -> Response:
    """What there is to read."""
    return _kept(request, None)


@pages.get("/docs/{name}", ANYONE)
async def article(request: Request, name: str, house: House) -> Response:
    """One page of it."""
    if name not in guide.titles():
        raise NotFound("not found")
    return _kept(request, guide.article(name, house.base_url))


def _kept(request: Request, shown: Article | None) -> Response:
    """The page, or that it is as the browser has it."""
    page = render(request, "guide.html", shown=shown, groups=GROUPS, called=guide.names(), about=guide.ABOUT)
    tag = f'"{hashlib.sha256(page.body).hexdigest()[:24]}"'
    headers = {"cache-control": KEPT, "etag": tag}
    page.headers.update(headers)
    known = {part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")}
    if tag in known or "*" in known:
        unchanged = {name: page.headers[name] for name in ("content-security-policy", "referrer-policy", "vary")}
        return Response(status_code=304, headers=unchanged | headers)
    return page
