"""What stands between the SDK and the server when something is wrong with the way or with the server: a gate that can be told
what to do with the connections that come."""

import re
import select
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

CHUNK = 65536
REFUSE, HANG, DRIP, TORN, UNANSWERED = "refuse", "hang", "drip", "torn", "unanswered"


@dataclass(frozen=True)
class Answer:
    """The gate itself answers every request so, and the server hears nothing."""

    status: int
    headers: str = ""

    def wire(self) -> bytes:
        """As it goes over the wire."""
        return f"HTTP/1.1 {self.status} No\r\n{self.headers}content-length: 0\r\nconnection: close\r\n\r\n".encode()


class Gate:
    """`with Gate(port) as gate:` passes everything on to that port of this machine. `gate.now(...)` changes its mind, and cuts
    the connections that are open: refuse, hang (take the request and say nothing), drip (an answer of a byte a second), torn
    (half a request is passed on, then the line is cut), unanswered (the server takes all, its answer is lost), or an Answer."""

    def __init__(self, port: int) -> None:
        self.upstream = port
        self.calls = 0
        self._mood: str | Answer | None = None
        self._open: set[socket.socket] = set()
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """As MISSEDBEAT_URL names it."""
        return f"http://127.0.0.1:{self.port}"

    def now(self, mood: str | Answer | None = None) -> None:
        """From now on; None passes everything on again."""
        was, self._mood = self._mood, mood
        if mood == REFUSE:
            self._close(self._listener)
        elif was == REFUSE:
            self._listener = self._listen(self.port)
            self._accept_in_thread()
        for each in list(self._open):
            self._close(each)

    def __enter__(self) -> Self:
        self._accept_in_thread()
        return self

    def __exit__(self, *_: object) -> None:
        self.now(REFUSE)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        return listener

    def _accept_in_thread(self) -> None:
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                caller, _ = listener.accept()
                self.calls += 1
                self._open.add(caller)
                threading.Thread(target=self._serve, args=[caller], daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        mood = self._mood
        with suppress(OSError, ValueError):
            if isinstance(mood, Answer):
                read_request(caller)
                caller.sendall(mood.wire())
            elif mood == HANG:
                while caller.recv(CHUNK):
                    pass
            elif mood == DRIP:
                self._drip(caller)
            else:
                self._pass_on(caller, mood)
        self._close(caller)

    def _drip(self, caller: socket.socket) -> None:
        read_request(caller)
        for byte in Answer(200).wire():
            caller.sendall(bytes([byte]))
            if select.select([caller], [], [], 1.0)[0]:
                return

    def _pass_on(self, caller: socket.socket, mood: str | Answer | None) -> None:
        with socket.create_connection(("127.0.0.1", self.upstream)) as server:
            self._open.add(server)
            if mood in (TORN, UNANSWERED):
                request = read_request(caller)
                server.sendall(request[: len(request) // 2] if mood == TORN else request)
                if mood == UNANSWERED:
                    server.recv(CHUNK)
                return
            ways = {caller: server, server: caller}
            while True:
                for source in select.select(list(ways), [], [])[0]:
                    if not (data := source.recv(CHUNK)):
                        return
                    ways[source].sendall(data)

    def _close(self, each: socket.socket) -> None:
        self._open.discard(each)
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


def read_request(caller: socket.socket) -> bytes:
    """One request with all of its body; ValueError when the caller went away before."""
    data = b""
    while not (head := re.match(rb"(?s).*?\r\n\r\n", data)) or len(data) < head.end() + body_length(head[0]):
        if not (more := caller.recv(CHUNK)):
            raise ValueError("half a request")
        data += more
    return data


def body_length(head: bytes) -> int:
    """What the header says that follows."""
    said = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return int(said[1]) if said else 0
