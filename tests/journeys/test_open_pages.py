"""A page that somebody keeps open, and a service that is stopped: neither hurts the other."""

import asyncio
from pathlib import Path

import pytest

from tests.journeys.running import serving

pytestmark = pytest.mark.anyio


async def test_a_service_that_stops_ends_its_streams_in_order(tmp_path: Path) -> None:
    """SIGTERM while a stream is open: it ends as a whole answer, and the browser comes again to whoever serves then. The stream
    told of a ping before."""
    async with serving(tmp_path / "data") as service:
        made = service.command("user", "create", "anna@example.org", "--make-password")
        assert made.returncode == 0, made.stderr
        password = made.stdout.split("password  ")[1].split()[0]
        client, origin = service.client, {"origin": service.base_url}
        form = {"email": "anna@example.org", "password": password}
        assert (await client.post("/login", data=form, headers=origin)).status_code == 303
        path = (await client.get("/")).headers["location"]
        async with client.stream("GET", f"{path}/live") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.aiter_lines()
            async with asyncio.timeout(60):
                while not (await anext(lines)).startswith("event: changed"):
                    pass
                ping = f"/ping/{service.keys['ping_key']}/first?create=1"
                assert (await client.get(ping)).status_code == 201
                while not (await anext(lines)).startswith("event: changed"):
                    pass
                service.process.terminate()
                async for _ in lines:  # a stream that is cut raises
                    pass
        assert await asyncio.to_thread(service.process.wait, 20) == 0
    assert "graceful shutdown exceeded" not in (tmp_path / "data.log").read_text()
