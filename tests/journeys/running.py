"""The service as a user runs it: `missedbeat-server serve` as a process of its own, on a port and data folder of its own."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.processes import over

PATIENCE = 20  # tries
COMMAND = str(Path(sys.executable).with_name("missedbeat-server"))
SETTINGS = {
    "MISSEDBEAT_MIN_PERIOD": "1",
    "MISSEDBEAT_ALLOW_NETWORKS": "127.0.0.0/8",
    "MISSEDBEAT_GUARD_SECONDS": "2",
}


def environment(**settings: str) -> dict[str, str]:
    """Our environment without anybody's settings, with these."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MISSEDBEAT_") and k != "DATABASE_URL"}
    return {**clean, **SETTINGS, **settings}


class Service:
    """A running `serve`; `client` calls it, `keys` are those of a project of its own."""

    def __init__(self, data: Path, process: subprocess.Popen[bytes], base_url: str, settings: dict[str, str]) -> None:
        self.data = data
        self.process = process
        self.base_url = base_url
        self.settings = settings
        self.client = httpx.AsyncClient(base_url=base_url, timeout=10, trust_env=False)
        self.keys: dict[str, str] = {}

    @property
    def port(self) -> int:
        """Where it listens on this machine."""
        listening = psutil.Process(self.process.pid).net_connections("inet")
        return min((c.fd, int(c.laddr.port)) for c in listening if c.status == psutil.CONN_LISTEN)[1]

    @property
    def mail_port(self) -> int:
        """Where its mail door listens; opened after the web door."""
        listening = psutil.Process(self.process.pid).net_connections("inet")
        return max((c.fd, int(c.laddr.port)) for c in listening if c.status == psutil.CONN_LISTEN)[1]

    def children(self, word: str) -> list[psutil.Process]:
        """The processes of this service whose command line holds `word`: 'web', 'worker', 'smtpd', 'postgres'. The folder that
        its program lies in does not count: a tree may be called so too."""
        return [c for c in psutil.Process(self.process.pid).children() if word in _command(c)]

    def kill(self, word: str) -> int:
        """kill -9 the first such process; returns its pid."""
        victim = self.children(word)[0]
        victim.send_signal(signal.SIGKILL)
        return victim.pid

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command of ours on the same data folder."""
        return subprocess.run(
            [COMMAND, *words, "--data", str(self.data)],
            env=environment(**self.settings),
            capture_output=True,
            text=True,
            check=False,
        )

    def new_project(self, name: str, *words: str) -> dict[str, str]:
        """`project create NAME --json`, as a script would."""
        done = self.command("project", "create", name, "--json", *words)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    async def announced_keys(self) -> dict[str, str]:
        """The keys of the first project, as the first start printed them."""
        printed = (self.data.parent / f"{self.data.name}.log").read_text()
        labels = {"read-write key": "api_key", "read-only key": "api_key_readonly", "ping key": "ping_key"}
        found = {name: re.search(rf"{label} +(\S+)", printed) for label, name in labels.items()}
        return {name: match[1] for name, match in found.items() if match is not None}

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the API with the project's key, again after a 503, as clients do; raises on any other refusal."""
        headers = {"X-Api-Key": self.keys["api_key"]}
        for _ in range(PATIENCE):
            answer = await self.client.request(method, f"/api/v3/{path}", json=body, headers=headers)
            if answer.status_code != 503:
                break
            await asyncio.sleep(0.5)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def ready(self, within: float = 30) -> None:
        """Return once /readyz says so."""
        await until(self.is_ready, within)

    async def is_ready(self) -> bool:
        """Whether /readyz answers 200."""
        try:
            return (await self.client.get(f"http://127.0.0.1:{self.port}/readyz")).status_code == 200
        except httpx.HTTPError:
            return False


async def until(true: Callable[[], Coroutine[Any, Any, Any]], within: float) -> Any:
    """Ask until the answer is true, and return it. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while not (found := await true()):
            await asyncio.sleep(0.05)
        return found


async def gone(pid: int) -> bool:
    """Whether no such process is alive."""
    return over(pid)


@asynccontextmanager
async def serving(data: Path, *words: str, **settings: str) -> AsyncIterator[Service]:
    """`serve` on any free port until the block ends; then SIGTERM, which must end it with 0."""
    announced = data / "base_url"
    announced.unlink(missing_ok=True)
    with (data.parent / f"{data.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [COMMAND, "serve", "--port", "0", "--data", str(data), *words], env=environment(**settings), stdout=log, stderr=log
        )
    try:

        async def told() -> bool:
            assert process.poll() is None, (data.parent / f"{data.name}.log").read_text()
            return announced.exists() and bool(announced.read_text())

        await until(told, 30)
        service = Service(data, process, announced.read_text(), settings)
        async with service.client:
            await service.ready()
            service.keys = await until(service.announced_keys, 10)
            yield service
        if process.poll() is None:
            process.terminate()
            assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def _command(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        program, *words = process.cmdline() or [""]
        return " ".join([Path(program).name, *words])
    return ""
