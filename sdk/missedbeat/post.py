"""One request to the server, which is over in five seconds whatever the server does."""

from __future__ import annotations

import base64
import encodings.idna  # noqa: F401 - else the thread imports it, and a process that is forked meanwhile never can
import http.client
import io
import json
import os
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

CONNECTING = 3.0
WHOLE = 5.0
MOST_ANSWER = 1 << 20

_abandoned: list[Any] = []
"""Connections of the process that this one was forked from. What reads from them may hold a lock that nobody here gives back: so
they are never closed, nor let go."""


class Answer(NamedTuple):
    """What came back. Status 0: nothing, and `said` is why."""

    status: int
    said: str
    retry_after: str = ""
    location: str = ""

    def body(self) -> dict[str, Any]:
        """The JSON object that was answered; empty if it is none."""
        try:
            body = json.loads(self.said)
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}


class Post:
    """An address that is posted to, over one connection that is kept open."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = urlsplit(url)
        self._headers = headers
        self._connection: http.client.HTTPConnection | None = None
        self._limited: _Limited | None = None
        self._target = _target(self._url)
        self._extra: dict[str, str] = {}
        self._context: ssl.SSLContext | None = None

    def send(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post it once; a kept connection that the server had closed meanwhile is made anew, for that is no failure."""
        deadline = time.monotonic() + WHOLE
        kept = self._connection is not None
        try:
            return self._exchange(body, headers, deadline)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.close()
            if not kept:
                return Answer(0, _words(error))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Answer(0, _words(error))
        try:
            return self._exchange(body, headers, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Answer(0, _words(error))

    def close(self) -> None:
        """Let the connection go; the next request makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abandon(self) -> None:
        """In a process that was forked: leave the connection to the other one. No lock is taken, nothing said to the server; only
        our copy of the descriptor is closed."""
        if self._limited is not None:
            _abandoned.append((self._connection, self._limited, self._context))
            self._limited.abandon()

    def _exchange(self, body: bytes, headers: Mapping[str, str], deadline: float) -> Answer:
        if self._connection is None:
            self._connection = self._connect(deadline)
        connection = self._connection
        if self._limited is not None:
            self._limited.deadline = deadline
        connection.request("POST", self._target, body, {**self._headers, **self._extra, **headers})
        response = connection.getresponse()
        said = response.read(MOST_ANSWER).decode("utf-8", "replace")
        answer = Answer(response.status, said, response.getheader("Retry-After", ""), response.getheader("Location", ""))
        if response.will_close or not response.isclosed():
            self.close()
        return answer

    def _connect(self, deadline: float) -> http.client.HTTPConnection:
        secure = self._url.scheme == "https"
        proxy = _proxy_for(self._url)
        host, port = _address(proxy or self._url)
        seconds = min(CONNECTING, deadline - time.monotonic())
        self._target, self._extra = _target(self._url), {}
        connection: http.client.HTTPConnection
        if secure:
            self._context = self._context or ssl.create_default_context()
            connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=self._context)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=seconds)
        if proxy and secure:
            connection.set_tunnel(*_address(self._url), headers=_authorization(proxy))
        elif proxy:
            self._target, self._extra = self._url.geturl(), _authorization(proxy)
        connection.connect()
        connection.sock = self._limited = _Limited(connection.sock, deadline)
        return connection


class _Limited:
    """A socket on which everything together must be over by a deadline: a server that drips bytes cannot hold us. After `close`
    it stays open for an answer that is still to be read."""

    def __init__(self, inner: socket.socket, deadline: float) -> None:
        self._inner = inner
        self._users = 1
        self.deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._inner.settimeout(self._left())
        self._inner.sendall(data)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        self._users += 1
        return io.BufferedReader(_Reads(self))

    def receive(self, into: Any) -> int:
        self._inner.settimeout(self._left())
        return self._inner.recv_into(into)

    def close(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._inner.close()

    def abandon(self) -> None:
        descriptor = self._inner.detach()
        if descriptor >= 0:
            os.close(descriptor)

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no whole answer within {WHOLE:.0f} s")
        return left


class _Reads(io.RawIOBase):
    """The reading side of a limited socket."""

    def __init__(self, limited: _Limited) -> None:
        self._limited = limited

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        return self._limited.receive(into)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._limited.close()


def _target(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def _address(url: SplitResult) -> tuple[str, int]:
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def origin_of(url: str) -> str:
    """Scheme, host and port, for people; empty where there are none. All else in it may be nobody's business."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.scheme and parts.hostname else ""


def _proxy_for(url: SplitResult) -> SplitResult | None:
    """The proxy that the environment names for this address."""
    host, _ = _address(url)
    proxy = getproxies().get(url.scheme)
    if not proxy or proxy_bypass(host):
        return None
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


def _authorization(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
