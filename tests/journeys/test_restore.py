"""Backup and restore as docs/self-hosting.md has them: whatever point it is of, nobody alive is called dead for it."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.store import embedded
from tests.journeys.running import Service, serving, until
from tests.receivers import HttpReceiver

pytestmark = pytest.mark.anyio

KEY = "a secret key for tests, 32 characters and more"


def tool(name: str, *words: str) -> None:
    """One of PostgreSQL's own programs."""
    done = subprocess.run([embedded.find_binaries(None) / name, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def emptied(dsn: str) -> None:
    """The database is lost, and made anew."""
    with psycopg.connect(dsn.replace("/missedbeat?", "/postgres?"), autocommit=True) as connection:
        connection.execute("DROP DATABASE missedbeat WITH (FORCE)")
        connection.execute("CREATE DATABASE missedbeat")


async def lives(service: Service, check: dict[str, Any]) -> None:
    """It pings twice a second for ever."""
    while True:
        assert (await service.client.get(f"/ping/{check['uuid']}")).status_code == 200
        await asyncio.sleep(0.5)


@pytest.mark.prove
@pytest.mark.timeout(240)
async def test_after_a_restore_to_an_earlier_point_only_the_really_dead_are_told(tmp_path: Path) -> None:
    """The time from the dump to the start is a blackout; what was due in it is unknown and named once; the job that does not
    come back is told by its first deadline after it."""
    server = embedded.start(tmp_path / "database", fsync=False)
    settings = {"DATABASE_URL": server.dsn, "MISSEDBEAT_SECRET_KEY": KEY}
    dump = str(tmp_path / "missedbeat.dump")
    try:
        async with HttpReceiver() as hook:
            async with serving(tmp_path / "data", **settings) as service:
                keys = service.keys
                await service.api("POST", "channels/", {"kind": "webhook", "name": "hook", "url": hook.url()})
                alive, dead = [
                    await service.api("POST", "checks/", {"name": name, "timeout": 4, "grace": 2, "channels": "*"})
                    for name in ("alive", "dead")
                ]
                living = asyncio.create_task(lives(service, alive))
                await service.client.get(f"/ping/{dead['uuid']}")
                await asyncio.sleep(1)
                dsn = service.command("dsn").stdout.strip()
                await asyncio.to_thread(tool, "pg_dump", "-Fc", "-f", dump, dsn)
                await asyncio.sleep(2)
                living.cancel()
            emptied(dsn)
            tool("pg_restore", "-d", dsn, "--no-owner", "--no-privileges", dump)
            await asyncio.sleep(5)
            async with serving(tmp_path / "data", **settings) as service:
                service.keys = keys
                assert service.command("migrate").returncode == 0
                await asyncio.sleep(1)
                (deaf,) = (await service.api("GET", "blackouts/"))["blackouts"]
                assert deaf["seconds"] > 6
                living = asyncio.create_task(lives(service, alive))

                async def told() -> bool:
                    return any(r.json()["type"] == "monitor.down" for r in hook.requests)

                await until(told, 120)
                assert not living.done()
                living.cancel()
            said = [r.json() for r in hook.requests]
            down = [s["data"]["monitor"]["name"] for s in said if s["type"] == "monitor.down"]
            assert down == ["dead"]
            assert [s["data"]["jobs"] for s in said if s["type"] == "blackout"] in ([], [["dead"]])
    finally:
        server.stop()
