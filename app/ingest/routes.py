"""The ping URLs: bare ASGI, mounted in front of the app, with nothing on its way that it does not need."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from app import metrics
from app.clock import monotonic
from app.ingest import ping as answers
from app.ingest.inbox import Inbox
from app.ingest.ping import Answer, Ping, Target, read_path, read_query

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METHODS = frozenset({"HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"})
MOST_READ = 10_000_000
MOST_READING = 16_000_000  # bytes of bodies still on their way, all together
READ_LIMIT = 30.0  # seconds for a body to arrive
USER_AGENT_KEPT = 200
IDEMPOTENCY_KEY_LIMIT = 200
BASE_HEADERS = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
PREFLIGHT_HEADERS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"HEAD, GET, POST"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-max-age", b"86400"),
]


class Gone(Exception):
    """The client hung up before its ping was whole."""


class PingRoutes:
    """`/ping/<uuid>[/suffix]` and `/ping/<ping_key>/<slug>[/suffix]`."""

    def __init__(self, inbox: Inbox, body_limit: int, trusted_proxies: Sequence[Network]) -> None:
        self._inbox = inbox
        self._body_limit = body_limit
        self._trusted = tuple(trusted_proxies)
        self._reading = 0  # bytes of bodies kept before their ping is whole
        self._good_headers = [
            *BASE_HEADERS,
            (b"access-control-allow-origin", b"*"),
            (b"cache-control", b"no-store"),
            (b"ping-body-limit", str(body_limit).encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hear one ping and answer it."""
        if scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": [*BASE_HEADERS, *PREFLIGHT_HEADERS]})
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            answer = await self._hear(scope, receive)
        except Gone:
            return
        metrics.CHECK_INS.labels(answer.result).inc()
        await self._send(answer, send)

    async def _hear(self, scope: Scope, receive: Receive) -> Answer:
        target = read_path(scope["path"])
        if isinstance(target, Answer):
            return target
        if scope["method"] not in METHODS:
            return answers.BAD_METHOD
        headers = {name: value for name, value in scope["headers"] if name in _READ}
        if len(headers.get(b"idempotency-key", b"")) > IDEMPOTENCY_KEY_LIMIT:
            return answers.BAD_KEY
        ping = self._ping(scope, target, headers)
        try:
            async with asyncio.timeout(READ_LIMIT):
                refused = await self._read_body(ping, headers.get(b"content-length", b""), receive)
        except TimeoutError:
            return answers.TOO_SLOW
        return refused if refused is not None else await self._inbox.hear(ping)

    def _ping(self, scope: Scope, target: Target, headers: dict[bytes, bytes]) -> Ping:
        peer = scope["client"][0] if scope.get("client") else ""
        trusted = self._trusts(peer)
        ping = Ping(target, heard_at=monotonic(), method=scope["method"], remote_addr=peer, scheme=scope["scheme"])
        if trusted:
            ping.remote_addr = self._forwarded_for(headers.get(b"x-forwarded-for", b""), peer)
            scheme = headers.get(b"x-forwarded-proto", b"").decode("latin-1").lower()
            ping.scheme = scheme if scheme in ("http", "https") else ping.scheme
        ping.user_agent = _printable(headers.get(b"user-agent", b""))[:USER_AGENT_KEPT]
        ping.idempotency_key = _printable(headers.get(b"idempotency-key", b"")) or None
        read_query(ping, scope["query_string"])
        return ping

    async def _read_body(self, ping: Ping, length: bytes, receive: Receive) -> Answer | None:
        """Read to the end, keep the first bytes, stamp the ping when the last of those came. An answer where it is refused."""
        if length.isdigit() and int(length[:12]) > MOST_READ:
            return answers.TOO_LARGE
        kept, read, more = bytearray(), 0, True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                chunk, more = message.get("body", b""), message.get("more_body", False)
                read += len(chunk)
                if read > MOST_READ:
                    return answers.TOO_LARGE
                if read == len(chunk) or len(kept) < self._body_limit:
                    part = chunk[: self._body_limit - len(kept)]
                    kept += part
                    self._reading += len(part)
                    ping.heard_at = monotonic()
                if self._reading > MOST_READING:
                    return answers.BUSY
        finally:
            self._reading -= len(kept)
        ping.body, ping.truncated = bytes(kept), read > len(kept)
        return None

    def _trusts(self, address: str) -> bool:
        if not self._trusted:
            return False
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._trusted)

    def _forwarded_for(self, header: bytes, peer: str) -> str:
        """The nearest address that is no proxy of ours; garbage in the header never fails a ping."""
        for part in reversed(header.decode("latin-1").split(",")):
            try:
                address = str(ipaddress.ip_address(part.strip()))
            except ValueError:
                return peer
            if not self._trusts(address):
                return address
            peer = address
        return peer

    async def _send(self, answer: Answer, send: Send) -> None:
        body = answer.text.encode()
        headers = [*(self._good_headers if answer.status < 300 else BASE_HEADERS), (b"content-length", str(len(body)).encode())]
        if answer.retry_after is not None:
            headers.append((b"retry-after", str(answer.retry_after).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


_READ = frozenset({b"content-length", b"user-agent", b"x-forwarded-for", b"x-forwarded-proto", b"idempotency-key"})


def _printable(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return "".join(c for c in text if c.isprintable())
