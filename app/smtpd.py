"""The mail door: pings by mail, on a listening socket it is given. Wires settings, engines, inbox and connections.

It does not tick: its being able to hear mail says nothing about whether the web door can hear, and one tick from any process
lets silence be judged for all monitors. Recording needs none, for a ping that waited longer than the guard is refused.
"""

import asyncio
import signal
import socket
import ssl
from datetime import timedelta

import structlog

from app.errors import BadSettings
from app.garbage import spare_what_stays
from app.ingest.inbox import Inbox
from app.ingest.smtp import Mailroom
from app.settings import Settings
from app.store.engine import make_engine, make_sessions

log = structlog.get_logger()

HOLDS = 5.0  # seconds for a batch, COMMIT included; then its mails are answered 451
DRAIN_LIMIT = 8.0


class MailDoor:
    """Everything one `smtpd` needs to hear mails."""

    def __init__(self, settings: Settings, dsn: str) -> None:
        self._engines = [make_engine(dsn, "ingest", 2, held_at_most=HOLDS) for _ in range(2)]  # a flood of addresses has its own
        recording, directory = (make_sessions(engine) for engine in self._engines)
        self.inbox = Inbox(recording, timedelta(seconds=settings.guard_seconds), settings.ping_limit)
        self.room = Mailroom(
            self.inbox, directory, settings.ping_email_domain, settings.ping_body_limit, tls=certificate(settings)
        )

    async def run(self, listener: socket.socket, until: asyncio.Event) -> None:
        """Hear mails until told to stop; then refuse new ones, record and answer what waits, and hang up."""
        flushing = asyncio.create_task(self.inbox.run())
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self.room.connection, sock=listener)
        log.info("mail door open", port=listener.getsockname()[1], domain=self.room.domain)
        await until.wait()
        server.close()
        self.inbox.close()
        await asyncio.wait([flushing, asyncio.create_task(self.room.close())], timeout=DRAIN_LIMIT)
        for engine in self._engines:
            await engine.dispose()


def certificate(settings: Settings) -> ssl.SSLContext | None:
    """What STARTTLS is offered with; None where no certificate is set. Raises BadSettings."""
    if not settings.smtpd_tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.smtpd_tls_cert, settings.smtpd_tls_key or None)
    except OSError as error:
        raise BadSettings(
            "MISSEDBEAT_SMTPD_TLS_CERT, MISSEDBEAT_SMTPD_TLS_KEY: "
            + (error.strerror or "no certificate in PEM form, or not its key")
        ) from None
    return context


async def run_smtpd(settings: Settings, dsn: str, listener: socket.socket) -> None:
    """Hear mails until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    door = MailDoor(settings, dsn)
    spare_what_stays()
    await door.run(listener, stop)
    log.info("mail door closed")
