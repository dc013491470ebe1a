"""Bodies that take their time: a log of some megabytes over a slow line."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.world import World

pytestmark = pytest.mark.anyio


async def slowly() -> AsyncIterator[bytes]:
    """All that is kept of a body at once, the rest after longer than a ping may wait for its batch."""
    yield b"x" * 100_000
    await asyncio.sleep(1.2)
    yield b"x" * 100_000


async def test_a_body_whose_end_is_cut_off_may_take_long_to_arrive(world: World) -> None:
    """It is heard when all of it is there: were it when the last byte that is kept is, it would have waited too long already, and
    its client could try again as often as it likes."""
    check = await world.check()
    answer = await world.ping(check, content=slowly())
    assert (answer.status_code, answer.text) == (200, "OK")
    (ping,) = (await world.api("GET", f"checks/{check['uuid']}/pings/")).json()["pings"]
    assert ping["body_truncated"]
