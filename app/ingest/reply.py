"""How a ping's answer goes out: plain ASGI, and what every answer carries."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

METHODS = frozenset({"HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"})
TEXT, JSON = b"text/plain; charset=utf-8", b"application/json"
BASE_HEADERS = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"access-control-allow-origin", b"*"),
]
GOOD_HEADERS = [*BASE_HEADERS, (b"cache-control", b"no-store")]
PREFLIGHT_HEADERS = [
    (b"access-control-allow-methods", b"HEAD, GET, POST"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-max-age", b"86400"),
]


async def preflight(send: Send) -> None:
    """The answer to OPTIONS, which is no ping."""
    await send({"type": "http.response.start", "status": 204, "headers": [*BASE_HEADERS, *PREFLIGHT_HEADERS]})
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
