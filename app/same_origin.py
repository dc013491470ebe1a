"""A form is believed where a page of ours sent it: what browsers say of where a request comes from is compared with where we are.

Cookies are SameSite=Lax beside it. Programs, which send neither header, hold no cookie of anybody's.
"""

from urllib.parse import urlsplit

from fastapi import Request

from app.errors import Forbidden
from app.web import House

SAFE = ("GET", "HEAD", "OPTIONS")


def refuse_foreign_forms(request: Request, house: House) -> None:
    """A dependency of every page. Raises Forbidden for an unsafe request from a page of another site.

    Browsers send `Sec-Fetch-Site` to https and to this machine alone. Where it says that the page is ours an Origin of `null` is
    fine: that is what they write for pages that send no referrer.
    """
    if request.method in SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in (None, "same-origin", "none") or not (origin is None or _is_ours(origin, site, request, house.base_url)):
        raise Forbidden("this form was not sent from a page of this service: open the page again and send it from there")


def _is_ours(origin: str, site: str | None, request: Request, base_url: str) -> bool:
    """Of the public address, or of the address that this browser has for us, which no page of another site can choose."""
    if origin == "null":
        return site == "same-origin"
    public = urlsplit(base_url)
    if origin.lower() == f"{public.scheme}://{public.netloc}".lower():
        return True
    try:
        given = urlsplit(origin)
    except ValueError:
        return False
    if public.scheme == "https" and given.scheme != "https" and site != "same-origin":
        return False  # a page that somebody on the way may have written
    return given.netloc.lower() == request.headers.get("host", "").lower() != ""
