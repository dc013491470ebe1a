"""Keys over the API: made, shown once, told apart, revoked; and keys of other services."""

import asyncio
from typing import Any

import pytest

from app.domain.tokens import looks_like_api_key
from tests.world import World

pytestmark = pytest.mark.anyio

CRONITOR = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


async def made(world: World, **body: Any) -> dict[str, Any]:
    """A new key, as the API shows it this once."""
    answer = await world.api("POST", "keys/", body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def listed(world: World, key: str | None = None) -> list[dict[str, Any]]:
    """The project's keys."""
    answer = await world.api("GET", "keys/", key=key)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["keys"])


async def test_a_key_is_shown_once_and_kept_as_a_hash(world: World) -> None:
    """With its scope in its form; the list tells it by its beginning, the database does not hold it."""
    for scope in ("rw", "ro", "ping"):
        key = await made(world, name=f"for {scope}", scope=scope)
        assert key["key"].startswith(f"mb_{scope}_")
        assert looks_like_api_key(key["key"])
        shown = (await listed(world))[-1]
        assert shown == {name: value for name, value in key.items() if name != "key"}
        assert (shown["name"], shown["scope"], shown["service"], shown["hint"]) == (f"for {scope}", scope, "", key["key"][:-32])
        (row,) = await world.rows("SELECT t::text AS row FROM api_keys t WHERE id = :id", id=shown["id"])
        assert key["key"][-32:] not in row["row"]
    assert [row["scope"] for row in await listed(world)][2:] == ["rw", "ro", "ping"]


async def test_what_each_scope_may(world: World) -> None:
    """rw everything; ro reads without ping ids; ping sends pings and opens no resource at all."""
    check = await world.check(slug="job")
    rw, ro, ping = [(await made(world, scope=scope))["key"] for scope in ("rw", "ro", "ping")]
    assert [(await world.api("GET", "checks/", key=key)).status_code for key in (rw, ro, ping)] == [200, 200, 401]
    assert [(await world.api("POST", "checks/", {}, key=key)).status_code for key in (rw, ro, ping)] == [201, 401, 401]
    for method, path in (("GET", "keys/"), ("POST", "keys/"), ("GET", "projects/"), ("DELETE", f"checks/{check['uuid']}")):
        answer = await world.api(method, path, {}, key=ping)
        assert (answer.status_code, answer.json()) == (401, {"error": "wrong api key"})
    assert "ping_url" not in (await world.api("GET", "checks/", key=ro)).json()["checks"][0]
    pinged = [
        (await world.client.get("/ping/job", headers={"Authorization": f"Bearer {key}"})).status_code for key in (rw, ro, ping)
    ]
    assert pinged == [200, 404, 200]
    said: dict[str, Any] = {"params": {"at": (await world.now()).isoformat()}}
    at = [(await world.ping(check, **said, headers={"X-Api-Key": key})).status_code for key in (rw, ping)]
    assert at == [200, 200]
    assert (await world.ping(check, **said, headers={"X-Api-Key": ro})).status_code in (401, 403)
    assert (await world.seen(check))["n_pings"] == 4


async def test_a_revoked_key_opens_nothing_from_then_on(world: World) -> None:
    """Neither the API nor a ping, and it is not listed any more; revoked twice it is not found."""
    await world.check(slug="job")
    for scope in ("rw", "ro", "ping"):
        key = await made(world, scope=scope)
        gone = await world.api("DELETE", f"keys/{key['id']}")
        assert (gone.status_code, gone.json()) == (200, {name: value for name, value in key.items() if name != "key"})
        assert (await world.api("GET", "checks/", key=key["key"])).json() == {"error": "wrong api key"}
        assert (await world.client.get("/ping/job", headers={"X-Api-Key": key["key"]})).status_code == 404
        assert (await world.api("DELETE", f"keys/{key['id']}")).json() == {"error": "not found"}
    assert len(await listed(world)) == 2


async def test_the_last_read_write_key_stays(world: World) -> None:
    """A project that nobody can change is of no use: 409 in words; with another one a key may revoke itself."""
    (own,) = [row for row in await listed(world) if row["scope"] == "rw"]
    await made(world, scope="ping")
    await made(world, service="cronitor", key=CRONITOR)
    refused = await world.api("DELETE", f"keys/{own['id']}")
    assert refused.status_code == 409
    assert "last read-write key" in refused.json()["error"]
    second = await made(world, scope="rw")
    assert (await world.api("DELETE", f"keys/{own['id']}")).status_code == 200
    assert (await world.api("GET", "checks/")).status_code == 401
    assert len(await listed(world, second["key"])) == 4


async def test_of_two_keys_that_revoke_each_other_at_once_one_stays(world: World) -> None:
    """Many rounds; never both."""
    for _ in range(10):
        second = await made(world, scope="rw")
        (own,) = [row["id"] for row in await listed(world) if row["scope"] == "rw" and row["id"] != second["id"]]
        answers = await asyncio.gather(
            world.api("DELETE", f"keys/{second['id']}"), world.api("DELETE", f"keys/{own}", key=second["key"])
        )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses in ([200, 401], [200, 409]), statuses
        if (await world.api("GET", "keys/")).status_code == 401:
            world.project = type(world.project)(**{**_fields(world.project), "api_key": second["key"]})


def _fields(project: Any) -> dict[str, Any]:
    return {name: getattr(project, name) for name in type(project).__dataclass_fields__}


async def test_a_key_of_another_service_opens_its_ping_urls_and_never_the_api(world: World) -> None:
    """Only its hash is kept; it is refused by the API like any unknown key."""
    key = await made(world, name="old cronitor", service="cronitor", key=CRONITOR)
    assert (key["service"], key["scope"], key["hint"], key["name"]) == ("cronitor", "ping", CRONITOR[:4], "old cronitor")
    assert "key" not in key
    assert (await world.api("GET", "checks/", key=CRONITOR)).json() == {"error": "wrong api key"}
    (row,) = await world.rows("SELECT t::text AS row FROM api_keys t WHERE service <> ''")
    assert CRONITOR[4:] not in row["row"]
    taken = await world.api("POST", "keys/", {"service": "sentry", "key": CRONITOR})
    assert (taken.status_code, taken.json()) == (409, {"error": "this key is taken already"})
    assert (await world.api("DELETE", f"keys/{key['id']}")).status_code == 200
    assert (await made(world, service="sentry", key=CRONITOR))["service"] == "sentry"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "scope has unexpected value"),
        ({"scope": "admin"}, "scope has unexpected value"),
        ({"scope": None}, "scope has unexpected value"),
        ({"scope": "rw", "name": 5}, "name is not a string"),
        ({"scope": "rw", "name": "x" * 101}, "name is too long"),
        ({"scope": "rw", "name": "a\0b"}, "name has a NUL character"),
        ({"scope": "rw", "key": CRONITOR}, "key has unexpected value"),
        ({"scope": "rw", "color": "red"}, "color is not known here"),
        ({"service": "cronitor"}, "key does not match pattern"),
        ({"service": "cronitor", "key": None}, "key is not a string"),
        ({"service": "cronitor", "key": "short"}, "key does not match pattern"),
        ({"service": "cronitor", "key": "with a space in it"}, "key does not match pattern"),
        ({"service": "cronitor", "key": "ümlaute-in-the-key"}, "key does not match pattern"),
        ({"service": "cronitor", "key": "x" * 201}, "key is too long"),
        ({"service": "cronitor", "key": CRONITOR, "scope": "rw"}, "scope has unexpected value"),
        ({"service": "uptimekuma", "key": CRONITOR}, "service has unexpected value"),
        ({"service": None, "key": CRONITOR}, "service has unexpected value"),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused_by_the_name_of_the_field(world: World, body: Any, words: str) -> None:
    """400, and none is made."""
    answer = await world.api("POST", "keys/", body)
    assert (answer.status_code, answer.json()["error"]) == (400, f"json validation error: {words}")
    assert len(await listed(world)) == 2


async def test_a_key_of_ours_is_not_taken_for_another_services(world: World) -> None:
    """It opens their ping URLs as it is, and whoever knows it must not be able to lay it to his own project."""
    other = await world.new_project("Other")
    answer = await world.api("POST", "keys/", {"service": "cronitor", "key": other.api_key})
    assert answer.status_code == 400


async def test_a_project_has_a_hundred_keys_at_most(world: World) -> None:
    """403 in words; a revoked one makes room."""
    await world.run(
        """INSERT INTO api_keys (project_id, id, scope, hash, hint, created_at)
        SELECT id, gen_random_uuid(), 'ro', sha256(n::text::bytea), '', now() FROM projects, generate_series(1, 98) n"""
    )
    refused = await world.api("POST", "keys/", {"scope": "ro"})
    assert refused.status_code == 403
    assert "100 keys" in refused.json()["error"]
    await world.api("DELETE", f"keys/{(await listed(world))[-1]['id']}")
    assert (await world.api("POST", "keys/", {"scope": "ro"})).status_code == 201


async def test_only_a_read_write_key_sees_or_changes_keys(world: World) -> None:
    """401 for a read-only one, on every method."""
    own = (await listed(world))[0]["id"]
    for method, path in (("GET", "keys/"), ("POST", "keys/"), ("DELETE", f"keys/{own}")):
        answer = await world.api(method, path, {"scope": "rw"}, key=world.project.api_key_readonly)
        assert (answer.status_code, answer.json()) == (401, {"error": "wrong api key"})
    assert len(await listed(world)) == 2
