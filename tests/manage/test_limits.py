"""Limits: checks of a project, calls of a key."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.journeys.running import COMMAND, environment
from tests.world import World, living

pytestmark = pytest.mark.anyio


@pytest.fixture
async def limited(dsn: str, anyio_backend: str) -> AsyncIterator[World]:
    """The service with five calls a minute."""
    async with living(dsn, api_limit=5) as world:
        yield world


# ---- checks of a project


async def limit(world: World, most: int) -> None:
    """The project's plan."""
    await world.run("UPDATE projects SET monitor_limit = :most", most=most)


async def test_over_its_plan_a_project_makes_no_check(world: World) -> None:
    """403 in words; a deleted one makes room, and the project says what it may have."""
    await limit(world, 2)
    first, _ = await world.check(), await world.check()
    refused = await world.api("POST", "checks/", {"name": "one more"})
    assert (refused.status_code, refused.json()) == (403, {"error": "the project has as many checks as its plan allows"})
    (project,) = (await world.api("GET", "projects/")).json()["projects"]
    assert (project["n_checks"], project["monitor_limit"]) == (2, 2)
    await world.api("DELETE", f"checks/{first['uuid']}")
    assert (await world.api("POST", "checks/", {})).status_code == 201


async def test_what_unique_finds_needs_no_room(world: World) -> None:
    """It is there already; what it does not find does."""
    await limit(world, 1)
    await world.check(name="job")
    assert (await world.api("POST", "checks/", {"name": "job", "grace": 77, "unique": ["name"]})).status_code == 200
    assert (await world.api("POST", "checks/", {"name": "new", "unique": ["name"]})).status_code == 403


async def test_a_field_that_is_wrong_is_told_before_the_plan(world: World) -> None:
    """400 whether there is room or not."""
    await limit(world, 0)
    assert (await world.api("POST", "checks/", {"grace": "x"})).status_code == 400


async def test_twenty_at_once_do_not_get_past_the_plan(world: World) -> None:
    """Three places, three checks."""
    await limit(world, 3)
    answers = await asyncio.gather(*(world.api("POST", "checks/", {"name": f"{n}"}) for n in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [403] * 17
    assert len((await world.api("GET", "checks/")).json()["checks"]) == 3


async def test_another_projects_plan_is_its_own(world: World) -> None:
    """A full neighbour fills nobody else."""
    await limit(world, 1)
    other = await world.new_project("Other")
    await world.check()
    for _ in range(2):
        assert (await world.api("POST", "checks/", {}, key=other.api_key)).status_code == 201


async def test_the_command_line_sets_the_plan(world: World) -> None:
    """`project create --monitor-limit`; none is allowed that makes no sense."""
    clean = environment(DATABASE_URL=world.dsn)

    def create(limit: str) -> subprocess.CompletedProcess[str]:
        words = [COMMAND, "project", "create", "Small", "--json", "--monitor-limit", limit]
        return subprocess.run(words, env=clean, capture_output=True, text=True, check=False)

    assert create("0").returncode != 0
    done = create("1")
    assert done.returncode == 0, done.stderr
    key = json.loads(done.stdout)["api_key"]
    made = [(await world.api("POST", "checks/", {}, key=key)).status_code for _ in range(2)]
    assert made == [201, 403]


async def test_the_command_line_makes_no_second_database_by_itself(tmp_path: Path) -> None:
    """Without DATABASE_URL and without a folder that was named, where nothing is yet: refused in words, and nothing is made."""
    clean = environment(HOME=str(tmp_path))
    words = [COMMAND, "project", "create", "Lost"]
    done = await asyncio.to_thread(subprocess.run, words, env=clean, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--data" in done.stderr
    assert "make run" in done.stderr
    assert "./data" in done.stderr
    assert list(tmp_path.iterdir()) == []


# ---- calls of a key


async def test_a_key_that_calls_too_often_is_told_to_wait(limited: World) -> None:
    """429 in words with Retry-After, whatever it asks for, and nothing is done; another key of the project goes on."""
    for _ in range(4):
        assert (await limited.api("GET", "checks/")).status_code == 200
    assert (await limited.api("POST", "checks/", {})).status_code == 201
    for method, path in (("GET", "checks/"), ("POST", "checks/"), ("GET", "checks/x"), ("POST", "channels/")):
        refused = await limited.api(method, path, {})
        assert refused.status_code == 429
        wait = int(refused.headers["retry-after"])
        assert 50 < wait <= 60
        assert refused.json() == {"error": f"more than 5 calls a minute with this key: wait {wait} s"}
        assert refused.headers["access-control-allow-origin"] == "*"
    listed = await limited.api("GET", "checks/", key=limited.project.api_key_readonly)
    assert (listed.status_code, len(listed.json()["checks"])) == (200, 1)


async def test_pings_and_calls_without_a_key_are_not_counted(limited: World) -> None:
    """A job is heard however often its owner asked; a wrong key takes nothing from the right one."""
    check = await limited.check()
    for _ in range(10):
        assert (await limited.ping(check)).status_code == 200
        assert (await limited.client.get("/api/v3/checks/")).status_code == 401
        assert (await limited.client.get("/api/v3/status/")).status_code == 200
        assert (await limited.client.options("/api/v3/checks/")).status_code == 204
    assert (await limited.api("GET", "checks/")).status_code == 200


async def test_without_a_limit_nothing_is_counted(world: World) -> None:
    """The default."""
    assert world.settings.api_limit == 0
    assert world.web.app.state.shared.api_limit is None
    assert {(await world.api("GET", "checks/")).status_code for _ in range(50)} == {200}
