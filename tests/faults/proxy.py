"""What stands between the service and PostgreSQL when something is wrong with the way: a TCP proxy that passes on to the unix
socket, and knows enough of the protocol (https://www.postgresql.org/docs/current/protocol-message-formats.html) to see who
connects and when COMMIT is sent."""

import asyncio
import struct
from contextlib import suppress
from dataclasses import dataclass, field

CHUNK = 65536
PASS, HOLE, REFUSE, QUIET = "pass", "hole", "refuse", "quiet"
SIMPLE_QUERY, PARSE, BIND = b"Q", b"P", b"B"


@dataclass(eq=False)
class Way:
    """One connection: to the service, and on to the server."""

    service: asyncio.StreamWriter
    server: asyncio.StreamWriter
    purpose: str = ""
    silenced: bool = False
    started: bool = False
    records: bool = False  # check-ins, in the transaction under way
    statements: dict[bytes, bytes] = field(default_factory=dict)
    buffer: bytearray = field(default_factory=bytearray)

    def cut(self) -> None:
        """RST to the service, and the server hears that it is gone."""
        self.service.transport.abort()
        self.server.transport.abort()

    def commits(self, data: bytes) -> bool:
        """Whether a COMMIT of check-ins is whole now, with these bytes of the service."""
        self.buffer += data
        found = False
        while True:
            head = 0 if not self.started else 1
            if len(self.buffer) < head + 4:
                return found
            (length,) = struct.unpack_from("!I", self.buffer, head)
            if len(self.buffer) < head + length:
                return found
            message = bytes(self.buffer[: head + length])
            del self.buffer[: head + length]
            if not self.started:
                self._start(message)
            elif message[:1] == SIMPLE_QUERY and b"COMMIT\0" in message:
                found, self.records = found or self.records, False
            else:
                self._note(message)

    def _note(self, message: bytes) -> None:
        """Statements are named when they are parsed, and later only bound by that name."""
        first, second = [*message[5:].split(b"\0", 2), b"", b""][:2]
        if message[:1] == PARSE:
            self.statements[first] = second
        elif message[:1] == BIND:
            query = self.statements.get(second, b"")
            self.records |= b"INSERT INTO check_ins" in query and b"missedbeat_now" not in query

    def _start(self, message: bytes) -> None:
        parts = message[8:].split(b"\0")
        self.started = True
        self.purpose = dict(zip(parts[::2], parts[1::2], strict=False)).get(b"application_name", b"").decode()


class Proxy:
    """`now(mood)` from now on: pass; hole (connections and bytes are taken, and nothing comes of them; open ones too); refuse;
    quiet (a connection is made, and nothing comes after). `cut()` sends RST to all; `lose_commits(n)` lets the next n COMMITs of
    check-ins through, and loses their answers. `delay`: seconds before each piece of what the service sends is passed on."""

    def __init__(self) -> None:
        self.socket = ""
        self.port = 0
        self.delay = 0.0
        self.lost = 0
        self._to_lose = 0
        self._mood = PASS
        self._ways: set[Way] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def dsn(self) -> str:
        """How the service reaches the database through it."""
        return f"postgresql://missedbeat@127.0.0.1:{self.port}/missedbeat?sslmode=disable&gssencmode=disable"

    async def listen(self, socket: str) -> None:
        """Pass on to this unix socket."""
        self.socket = socket
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Close all of it."""
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def now(self, mood: str) -> None:
        """From now on; back to pass, what fell into the hole stays there."""
        self._mood = mood
        if mood == HOLE:
            for way in self._ways:
                way.silenced = True

    def cut(self) -> None:
        """RST on every connection."""
        for way in list(self._ways):
            way.cut()

    def lose_commits(self, count: int) -> None:
        """Of so many check-ins."""
        self._to_lose += count

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._mood == REFUSE:
                writer.transport.abort()
            elif self._mood == HOLE:
                while await reader.read(CHUNK):
                    pass
            else:
                await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self.socket)
        way = Way(writer, to_server)
        self._ways.add(way)
        back = asyncio.create_task(self._back(way, from_server))
        try:
            while data := await reader.read(CHUNK):
                await self._forth(way, data)
        finally:
            self._ways.discard(way)
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            to_server.close()

    async def _forth(self, way: Way, data: bytes) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        if way.silenced or (self._mood == QUIET and way.started):
            way.silenced = True
            return
        commits = way.commits(data)
        if commits and self._to_lose and way.purpose == "missedbeat-ingest":
            self._to_lose -= 1
            self.lost += 1
            way.silenced = True
            way.server.write(data)
            await way.server.drain()
            await asyncio.sleep(0.02)
            way.cut()
            return
        way.server.write(data)
        await way.server.drain()

    async def _back(self, way: Way, from_server: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while data := await from_server.read(CHUNK):
                if not way.silenced:
                    way.service.write(data)
                    await way.service.drain()
            way.service.transport.abort()
