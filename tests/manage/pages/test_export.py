"""A project taken away as a file."""

import json

import pytest

from app.domain.role import Role
from tests.manage.pages.visitor import Browser, Person, joined, signed_up
from tests.receivers import HttpReceiver
from tests.world import World

pytestmark = pytest.mark.anyio

SETTINGS = ("name", "slug", "tags", "desc", "schedule", "tz", "grace", "max_runtime", "methods")


async def test_a_project_is_taken_away_and_made_again_elsewhere(world: World, browser: Browser, anna: Person) -> None:
    """The checks of the file are those that the API takes; secrets of channels are not in it; the log says who took it."""
    await joined(world, anna, Role.MANAGER)
    await browser.sign_in(anna)
    async with HttpReceiver() as receiver:
        await world.api("POST", "channels/", {"kind": "webhook", "name": "hook", "url": receiver.url("/SECRETPART")})
    made = [
        await world.check(name="ünï <b>", tags="a b", desc="two\nlines", schedule="30 2 * * 1", tz="Europe/Berlin", grace=600),
        await world.check(name="often", max_runtime=30, methods="POST"),
    ]
    assert "Download as JSON" in (await browser.see(f"/projects/{world.project.id}/settings")).html
    answer = await browser.see(f"/projects/{world.project.id}/export.json")
    assert answer.headers["content-disposition"] == 'attachment; filename="project.json"'
    assert "SECRETPART" not in answer.html
    kept = json.loads(answer.html)
    assert [check["ping_url"] for check in kept["checks"]] == [check["ping_url"] for check in made]
    assert [(channel["kind"], channel["name"]) for channel in kept["channels"]] == [("webhook", "hook")]
    assert kept["members"] == [{"email": anna.email, "role": "manager"}]
    log = (await browser.see(f"/projects/{world.project.id}/log")).text
    assert f"{anna.email} took a file of the project" in log
    world.project = await world.new_project("elsewhere")
    for check in kept["checks"]:
        again = {name: check[name] for name in (*SETTINGS, "timeout") if check.get(name) is not None}
        answered = await world.api("POST", "checks/", again)
        assert answered.status_code == 201, answered.text
        assert {name: answered.json().get(name) for name in SETTINGS} == {name: check.get(name) for name in SETTINGS}


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
async def test_who_may_not_export_sees_no_way_to_it(world: World, role: Role) -> None:
    """And is refused where they try."""
    async with Browser(world) as browser:
        person = await signed_up(world)
        await joined(world, person, role)
        await browser.sign_in(person)
        assert "Download" not in (await browser.see(f"/projects/{world.project.id}/settings")).html
        assert (await browser.see(f"/projects/{world.project.id}/export.json")).status == 403
