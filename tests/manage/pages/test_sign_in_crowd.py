"""Fifty people sign in at once: pings do not notice, and nobody is left without an answer."""

import asyncio
import threading

import pytest

from app.manage.passwords import THREADS
from tests.manage.pages.visitor import Browser, Page, signed_up
from tests.world import World

pytestmark = pytest.mark.anyio

CROWD = 50


def hashing() -> int:
    """How many threads hash passwords, each with 19 MiB of memory."""
    return sum(thread.name.startswith("passwords") for thread in threading.enumerate())


async def test_fifty_who_sign_in_at_once_delay_no_ping_and_are_all_answered(calm: World) -> None:
    """Pings meanwhile are 200; each of the crowd is in, or told when to come again; two passwords at a time are hashed."""
    check = await calm.check()
    people = [await signed_up(calm, f"{n}@example.org") for n in range(CROWD)]
    before, most, pings = hashing(), 0, []
    browsers = [Browser(calm, f"198.51.100.{n}") for n in range(CROWD)]
    crowd = [asyncio.create_task(one.sign_in(person)) for one, person in zip(browsers, people, strict=True)]
    while not all(task.done() for task in crowd):
        pings.append((await calm.ping(check)).status_code)
        most = max(most, hashing())
        await asyncio.sleep(0.01)
    pages: list[Page] = await asyncio.gather(*crowd)
    assert set(pings) == {200}
    assert len(pings) > 1
    assert 0 < most - before <= THREADS
    assert {page.status for page in pages} <= {303, 503}
    assert sum(page.status == 303 for page in pages) >= CROWD / 2
    assert all(int(page.headers["retry-after"]) > 0 for page in pages if page.status == 503)
    assert (await calm.rows("SELECT count(*) FROM user_sessions"))[0]["count"] == sum(page.status == 303 for page in pages)
    for browser in browsers:
        await browser.client.aclose()
