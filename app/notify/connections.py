"""Connections that stay open for a while, by where they lead, so that one for the next request is found without looking through
all the others. Where they may lead is judged by the backend they are made with (`outbound.py`)."""

import asyncio
import ssl
import time

import httpcore

CONNECTIONS = 256
KEPT = 5.0  # seconds without a request

Origin = tuple[bytes, bytes, int]  # scheme, host, port


class Connections:
    """At most CONNECTIONS are open, idle ones included; who finds none free waits. One request at a time on each."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend, tls: ssl.SSLContext) -> None:
        self._backend = backend
        self._tls = tls
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._in_use = 0
        self._idle: dict[Origin, list[httpcore.AsyncHTTPConnection]] = {}
        self._looked_at = 0.0

    async def exchange(self, request: httpcore.Request, most: int) -> tuple[httpcore.Response, bytes]:
        """Send it; the answer and its body, which is read no further than it takes to have `most` bytes. Raises what httpcore and
        the backend raise."""
        url = request.url.origin
        origin = (url.scheme, url.host, url.port)
        async with self._turns:
            self._in_use += 1
            try:
                connection = await self._open_one(origin) or await self._new(url)
                try:
                    response = await connection.handle_async_request(request)
                    return response, await _read(response, most)
                finally:
                    await self._give_back(origin, connection)
            finally:
                self._in_use -= 1
                await self._look()

    async def aclose(self) -> None:
        """Close those that are idle; one in use is closed by whoever uses it."""
        idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                await connection.aclose()

    async def _open_one(self, origin: Origin) -> httpcore.AsyncHTTPConnection | None:
        """The one used last: it is the likeliest to be open still."""
        connections = self._idle.get(origin, [])
        while connections:
            connection = connections.pop()
            if not connections:
                del self._idle[origin]
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def _new(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        if self._in_use + sum(map(len, self._idle.values())) > CONNECTIONS:
            await self.aclose()
        return httpcore.AsyncHTTPConnection(origin, ssl_context=self._tls, keepalive_expiry=KEPT, network_backend=self._backend)

    async def _give_back(self, origin: Origin, connection: httpcore.AsyncHTTPConnection) -> None:
        if connection.is_idle():
            self._idle.setdefault(origin, []).append(connection)
        else:
            await connection.aclose()

    async def _look(self) -> None:
        """Close what nobody used for a while or what the other end has closed, some times in that while."""
        now = time.monotonic()
        if now - self._looked_at < KEPT / 5:
            return
        self._looked_at = now
        over = [(origin, c) for origin, connections in self._idle.items() for c in connections if c.has_expired()]
        for origin, connection in over:
            connections = self._idle.get(origin, [])
            if connection in connections:  # else it was closed by another who looks
                connections.remove(connection)
                if not connections:
                    del self._idle[origin]
                await connection.aclose()


async def _read(response: httpcore.Response, most: int) -> bytes:
    body = bytearray()
    try:
        async for chunk in response.aiter_stream():
            body += chunk
            if len(body) >= most:
                break
    finally:
        await response.aclose()
    return bytes(body)
