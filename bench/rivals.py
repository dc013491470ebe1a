"""What the service is compared with, as processes that uvicorn serves in the same way: `python -m bench.rivals NAME` prints its
port and runs until it is killed.

`bare` answers OK to everything and asks no database. `apart` is our own service but for the inbox: each check-in is recorded in a
transaction of its own, over a pool of CONNECTIONS, which is what a service without group commit does.
"""

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from uvicorn import Server

from app.connection import configured
from app.ingest.answers import Answer
from app.ingest.inbox import Inbox
from app.ingest.ping import Ping
from app.ingest.read import Reader
from app.ingest.record import record
from app.ingest.routes import PingRoutes
from app.main import Web, create_app
from app.settings import load
from app.store import rows
from app.store.engine import Sessions, make_engine, make_sessions
from bench.service import Measured
from tests.journeys.running import environment
from tests.sdk.brokers import ROOT, tied

CONNECTIONS = 8
OK = ((b"content-type", b"text/plain"), (b"content-length", b"2"))


async def bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The least that a web process can do for a request."""
    if scope["type"] == "lifespan":
        for ending in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{ending}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": OK})
    await send({"type": "http.response.body", "body": b"OK"})


class Apart(Inbox):
    """An inbox that records each ping by itself."""

    def __init__(self, sessions: Sessions, margin: timedelta) -> None:
        super().__init__(sessions, margin)
        self._turn = asyncio.Semaphore(CONNECTIONS)

    async def hear(self, ping: Ping) -> Answer:
        """Answered after a COMMIT of its own."""
        async with self._turn:
            (answer,) = await record(self._sessions, [ping], self._margin, 0)
        return answer


def apart() -> Web:
    """Our app on the database of DATABASE_URL."""
    settings = load()
    web = create_app(settings, settings.database_url)
    sessions = make_sessions(make_engine(settings.database_url, "ingest", CONNECTIONS))
    inbox = Apart(sessions, timedelta(seconds=settings.guard_seconds))
    reader = Reader(settings.ping_body_limit, settings.trusted_proxies)
    web._pings = PingRoutes(inbox, reader, web._translator)
    return web


def eager() -> Web:
    """Our app, but that each ping writes `wake_at`, which is indexed, and so leaves nothing to be put off by the sweep."""
    rows.Locked.wake_for = lambda self, deadline: deadline  # type: ignore[method-assign]
    settings = load()
    return create_app(settings, settings.database_url)


def environment_of(running: Measured) -> dict[str, str]:
    """What a web process beside that service needs, to work on its database."""
    counters = running.folder / "counters"
    counters.mkdir(exist_ok=True)
    secrets = {"MISSEDBEAT_SECRET_KEY": running.secret_key, "PROMETHEUS_MULTIPROC_DIR": str(counters)}
    return environment(DATABASE_URL=running.dsn, **secrets)


@contextmanager
def rival(name: str, environment: dict[str, str], log: Path) -> Iterator[int]:
    """Its port, until the block ends."""
    with log.open("wb") as errors:
        process = Popen(
            tied(sys.executable, "-m", "bench.rivals", name), cwd=ROOT, env=environment, stdout=PIPE, stderr=errors, text=True
        )
    try:
        printed = (process.stdout or sys.stdin).readline()
        if not printed:
            raise RuntimeError(f"{name} did not start:\n{log.read_text()}")
        yield int(printed)
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Serve until killed."""
    apps = {"bare": lambda: bare, "apart": apart, "eager": eager}
    app = apps[sys.argv[1]]()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    print(listener.getsockname()[1], flush=True)
    config = configured(app)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
