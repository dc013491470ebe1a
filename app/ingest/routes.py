"""The ping URLs: bare ASGI, mounted in front of the app, with nothing on its way that it does not need."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from app import metrics
from app.ingest import answers
from app.ingest.answers import Answer
from app.ingest.inbox import Inbox
from app.ingest.ping import read_path
from app.ingest.read import Gone, Reader, Receive, Scope, headers_of, key_of, opener, wants_receipt

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

METHODS = frozenset({"HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"})
TEXT, JSON = b"text/plain; charset=utf-8", b"application/json"
BASE_HEADERS = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"access-control-allow-origin", b"*"),
]
PREFLIGHT_HEADERS = [
    (b"access-control-allow-methods", b"HEAD, GET, POST"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-max-age", b"86400"),
]


class PingRoutes:
    """`/ping/<uuid>[/suffix]` and `/ping/<ping_key>/<slug>[/suffix]`; with a key in the headers `/ping/<slug>[/suffix]`."""

    def __init__(self, inbox: Inbox, reader: Reader) -> None:
        self._inbox = inbox
        self._reader = reader
        self._good_headers = [
            *BASE_HEADERS, (b"cache-control", b"no-store"), (b"ping-body-limit", str(reader.body_limit).encode()),
        ]  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hear one ping and answer it."""
        if scope["method"] == "OPTIONS":
            await preflight(send)
            return
        headers = headers_of(scope)
        try:
            answer = await self._hear(scope, receive, headers)
        except Gone:
            return
        metrics.CHECK_INS.labels(answer.result).inc()
        as_json = wants_receipt(headers.get(b"accept", b""))
        body = json.dumps(_receipt(answer)).encode() if as_json else answer.text.encode()
        more = self._good_headers if answer.status < 300 else BASE_HEADERS
        await reply(send, answer.status, body, JSON if as_json else TEXT, more, answer.retry_after)

    async def _hear(self, scope: Scope, receive: Receive, headers: dict[bytes, bytes]) -> Answer:
        key = key_of(headers)
        target = read_path(scope["path"], opener(key) if key else None)
        if isinstance(target, Answer):
            return target
        if scope["method"] not in METHODS:
            return answers.BAD_METHOD
        ping = await self._reader.read(scope, receive, target, headers)
        return ping if isinstance(ping, Answer) else await self._inbox.hear(ping)


def _receipt(answer: Answer) -> dict[str, Any]:
    if answer.receipt is not None:
        return answer.receipt
    return {"error": answer.text} if answer.status >= 400 else {"answer": answer.text}


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
