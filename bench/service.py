"""The service under measurement: started by its own command with the private PostgreSQL, all its promises on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psycopg

from app.store import accounts, blackouts
from app.store.accounts import NewProject
from app.store.engine import make_engine, make_sessions
from bench.machine import resident
from tests.journeys.running import Service, serving

PATIENCE = 60.0  # seconds for a call: what is measured is measured elsewhere


class Measured:
    """A running `serve`: `database` is a connection to its PostgreSQL, `key` that of its first project."""

    def __init__(self, folder: Path, service: Service, dsn: str, database: psycopg.Connection[Any]) -> None:
        self.folder = folder
        self.service = service
        self.port = service.port
        self.dsn = dsn
        self.database = database
        self.key = service.keys["api_key"]
        self._client = httpx.AsyncClient(base_url=service.base_url, timeout=PATIENCE, trust_env=False)

    @property
    def secret_key(self) -> str:
        """By which channel secrets are sealed."""
        return (self.service.data / "secret.key").read_text().strip()

    def resident(self, kind: str) -> float:
        """Memory of its `web` or `worker` process in MB."""
        return resident(self.service.children(kind)[0].pid)

    async def api(self, method: str, path: str, body: Any = None, key: str = "") -> Any:
        """A call of the API; raises on any refusal."""
        answer = await self._asked(method, f"/api/v3/{path}", json=body, headers={"X-Api-Key": key or self.key})
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def ping(self, check: str, suffix: str = "") -> None:
        """A check-in; raises on any refusal."""
        answer = await self._asked("GET", f"/ping/{check}{suffix}")
        assert answer.status_code == 200, answer.text

    async def _asked(self, method: str, path: str, **given: Any) -> httpx.Response:
        """The answer; again after a 503, for what is set up here is not what is measured."""
        while (answer := await self._client.request(method, path, **given)).status_code == 503:
            await asyncio.sleep(1)
        return answer

    async def projects(self, count: int) -> list[NewProject]:
        """So many new projects."""
        engine = make_engine(self.dsn.replace("postgresql://", "postgresql+psycopg://", 1), "bench", 1)
        async with make_sessions(engine)() as session:
            now = await blackouts.now(session)
            made = [await accounts.create_project(session, f"Project {n}", None, now) for n in range(count)]
            await session.commit()
        await engine.dispose()
        return made

    def row(self, sql: str, *given: Any) -> tuple[Any, ...]:
        """The one row that this finds."""
        return self.database.execute(sql, given or None).fetchone() or ()

    async def until(self, sql: str, *given: Any, within: float = PATIENCE) -> None:
        """Return when this finds a row. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while not self.row(sql, *given):
                await asyncio.sleep(0.05)

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()


@asynccontextmanager
async def measured(**settings: str) -> AsyncIterator[Measured]:
    """Start it, in a folder of its own; stop it when the block ends."""
    with TemporaryDirectory(prefix="missedbeat-bench-") as name:
        async with serving(Path(name) / "data", **settings) as service:
            dsn = service.command("dsn").stdout.strip()
            with psycopg.connect(dsn, autocommit=True, options="-c timezone=UTC") as database:
                it = Measured(Path(name), service, dsn, database)
                try:
                    yield it
                finally:
                    await it.aclose()
