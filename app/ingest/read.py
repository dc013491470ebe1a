"""Reading a request that may be a ping: who sent it, what its headers and body say. Bounded in bytes and time; nothing in a
header ever fails a ping."""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import nullcontext
from copy import copy
from email.utils import parsedate_to_datetime
from typing import Any

from app.clock import monotonic
from app.domain import tokens
from app.domain.state import Signal
from app.ingest import answers
from app.ingest.answers import Answer
from app.ingest.bystanders import previews, resolves
from app.ingest.ping import Ping, Target, read_query
from app.proxies import Network, Proxies, unmapped
from app.store.addresses import Address

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Headers = dict[bytes, bytes]

MOST_READ = 10_000_000
MOST_READING = 16_000_000  # bytes of bodies still on their way, all together
READ_LIMIT = 30.0  # seconds for a body to arrive
USER_AGENT_KEPT = 200
IDEMPOTENCY_KEY_LIMIT = 200
PING_KEY = re.compile(r"[A-Za-z0-9_-]{20,100}")
NOWHERE = Target(Address("", ""), Signal.LOG)  # of a request whose words nobody has read yet
READ = frozenset({
    b"accept", b"authorization", b"content-encoding", b"content-length", b"content-type", b"date", b"idempotency-key",
    b"transfer-encoding", b"user-agent", b"x-api-key", b"x-forwarded-for", b"x-forwarded-proto", b"x-sentry-auth",
})  # fmt: skip


class Gone(Exception):
    """The client hung up before its ping was whole."""


def headers_of(scope: Scope) -> Headers:
    """The headers that say something here; of several of one name the first counts."""
    found: Headers = {}
    for name, value in scope["headers"]:
        if name in READ:
            found.setdefault(name, value)
    return found


def key_of(headers: Headers) -> str:
    """The key that a client sends as bearer or `X-Api-Key`; empty where it sends none."""
    scheme, _, value = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else headers.get(b"x-api-key", b"").decode("latin-1").strip()


def opener(key: str) -> Address | None:
    """The project that a key in the headers opens, as an address that lacks its name."""
    if tokens.looks_like_api_key(key):
        return Address("api_key", tokens.hashed(key).hex())
    return Address("ping_key", key) if PING_KEY.fullmatch(key) else None


class Reader:
    """Reads requests. `trusted`: proxies whose X-Forwarded-For is believed."""

    def __init__(self, body_limit: int, trusted: Sequence[Network]) -> None:
        self.body_limit = body_limit
        self._proxies = Proxies(trusted)
        self._reading = 0  # bytes of bodies kept before their ping is whole

    async def read(self, scope: Scope, receive: Receive, headers: Headers, keep: int | None = None) -> Ping | Answer:
        """The request as a ping that leads nowhere yet, read to its end, or the answer where it is refused. `keep`: how many
        bytes of the body are kept, instead of the limit. Raises Gone."""
        if len(headers.get(b"idempotency-key", b"")) > IDEMPOTENCY_KEY_LIMIT:
            return answers.BAD_KEY
        ping = self._ping(scope, headers)
        limit = self.body_limit if keep is None else keep
        length = headers.get(b"content-length", b"")
        try:  # without a length, and not in chunks, nothing follows the head: no need to set a timer for it
            async with asyncio.timeout(READ_LIMIT) if length or b"transfer-encoding" in headers else nullcontext():
                refused = await self._read_body(ping, limit, length, receive)
        except TimeoutError:
            return answers.TOO_SLOW
        if refused is not None:
            return refused
        if previews(ping.method, ping.user_agent):
            ping.ignored = "a look at the link is no sign of life"
        return ping

    def said(self, request: Ping, target: Target, query: bytes, headers: Headers) -> Ping:
        """The request with what its URL says in our words; the request itself stays as it was."""
        ping = copy(request)
        ping.target, ping.warnings, ping.receipt = target, [], wants_receipt(headers.get(b"accept", b""))
        read_query(ping, query)
        if ping.at is not None:
            _read_time(ping, headers)
        if target.signal is Signal.SUCCESS and resolves(ping.body):
            ping.ignored = "an alert that is over is no sign of life"
        ping.create = ping.create and not previews(ping.method, ping.user_agent)
        self.add_message(ping)
        return ping

    def add_message(self, ping: Ping) -> None:
        """What `message` says stands before the body, and both keep the limit."""
        whole = ping.body
        if ping.message:
            whole = ping.message.encode(errors="replace") + (b"\n" + ping.body if ping.body else b"")
        ping.truncated = ping.truncated or len(whole) > self.body_limit
        ping.body = whole[: self.body_limit]

    def _ping(self, scope: Scope, headers: Headers) -> Ping:
        peer = unmapped(scope["client"][0]) if scope.get("client") else ""
        ping = Ping(NOWHERE, heard_at=monotonic(), method=scope["method"], remote_addr=peer, scheme=scope["scheme"])
        if self._proxies.trusts(peer):
            ping.remote_addr = self._proxies.origin_of(peer, headers.get(b"x-forwarded-for", b""))
            scheme = headers.get(b"x-forwarded-proto", b"").decode("latin-1").lower()
            ping.scheme = scheme if scheme in ("http", "https") else ping.scheme
        ping.user_agent = printable(headers.get(b"user-agent", b""))[:USER_AGENT_KEPT]
        ping.idempotency_key = printable(headers.get(b"idempotency-key", b"")) or None
        return ping

    async def _read_body(self, ping: Ping, limit: int, length: bytes, receive: Receive) -> Answer | None:
        """Read to the end, keep the first bytes, stamp the ping when the last of all came. An answer where it is refused."""
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
                ping.heard_at = monotonic()
                if read > MOST_READ:
                    return answers.TOO_LARGE
                if read == len(chunk) or len(kept) < limit:
                    part = chunk[: limit - len(kept)]
                    kept += part
                    self._reading += len(part)
                if self._reading > MOST_READING:
                    return answers.BUSY
        finally:
            self._reading -= len(kept)
        ping.body, ping.truncated = bytes(kept), read > len(kept)
        return None


def _read_time(ping: Ping, headers: Headers) -> None:
    """Who says `at`, and what the same clock says now."""
    key = key_of(headers)
    ping.key = tokens.hashed(key) if key else None
    try:
        ping.sent_at = parsedate_to_datetime(headers[b"date"].decode("latin-1"))
    except (KeyError, ValueError, TypeError, OverflowError):
        return
    if ping.sent_at.tzinfo is None:
        ping.sent_at = None


def wants_receipt(accept: bytes) -> bool:
    """Whether JSON is asked for before plain text: many clients name it beside `*/*` without meaning it."""
    if b"json" not in accept.lower():
        return False
    weights = {}
    for part in accept.decode("latin-1").lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        weights[kind] = float(weight) if re.fullmatch(r"[01](\.\d{0,3})?", weight) else 0.0
    plain = max((weights.get(kind, 0.0) for kind in ("text/plain", "text/*", "*/*")), default=0.0)
    return weights.get("application/json", 0.0) > plain


def printable(raw: bytes) -> str:
    """A header as text without control characters, whatever bytes it holds."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return "".join(c for c in text if c.isprintable())
