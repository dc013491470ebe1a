"""Jobs as they are in the wild, said to a rig by a crowd: steady ones, ones that ping around their deadline, ones that fail and
recover, ones that die."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx

from tests.faults.history import Crowd, Line
from tests.faults.rig import Rig
from tests.receivers import HttpReceiver

PERIOD, GRACE = 2, 1


class Hook(HttpReceiver):
    """A receiver that notes when each request came in. `slow`: seconds it takes to answer at most."""

    def __init__(self, slow: float = 0.0) -> None:
        super().__init__()
        self.at: list[float] = []
        self._slow = slow

    async def _note(self) -> None:
        self.at.append(time.time())
        await super()._note()
        if self._slow:
            await asyncio.sleep(random.uniform(0, self._slow))

    def hits(self) -> dict[str, list[float]]:
        """When each delivery (by its webhook-id) came in."""
        found: dict[str, list[float]] = {}
        for request, at in zip(self.requests, self.at, strict=True):
            found.setdefault(request.headers["webhook-id"], []).append(at)
        return found


class Api:
    """The management API of a rig, asked again while it is refused."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    async def make(self, path: str, fields: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """One thing for each."""
        headers = {"X-Api-Key": self._rig.project.api_key}
        made = []
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self._rig.port}/api/v3/", trust_env=False, timeout=10
        ) as client:
            for body in fields:
                answer = await client.post(path, json=body, headers=headers)
                while answer.status_code >= 500:
                    await asyncio.sleep(0.1)
                    answer = await client.post(path, json=body, headers=headers)
                assert answer.status_code == 201, answer.text
                made.append(dict(answer.json()))
        return made

    async def hooks(self, hook: HttpReceiver, names: Sequence[str]) -> dict[str, str]:
        """A channel of each name to that receiver: name to id."""
        made = await self.make("channels/", [{"kind": "webhook", "name": n, "url": hook.url()} for n in names])
        return {channel["name"]: channel["id"] for channel in made}

    async def checks(self, count: int, channels: str, **fields: Any) -> list[str]:
        """So many checks; returns their ids."""
        made = await self.make("checks/", [{"name": f"job {n}", "channels": channels, **fields} for n in range(count)])
        return [check["uuid"] for check in made]


Client = Callable[[Line], Awaitable[None]]


def steady(crowd: Crowd, monitor: str) -> Client:
    """Success, start and log without rest, half of them under an Idempotency-Key."""

    async def client(line: Line) -> None:
        signal = random.choice(("success", "success", "log", "start"))
        await crowd.say(line, monitor, signal, keyed=random.random() < 0.5)
        await asyncio.sleep(random.uniform(0, 0.03))

    return client


def on_edge(crowd: Crowd, monitor: str) -> Client:
    """Success around the deadline: a little before, at it, a little after, sometimes much too late."""

    async def client(line: Line) -> None:
        await crowd.say(line, monitor, "success", keyed=random.random() < 0.5)
        wait = PERIOD + GRACE + random.choice((-1.0, -0.2, random.uniform(-0.05, 0.05), 0.5, 9.0))
        await asyncio.sleep(wait)

    return client


def failing(crowd: Crowd, monitor: str, rest: float = 0.4) -> Client:
    """Fails, then succeeds, and so on."""

    async def client(line: Line) -> None:
        for signal in ("fail", "success"):
            await crowd.say(line, monitor, signal)
            await asyncio.sleep(random.uniform(0, rest))

    return client


def dying(crowd: Crowd, monitor: str, after: float) -> Client:
    """Lives for so long, then is never heard of again."""
    began = time.time()

    async def client(line: Line) -> None:
        await crowd.say(line, monitor, "success")
        if time.time() - began > after:
            raise StopAsyncIteration
        await asyncio.sleep(random.uniform(0.5, 1.5))

    return client


async def crowded(rig: Rig, crowd: Crowd, hook: Hook, many: int = 4, lasting: float = 10.0) -> None:
    """`many` of each kind, told through a channel of their own kind."""
    api = Api(rig)
    ids = await api.hooks(hook, ["edge", "failing", "dying"])
    slow, quick = {"timeout": 86_400, "grace": 3600}, {"timeout": PERIOD, "grace": GRACE}
    for monitor in await api.checks(many, "", **slow):
        await crowd.add(steady(crowd, monitor))
    for monitor in await api.checks(many, ids["edge"], **quick):
        await crowd.add(on_edge(crowd, monitor))
    for monitor in await api.checks(many, ids["failing"], **slow):
        await crowd.add(failing(crowd, monitor))
    for n, monitor in enumerate(await api.checks(many, ids["dying"], **quick)):
        await crowd.add(dying(crowd, monitor, lasting * n / many))
