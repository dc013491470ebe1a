"""Real peers for tests, on port 0: a web server that answers what it is told to, a mail server, and certificates for both."""

import asyncio
import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `hang`: read the request and say nothing. `drip`: seconds between single bytes, headers included.
    `raw`: these bytes instead of an answer in HTTP."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"ok"
    hang: bool = False
    drip: float = 0.0
    raw: bytes | None = None

    def wire(self) -> bytes:
        """As it goes over the wire."""
        if self.raw is not None:
            return self.raw
        lines = [f"HTTP/1.1 {self.status} Answer", *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join([*lines, f"content-length: {len(self.body)}", "", ""]).encode("latin-1") + self.body


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class _Heard:
    """Waiting for what comes in."""

    def __init__(self) -> None:
        self._count = 0
        self._change = asyncio.Condition()

    async def _note(self) -> None:
        async with self._change:
            self._count += 1
            self._change.notify_all()

    async def heard(self, count: int = 1, within: float = 5.0) -> None:
        """Return when so many have come in since the start; raises TimeoutError."""
        async with asyncio.timeout(within), self._change:
            await self._change.wait_for(lambda: self._count >= count)


class HttpReceiver(_Heard):
    """`async with HttpReceiver() as receiver:` answers 200 ok to everything, on 127.0.0.1. What is put into `answers` is
    answered first, one for each request, in order; what holds the bytes in `poison` is never taken. `requests` is all it was
    sent, `connections` how often it was called."""

    def __init__(self, *answers: Reply, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.answers = list(answers)
        self.always = Reply()
        self.poison = b""
        self.requests: list[Request] = []
        self.connections = 0
        self.cut = 0
        self.port = 0
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, status: int, body: str = "", **headers: str) -> None:
        """One more answer in the row; `retry_after="3"` becomes Retry-After: 3."""
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        self.answers.append(Reply(status, named, body.encode()))

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        """A URL of this receiver."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def hang_up(self) -> None:
        """Cut every connection, whatever it is in the middle of."""
        for task in self._tasks:
            task.cancel()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.hang_up()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while (request := await _read_request(reader)) is not None:
                self.requests.append(request)
                await self._note()
                await self._reply(self._answer_to(request), reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            self.cut += 1
        finally:
            self._tasks.discard(task)
            writer.close()
            with suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()

    def _answer_to(self, request: Request) -> Reply:
        if self.poison and self.poison in request.body:
            return Reply(500)
        return self.answers.pop(0) if self.answers else self.always

    async def _reply(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reply.hang:
            await reader.read()
            raise ConnectionError("the caller hung up first")
        if not reply.drip:
            writer.write(reply.wire())
            return await writer.drain()
        for byte in reply.wire():
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(reply.drip)
        return None


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except asyncio.IncompleteReadError:
        return None
    method, target, _ = start.split(" ")
    return Request(method, target, headers, body)


@dataclass
class MailReceiver(_Heard):
    """`async with MailReceiver() as receiver:` takes every mail. `refuse` maps a command (MAIL, RCPT, DATA) to the line that
    refuses it; `user` and `password` ask for a sign-in; `tls` offers STARTTLS. `mails` is what came, parsed back."""

    refuse: dict[str, str] = field(default_factory=dict)
    user: str = ""
    password: str = ""
    tls: ssl.SSLContext | None = None
    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._open: list[SMTP] = []
        self._server = await loop.create_server(self._protocol, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for protocol in self._open:
            if protocol.transport is not None:
                protocol.transport.close()
        await self._server.wait_closed()
        await asyncio.sleep(0)

    def _protocol(self) -> SMTP:
        protocol = SMTP(
            self,
            hostname="mail.test",
            loop=asyncio.get_running_loop(),
            tls_context=self.tls,
            auth_require_tls=False,
            authenticator=self._sign_in,
        )
        self._open.append(protocol)
        return protocol

    def _sign_in(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        good = (data.login, data.password) == (self.user.encode(), self.password.encode())
        return AuthResult(success=good, handled=False)

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        """aiosmtpd's hook."""
        if "MAIL" in self.refuse:
            return self.refuse["MAIL"]
        if self.user and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        """aiosmtpd's hook."""
        if "RCPT" in self.refuse:
            return self.refuse["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """aiosmtpd's hook."""
        if "DATA" in self.refuse:
            return self.refuse["DATA"]
        parsed = message_from_bytes(envelope.content, policy=default_policy)
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        self.raw.append(envelope.content)
        self.recipients.extend(envelope.rcpt_tos)
        self.encrypted.append(session.ssl is not None)
        await self._note()
        return "250 kept as 4711"


def certify(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(for the server, for a client that trusts it alone): a fresh certificate for these names and addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([_general_name(text) for text in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "receiver.pem").write_bytes(pem + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "receiver.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def resolver(**names: list[str]) -> Callable[[str], list[str]]:
    """A resolver that knows these names only (`hook_test=[…]` is hook.test) and remembers nothing."""
    known = {name.replace("_", "."): addresses for name, addresses in names.items()}

    def resolve(host: str) -> list[str]:
        if host not in known:
            raise OSError(f"unknown name {host}")
        return known[host]

    return resolve
