"""Pings by mail: `<uuid>@domain` and `<ping key>+<slug>@domain`. A mail is answered 250 only after COMMIT, so that the sender's
mail server keeps it until then. Bounded in connections, bytes, lines and time. No mail is ever sent from here."""

import asyncio
import re
import ssl
from collections.abc import Sequence
from dataclasses import replace

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session, TLSSetupException

from app import metrics
from app.clock import monotonic
from app.domain.state import Signal
from app.ingest import answers
from app.ingest.answers import Answer
from app.ingest.inbox import AWAY, Inbox
from app.ingest.mail import read_mail, repeat_key
from app.ingest.ping import UUID_FORM, Ping, Target
from app.ingest.read import USER_AGENT_KEPT, printable
from app.store import addresses
from app.store.addresses import Address
from app.store.engine import Sessions

log = structlog.get_logger()

MOST_MAIL = 10_000_000
MOST_READING = 24_000_000  # bytes of mails on their way, all together
MOST_CONNECTIONS = 200
MOST_FROM_ONE = 50  # connections of one address
MOST_RECIPIENTS = 100
MOST_CALLS = {"*": 100, "MAIL": 1000, "RCPT": 5000, "DATA": 1000, "RSET": 1000, "NOOP": 1000}  # of a command, in a connection
COMMAND_LIMIT = 60.0  # seconds until the next command
DATA_LIMIT = 300.0  # seconds for a mail to arrive and be heard
TRIES = 3  # a mail server asks again after minutes only
END = b"\r\n.\r\n"
LOCAL_PART = re.compile(rf"({UUID_FORM})|([A-Za-z0-9_-]{{1,100}})\+([A-Za-z0-9_-]{{1,100}})")

GOOD = "250 2.0.0 OK"
UNKNOWN = "550 5.1.1 there is no such address here"
DELETED = "550 5.1.1 there is no such address here any more"
TOO_LARGE = "552 5.3.4 the mail is larger than 10 MB"
TOO_MANY = "452 4.7.1 too many pings of this monitor: try again later"
TOO_MANY_RECIPIENTS = "452 4.5.3 too many recipients in one mail"
NOT_NOW = "451 4.3.0 this cannot be recorded now: try again"
FULL = "452 4.3.1 too many mails at once: try again"
CROWDED = "421 4.3.2 too many connections: try again later"
CLOSING = "421 4.3.2 this server restarts: try again"


def address_of(mailbox: str, domain: str) -> Address | None:
    """The monitor a mail is for, if it can be one of this domain. Only a ping key's case matters."""
    local, _, host = mailbox.rpartition("@")
    match = LOCAL_PART.fullmatch(local)
    if match is None or host.lower().rstrip(".") != domain:
        return None
    return Address("ping", match[1].lower()) if match[1] else Address("ping_key", match[2], match[3].lower())


class Mailroom:
    """What the connections of one process share: the inbox, the directory, the room for mails. Its `handle_…` are aiosmtpd's
    hooks."""

    def __init__(
        self, inbox: Inbox, directory: Sessions, domain: str, body_limit: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self.domain = domain
        self.tls = tls
        self.open: set[Connection] = set()
        self.reading = 0
        self.closing = False
        self._left = asyncio.Event()
        self._inbox = inbox
        self._directory = directory
        self._body_limit = body_limit

    def connection(self) -> "Connection":
        """A connection to be, as asyncio asks for one."""
        return Connection(self)

    def leave(self, connection: "Connection") -> None:
        """This one is gone."""
        self.open.discard(connection)
        self._left.set()

    async def close(self) -> None:
        """Tell everybody to come again, those whose mail is being heard once that is answered; return when all are gone."""
        self.closing = True
        for connection in [connection for connection in self.open if not connection.hearing]:
            connection.refuse(CLOSING)
        while self.open:
            self._left.clear()
            await self._left.wait()

    async def handle_EHLO(  # noqa: N802 (aiosmtpd's name, as all of these)
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """What we can; nobody signs in here."""
        session.host_name = hostname
        return [line for line in responses if not line.startswith("250-AUTH")]

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Whether there is such a monitor, asked now: the sender is told at once, not its mailbox later."""
        target = address_of(address, self.domain)
        if target is None:
            return UNKNOWN
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return TOO_MANY_RECIPIENTS
        try:
            known = await self._is_known(target)
        except AWAY:  # a connection from before the database was started again, say
            known = await self._is_known(target)
        if not known:
            return UNKNOWN
        envelope.rcpt_tos.append(address)
        return GOOD

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Hear a mail for each of its recipients. One answer stands for all of them: what cannot be recorded for one is asked for
        again, and what was recorded for another is then known by its repeat_key."""
        raw = bytes(envelope.original_content or b"")
        mail, key = await asyncio.to_thread(lambda: (read_mail(raw), repeat_key(raw)))
        targets = dict.fromkeys(address_of(mailbox, self.domain) for mailbox in envelope.rcpt_tos)
        heard = await asyncio.gather(*(
            self._hear(Ping(
                Target(target, Signal.SUCCESS), monotonic(), idempotency_key=key and f"{key}:{target.kind}", mail=mail,
                scheme="email", method="", remote_addr=_peer(session), user_agent=_sender(envelope),
                body=raw[: self._body_limit], truncated=len(raw) > self._body_limit,
            ))
            for target in targets if target is not None
        ))  # fmt: skip
        for answer in heard:
            metrics.CHECK_INS.labels(answer.result).inc()
        return _reply(heard)

    async def handle_exception(self, error: Exception) -> str:
        """Whatever went wrong, nothing is lost: the sender keeps the mail and tries again."""
        if not isinstance(error, (*AWAY, TLSSetupException)):
            log.error("a mail was not heard", exc_info=error)
        return NOT_NOW

    async def _is_known(self, target: Address) -> bool:
        async with self._directory() as session:
            found = await addresses.resolve(session, [target])
        return found.get(target, (None, None))[1] is not None

    async def _hear(self, ping: Ping) -> Answer:
        """Record it; tried again in a moment where that is sure to count once."""
        answer = await self._inbox.hear(ping)
        for _ in range(TRIES - 1):
            if answer.status != 503 or self.closing or (answer is answers.AWAY and ping.idempotency_key is None):
                break
            await asyncio.sleep(answer.retry_after or 1)
            answer = await self._inbox.hear(replace(ping, heard_at=monotonic()))
        return answer


class Connection(SMTP):
    """One sender's connection."""

    def __init__(self, room: Mailroom) -> None:
        super().__init__(
            room, data_size_limit=MOST_MAIL, enable_SMTPUTF8=True, hostname=room.domain, ident="Missedbeat", tls_context=room.tls,
            timeout=COMMAND_LIMIT, command_call_limit=MOST_CALLS, loop=asyncio.get_running_loop(),
        )  # fmt: skip
        self._room = room
        self.hearing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let in whoever there is room for. STARTTLS makes a connection twice."""
        super().connection_made(transport)
        if self in self._room.open:
            return
        if self._handler_coroutine is not None:
            self._handler_coroutine.add_done_callback(_forget)
        peers = [connection.peer for connection in self._room.open]
        if len(peers) >= MOST_CONNECTIONS or peers.count(self.peer) >= MOST_FROM_ONE:
            self.refuse(CROWDED)
        else:
            self._room.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Make room."""
        self._room.leave(self)
        super().connection_lost(error)

    @property
    def peer(self) -> str:
        """The address at the other end."""
        return _peer(self.session) if self.session is not None else ""

    def refuse(self, words: str) -> None:
        """Say so and close."""
        if isinstance(self.transport, asyncio.WriteTransport) and not self.transport.is_closing():
            self.transport.write(f"{words}\r\n".encode())
            self.transport.close()

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """aiosmtpd's, for which Python's parser fails on some broken addresses instead of saying so."""
        try:
            return super()._getaddr(arg)
        except (LookupError, AttributeError, ValueError, RecursionError):
            return None, None

    async def smtp_VRFY(self, arg: str) -> None:  # noqa: N802
        """Nobody is told who is here."""
        await self.push("252 2.1.5 send a mail and see")

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802
        """An address is all one needs."""
        await self.push("502 5.5.1 nobody signs in here")

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """Read a mail to its lone dot and have it heard. Unlike aiosmtpd's own this takes lines of any length, as scripts send
        them, and keeps a mail as one piece of memory, not as an object for each line."""
        if await self.check_helo_needed():
            return
        assert self.envelope is not None  # noqa: S101 (as aiosmtpd does)
        if arg or not self.envelope.rcpt_tos:
            await self.push("501 5.5.4 DATA stands alone" if arg else "503 5.5.1 send RCPT first")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        self._reset_timeout(DATA_LIMIT)
        mail = bytearray()
        try:
            answer = await self._read(mail) or await self._hear(mail)
        finally:
            self.hearing = False
            self._room.reading -= len(mail)
            self._set_post_data_state()  # type: ignore[no-untyped-call]
        self._reset_timeout()
        await self.push(answer)
        if self._room.closing:
            self.refuse(CLOSING)

    async def _read(self, mail: bytearray) -> str:
        """Fill in the mail, its end included; says why where it is refused, and then reads to its end all the same."""
        refused = ""
        while not (mail.endswith(END) or mail == END[2:]):
            try:
                chunk = await self._reader.readuntil(END[2:])
            except asyncio.LimitOverrunError as longer:
                chunk = await self._reader.read(longer.consumed)
            mail += chunk
            self._room.reading += len(chunk)
            if not refused and len(mail) > MOST_MAIL + len(END):
                refused = TOO_LARGE
            elif not refused and self._room.reading > MOST_READING:
                refused = FULL
            if refused:
                self._room.reading -= max(0, len(mail) - len(END))
                del mail[: -len(END)]
        return refused

    async def _hear(self, mail: bytearray) -> str:
        """Take off what the wire added: the end, and the dots that were doubled."""
        assert self.session is not None  # noqa: S101
        assert self.envelope is not None  # noqa: S101
        self.hearing = True
        content = (END[:2] + mail)[: -len(END) + 2].replace(b"\r\n.", b"\r\n")[2:]
        self.envelope.content = self.envelope.original_content = bytes(content)
        return await self._room.handle_DATA(self, self.session, self.envelope)


def _peer(session: Session) -> str:
    return str((session.peer or ("",))[0])


def _sender(envelope: Envelope) -> str:
    sender = (envelope.mail_from or "").encode(errors="surrogateescape")
    return f"Email from {printable(sender)}"[:USER_AGENT_KEPT]


def _reply(heard: Sequence[Answer]) -> str:
    """One answer for all recipients: counted, unless one of them has to be asked for again, or none is there any more."""
    statuses = {answer.status for answer in heard}
    if any(status >= 500 for status in statuses):
        return NOT_NOW
    if answers.too_many(1).status in statuses:
        return TOO_MANY
    return GOOD if any(status < 300 for status in statuses) else DELETED


def _forget(task: "asyncio.Task[None]") -> None:
    """A sender that hung up is nobody's news."""
    if not task.cancelled():
        task.exception()
