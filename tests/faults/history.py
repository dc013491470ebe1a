"""What every client said, and what it was answered. Each check-in carries a token in its body, by which it is found again."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

NOTHING = "nothing was recorded"
PATIENCE = 8.0  # seconds a client waits for an answer
_tokens = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Call:
    """One request: from when to when (seconds since 1970), its status (None: silence), what was said."""

    began: float
    ended: float
    status: int | None
    words: str

    @property
    def acknowledged(self) -> bool:
        """2xx."""
        return self.status is not None and self.status < 300

    @property
    def absent(self) -> bool:
        """Whether the answer promises that nothing was recorded."""
        return self.status is not None and (400 <= self.status < 500 or (self.status == 503 and NOTHING in self.words))


@dataclass(slots=True)
class Said:
    """One check-in, with every attempt to say it; `keyed`: all under one Idempotency-Key."""

    monitor: str
    signal: str
    keyed: bool
    token: str = field(default_factory=lambda: f"t{next(_tokens)}")
    calls: list[Call] = field(default_factory=list)

    @property
    def acknowledged(self) -> bool:
        """Whether any attempt was."""
        return any(call.acknowledged for call in self.calls)

    def least_and_most(self) -> tuple[int, int]:
        """How often it may stand in the log."""
        least, most = sum(c.acknowledged for c in self.calls), sum(not c.absent for c in self.calls)
        return (min(1, least), min(1, most)) if self.keyed else (least, most)


class History:
    """Everything that was said."""

    def __init__(self) -> None:
        self.said: list[Said] = []

    def acknowledged(self, since: float = 0.0) -> int:
        """How many check-ins were, of those whose acknowledged attempt began after then."""
        return sum(any(c.acknowledged and c.began >= since for c in said.calls) for said in self.said)

    def refused(self, since: float) -> int:
        """How many calls that began after then were answered 503."""
        return sum(c.status == 503 and c.began > since for said in self.said for c in said.calls)

    def answers(self) -> dict[str, int]:
        """How often each answer was given."""
        counts: dict[str, int] = {}
        for call in (c for said in self.said for c in said.calls):
            kind = (
                "silence" if call.status is None else f"{call.status}{' nothing' if call.status == 503 and call.absent else ''}"
            )
            counts[kind] = counts.get(kind, 0) + 1
        return counts


class Line:
    """A client's connection, kept alive and opened again after every accident."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: str, headers: str = "", patience: float = PATIENCE) -> Call:
        """One request; a connection that breaks, or says nothing for `patience` seconds, is silence."""
        began = time.time()
        try:
            async with asyncio.timeout(patience):
                status, words = await self._ask(path, body, headers)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            self.close()
            return Call(began, time.time(), None, repr(error))
        return Call(began, time.time(), status, words)

    async def _ask(self, path: str, body: str, headers: str) -> tuple[int, str]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        words = (await reader.readexactly(length)).decode()
        if "connection: close" in head:
            self.close()
        return int(head[9:12]), words

    async def aclose(self) -> None:
        """Hang up, on the loop that it was used on."""
        self.close()
        await asyncio.sleep(0)

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


class Crowd:
    """Clients on one loop: each is a function that is called again and again until the crowd is told to stop."""

    def __init__(self, port: int, history: History) -> None:
        self.port = port
        self.history = history
        self._stop = False
        self._tasks: list[asyncio.Task[None]] = []

    async def add(self, client: Callable[[Line], Awaitable[None]]) -> None:
        """One more client, with a connection of its own."""
        self._tasks.append(asyncio.create_task(self._live(client)))

    async def stop(self) -> None:
        """Nobody begins anything new; returns when all have their last answer."""
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def _live(self, client: Callable[[Line], Awaitable[None]]) -> None:
        line = Line(self.port)
        try:
            with suppress(StopAsyncIteration):
                while not self._stop:
                    await client(line)
        finally:
            line.close()

    async def say(self, line: Line, monitor: str, signal: str, keyed: bool = True, tries: int = 200) -> Said:
        """Say it until it is acknowledged, as `curl --retry` would; one without a key is said once."""
        said = Said(monitor, signal, keyed)
        self.history.said.append(said)
        header = f"idempotency-key: {said.token}\r\n" if keyed else ""
        for _ in range(tries if keyed else 1):
            said.calls.append(await line.post(path_of(monitor, signal), said.token, header))
            if said.acknowledged or self._stop:
                break
            await asyncio.sleep(random.uniform(0.02, 0.2))
        return said


def path_of(monitor: str, signal: str) -> str:
    """The URL that says so."""
    return f"/ping/{monitor}" + ("" if signal == "success" else f"/{signal}")
