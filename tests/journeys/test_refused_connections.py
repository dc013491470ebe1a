"""What never reached a route is answered as strictly as the rest: by the connection itself, and by pings that are turned away."""

import asyncio
import contextlib
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.journeys.running import Service, serving
from tests.manage.test_every_route import is_strict
from tests.patient import client_of
from tests.world import living

pytestmark = pytest.mark.anyio

HTTPS = "https://missedbeat.test"
NO_HTTP = {
    b"\x16\x03\x01\x02\x00\x01\x00": 400,  # TLS to a port without
    b"\r\n\r\nHELO\r\n\r\n": 400,
    b"GET / HTTP/9.9\r\n\r\n": 400,
    b"GET /\x00 HTTP/1.1\r\nhost: x\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n": 400,
    b"POST /login HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n": 400,
    b"POST /login HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n0": 400,
    b"GET /login HTTP/1.1\r\nhost: x\r\nx-long: " + b"x" * 2_000_000: 431,
    b"GET /nowhere/at/all HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n": 404,
    b"GET /ping/nowhere HTTP/1.0\r\n\r\n": 404,
    b"PROPFIND /login HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n": 405,
    b"GET /login HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n": 200,
}


async def answer_to(service: Service, sent: bytes) -> httpx.Response | None:
    """The first answer on a connection on which these bytes were sent; None where it was reset before it could be read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    said = b""
    with contextlib.suppress(ConnectionError):
        writer.write(sent)
        said = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    writer.close()
    status, *lines = said.decode("latin-1").strip().split("\r\n")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    return httpx.Response(int(status.split()[1]), headers=headers) if status else None


async def test_what_is_no_request_is_refused_with_the_headers_of_every_answer(tmp_path: Path) -> None:
    """Garbage, heads that are too large, paths and methods that are none: each says its status and no more."""
    async with serving(tmp_path / "data", MISSEDBEAT_BASE_URL=HTTPS) as service:
        for sent, status in NO_HTTP.items():
            answer = await answer_to(service, sent)
            if answer is not None or status != 431:
                assert answer is not None, sent[:40]
                assert (answer.status_code, is_strict(answer)) == (status, True), (sent[:60], answer.headers)
    async with serving(tmp_path / "data") as service:
        answer = await answer_to(service, b"HELO\r\n\r\n")
        assert answer is not None
        assert "strict-transport-security" not in answer.headers, "there is no https to stay on"


@pytest.mark.prove
async def test_a_head_that_does_not_come_is_refused_as_strictly(tmp_path: Path) -> None:
    """408 after a quarter of a minute."""
    async with serving(tmp_path / "data", MISSEDBEAT_BASE_URL=HTTPS) as service:
        answer = await answer_to(service, b"GET / HTTP/1.1\r\nhost: x\r\n")
        assert answer is not None
        assert (answer.status_code, is_strict(answer)) == (408, True)


async def test_pings_that_are_turned_away_are_as_strict(dsn: str) -> None:
    """429 over the limit, 413, 405, 401, 400, and 503 when nothing is taken any more."""
    async with living(dsn, base_url=HTTPS, ping_limit=1, ping_body_limit=100) as world:
        check, statuses = await world.check(), {200}
        ping = f"/ping/{check['uuid']}"
        assert (await world.client.get(ping)).status_code == 200
        async with client_of(world.web) as client:
            asked = [
                await client.get(ping), await client.get(f"{ping}?at=2026-01-01T00:00:00Z"), await client.get(f"{ping}?at=x"),
                await client.put("/ping/x"), await client.request("PROPFIND", ping), await client.get(f"/ping/{uuid4()}"),
                await client.post(ping, content=b"x" * 20_000_000),
            ]  # fmt: skip
            world.web.inbox.close()
            world.asking.patient = False
            asked.append(await world.client.get(ping))
        for answer in asked:
            assert is_strict(answer), (answer.status_code, answer.headers)
            statuses.add(answer.status_code)
    assert statuses >= {200, 400, 401, 404, 405, 413, 429, 503}
