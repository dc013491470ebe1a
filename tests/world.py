"""The service in one process on a real PostgreSQL, with a clock that tests put ahead: pings and API calls go through the same
ASGI app, sweep and delivery run when asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cache
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.main import Web
from app.notify.deliver import Deliverer, Sender
from app.notify.email import Mailer
from app.notify.outbound import Outbound
from app.notify.senders import Post
from app.settings import Settings
from app.store import accounts, blackouts
from app.store.accounts import NewProject
from app.store.engine import Sessions, make_sessions
from app.store.vault import Vault
from app.sweeper.prune import keep_partitions
from app.sweeper.sweep import Swept, sweep
from tests import database
from tests.patient import Patient

MARGIN = timedelta(seconds=2)
SECRET_KEY = "a secret key for tests, 32 characters and more"
LOOPBACK = ip_network("127.0.0.0/8")


class World:
    """What a test holds: `client` on the app, `project` with its keys, the clock in `advance`."""

    def __init__(self, dsn: str, sessions: Sessions, mailer: Mailer, **settings: Any) -> None:
        self.dsn = dsn
        self.sessions = sessions
        self.settings = Settings(
            database_url=dsn,
            secret_key=SECRET_KEY,
            _env_file=None,
            **{"base_url": "http://missedbeat.test", "min_period": 1, "allow_networks": str(LOOPBACK), **settings},
        )
        self.web = Web(self.settings, dsn)
        self.asking = Patient(self.web)
        self.client = httpx.AsyncClient(transport=self.asking, base_url="http://missedbeat.test")
        self.post = Post(Outbound(allow_networks=[LOOPBACK]), mailer)
        self.sender = Sender(self.post, Vault(SECRET_KEY), self.settings.address)
        self.deliverer = Deliverer(sessions, self.sender)
        self.ahead = timedelta()
        self.project: NewProject

    # time

    async def now(self) -> datetime:
        """The clock of verdicts."""
        async with self.sessions() as session:
            return await blackouts.now(session)

    async def advance(self, seconds: float) -> None:
        """Put the clock ahead as if the service had ticked all the while."""
        self.sleep(seconds)
        await self.tick()

    def sleep(self, seconds: float) -> None:
        """Put the clock ahead without a tick: nobody could hear meanwhile."""
        self.ahead += timedelta(seconds=seconds)
        database.put_ahead(self.dsn, self.ahead)

    async def tick(self) -> None:
        """One tick, now."""
        async with self.sessions() as session:
            await session.execute(
                text("INSERT INTO ticks (at, process) VALUES (missedbeat_now(), :one) ON CONFLICT DO NOTHING"),
                {"one": UUID(int=1)},
            )
            await session.commit()

    # people and programs

    async def new_project(self, name: str = "Test", email: str | None = None) -> NewProject:
        """A project with its keys."""
        async with self.sessions() as session:
            made = await accounts.create_project(session, name, email, await blackouts.now(session))
            await session.commit()
        return made

    async def api(self, method: str, path: str, json: Any = None, key: str | None = None) -> httpx.Response:
        """A call of the management API v3 with the project's read-write key, or another."""
        headers = {"X-Api-Key": key or self.project.api_key}
        return await self.client.request(method, f"/api/v3/{path}", json=json, headers=headers)

    async def check(self, **fields: Any) -> dict[str, Any]:
        """A new check, as the API shows it."""
        answer = await self.api("POST", "checks/", {"timeout": 60, "grace": 30, **fields})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def seen(self, check: dict[str, Any]) -> dict[str, Any]:
        """The check as the API shows it now."""
        return dict((await self.api("GET", f"checks/{check['uuid']}")).json())

    async def ping(self, check: dict[str, Any], suffix: str = "", **options: Any) -> httpx.Response:
        """A ping by id: `suffix` such as '/start'; `params`, `content`, `headers`, `method` as httpx has them."""
        method = options.pop("method", "GET" if "content" not in options else "POST")
        return await self.client.request(method, f"/ping/{check['uuid']}{suffix}", **options)

    # the worker's loops

    async def sweep(self) -> Swept:
        """What the worker does each second."""
        return await sweep(self.sessions, MARGIN)

    async def deliver(self) -> int:
        """Send what is due, and wait until it is settled; returns how many deliveries were begun."""
        begun = 0
        while claimed := await self.deliverer.deliver_once():
            begun += claimed
            await self.deliverer.settled()
        return begun

    async def rows(self, sql: str, **given: Any) -> list[dict[str, Any]]:
        """What a look into the tables finds."""
        async with self.sessions() as session:
            return [dict(row) for row in (await session.execute(text(sql), given)).mappings()]

    async def run(self, sql: str, **given: Any) -> None:
        """A change past the service, such as an accident would make."""
        async with self.sessions() as session:
            await session.execute(text(sql), given)
            await session.commit()


@asynccontextmanager
async def living(dsn: str, mailer: Mailer | None = None, **settings: Any) -> AsyncIterator[World]:
    """A world that hears pings, on an empty database, with one project."""
    database.empty(dsn)
    database.use_virtual_clock(dsn)
    async with living_on(dsn, mailer, **settings) as world:
        await keep_partitions(world.sessions, 90, 1000)
        await world.tick()
        world.project = await world.new_project()
        yield world


@asynccontextmanager
async def living_on(dsn: str, mailer: Mailer | None = None, **settings: Any) -> AsyncIterator[World]:
    """A world that hears pings, on what is there."""
    engine = _engine(dsn)
    world = World(dsn, make_sessions(engine), mailer or Mailer(), **settings)
    flushing = asyncio.create_task(world.web.inbox.run())
    try:
        yield world
    finally:
        world.web.inbox.close()
        await flushing
        await world.client.aclose()
        await world.deliverer.settled()
        await world.post.aclose()
        await world.web.dispose()
        await engine.dispose()


@cache
def _engine(dsn: str) -> AsyncEngine:
    """One for all worlds of a database, as it remembers the statements that it wrote; each world leaves its pool empty."""
    return create_async_engine(dsn, max_overflow=-1, pool_pre_ping=True)
