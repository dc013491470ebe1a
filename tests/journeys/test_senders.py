"""Sender processes that are killed, frozen or cut off from the database in the middle of an attempt."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.store import embedded
from tests.journeys.running import COMMAND, Service, environment, gone, serving, until
from tests.processes import standing_still
from tests.receivers import HttpReceiver, Reply

pytestmark = [pytest.mark.anyio, pytest.mark.prove, pytest.mark.timeout(300)]

LEASE = 30  # seconds


@asynccontextmanager
async def on_its_own_database(tmp_path: Path) -> AsyncIterator[tuple[Service, dict[str, str]]]:
    """The service on a PostgreSQL beside it, and the settings with which another worker joins in."""
    server = embedded.start(tmp_path / "database", fsync=False)
    key = {"DATABASE_URL": server.dsn, "MISSEDBEAT_SECRET_KEY": "k" * 40}
    try:
        async with serving(tmp_path / "data", **key) as service:
            yield service, environment(**key, MISSEDBEAT_BASE_URL=service.base_url)
    finally:
        server.stop()


async def alert(service: Service, name: str) -> dict[str, Any]:
    """A check that fails and tells every channel of it."""
    check = await service.api("POST", "checks/", {"name": name, "timeout": 3600, "grace": 60, "channels": "*"})
    path = check["ping_url"].removeprefix(service.base_url) + "/fail"

    async def acknowledged() -> bool:
        return (await service.client.get(path)).status_code == 200

    await until(acknowledged, 60)
    return dict(check)


async def deliveries(service: Service, channel: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of the channel, newest first."""
    return list((await service.api("GET", f"channels/{channel['id']}/deliveries/"))["deliveries"])


async def all_delivered(service: Service, channel: dict[str, Any]) -> bool:
    """Whether every one of them is."""
    return {d["state"] for d in await deliveries(service, channel)} == {"delivered"}


async def test_what_a_killed_sender_had_begun_is_sent_again_with_the_same_id(tmp_path: Path) -> None:
    """kill -9 while four receivers think: after the lease each message goes out once more, and once only."""
    async with HttpReceiver() as hook, serving(tmp_path / "data") as service:
        hook.always = Reply(hang=True)
        channel = await service.api("POST", "channels/", {"kind": "webhook", "name": "hook", "url": hook.url()})
        for n in range(4):
            await alert(service, str(n))
        await hook.heard(4, within=30)
        hook.always = Reply()
        pid = service.kill("worker")
        await until(lambda: gone(pid), 5)
        await until(lambda: all_delivered(service, channel), LEASE + 60)
        ids = [request.headers["webhook-id"] for request in hook.requests]
        assert len(ids) == 8
        assert sorted(ids[:4]) == sorted(ids[4:])
        assert len(set(ids)) == 4


async def test_a_sender_that_wakes_after_its_lease_changes_nothing(tmp_path: Path) -> None:
    """SIGSTOP in the middle of an attempt: another sender takes it over after the lease and delivers it. What the first one
    hears when it wakes is not written anywhere, and sends nothing."""
    async with HttpReceiver(Reply(hang=True)) as hook, on_its_own_database(tmp_path) as (service, environ):
        channel = await service.api("POST", "channels/", {"kind": "webhook", "name": "hook", "url": hook.url()})
        await alert(service, "x")
        await hook.heard(1, within=30)
        (zombie,) = service.children("worker")
        with standing_still(zombie.pid):
            other = subprocess.Popen([COMMAND, "worker"], env=environ)
            await until(lambda: all_delivered(service, channel), LEASE + 60)
        (before,) = await deliveries(service, channel)
        await asyncio.sleep(5)
        assert await deliveries(service, channel) == [before]
        assert len(before["attempts"]) == 1
        assert [r.headers["webhook-id"] for r in hook.requests] == [before["id"]] * 2
        other.terminate()
        assert other.wait(20) == 0


async def test_sweeper_and_sender_go_on_once_a_frozen_database_does(tmp_path: Path) -> None:
    """PostgreSQL stands still for longer than any limit, three times; each time a new alert arrives soon after it runs on, with
    the same processes."""
    async with HttpReceiver() as hook, serving(tmp_path / "data") as service:
        await service.api("POST", "channels/", {"kind": "webhook", "name": "hook", "url": hook.url()})
        (worker,) = service.children("worker")
        postmaster = service.children("postgres")[0].pid
        for n in range(3):
            with standing_still(postmaster):
                await asyncio.sleep(15)
            await service.ready(within=20)
            await alert(service, str(n))
            await hook.heard(n + 1, within=20)
        assert worker.is_running()
        assert service.children("worker") == [worker]
