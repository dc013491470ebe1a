"""The project over the API: read, renamed, its ping key changed."""

from typing import Any

import pytest

from tests.world import World

pytestmark = pytest.mark.anyio


async def edited(world: World, **body: Any) -> dict[str, Any]:
    """The project after an edit."""
    answer = await world.api("POST", f"projects/{world.project.id}", body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def heard(world: World, key: str | None) -> int:
    """What a ping by slug with this key is answered."""
    return (await world.client.get(f"/ping/{key}/job")).status_code


async def test_a_key_sees_its_project(world: World) -> None:
    """One, in the list and by its id; a read-only key does not see the ping key."""
    await world.check()
    (shown,) = (await world.api("GET", "projects/")).json()["projects"]
    assert (shown["id"], shown["name"], shown["ping_key"]) == (str(world.project.id), "Test", world.project.ping_key)
    assert (shown["monitor_limit"], shown["n_checks"], shown["plan"], shown["delete_at"]) == (None, 1, "unlimited", None)
    assert shown["badges_url"] == "http://missedbeat.test/api/v3/badges/"
    assert shown["created_at"].endswith("+00:00")
    own = f"projects/{world.project.id}"
    assert (await world.api("GET", own)).json() == shown
    del shown["ping_key"]
    for path in ("projects/", own):
        answer = await world.api("GET", path, key=world.project.api_key_readonly)
        assert answer.json() == ({"projects": [shown]} if path == "projects/" else shown)
    refused = await world.api("POST", own, {"name": "x"}, key=world.project.api_key_readonly)
    assert (refused.status_code, refused.json()) == (401, {"error": "wrong api key"})


async def test_a_project_is_renamed(world: World) -> None:
    """And stays what it is."""
    before = await edited(world)
    assert await edited(world, name="Bäckups") == {**before, "name": "Bäckups"}
    assert (await world.api("GET", "projects/")).json()["projects"][0]["name"] == "Bäckups"


async def test_a_new_ping_key_takes_the_place_of_the_old_one_at_once(world: World) -> None:
    """Pings by the old one are not found, by the new one heard; null takes it away, `new` makes one where there is none."""
    await world.check(slug="job")
    first = world.project.ping_key
    assert await heard(world, first) == 200
    second = (await edited(world, ping_key="new"))["ping_key"]
    assert second != first
    assert [await heard(world, key) for key in (first, second)] == [404, 200]
    assert (await edited(world, name="other"))["ping_key"] == second
    assert (await edited(world, ping_key=None))["ping_key"] is None
    assert (await edited(world, ping_key=None))["ping_key"] is None
    assert [await heard(world, key) for key in (first, second, None)] == [404, 404, 404]
    third = (await edited(world, ping_key="new"))["ping_key"]
    assert [await heard(world, key) for key in (first, second, third)] == [404, 404, 200]


async def test_a_ping_key_from_elsewhere_is_taken_over(world: World) -> None:
    """So that URLs by slug change their host and nothing else; a key that another project has or had is not given away."""
    await world.check(slug="job")
    theirs = "aB3-cD4_eF5gH6iJ7kL8mN"
    assert (await edited(world, ping_key=theirs))["ping_key"] == theirs
    assert (await edited(world, ping_key=theirs))["ping_key"] == theirs
    assert await heard(world, theirs) == 200
    foreign = await world.new_project("other")
    for key in (theirs, world.project.ping_key):
        answer = await world.api("POST", f"projects/{foreign.id}", {"ping_key": key}, key=foreign.api_key)
        assert (answer.status_code, "cannot be used" in answer.text) == (409, True)
    assert await heard(world, theirs) == 200


async def test_a_ping_key_that_the_project_had_before_is_taken_back(world: World) -> None:
    """After a change that was none of the jobs' fault, or after pings by slug were off: they are heard again as they are."""
    await world.check(slug="job")
    first = world.project.ping_key
    for between in ("new", None):
        second = (await edited(world, ping_key=between))["ping_key"]
        assert [await heard(world, key) for key in (first, second)] == [404, 404 if second is None else 200]
        assert (await edited(world, ping_key=first))["ping_key"] == first
        assert [await heard(world, key) for key in (first, second)] == [200, 404]
    await edited(world, ping_key="new")
    foreign = await world.new_project("other")
    answer = await world.api("POST", f"projects/{foreign.id}", {"ping_key": first}, key=foreign.api_key)
    assert answer.status_code == 409
    assert [await heard(world, key) for key in (first, foreign.ping_key)] == [404, 404]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"ping_key": "my-own"}, "ping_key has unexpected value"),
        ({"ping_key": "a key with blanks, long"}, "ping_key has unexpected value"),
        ({"ping_key": True}, "ping_key is not a string"),
        ({"name": ""}, "name is too short"),
        ({"name": " "}, "name is too short"),
        ({"name": None}, "name is not a string"),
        ({"name": "x" * 101}, "name is too long"),
        ({"monitor_limit": 5}, "monitor_limit is not known here"),
        ({"name": "good", "ping_key": 1}, "ping_key is not a string"),
    ],
)
async def test_an_edit_that_makes_no_sense_is_refused_and_changes_nothing(world: World, body: Any, words: str) -> None:
    """400 with the name of the field; nobody lifts his own limit."""
    before = await edited(world)
    answer = await world.api("POST", f"projects/{world.project.id}", body)
    assert (answer.status_code, answer.json()["error"]) == (400, f"json validation error: {words}")
    assert (await world.api("GET", "projects/")).json()["projects"] == [before]
