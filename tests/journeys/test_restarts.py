"""Restarting everything, one process after the other, as an upgrade does: nobody outside may notice."""

import asyncio
import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from app.store import embedded
from tests.journeys.running import COMMAND, Service, environment, gone, serving, until
from tests.processes import over
from tests.receivers import HttpReceiver, Reply

pytestmark = pytest.mark.anyio

KEY = "k" * 40
ASK = b"GET /livez HTTP/1.1\r\nHost: missedbeat.test\r\n\r\n"


class Broken(Exception):
    """An answer that began and did not end, or a request that got none: no client repeats it by itself."""


async def call(port: int, path: str) -> tuple[int, float]:
    """One request on a connection of its own, as curl makes it: the status, and the seconds that Retry-After asks for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: missedbeat.test\r\nUser-Agent: curl/8\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        await reader.readexactly(int(fields["content-length"]))
        return int(head.split(" ")[1]), float(fields.get("retry-after", 0))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise Broken(repr(error)) from error
    finally:
        await hang_up(writer)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close it, whatever the other side did to it."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


class Callers:
    """Clients that ping as `curl --retry` does: again after a 503, and after nothing else."""

    def __init__(self, ports: list[int], checks: list[dict[str, Any]]) -> None:
        self._ports = ports
        self._checks = checks
        self.acknowledged: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Callers":
        self._tasks = [
            asyncio.create_task(self._ping(self._ports[n % len(self._ports)], check)) for n, check in enumerate(self._checks)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _ping(self, port: int, check: dict[str, Any]) -> None:
        path = f"/ping/{check['uuid']}"
        while not self._stop.is_set():
            status, pause = await call(port, path)
            assert status in (200, 503), status
            (self.acknowledged if status == 200 else self.refused)[check["uuid"]] += 1
            await asyncio.sleep(min(pause, 0.2) if status == 503 else 0.005)


class Parts:
    """A web process on a socket that outlives it, as a supervisor hands it down, and a worker; each can be started anew."""

    def __init__(self, dsn: str, log: Path) -> None:
        self.log = log
        self._begun = 0
        self._environ = environment(DATABASE_URL=dsn, MISSEDBEAT_SECRET_KEY=KEY)
        self.door = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def port(self) -> int:
        """Where its web process listens."""
        return int(self.door.getsockname()[1])

    async def start(self, name: str) -> None:
        """`web` or `worker`; returns once it has begun to work, and so can be asked to stop."""
        fd = self.door.fileno()
        words = ["web", "--fd", str(fd)] if name == "web" else [name]
        fds = (fd,) if name == "web" else ()
        with self.log.open("ab") as log:
            self._running[name] = subprocess.Popen([COMMAND, *words], env=self._environ, pass_fds=fds, stdout=log, stderr=log)
        self._begun += name == "worker"
        await until(self._answers if name == "web" else self._works, 40)

    async def _answers(self) -> bool:
        return (await call(self.port, "/livez"))[0] == 200

    async def _works(self) -> bool:
        return self.log.read_text().count("worker started") == self._begun

    async def stop(self, name: str) -> None:
        """SIGTERM; it must end with 0 by itself."""
        process = self._running.pop(name)
        process.terminate()
        assert await asyncio.to_thread(process.wait, 20) == 0

    def close(self) -> None:
        """Leave nothing behind."""
        for process in self._running.values():
            process.kill()
            process.wait()
        self.door.close()


@asynccontextmanager
async def parts_on(dsn: str, log: Path, *names: str) -> AsyncIterator[Parts]:
    """These parts, running."""
    parts = Parts(dsn, log)
    try:
        for name in names:
            await parts.start(name)
        yield parts
        for name in names:
            await parts.stop(name)
    finally:
        parts.close()


async def webs_ticking(service: Service, count: int) -> bool:
    """Whether so many web processes record pings just now, and sweeps go on."""
    answer = await service.client.get("/healthz/deep")
    if answer.status_code == 404 or "web" not in answer.json():
        return False
    said = answer.json()
    ticking = [web for web in said["web"] if web["tick_age_seconds"] < 3 and not web["signed_off"]]
    return len(ticking) == count and said["sweep"]["age_seconds"] < 5


async def restart_each(service: Service, parts: Parts) -> None:
    """SIGTERM to every process in turn; each is there again before the next goes."""
    for process in (*service.children("web"), *service.children("worker")):
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(psutil.wait_procs, [process], 20)
        assert over(process.pid)
        await until(lambda: webs_ticking(service, 3), 40)
    for name in ("web", "worker"):
        await parts.stop(name)
        await parts.start(name)
        await until(lambda: webs_ticking(service, 3), 40)


async def roll(folder: Path, rounds: int) -> None:
    """Restart everything `rounds` times under pings; hold what clients saw against what is in the tables."""
    server = embedded.start(folder / "database", fsync=False)
    key = {"DATABASE_URL": server.dsn, "MISSEDBEAT_SECRET_KEY": KEY}
    try:
        async with (
            HttpReceiver() as hook,
            serving(folder / "data", "--workers", "2", **key) as service,
            parts_on(server.dsn, folder / "parts.log", "web", "worker") as parts,
        ):
            await until(lambda: webs_ticking(service, 3), 40)
            await service.api("POST", "channels/", {"kind": "webhook", "name": "hook", "url": hook.url()})
            rule = {"timeout": 20, "grace": 20, "channels": "*"}
            checks = [await service.api("POST", "checks/", {**rule, "name": f"alive {n}"}) for n in range(8)]
            dead = await service.api("POST", "checks/", {**rule, "timeout": 1, "grace": 1, "name": "dead"})
            async with Callers([service.port, parts.port], checks) as callers:
                assert (await call(parts.port, f"/ping/{dead['uuid']}"))[0] == 200
                for _ in range(rounds):
                    await restart_each(service, parts)
            for check in checks:
                seen = await service.api("GET", f"checks/{check['uuid']}")
                heard, refused = callers.acknowledged[check["uuid"]], callers.refused[check["uuid"]]
                assert heard > 20
                assert heard <= seen["n_pings"] <= heard + refused
                assert seen["status"] == "up"
            await hook.heard(1, within=30)
            assert [request.json()["data"]["monitor"]["name"] for request in hook.requests] == ["dead"]
        for log in ("data.log", "parts.log"):
            assert "Traceback" not in (folder / log).read_text()
    finally:
        server.stop()


@pytest.mark.timeout(240)
async def test_restarting_every_process_in_turn_loses_no_ping_and_alarms_nobody(tmp_path: Path) -> None:
    """Each of three web processes and two workers gets SIGTERM under pings: every request is answered whole, with 200 or 503;
    what was acknowledged is kept; the job that is really dead is told once, and no other."""
    await roll(tmp_path, 1)


@pytest.mark.prove
@pytest.mark.timeout(900)
async def test_restarting_again_and_again_loses_no_ping_and_alarms_nobody(tmp_path: Path) -> None:
    """The same, eight times over."""
    await roll(tmp_path, 8)


async def test_a_worker_that_stops_gives_back_what_it_could_not_send(tmp_path: Path) -> None:
    """A receiver that never answers: the worker ends with 0 in time, and the next one sends the same message at once, not only
    after the lease."""
    server = embedded.start(tmp_path / "database", fsync=False)
    key = {"DATABASE_URL": server.dsn, "MISSEDBEAT_SECRET_KEY": KEY}
    try:
        async with HttpReceiver(Reply(hang=True)) as hook, serving(tmp_path / "data", **key) as service:
            await service.api("POST", "channels/", {"kind": "webhook", "name": "hook", "url": hook.url()})
            check = await service.api("POST", "checks/", {"name": "x", "timeout": 3600, "grace": 60, "channels": "*"})
            assert (await call(service.port, f"/ping/{check['uuid']}/fail"))[0] == 200
            await hook.heard(1, within=15)
            (worker,) = service.children("worker")
            os.kill(worker.pid, signal.SIGTERM)
            await until(lambda: gone(worker.pid), 20)
            await hook.heard(2, within=20)
            first, second = (request.headers["webhook-id"] for request in hook.requests)
            assert first == second

            async def settled() -> bool:
                return await asyncio.to_thread(states, server.dsn) == [("delivered", None, 1)]

            await until(settled, 15)
    finally:
        server.stop()


def states(dsn: str) -> list[tuple[Any, ...]]:
    """State, owner and counted tries of every delivery; an attempt cut off by us is not the receiver's fault."""
    with psycopg.connect(dsn.replace("+psycopg", "")) as connection:
        return connection.execute("SELECT state, owner, tries FROM deliveries").fetchall()


async def test_a_connection_without_a_request_yet_is_answered_by_a_web_process_that_stops(tmp_path: Path) -> None:
    """It is let finish what it came for, and the answer says that it was the last; one that says nothing does not hold us up."""
    server = embedded.start(tmp_path / "database", fsync=False)
    try:
        async with serving(tmp_path / "data", DATABASE_URL=server.dsn, MISSEDBEAT_SECRET_KEY=KEY) as service:
            port = service.port
            (first, fresh), (silent, mute), (second, kept) = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            kept.write(ASK)
            assert b"200" in await second.readuntil(b"alive")
            (web,) = service.children("web")
            os.kill(web.pid, signal.SIGTERM)
            await asyncio.sleep(0.2)
            for writer, reader in ((fresh, first), (kept, second)):
                writer.write(ASK)
                answer = await reader.read()
                assert b"200" in answer
                assert b"connection: close" in answer.lower()
            assert await silent.read() == b""
            for writer in (fresh, mute, kept):
                await hang_up(writer)
            await until(lambda: gone(web.pid), 10)
            await service.ready()
    finally:
        server.stop()
