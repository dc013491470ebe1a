"""Connections of the web door: how uvicorn serves them, and one of them: what may come before a request is whole is bounded in
size and time, so that nobody can fill our memory or hold our sockets without saying anything. Bodies are bounded where they are
read."""

import asyncio
import resource
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.outside import strict_headers

HEAD_LIMIT = 64 * 1024  # bytes of request line and headers
HEAD_SECONDS = 15.0
LINGER = 1.0  # seconds that a connection without a request is kept while the process stops
MOST_FILES = 65_536
REFUSED = b"HTTP/1.1 %d %s\r\ncontent-length: 0\r\nconnection: close\r\n%s\r\n"


def configured(app: Any) -> Config:
    """How every web process serves its app; the bench serves what it compares with us the same way. As many connections as the
    system lets us have: the usual 1,024 are soon filled by who says nothing."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES if most == resource.RLIM_INFINITY else min(most, MOST_FILES), most))
    return Config(
        app, lifespan="on", log_config=None, access_log=False, server_header=False, proxy_headers=False, ws="none",
        http=BoundedConnection, timeout_graceful_shutdown=8,
    )  # fmt: skip


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's HTTP with a limit on heads: 431 beyond 64 KiB, 408 after 15 s. Its own refusals wear what every answer does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        self._patience: asyncio.TimerHandle | None = None
        self._leaving = False

    def shutdown(self) -> None:
        """The process stops. A request on its way here is still answered, as the last of its connection: whoever connected
        before we stopped would find it cut without a word, which curl does not take for a reason to try again."""
        self._leaving = True
        if self._idle():
            self.loop.call_later(LINGER, self._leave)
        else:
            self.cycle.keep_alive = False

    def connection_made(self, transport: Any) -> None:
        """A head is expected from the first moment on."""
        super().connection_made(transport)
        self._patience = self.loop.call_later(HEAD_SECONDS, self._refuse, 408, b"Request Timeout")

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is expected any more."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head; what comes in one piece with a whole one was bounded by the piece."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT + len(data):
                self._refuse(431, b"Request Header Fields Too Large")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """The next head begins."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        if self._patience is None:
            self._patience = self.loop.call_later(HEAD_SECONDS, self._refuse, 408, b"Request Timeout")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._rest()
        self._in_head = False
        super().on_headers_complete()
        if self._leaving:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP; what exactly is wrong with it is nobody's business."""
        self._refuse(400, b"Bad Request")

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _leave(self) -> None:
        if self._idle() and not self.transport.is_closing():
            self.transport.close()

    def _rest(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _refuse(self, status: int, words: bytes) -> None:
        self._rest()
        if not self.transport.is_closing():
            headers = strict_headers(getattr(self.config.app, "is_https", False))
            self.transport.write(REFUSED % (status, words, b"".join(b"%s: %s\r\n" % header for header in headers)))
            self.transport.close()
