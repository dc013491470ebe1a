"""The outer wall of every answer but a ping's: headers, CORS, and the one form of the API's paths."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

Asgi = Callable[[Any, Any, Any], Awaitable[None]]
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
STRICT = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
NOT_KEPT = (b"cache-control", b"no-store")  # unless the route says that it is nobody's own
HSTS = (b"strict-transport-security", b"max-age=31536000")
CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, DELETE"),
    (b"access-control-allow-headers", b"X-Api-Key, Authorization, Content-Type"),
    (b"access-control-expose-headers", b"Retry-After"),
    (b"access-control-max-age", b"600"),
]


OPEN = ("/api/v", "/api/docs", "/api/openapi.json", "/badge/", "/b/")  # what pages of other sites may ask for
API = re.compile(r"/api/v([123])(/.*?)/?", re.DOTALL)


def strict_headers(is_https: bool) -> list[tuple[bytes, bytes]]:
    """What every answer carries that says nothing else; over https browsers are told to stay there."""
    return [*HEADERS, STRICT, NOT_KEPT, *([HSTS] if is_https else [])]


def _one_form(scope: Any) -> Any:
    """A path of the API in the one form that routes have: v3, without a last slash. What was asked stands in `api_version`."""
    found = API.fullmatch(scope["path"])
    if found is None:
        return scope
    path = f"/api/v3{found[2]}"
    return {**scope, "path": path, "raw_path": path.encode(), "api_version": int(found[1])}


class Outside:
    """The outer wall of every answer but a ping's: strict headers, and CORS on badges and on the API, all of whose paths answer
    with and without a last slash and in three versions."""

    def __init__(self, app: Asgi, is_https: bool) -> None:
        self._app = app
        self._headers = strict_headers(is_https)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, with the headers every answer carries."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_open = scope["path"].startswith(OPEN)

        async def dressed(message: Any) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                extra = [*self._headers, *(CORS if is_open else [])]
                message["headers"] = [*message["headers"], *(h for h in extra if h[0] not in there)]
            await send(message)

        if scope["path"].endswith("\n"):  # which the patterns of routes take for the end of a path
            await _answer(dressed, 404, b'{"error":"not found"}')
            return
        if is_open and scope["method"] == "OPTIONS":
            await _answer(dressed, 204, b"")
            return
        await self._app(_one_form(scope), receive, dressed)


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())] if body else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
