"""How a ping's answer goes out: plain ASGI, and what every answer carries."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from app.outside import HEADERS, HSTS, NOT_KEPT, STRICT

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

METHODS = frozenset({"HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"})
TEXT, JSON = b"text/plain; charset=utf-8", b"application/json"
BASE_HEADERS = [STRICT, *HEADERS, NOT_KEPT, (b"access-control-allow-origin", b"*")]
PREFLIGHT_HEADERS = [
    (b"access-control-allow-methods", b"HEAD, GET, POST"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-max-age", b"86400"),
]


class Dress:
    """What every answer of one web door wears: lists that are made once. Over https browsers are told to stay there."""

    def __init__(self, is_https: bool = False) -> None:
        more = [HSTS] if is_https else []
        self.base = [*BASE_HEADERS, *more]
        self.preflight = [*self.base, *PREFLIGHT_HEADERS]


async def preflight(send: Send, dress: Dress) -> None:
    """The answer to OPTIONS, which is no ping."""
    await send({"type": "http.response.start", "status": 204, "headers": dress.preflight})
    await send({"type": "http.response.body", "body": b""})


async def reply(
    send: Send, status: int, body: bytes, kind: bytes, more: list[tuple[bytes, bytes]], retry_after: int | None = None
) -> None:
    """One whole answer; `kind` is its content type."""
    headers = [*more, (b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
