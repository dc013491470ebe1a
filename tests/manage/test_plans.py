"""The free plan: twenty checks, three members, a hundred check-ins of each that are shown. Three members: pages/test_teams.py."""

import asyncio
import json
import subprocess
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.events.saying import Program, entry
from tests.journeys.running import COMMAND, environment
from tests.world import World

pytestmark = pytest.mark.anyio

FULL = {"error": "the project has as many checks as its plan allows"}


async def set_free(world: World) -> None:
    """As a project that somebody made by signing up."""
    await world.run("UPDATE projects SET plan = 'free'")


async def twenty(world: World) -> list[dict[str, Any]]:
    """As many as it may have."""
    return [await world.check(name=f"job {n}", slug=f"job-{n}") for n in range(20)]


async def names(world: World) -> set[str]:
    """Of all its checks."""
    return {check["name"] for check in (await world.api("GET", "checks/")).json()["checks"]}


async def test_the_twenty_first_check_is_refused_by_every_door_of_the_api(world: World) -> None:
    """Each version, with and without `unique`, a whole sync; in words, and nothing is made."""
    await set_free(world)
    before = {check["name"] for check in await twenty(world)}
    for version in (1, 2, 3):
        for body in ({"name": "more"}, {"name": "more", "unique": ["name"]}):
            headers = {"X-Api-Key": world.project.api_key}
            refused = await world.client.post(f"/api/v{version}/checks/", json=body, headers=headers)
            assert (refused.status_code, refused.json()) == (403, FULL)
    job = {"key": "more", "name": "more", "schedule": "0 2 * * *"}
    synced = await world.client.post(
        "/api/sync", json={"source": "s", "monitors": [job]}, headers={"X-Api-Key": world.project.api_key}
    )
    assert (synced.status_code, "plan" in synced.json()["error"]) == (403, True)
    assert await names(world) == before
    (project,) = (await world.api("GET", "projects/")).json()["projects"]
    assert (project["n_checks"], project["monitor_limit"]) == (20, 20)


async def test_programs_are_told_which_of_their_schedule_did_not_fit(world: World) -> None:
    """Nothing else of their batch is lost."""
    await set_free(world)
    await twenty(world)
    answer = await Program(world).said(await Program(world).sync(entry("more")))
    assert [words for words in answer["warnings"] if "plan is full" in words]


async def test_pings_make_checks_up_to_twice_the_plan_and_what_is_there_is_heard(world: World) -> None:
    """A job that is new is watched rather than lost; the API makes no more beyond the plan."""
    await set_free(world)
    made = await twenty(world)
    answers = [await world.client.get(f"/ping/{world.project.ping_key}/new-{n}?create=1") for n in range(21)]
    assert [answer.status_code for answer in answers] == [201] * 20 + [404]
    assert (await world.ping(made[0])).status_code == 200
    assert (await world.client.get(f"/ping/{world.project.ping_key}/new-0")).status_code == 200
    assert (await world.api("POST", "checks/", {})).status_code == 403


async def test_a_project_that_has_more_than_its_plan_is_watched_as_before(world: World) -> None:
    """Put on a smaller plan it may make nothing new; each of its checks is heard, changed, and told when it goes down."""
    made = [*(await twenty(world)), await world.check(name="the last")]
    await set_free(world)
    assert (await world.api("POST", "checks/", {})).status_code == 403
    for check in made:
        assert (await world.ping(check)).status_code == 200
    assert (await world.api("POST", f"checks/{made[-1]['uuid']}", {"grace": 60})).status_code == 200
    await world.advance(200)
    assert {(await world.seen(check))["status"] for check in made} == {"down"}


async def test_a_hundred_check_ins_of_each_are_shown(world: World) -> None:
    """By every version of the API, the newest; all are kept, and shown once the plan is another."""
    check = await world.check()
    for n in range(105):
        assert (await world.ping(check, content=f"{n}".encode())).status_code == 200
    for plan, shown in (("free", 100), ("unlimited", 105)):
        await world.run("UPDATE projects SET plan = :plan", plan=plan)
        for version in (1, 2, 3):
            path = f"/api/v{version}/checks/{check['uuid']}/pings/"
            pings = (await world.client.get(path, headers={"X-Api-Key": world.project.api_key})).json()["pings"]
            assert (pings[0]["n"], len(pings)) == (105, shown)


async def test_the_command_line_makes_unlimited_projects_unless_told_otherwise(world: World) -> None:
    """`--plan free`; a plan that there is not is refused in words, with those there are."""

    for more, limit in ((("--plan", "free"), 20), ((), None)):
        done = await command(world, "create", "Small", "--json", *more)
        assert done.returncode == 0, done.stderr
        key = json.loads(done.stdout)["api_key"]
        (project,) = (await world.api("GET", "projects/", key=key)).json()["projects"]
        assert project["monitor_limit"] == limit
    refused = await command(world, "create", "Small", "--plan", "gold")
    assert refused.returncode == 2
    assert "free" in refused.stderr


async def test_the_operator_sees_the_projects_and_puts_one_on_another_plan(world: World) -> None:
    """`project list` names it; `project plan` holds at once, keeps what there is, and stands in the project's log."""
    await world.check(), await world.check()
    (listed,) = json.loads((await command(world, "list", "--json")).stdout)
    assert listed == {"project_id": str(world.project.id), "plan": "unlimited", "checks": 2, "members": 0, "name": "Test"}
    assert str(world.project.id) in (await command(world, "list")).stdout
    for plan, words, limit in (("free", "was on unlimited", 20), ("free", "as before", 20), ("unlimited", "was on free", None)):
        done = await command(world, "plan", listed["project_id"], plan)
        assert (done.returncode, words in done.stdout) == (0, True), done
        (project,) = (await world.api("GET", "projects/")).json()["projects"]
        assert project["monitor_limit"] == limit
    entries = "SELECT actor, subject FROM audit_entries WHERE action = 'project.plan_changed' ORDER BY id"
    async with world.sessions() as session:
        noted = (await session.execute(text(entries))).all()
    assert [tuple(entry) for entry in noted] == [("command line", "free"), ("command line", "unlimited")]
    unknown = await command(world, "plan", str(uuid4()), "free")
    assert (unknown.returncode, unknown.stderr) == (1, "missedbeat-server: there is no project of this id: see `project list`\n")


async def command(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    """What `missedbeat-server project …` answers."""
    given = [COMMAND, "project", *words]
    env = environment(DATABASE_URL=world.dsn)
    return await asyncio.to_thread(subprocess.run, given, env=env, capture_output=True, text=True, check=False)
