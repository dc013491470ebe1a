"""The only way out by HTTP: addresses are judged when connecting, time and size are bounded. Also what an HTTP answer means for
a delivery. httpx is imported here and nowhere else; what is said to whom stands in the senders."""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

import certifi
import httpcore
import httpx

from app.domain.message import Outcome, Verdict, clean
from app.errors import Invalid
from app.notify.connections import Connections

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str], Sequence[str]]

URL_LIMIT = 2_000
READ_LIMIT = 65_536
ANSWER_LIMIT = 300
SECRET_PART = 8  # shorter pieces of a secret are everyday words
TIME_LIMIT = 15.0  # seconds, from the name to the last byte
ADDRESS_TIME_LIMIT = 5.0  # seconds for one of several addresses, so that a dead one leaves time for the next
DNS_THREADS = 512  # two for each slot of a sender: a look-up in vain outlives its attempt, and must hold up nobody's
FAILURES = (httpcore.ProtocolError, httpcore.NetworkError, httpcore.TimeoutException)
OURS = {"user-agent": "Missedbeat", "accept": "*/*", "accept-encoding": "identity"}
OPEN_PORTS = frozenset({80, 443, 8443})

# IANA's special-purpose registries, and who answers there on other people's clouds; see security.md, "SSRF".
GLOBAL_V6 = IPv6Network("2000::/3")
REFUSED = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)

HOST_NAME = re.compile(r"(?=.{1,253}\.?\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?")
NUMERIC_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
OPENS_IT = "MISSEDBEAT_ALLOW_NETWORKS opens networks of your own"


class OutboundError(Exception):
    """No answer came. `blocked`: our own rules forbade the way, so trying again is no use; `words` say what happened and
    hold neither path nor query of the URL."""

    def __init__(self, words: str, *, blocked: bool = False) -> None:
        super().__init__(words)
        self.words = words
        self.blocked = blocked


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said; `text` is at most 64 kB of its body as sent (never decompressed), header names are lower case."""

    status: int
    text: str
    headers: Mapping[str, str]


class Outbound:
    """One pool of connections for all channels. Make it inside the running loop and close it there."""

    def __init__(
        self,
        *,
        allow_networks: Iterable[Network] = (),
        resolve: Resolver | None = None,
        time_limit: float = TIME_LIMIT,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        for talker in ("httpx", "httpcore"):  # they log whole URLs, and those are secrets
            logging.getLogger(talker).setLevel(logging.WARNING)
        self._time_limit = time_limit
        self._backend = GuardedBackend(tuple(allow_networks), resolve or system_resolve)
        self._connections = Connections(self._backend, tls or _trusted_roots())

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str], method: str = "POST") -> Answer:
        """Send it and hear at most 64 kB of the answer, all within the time limit. Redirects are answers like any other.
        Raises OutboundError and nothing else."""
        try:
            async with asyncio.timeout(self._time_limit):
                return await self._exchange(url, content, headers, method)
        except TimeoutError:
            raise OutboundError(f"no answer within {self._time_limit:g} s") from None
        except httpcore.LocalProtocolError:
            raise OutboundError("the request's headers are not valid HTTP", blocked=True) from None
        except (*FAILURES, OSError) as error:
            raise OutboundError(f"the connection failed: {_reason(error)}") from None
        except (httpx.InvalidURL, ValueError):
            raise OutboundError("this is not a URL one can post to", blocked=True) from None

    async def _exchange(self, url: str, content: bytes, headers: Mapping[str, str], method: str) -> Answer:
        target = httpx.URL(url)
        if target.scheme not in ("http", "https") or target.userinfo or not target.host or not _has_port(target):
            raise OutboundError("only http and https URLs with a host and without a user are posted to", blocked=True)
        address = httpcore.URL(scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path)
        request = httpcore.Request(method, address, headers=_headers(target, content, headers, method), content=content)
        response, body = await self._connections.exchange(request, READ_LIMIT)
        heard = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        return Answer(response.status, body[:READ_LIMIT].decode("utf-8", "replace"), heard)

    async def aclose(self) -> None:
        """Close every connection; look-ups still hanging are left behind."""
        await self._connections.aclose()
        self._backend.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only, and to the very address it judged: a name that answers otherwise the next time
    (DNS rebinding) gains nothing. TLS server name and Host are made from the URL above this, so they stay."""

    def __init__(self, allowed: tuple[Network, ...], resolve: Resolver) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._plain = httpcore.AnyIOBackend()
        self._threads = ThreadPoolExecutor(DNS_THREADS, thread_name_prefix="outbound-dns")

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """1. host to addresses; 2. judge all of them; 3. connect to one of these, the first that answers."""
        addresses = judge(host, port, await self._addresses(host), self._allowed)
        for last, address in zip([False] * (len(addresses) - 1) + [True], addresses, strict=True):
            limit = timeout if last else ADDRESS_TIME_LIMIT
            try:
                return await self._plain.connect_tcp(str(address), port, limit, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                if last:
                    raise OutboundError(f"could not connect to {host} port {port}: {_reason(error)}") from None
        raise OutboundError(f"{host} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise OutboundError("unix sockets are not posted to", blocked=True)

    async def sleep(self, seconds: float) -> None:
        """As httpcore asks."""
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str) -> Sequence[str]:
        if is_numeric(host):
            return [host]
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._resolve, host)
        except (OSError, UnicodeError) as error:
            raise OutboundError(f"the name {host} was not found: {_reason(error)}") from None

    def close(self) -> None:
        """No more look-ups; does not wait for those under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def system_resolve(host: str) -> Sequence[str]:
    """All addresses the system knows for a name, in the order it prefers. Blocks; raises OSError."""
    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)))


def judge(host: str, port: int, found: Sequence[str], allowed: Sequence[Network] = ()) -> list[Address]:
    """The addresses one may connect to, v4-mapped ones unwrapped. One bad address of several refuses all.
    Raises OutboundError naming what was refused and what would open it."""
    addresses = []
    for text in found:
        address = _address(text)
        if address is None:
            raise OutboundError(f"{host} is refused: {clean(text, 60)} is not an address in its usual form", blocked=True)
        listed = any(address in network for network in allowed)
        if not listed and not is_public(address):
            raise OutboundError(f"{host} is refused: {address} is not a public address; {OPENS_IT}", blocked=True)
        if not listed and port not in OPEN_PORTS and port <= 1023:
            raise OutboundError(f"port {port} is refused: 80, 443, 8443 and those above 1023 are open; {OPENS_IT}", blocked=True)
        addresses.append(address)
    if not addresses:
        raise OutboundError(f"{host} has no address")
    return addresses


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could connect to it as well: global unicast, no tunnel, no translation. Stricter than
    `is_global`, whose tables differ between versions of Python."""
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address not in GLOBAL_V6):
        return False
    return address.is_global and not address.is_multicast and not any(address in network for network in REFUSED)


def is_numeric(host: str) -> bool:
    """Whether a host is meant as an address, also in the forms (decimal, octal, hex, short, zoned) that `judge` refuses.
    The last label decides, as in the URL standard of WHATWG."""
    return ":" in host or "%" in host or NUMERIC_END.fullmatch(host.lower()) is not None


def check_url(given: object, *, field: str = "url") -> httpx.URL:
    """A URL one can post to, as far as its text tells; its address is judged when connecting. Raises Invalid."""
    if not isinstance(given, str) or not given:
        raise Invalid(f"{field}: give the URL to post to, such as https://example.com/hook")
    if len(given) > URL_LIMIT:
        raise Invalid(f"{field}: at most {URL_LIMIT:,} characters")
    if not given.isprintable() or any(c in given for c in ' \\"<>'):
        raise Invalid(f"{field}: a URL has no spaces, line breaks, quotes or backslashes; write them as %20 and the like")
    try:
        url = httpx.URL(given)
    except (httpx.InvalidURL, ValueError):
        raise Invalid(f"{field}: this is not a URL; write it like https://example.com/hook") from None
    if url.scheme not in ("http", "https"):
        raise Invalid(f"{field}: start it with https:// or http://")
    if url.userinfo:
        raise Invalid(f"{field}: leave user and password out of the URL; a webhook can send an Authorization header instead")
    _check_host(url, field)
    return url


def check_address(given: str, allowed: Sequence[Network]) -> None:
    """Refuse at once a URL whose host is an address, or a name of this machine, that would be refused when connecting. Any other
    name may lead elsewhere by then. `given` is one that `check_url` took. Raises Invalid."""
    url = httpx.URL(given)
    host = url.host.lower().rstrip(".")
    here = host == "localhost" or host.endswith(".localhost")
    if here or is_numeric(host):
        try:
            judge(url.host, url.port or (443 if url.scheme == "https" else 80), ["127.0.0.1" if here else host], allowed)
        except OutboundError as error:
            raise Invalid(f"url: {error.words}") from None


def outcome_of(answer: Answer, now: datetime, *, hide: Iterable[str]) -> Outcome:
    """What an HTTP answer means to any channel; a channel that knows better says so itself. `hide`: secrets that a receiver
    might repeat in its answer; `now` is what a Retry-After with a date is counted from."""
    words = clean(_without(hide, answer.text), ANSWER_LIMIT) or f"HTTP {answer.status}"
    if 300 <= answer.status < 400:
        words = "it redirects elsewhere, which is not followed: give the URL it leads to"
    return Outcome(_verdict(answer.status), words, _retry_after(answer.headers.get("retry-after", ""), now), answer.status)


def outcome_of_failure(error: OutboundError) -> Outcome:
    """No answer came: tried again, unless our own rules forbade the way."""
    return Outcome(Verdict.REFUSED if error.blocked else Verdict.RETRY, clean(error.words, ANSWER_LIMIT))


def _verdict(status: int) -> Verdict:
    """Known refusals of this very message are final; anything unheard of is tried again, so that no alert is lost by it."""
    if 200 <= status < 300:
        return Verdict.DELIVERED
    known = {429: Verdict.LIMITED, 401: Verdict.UNAUTHORISED, 403: Verdict.UNAUTHORISED, 410: Verdict.GONE}
    final = dict.fromkeys((400, 405, 406, 413, 414, 415, 422, 431), Verdict.REFUSED)
    return (known | final).get(status, Verdict.RETRY)


def _without(secrets: Iterable[str], text: str) -> str:
    """Hides them whole and in their parts: a receiver may repeat the token of a URL, or that of a header, alone."""
    parts = {part for secret in secrets for part in (secret, *re.split(r"[\s/?&=#]+", secret)) if len(part) >= SECRET_PART}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "…")
    return text


def _retry_after(header: str, now: datetime) -> float | None:
    """RFC 9110, 10.2.3: seconds or a date."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", header.strip()):
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _check_host(url: httpx.URL, field: str) -> None:
    host = url.raw_host.decode("ascii", "replace").lower()
    if is_numeric(host):
        if _address(host) is None:
            raise Invalid(f"{field}: write the address in its usual form, such as 192.0.2.1 or [2001:db8::1], without a zone")
    elif not HOST_NAME.fullmatch(host):
        raise Invalid(f"{field}: {clean(host, 60) or 'an empty host'} is not a valid host name")
    if not _has_port(url):
        raise Invalid(f"{field}: the port is between 1 and 65535")


def _headers(url: httpx.URL, content: bytes, given: Mapping[str, str], method: str) -> list[tuple[bytes, bytes]]:
    """Ours, but for those that are given; nothing of the environment and no cookie. Raises ValueError for what is not ASCII."""
    headers = OURS | {name.lower(): value for name, value in given.items()}
    if content or method in ("POST", "PUT", "PATCH"):
        headers["content-length"] = str(len(content))
    return [(b"host", url.netloc), *((name.encode("ascii"), value.encode("ascii")) for name, value in headers.items())]


def _has_port(url: httpx.URL) -> bool:
    return url.port is None or 0 < url.port <= 65_535


def _address(text: str) -> Address | None:
    """None for anything but the usual form, zone ids included; a v4-mapped one is the IPv4 address it stands for."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return None if address.scope_id is not None else address.ipv4_mapped or address
    return address


@cache
def _trusted_roots() -> ssl.SSLContext:
    """The system's roots (SSL_CERT_FILE adds an own one) and certifi's, for images without any."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _reason(error: BaseException) -> str:
    """The innermost words of a chain of errors, which name the cause: 'Connection refused', 'certificate has expired'."""
    words = ""
    cause: BaseException | None = error
    while cause is not None:
        words = getattr(cause, "strerror", None) or str(cause) or words
        cause = cause.__cause__ or cause.__context__
    return clean(words, 200) or type(error).__name__
