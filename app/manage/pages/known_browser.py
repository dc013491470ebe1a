"""Browsers that somebody signed in with before. Attempts from such a one are counted apart: strangers who guess at an account, or
ask for letters to it without end, do not keep its owner out. After OWASP's device cookies."""

import hmac

from fastapi import Request, Response

from app.domain import mailbox, tokens
from app.manage.pages import cookie
from app.web import Shared

NAME = "missedbeat-known"


def counted_as(request: Request, house: Shared, email: str) -> str:
    """Against what an attempt counts: the account of this address, or the browser where its owner signed in with it before."""
    key = mailbox.key_of(email)
    name = _name_of(request, house, key)
    return f"{key} {name}" if name else key


def remember(request: Request, response: Response, house: Shared, email: str) -> None:
    """Somebody has signed in: this browser is known from now on, under the name it has or a new one."""
    key = mailbox.key_of(email)
    name = _name_of(request, house, key) or tokens.new_secret()
    cookie.keep(response, house, NAME, f"{name}.{_signed(house, key, name)}", cookie.KEPT_LONG)


def _name_of(request: Request, house: Shared, key: str) -> str:
    """The name that we gave it for this account; empty where we gave none."""
    name, _, signature = (cookie.kept(request, house, NAME) or "").partition(".")
    right = _signed(house, key, name).encode()
    return name if hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), right) else ""


def _signed(house: Shared, key: str, name: str) -> str:
    return house.vault.sign("known browser", f"{key}\0{name}")
