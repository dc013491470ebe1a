"""The processes themselves: what a kill -9 of each may cost, how all of it stops, how the parts run alone."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from app.store import embedded
from tests.faults.rig import measured
from tests.journeys.running import COMMAND, Service, environment, gone, serving, until
from tests.processes import over, standing_still
from tests.receivers import HttpReceiver

pytestmark = pytest.mark.anyio


class Pinger:
    """Clients that ping without rest and note what was acknowledged."""

    def __init__(self, service: Service, checks: list[dict[str, Any]]) -> None:
        self._service = service
        self._checks = checks
        self.acknowledged: Counter[str] = Counter()
        self.refused = 0
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Pinger":
        self._tasks = [asyncio.create_task(self._ping(check)) for check in self._checks]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _ping(self, check: dict[str, Any]) -> None:
        path = check["ping_url"].removeprefix(self._service.base_url)
        async with httpx.AsyncClient(base_url=self._service.base_url, timeout=15, trust_env=False) as client:
            while not self._stop.is_set():
                try:
                    answer = await client.get(f"{path}/log")
                except httpx.HTTPError:
                    self.refused += 1
                    await asyncio.sleep(0.05)
                    continue
                if answer.status_code == 200:
                    self.acknowledged[check["uuid"]] += 1
                else:
                    assert answer.status_code == 503
                    self.refused += 1


async def kept(service: Service, check: dict[str, Any]) -> int:
    """How many check-ins of it are there."""
    return int((await service.api("GET", f"checks/{check['uuid']}"))["n_pings"])


async def kill_cycle(service: Service, hook: HttpReceiver, victim: str) -> None:
    """Kill one process under pings and while an alert is on its way: nothing acknowledged is lost, the alert arrives, at most
    one message more than there should be, with the same webhook-id."""
    before = len(hook.requests)
    rule = {"timeout": 3600, "grace": 60, "channels": "*"}
    checks = [await service.api("POST", "checks/", {**rule, "name": f"{victim} {n}"}) for n in range(4)]
    failing = await service.api("POST", "checks/", {**rule, "name": f"{victim} failing"})
    async with Pinger(service, checks) as pinger:
        await asyncio.sleep(0.3)
        fail = failing["ping_url"].removeprefix(service.base_url) + "/fail"
        await until(lambda: answered(service, fail), 10)
        pid = service.kill(victim)
        await until(lambda: gone(pid), 5)
        await service.ready()
        await asyncio.sleep(0.5)
    assert sum(pinger.acknowledged.values()) > 0
    for check in checks:
        assert await kept(service, check) >= pinger.acknowledged[check["uuid"]]

    async def told() -> bool:
        found = await service.api("GET", f"checks/{failing['uuid']}/incidents/")
        if not found["incidents"]:
            return False
        deliveries = await service.api("GET", f"incidents/{found['incidents'][0]['id']}/deliveries/")
        return bool(deliveries["deliveries"]) and deliveries["deliveries"][0]["state"] == "delivered"

    await until(told, 45)
    ids = Counter(r.headers["webhook-id"] for r in hook.requests[before:])
    assert len(ids) == 1
    assert sum(ids.values()) <= 2


async def answered(service: Service, path: str) -> bool:
    """Whether a ping was acknowledged; a client with --retry asks until it is."""
    return (await service.client.get(path)).status_code == 200


async def test_kill_9_of_any_process_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Web, worker and PostgreSQL, one after the other: each comes back by itself, and what was said stays said."""
    async with HttpReceiver() as hook, serving(tmp_path / "data") as service:
        await service.api("POST", "channels/", {"kind": "webhook", "name": "hook", "url": hook.url()})
        for victim in ("web", "worker", "postgres"):
            await kill_cycle(service, hook, victim)


@pytest.mark.prove
@pytest.mark.timeout(600)
async def test_kill_9_again_and_again_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """The same, ten times each."""
    async with HttpReceiver() as hook, serving(tmp_path / "data") as service:
        await service.api("POST", "channels/", {"kind": "webhook", "name": "hook", "url": hook.url()})
        for _ in range(10):
            for victim in ("web", "worker", "postgres"):
                await kill_cycle(service, hook, victim)


async def test_ctrl_c_stops_all_of_it_and_a_killed_parent_leaves_nobody_behind(tmp_path: Path) -> None:
    """SIGINT ends serve with 0 and every child with it; so does kill -9, and the next start finds all data."""
    for number in (signal.SIGINT, signal.SIGKILL):
        async with serving(tmp_path / "data") as service:
            path = f"/ping/{service.keys['ping_key']}/kept?create=1"
            assert (await service.client.get(path)).status_code in (200, 201)
            family = psutil.Process(service.process.pid).children(recursive=True)
            service.process.send_signal(number)
            assert service.process.wait(20) == (-9 if number == signal.SIGKILL else 0)
            async with asyncio.timeout(20):
                while not all(over(p.pid) for p in family):
                    await asyncio.sleep(0.05)
    async with serving(tmp_path / "data") as service:
        assert (await service.api("GET", "checks/"))["checks"][0]["slug"] == "kept"


def all_connected(dsn: str) -> bool:
    """Whether three web processes and two workers work on this database."""
    with psycopg.connect(dsn.replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT application_name FROM pg_stat_activity").fetchall()
    names = Counter(name for (name,) in rows)
    return names["missedbeat-ingest"] >= 3 and names["missedbeat-sweep"] >= 2


async def test_several_web_and_worker_processes_behave_as_one(tmp_path: Path) -> None:
    """Two web processes and two workers on one PostgreSQL named by DATABASE_URL: one transition and one message for a silent
    job; memory stays in its bounds; each part ends with 0 on SIGTERM."""
    server = embedded.start(tmp_path / "database", fsync=False)
    key = {"DATABASE_URL": server.dsn, "MISSEDBEAT_SECRET_KEY": "k" * 40}
    try:
        async with HttpReceiver() as hook, serving(tmp_path / "data", "--workers", "2", **key) as service:
            await service.api("POST", "channels/", {"kind": "webhook", "name": "hook", "url": hook.url()})
            environ = environment(**key, MISSEDBEAT_BASE_URL=service.base_url)
            parts = [subprocess.Popen([COMMAND, *words], env=environ) for words in (["worker"], ["web", "--port", "0"])]
            await until(lambda: asyncio.to_thread(all_connected, server.dsn), 30)
            fields = {"timeout": 1, "grace": 1, "channels": "*"}
            checks = [await service.api("POST", "checks/", {**fields, "name": str(n)}) for n in range(20)]
            for check in checks:
                await service.client.get(check["ping_url"].removeprefix(service.base_url))
            await hook.heard(20, within=25)
            await asyncio.sleep(2)
            assert len(hook.requests) == 20
            measured(f"{len(checks)} silent jobs by 3 web processes and 2 workers, {len(hook.requests)} messages")
            for word, limit in (("web", 150), ("worker", 120)):
                for process in service.children(word):
                    assert process.memory_info().rss < limit * 1_000_000, (word, process.memory_info().rss)
            for part in parts:
                part.terminate()
            assert [part.wait(15) for part in parts] == [0, 0]
    finally:
        server.stop()


async def test_it_answers_below_a_path_whether_the_proxy_strips_it_or_not(tmp_path: Path) -> None:
    """MISSEDBEAT_BASE_URL with a path: pings, API and health under it, and at the root for a proxy that strips it."""
    async with serving(tmp_path / "data", MISSEDBEAT_BASE_URL="https://example.org/beats") as service:
        assert service.base_url == "https://example.org/beats"
        port = service.port
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            for prefix in ("", "/beats"):
                path = f"{prefix}/ping/{service.keys['ping_key']}/job{prefix.strip('/')}?create=1"
                assert (await client.get(path)).status_code == 201
                assert (await client.get(f"{prefix}/livez")).status_code == 200
                answer = await client.get(f"{prefix}/api/v3/checks/", headers={"X-Api-Key": service.keys["api_key"]})
                assert answer.json()["checks"][0]["ping_url"].startswith("https://example.org/beats/ping/")


async def test_a_project_is_made_beside_a_running_service_and_without_one(tmp_path: Path) -> None:
    """`project create --json` prints one object with the six fields, and its keys work at once."""
    async with serving(tmp_path / "data") as service:
        made = service.new_project("second", "--email", "owner@example.org")
        fields = {"project_id", "name", "api_key", "api_key_readonly", "ping_key", "ping_url"}
        assert set(made) == fields
        assert (await service.client.get(made["ping_url"].removeprefix(service.base_url) + "/x?create=1")).status_code == 201
    done = service.command("project", "create", "third")
    assert done.returncode == 0
    assert "mb_rw_" in done.stdout
    assert service.command("project", "create", "bad", "--email", "no address").returncode == 1


async def test_pings_are_accepted_again_within_seconds_of_a_frozen_database(tmp_path: Path) -> None:
    """PostgreSQL stopped for a few seconds: 503 with Retry-After or a late 200, never a hang; then service as before."""
    async with serving(tmp_path / "data") as service:
        check = await service.api("POST", "checks/", {"name": "x", "timeout": 3600, "grace": 60})
        path = check["ping_url"].removeprefix(service.base_url)
        with standing_still(service.children("postgres")[0].pid):
            answers = await asyncio.gather(*(service.client.get(path) for _ in range(20)))
        assert {a.status_code for a in answers} == {503}
        assert all("retry-after" in a.headers for a in answers)

        await until(lambda: answered(service, path), 10)


async def test_serve_outlives_a_machine_that_can_start_no_process(tmp_path: Path) -> None:
    """No file is left to be opened when a web process has died: it is started once there is, and all of it goes on."""
    async with serving(tmp_path / "data") as service:
        parent = psutil.Process(service.process.pid)
        limits = parent.rlimit(psutil.RLIMIT_NOFILE)
        parent.rlimit(psutil.RLIMIT_NOFILE, (parent.num_fds(), limits[1]))
        service.kill("web")
        await until(lambda: logged(service, "a process cannot be started yet"), 10)
        parent.rlimit(psutil.RLIMIT_NOFILE, limits)
        await service.ready()


@pytest.mark.prove
async def test_a_frozen_worker_is_seen_from_outside_and_by_the_silence_of_the_heartbeat(tmp_path: Path) -> None:
    """/readyz says what stands still, the outgoing heartbeat stays away; both are back once the worker is."""
    async with HttpReceiver() as watcher, serving(tmp_path / "data", MISSEDBEAT_HEARTBEAT_URL=watcher.url()) as service:
        await watcher.heard(1, within=30)
        (worker,) = service.children("app.cli worker")
        worker.suspend()
        frozen_at = time.monotonic()
        try:

            async def said() -> bool:
                answer = await service.client.get(f"http://127.0.0.1:{service.port}/readyz")
                return answer.status_code == 503 and "nothing has swept for" in answer.text

            await until(said, 30)
            seen = time.monotonic() - frozen_at
            measured(f"/readyz said so {seen:.1f} s after the worker froze")
            await asyncio.sleep(25)  # its turn comes and goes
            assert len(watcher.requests) == 1
        finally:
            worker.resume()
        await service.ready()
        await watcher.heard(2, within=45)


async def test_while_no_file_is_left_for_a_connection_nobody_is_called_dead(tmp_path: Path) -> None:
    """Idle connections take all there are: pings are not even answered, and what was due then is unknown."""
    async with serving(tmp_path / "data", "--workers", "1") as service:
        check = await service.api("POST", "checks/", {"name": "x", "timeout": 4, "grace": 2})
        assert (await service.client.get(f"/ping/{check['uuid']}")).status_code == 200
        (web,) = service.children("app.cli web")
        idle: list[socket.socket] = []
        web.rlimit(psutil.RLIMIT_NOFILE, (web.num_fds() + 8, web.rlimit(psutil.RLIMIT_NOFILE)[1]))
        for _ in range(40):
            idle.append(socket.create_connection(("127.0.0.1", service.port)))
        await asyncio.sleep(9)
        for connection in idle:
            connection.close()

        async def deaf() -> Any:
            return (await service.api("GET", "blackouts/"))["blackouts"]

        assert await until(deaf, 20)
        assert (await service.api("GET", f"checks/{check['uuid']}"))["status"] in ("up", "grace")


async def logged(service: Service, words: str) -> bool:
    """Whether its log says so."""
    return words in (service.data.parent / f"{service.data.name}.log").read_text()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"MISSEDBEAT_PORT": "seventy"}, "MISSEDBEAT_PORT: "),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL: must be a PostgreSQL URL"),
        ({"MISSEDBEAT_SECRET_KEY": "short"}, "MISSEDBEAT_SECRET_KEY: must have at least 32 characters"),
        ({"MISSEDBEAT_BASE_URL": "example.org"}, "MISSEDBEAT_BASE_URL: must be the public address"),
        ({"MISSEDBEAT_ALLOW_NETWORKS": "10.0.0.0/99"}, "MISSEDBEAT_ALLOW_NETWORKS: "),
        ({"MISSEDBEAT_HOST": "203.0.113.1"}, "cannot listen on 203.0.113.1"),
    ],
)
def test_bad_settings_stop_the_start_with_one_clear_line(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    """The variable, what is wrong, no traceback."""
    command = [COMMAND, "serve", "--data", str(tmp_path / "data")]
    done = subprocess.run(command, env=environment(**settings), capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_web_and_worker_say_what_they_need(tmp_path: Path) -> None:
    """Without DATABASE_URL, or on a database that was not migrated, they do not start."""
    server = embedded.start(tmp_path / "data", fsync=False)
    try:
        environ = environment(DATABASE_URL=server.dsn, MISSEDBEAT_SECRET_KEY="k" * 40)
        done = subprocess.run([COMMAND, "worker"], env=environ, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (done.returncode, "missedbeat-server migrate" in done.stderr) == (1, True)
    finally:
        server.stop()
    for command in ("web", "worker"):
        done = subprocess.run([COMMAND, command], env=environment(), capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (done.returncode, "DATABASE_URL" in done.stderr) == (1, True)


async def test_heads_are_bounded_in_size_and_a_refused_start_harms_nothing(tmp_path: Path) -> None:
    """A head over 64 KiB is refused without filling our memory; a second serve on the same folder ends with one line and leaves
    the first one and its counters alone; an upload that breaks off leaves no traceback."""
    async with serving(tmp_path / "data") as service:
        (web,) = service.children("web")
        before = web.memory_info().rss
        path = f"/ping/{service.keys['ping_key']}/job?create=1"
        assert (await service.client.get(path)).status_code == 201
        assert (await service.client.get(path, headers={"x-long": "a" * 20_000})).status_code == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        with contextlib.suppress(ConnectionError):
            writer.write(b"GET /ping/x HTTP/1.1\r\nHost: x\r\nX: ")
            for _ in range(40):
                writer.write(b"a" * 1_000_000)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            assert await reader.read(12) in (b"HTTP/1.1 431", b"")
        writer.close()
        assert web.memory_info().rss - before < 10_000_000
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"POST /api/v3/checks/ HTTP/1.1\r\nHost: x\r\nX-Api-Key: k\r\nContent-Length: 9\r\n\r\n{")
        await writer.drain()
        writer.close()
        second = service.command("serve", "--port", "0")
        assert (second.returncode, len(second.stderr.strip().splitlines())) == (1, 1)
        metrics = (await service.client.get("/metrics")).text
        assert 'missedbeat_check_ins_total{result="created"} 1.0' in metrics
    assert "Traceback" not in (tmp_path / "data.log").read_text()
