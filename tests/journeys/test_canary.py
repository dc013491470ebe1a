"""The canary of a running service: it goes out by the public address and comes in as a ping would, or we are deaf."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.journeys.running import Service, serving, until
from tests.sdk.gate import REFUSE, Gate

pytestmark = pytest.mark.anyio


@pytest.mark.prove
async def test_while_the_public_address_is_cut_off_nobody_is_called_dead(tmp_path: Path) -> None:
    """A proxy in front refuses everything for 50 s, while the service itself is fine: what was due then is unknown, and the
    time is told as a blackout; a job that is really dead is told by its next deadline."""
    with Gate(1) as gate:
        async with serving(tmp_path / "data", MISSEDBEAT_BASE_URL=gate.url) as service:
            gate.upstream = service.port
            service.client.base_url = httpx.URL(f"http://127.0.0.1:{service.port}")
            service.base_url = gate.url
            await until(lambda: canaries_heard(service), 30)
            check = await service.api("POST", "checks/", {"name": "x", "timeout": 15, "grace": 10})
            path = check["ping_url"].removeprefix(gate.url)
            assert (await service.client.get(path)).status_code == 200
            gate.now(REFUSE)
            for _ in range(50):
                await asyncio.sleep(1)
                assert (await service.api("GET", f"checks/{check['uuid']}"))["status"] in ("up", "grace")
            gate.now()

            async def blackouts() -> list[dict[str, float]]:
                return list((await service.api("GET", "blackouts/"))["blackouts"])

            (deaf,) = await until(blackouts, 30)
            assert deaf["seconds"] > 40
            flips = await service.client.get(
                f"/api/v3/checks/{check['uuid']}/flips/", headers={"X-Api-Key": service.keys["api_key"]}
            )
            assert [flip["up"] for flip in flips.json()["flips"]] == [1]

            async def is_down() -> bool:
                return bool((await service.api("GET", f"checks/{check['uuid']}"))["status"] == "down")

            await until(is_down, 120)


async def test_without_a_public_address_no_canary_is_sent_and_verdicts_wait_for_none(tmp_path: Path) -> None:
    """What nobody reaches from outside proves nothing by being reached."""
    async with serving(tmp_path / "data") as service:
        await asyncio.sleep(3)  # one would be on its way at once
        assert "missedbeat_canaries_total{" not in (await service.client.get("/metrics")).text


async def canaries_heard(service: Service) -> bool:
    """Whether one came through."""
    return 'missedbeat_canaries_total{result="heard"}' in (await service.client.get("/metrics")).text
