"""Checks that pings make themselves: a project may have twice its plan this way, and no more."""

import asyncio

import httpx
import pytest

from tests.world import World

pytestmark = pytest.mark.anyio


async def first_ping(world: World, slug: str) -> httpx.Response:
    """A ping of a job nobody has told us of."""
    return await world.client.get(f"/ping/{world.project.ping_key}/{slug}", params={"create": "1"})


async def test_pings_make_checks_up_to_twice_the_plan(world: World) -> None:
    """201 up to there, then 404 and no check; those that are there are heard; the API makes none beyond the plan."""
    await world.run("UPDATE projects SET monitor_limit = 2")
    made = [(await first_ping(world, f"job-{n}")).status_code for n in range(6)]
    assert made == [201] * 4 + [404] * 2
    assert [(await first_ping(world, f"job-{n}")).status_code for n in range(6)] == [200] * 4 + [404] * 2
    refused = await first_ping(world, "job-5")
    assert refused.text == "not found"
    assert len((await world.api("GET", "checks/")).json()["checks"]) == 4
    assert (await world.api("POST", "checks/", {})).status_code == 403


async def test_twenty_jobs_at_once_do_not_get_past_twice_the_plan(calm: World) -> None:
    """Room for six: six are made."""
    await calm.run("UPDATE projects SET monitor_limit = 3")
    answers = await asyncio.gather(*(first_ping(calm, f"job-{n}") for n in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] * 6 + [404] * 14
    assert len((await calm.api("GET", "checks/")).json()["checks"]) == 6
