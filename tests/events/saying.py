"""A program that reports: batches of lines as docs/events.md has them, by the clock of the world."""

import gzip
import json
from datetime import datetime
from itertools import count
from typing import Any

import httpx

from tests.world import World

Event = dict[str, Any]
NUMBERS = count(1)
PATIENCE = 5
NIGHTLY = {"kind": "crontab", "expression": "0 3 * * *", "zone": "UTC"}
MINUTELY = {"kind": "every", "seconds": 60}


def ms(at: datetime) -> int:
    """An instant as events say it."""
    return round(at.timestamp() * 1000)


class Program:
    """`shop`, say, in one environment, with a clock that may be wrong by `skew` seconds."""

    def __init__(self, world: World, app: str = "shop", **envelope: Any) -> None:
        self.world = world
        self.envelope = {"v": 1, "app": app, "sdk": "missedbeat-python/0.1.0", "heartbeat": 15, **envelope}
        self.skew = 0.0
        self.key = world.project.api_key

    @property
    def source(self) -> str:
        """As its monitors have it."""
        app, environment = self.envelope["app"], self.envelope.get("environment")
        return f"celery:{app}@{environment}" if environment else f"celery:{app}"

    async def now(self) -> int:
        """By its clock."""
        return ms(await self.world.now()) + round(self.skew * 1000)

    async def event(self, kind: str, ago: float = 0, **more: Any) -> Event:
        """An event that happened so many seconds ago."""
        return {"type": kind, "id": f"boot:1:{next(NUMBERS)}", "ts": await self.now() - round(ago * 1000), **more}

    async def run(self, word: str, monitor: str = "entry:nightly", run: str = "r1", ago: float = 0, **more: Any) -> Event:
        """One of a run, of its first try by default."""
        x = {} if word in ("dispatched", "expired", "revoked", "lost") else {"x": "x1"}
        return await self.event(f"run.{word}", ago, **{"monitor": monitor, "run": run, "att": 0, **x, **more})

    async def sync(self, *entries: Any, reconcile: bool = True, ago: float = 0) -> Event:
        """Its schedule."""
        return await self.event("schedule.sync", ago, reconcile=reconcile, entries=list(entries))

    async def send(self, *events: Event, key: str | None = None, **envelope: Any) -> httpx.Response:
        """A batch, packed as the SDK does."""
        head = {"sent_at": await self.now(), **self.envelope, **envelope}
        body = "".join(json.dumps(line) + "\n" for line in (head, *events)).encode()
        return await self.post(gzip.compress(body) if len(body) > 1000 else body, key)

    async def post(self, body: bytes, key: str | None = None) -> httpx.Response:
        """Any bytes."""
        headers = {"Authorization": f"Bearer {self.key if key is None else key}", "Content-Type": "application/x-ndjson"}
        return await self.world.client.post("/api/v3/events", content=body, headers=headers)

    async def said(self, *events: Event, **more: Any) -> dict[str, Any]:
        """A batch that is taken; its answer. Sent again where a busy machine had it refused, as every SDK does."""
        for _ in range(PATIENCE):
            answer = await self.send(*events, **more)
            if answer.status_code != 503:
                break
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def entry(name: str = "nightly", schedule: Any = None, **more: Any) -> Event:
    """An entry of a schedule."""
    return {"name": name, "schedule": schedule or NIGHTLY, "task": "shop.tasks.nightly", **more}


async def monitors(world: World) -> dict[str, dict[str, Any]]:
    """All rows, by name."""
    return {row["name"]: row for row in await world.rows("SELECT * FROM monitors ORDER BY name")}
