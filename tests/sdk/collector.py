"""The far end of the SDK for tests that look at what it says: a web server that takes batches as docs/events.md has them."""

import gzip
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Event = dict[str, Any]
PATIENCE = 30.0


class Collector:
    """`with Collector() as collector:` takes everything. `batches` is what came: (envelope, events), in order."""

    def __init__(self) -> None:
        self.batches: list[tuple[Event, list[Event]]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._change = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """As MISSEDBEAT_URL names it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def events(self) -> list[Event]:
        """Every event once, in order of its own time; the order of arrival where that is equal."""
        with self._change:
            known = {event["id"]: event for _, events in reversed(self.batches) for event in reversed(events)}
        return sorted(reversed(known.values()), key=lambda event: int(event["ts"]))

    def of(self, *types: str) -> list[Event]:
        """Those of these types; `run` is every type that begins with it."""
        return [event for event in self.events if event["type"] in types or event["type"].partition(".")[0] in types]

    def wait_for(self, true: Callable[[list[Event]], Any], within: float = PATIENCE) -> Any:
        """Return what `true` says of the events as soon as it is something. Raises TimeoutError with all that came instead."""
        until = time.monotonic() + within
        while not (found := true(self.events)):
            with self._change:
                if not self._change.wait(min(0.5, max(0.0, until - time.monotonic()))) and time.monotonic() > until:
                    came = [
                        (e["type"], e.get("monitor"), e.get("run"), e.get("att"), e.get("x"))
                        for _, es in self.batches
                        for e in es
                    ]
                    raise TimeoutError(f"only these came: {came}")
        return found

    def take(self, target: str, headers: dict[str, str], body: bytes) -> Event:
        """Keep a request, and the answer to it."""
        with self._change:
            self.requests.append((target, headers))
            # NaN, which `int` refuses, is no JSON: no more than the service do we take such a line
            envelope, *events = [json.loads(line, parse_constant=int) for line in body.decode().splitlines() if line]
            self.batches.append((envelope, events))
            self._change.notify_all()
        return {
            "accepted": len(events), "repeated": 0, "ignored": 0, "unknown_monitors": 0, "flagged": 0, "warnings": [],
            "errors": [], "server_time": int(time.time() * 1000),
        }  # fmt: skip

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever calls may be killed in the middle of it."""


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = json.dumps(collector.take(self.path, headers, body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    return Handler
