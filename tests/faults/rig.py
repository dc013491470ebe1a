"""The service in pieces that can be killed, frozen and started again one by one: PostgreSQL (its fsync on), web and worker
processes on a socket that outlives them; clients and receivers live on a loop of their own, so that the test itself is a plain
sequence of accidents."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg
from sqlalchemy import make_url

from app.store import accounts, blackouts, embedded
from app.store.accounts import NewProject
from app.store.engine import make_engine, make_sessions
from app.store.migrate import migrate
from tests.faults.history import Line
from tests.faults.proxy import Proxy
from tests.journeys.running import environment
from tests.processes import standing_still
from tests.receivers import HttpReceiver

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "a secret key for tests, 32 characters and more"


class Background:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it there, wait for it here."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def call(self, act: Callable[[], object]) -> None:
        """Do something quick there, and wait until it is done."""

        async def once() -> None:
            act()

        self.run(once())

    def close(self) -> None:
        """End the loop and what still runs on it."""
        self.run(_end_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _end_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0.01)  # what was closed says so to the loop


@dataclass(frozen=True)
class Fault:
    """Something was done to a part of the service, from then to then (seconds since 1970)."""

    what: str
    victim: str
    began: float
    ended: float


@dataclass
class Rig:
    """`postgres`, `web`, `worker`: what runs, to be hurt by `kill` and `freeze`. `faults` is the list of what was done."""

    folder: Path
    server: embedded.Server
    nursery: "subprocess.Popen[str]"
    listener: socket.socket
    background: Background
    settings: dict[str, str]
    project: NewProject
    pids: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    closing: list[Callable[[], Coroutine[Any, Any, object]]] = field(default_factory=list)  # done at the end, the last one first

    @property
    def port(self) -> int:
        """Of the web door."""
        return int(self.listener.getsockname()[1])

    @property
    def dsn(self) -> str:
        """As psycopg takes it."""
        return self.server.dsn.replace("+psycopg", "")

    # parts

    def start(self, part: str, **settings: str) -> None:
        """Start `web` or `worker`; does not wait until it works. A number may follow the name: `web 2`."""
        kind = part.partition(" ")[0]
        words = ["web", "--fd", str(self.listener.fileno())] if kind == "web" else [kind]
        order = {"words": words, "log": str(self.folder / "parts.log"), "environment": {**self.settings, **settings}}
        assert self.nursery.stdin is not None
        assert self.nursery.stdout is not None
        self.nursery.stdin.write(json.dumps(order) + "\n")
        self.nursery.stdin.flush()
        self.pids[part] = int(self.nursery.stdout.readline())

    def processes(self, part: str) -> list[psutil.Process]:
        """What `part` consists of: one process, but for PostgreSQL with all its children."""
        if part != "postgres":
            return [psutil.Process(self.pids[part])]
        postmaster = psutil.Process(self.server.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def kill(self, part: str, **settings: str) -> None:
        """kill -9, and start it again at once. PostgreSQL: all of it, or the postmaster alone, as chance will have it."""
        began = time.time()
        victims = self.processes(part)
        for victim in victims[: random.choice((1, len(victims)))]:
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGKILL)
        self.revive(part, **settings)
        self.note("kill", part, began)

    def revive(self, part: str, **settings: str) -> None:
        """Start again what is dead or dying."""
        if part == "postgres":
            while self.server.alive():
                time.sleep(0.005)
            self.server.restart()
        else:
            while psutil.pid_exists(self.pids[part]):
                time.sleep(0.002)
            self.start(part, **settings)

    def freeze(self, part: str, seconds: float) -> None:
        """SIGSTOP for so long, then SIGCONT."""
        began = time.time()
        with standing_still(self.server.pid if part == "postgres" else self.pids[part]):
            time.sleep(seconds)
        self.note("freeze", part, began)

    def note(self, what: str, victim: str, began: float) -> None:
        """Since then until now something was wrong."""
        self.faults.append(Fault(what, victim, began, time.time()))

    # clients and receivers

    def line(self) -> Line:
        """A connection to the web door, for the background to use."""
        line = Line(self.port)
        self.closing.append(line.aclose)
        return line

    def receive(self, receiver: HttpReceiver) -> None:
        """Let it listen until the end."""
        self.background.run(receiver.__aenter__())
        self.closing.append(receiver.__aexit__)

    # looks

    def rows(self, sql: str, *given: Any) -> list[tuple[Any, ...]]:
        """What stands in the tables now."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(sql, given or None).fetchall()

    def until(self, true: Callable[[], Any], within: float, what: str) -> Any:
        """Ask until the answer is true; what the database does not answer is not true yet. Fails with the end of the log."""
        give_up_at = time.monotonic() + within
        while time.monotonic() < give_up_at:
            with suppress(psycopg.OperationalError):
                if found := true():
                    return found
            time.sleep(0.02)
        log = self.folder / "parts.log"
        raise AssertionError(f"{what}: not within {within} s\n" + (log.read_text()[-6000:] if log.exists() else ""))

    def works(self, loop: str, since: float, within: float = 30) -> None:
        """Return once that loop of the worker (`sweep`, `deliver`) has done a round that began after then."""
        sql = "SELECT 1 FROM heartbeats WHERE name = %s AND at > to_timestamp(%s)"
        self.until(lambda: self.rows(sql, loop, since), within, f"{loop} does not work")

    def recovered(self, part: str) -> None:
        """Return once what was hurt last works again."""
        since = time.time()
        if part == "worker":
            self.works("deliver", since)
        else:
            sql = "SELECT 1 FROM ticks WHERE at > to_timestamp(%s)"
            self.until(lambda: self.rows(sql, since), 30, "no ticks")


@contextmanager
def rigged(
    folder: Path, parts: tuple[str, ...] = ("web", "worker"), through: Proxy | None = None, **settings: str
) -> Iterator[Rig]:
    """A service of these parts; main thread only. `through`: what stands between them and the database."""
    server = embedded.start(folder / "data", settings={"max_connections": "60"})
    nursery: subprocess.Popen[str] | None = None
    background = Background()
    closing: list[Callable[[], Coroutine[Any, Any, object]]] = []
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.set_inheritable(True)
    if through is not None:
        background.run(through.listen(f"{make_url(server.dsn).query['host']}/.s.PGSQL.5432"))
        closing.append(through.aclose)
    given = {"DATABASE_URL": through.dsn if through is not None else server.dsn, "MISSEDBEAT_SECRET_KEY": KEY, **settings}
    try:
        migrate(server.dsn)
        nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=environment(**given, PYTHONPATH=str(ROOT)), pass_fds=[listener.fileno()],
        )  # fmt: skip
        assert nursery.stdout is not None
        assert nursery.stdout.readline() == "loaded\n"
        project = background.run(new_project(server.dsn))
        rig = Rig(folder, server, nursery, listener, background, given, project, closing=closing)
        for part in ("web", "worker"):
            rig.start(part)
        yield rig
    finally:
        for close in reversed(closing):
            background.run(close())
        if nursery is not None:
            nursery.kill()  # and with it all that it forked
            nursery.wait()
            for pipe in (nursery.stdin, nursery.stdout):
                assert pipe is not None
                pipe.close()
        background.close()
        listener.close()
        server.stop()


async def new_project(dsn: str) -> NewProject:
    """A project with its keys."""
    engine = make_engine(dsn, "cli", 1)
    try:
        async with make_sessions(engine)() as session:
            made = await accounts.create_project(session, "Under fire", None, await blackouts.now(session))
            await session.commit()
    finally:
        await engine.dispose()
    return made


def seed() -> int:
    """A seed for this run, printed, or the one that SEED names to have a run again."""
    number = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
    measured(f"SEED={number}")
    random.seed(number)
    return number


def measured(words: str) -> None:
    """Say what a run did; shown at the end of the tests though they passed."""
    print(f"measured: {words}")
