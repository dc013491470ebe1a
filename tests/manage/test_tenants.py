"""P11: nobody sees, changes, or learns the existence of another project's things."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi.routing import iter_route_contexts

from app.domain.tokens import unique_key
from app.store.tables import Base
from tests.faults.rig import measured
from tests.world import World

pytestmark = pytest.mark.anyio

EVERYTHING = [name for name in Base.metadata.tables if name not in ("check_ins", "runs", "ticks", "heartbeats")]
BODY = {
    "name": "stolen", "channels": "*", "grace": 999, "url": "https://example.com", "hears": "down",
    "aliases": [{"service": "sentry", "token": "stolen"}],
}  # fmt: skip
BODIES: dict[str, dict[str, Any]] = {  # of the resources that refuse what they do not know
    "checks/{check}": {**BODY, "aliases": []},
    "channels": {"kind": "email", "name": "stolen", "hears": "down", "address": "a@example.com"},
    "channels/{channel}": {"name": "stolen", "hears": "down"},
    "keys": {"name": "stolen", "scope": "ro"},
    "projects/{project}": {"name": "stolen"},
    "events": {"app": "stolen", "sent_at": 1_760_000_000_123},
}
NOTED = "ARRAY['last_used_at', 'last_seen_at']"  # that somebody was here
SENTRY_KEY = "0123456789abcdef0123456789abcdef"


def routes(world: World) -> Iterator[tuple[str, str]]:
    """Method and path of every route of the API."""
    for context in iter_route_contexts(world.web.app.routes):
        path = context.path or ""
        if path.startswith("/api/v"):
            yield from ((method, path) for method in context.methods or ())


async def theirs(world: World) -> dict[str, str]:
    """The things of another project, by the names that paths have for them."""
    alias = {"service": "betterstack", "token": "theirs-alone"}
    check = await world.check(name="theirs", slug="theirs", tags="secret", channels="", aliases=[alias])
    key = await world.api("POST", "keys/", {"name": "theirs", "service": "sentry", "key": SENTRY_KEY})
    made = await world.api("POST", "channels/", {"kind": "email", "name": "theirs", "address": "a@example.com"})
    await world.api("POST", f"checks/{check['uuid']}", {"channels": "*"})
    await world.ping(check, "/fail", content=b"their output")
    (incident,) = (await world.api("GET", "incidents/")).json()["incidents"]
    (delivery,) = (await world.api("GET", f"incidents/{incident['id']}/deliveries/")).json()["deliveries"]
    return {
        "check": check["uuid"],
        "channel": made.json()["id"],
        "incident": incident["id"],
        "delivery": delivery["id"],
        "key": key.json()["id"],
        "project": str(world.project.id),
        "n": "1",
    }


async def everything(world: World) -> dict[str, Any]:
    """The whole database, as text; that a key was used is noted on the key itself."""
    found = {}
    for name in EVERYTHING:
        rows = f"SELECT (to_jsonb(t) - {NOTED})::text AS line FROM {name} t"
        (all_of_it,) = await world.rows(f"SELECT coalesce(string_agg(line, E'\\n' ORDER BY line), '') AS rows FROM ({rows}) t")
        found[name] = all_of_it["rows"]
    return found


async def answer(world: World, method: str, route: str, ids: dict[str, str], key: str) -> tuple[int, bytes, dict[str, str]]:
    """Everything that an answer tells."""
    body = BODIES.get(route.removeprefix("/api/v3/"), BODY) if method == "POST" else None
    path = route.format(**ids) + ("?wait=0" if route.endswith("/test") else "")
    given = await world.client.request(method, path, json=body, headers={"X-Api-Key": key})
    return given.status_code, given.content, dict(given.headers)


async def test_every_route_answers_a_foreign_id_like_an_unknown_one_and_changes_nothing(world: World) -> None:
    """All routes of the app, each with another project's ids and with ids nobody has: status, body and headers are the same."""
    ids = await theirs(world)
    stranger = await world.new_project("Stranger")
    before = await everything(world)
    walked = [(method, path) for method, path in routes(world) if "{" in path]
    assert len(walked) >= 23
    for method, path in walked:
        for key in (stranger.api_key, stranger.api_key_readonly):
            foreign = await answer(world, method, path, ids, key)
            unknown = await answer(world, method, path, {name: str(uuid4()) for name in ids} | {"n": "1"}, key)
            assert foreign == unknown, (method, path)
            assert foreign[0] in ((404,) if key == stranger.api_key else (404, 401)), (method, path)
    assert await everything(world) == before
    measured(f"{len(walked)} routes, each with 2 keys of another project")


async def test_every_route_does_lead_to_ones_own(world: World) -> None:
    """The walk above proves nothing unless the same paths lead somewhere with the right key; what deletes goes last."""
    ids = await theirs(world)
    walked = sorted(routes(world), key=lambda route: (route[0] == "DELETE", route))
    for method, path in walked:
        if path.endswith("/resume"):
            continue
        status, body, _ = await answer(world, method, path, ids, world.project.api_key)
        assert status in (200, 201, 504), (method, path, status, body)


async def test_a_unique_key_leads_nowhere_in_another_project(world: World) -> None:
    """It is a name, not a key."""
    ids = await theirs(world)
    stranger = await world.new_project("Stranger")
    (row,) = await world.rows("SELECT id, unique_key FROM monitors")
    assert unique_key(row["id"]) == row["unique_key"]
    for part in ("", "/flips/", "/transitions/", "/runs/", "/incidents/"):
        path = f"checks/{row['unique_key']}{part}"
        assert (await world.api("GET", path, key=stranger.api_key)).json() == {"error": "not found"}
        assert (await world.api("GET", path)).status_code == 200
    assert str(row["id"]) == ids["check"]


async def test_lists_and_bodies_do_not_reach_into_another_project(world: World) -> None:
    """Lists are empty, `*` and names mean one's own, a foreign id is as invalid as an unknown one, slugs and `unique` do not
    meet."""
    ids = await theirs(world)
    stranger = await world.new_project("Stranger")
    for path in ("checks/", "checks/?slug=theirs", "checks/?tag=secret", "channels/", "incidents/"):
        (found,) = (await world.api("GET", path, key=stranger.api_key)).json().values()
        assert found == []
    unknown = str(uuid4())
    for given in (ids["channel"], unknown, "theirs"):
        refused = await world.api("POST", "checks/", {"channels": given}, key=stranger.api_key)
        assert (refused.status_code, refused.json()) == (400, {"error": f"invalid channel identifier: {given}"})
    body = {"name": "theirs", "slug": "theirs", "channels": "*", "unique": ["name", "slug"]}
    made = await world.api("POST", "checks/", body, key=stranger.api_key)
    assert (made.status_code, made.json()["channels"], made.json()["uuid"] == ids["check"]) == (201, "", False)


async def test_names_of_other_services_do_not_meet(world: World) -> None:
    """A name that is told apart by its project is free in every other; a token that stands for the whole world, and a key, can be
    somebody's only once, and whose it is already is not told."""
    await theirs(world)
    stranger = await world.new_project("Stranger")
    mine = [{"service": "cronitor", "token": "job"}]
    for key in (world.project.api_key, stranger.api_key):
        made = await world.api("POST", "checks/", {"aliases": mine}, key=key)
        assert (made.status_code, made.json()["aliases"]) == (201, mine)
    (listed,) = (await world.api("GET", "checks/", key=stranger.api_key)).json()["checks"]
    assert listed["aliases"] == mine
    before = await everything(world)
    theirs_alone = {"aliases": [{"service": "betterstack", "token": "theirs-alone"}]}
    answers = [await world.api("POST", "checks/", theirs_alone, key=key) for key in (world.project.api_key, stranger.api_key)]
    taken = {"service": "sentry", "key": SENTRY_KEY}
    answers += [await world.api("POST", "keys/", taken, key=key) for key in (world.project.api_key, stranger.api_key)]
    assert [answer.status_code for answer in answers] == [400, 400, 409, 409]
    assert answers[0].content == answers[1].content
    assert answers[2].content == answers[3].content
    assert "aliases" in answers[0].json()["error"]
    assert await everything(world) == before


async def test_keys_and_project_are_ones_own(world: World) -> None:
    """Two projects, each of which lists its own keys and itself."""
    stranger = await world.new_project("Stranger")
    for project in (world.project, stranger):
        listed = (await world.api("GET", "keys/", key=project.api_key)).json()["keys"]
        assert {row["hint"] for row in listed} == {project.api_key[:10], project.api_key_readonly[:10]}
        (shown,) = (await world.api("GET", "projects/", key=project.api_key)).json()["projects"]
        assert (shown["id"], shown["ping_key"]) == (str(project.id), project.ping_key)


async def test_strangers_do_the_same_to_no_test_message(world: World) -> None:
    """The test button keeps no connection and looks at keys by itself: nothing is put for a foreign channel."""
    ids = await theirs(world)
    stranger = await world.new_project("Stranger")
    before = await everything(world)
    for key, status in ((stranger.api_key, 404), (stranger.api_key_readonly, 401), ("", 401)):
        assert (await world.api("POST", f"channels/{ids['channel']}/test?wait=0", key=key or " ")).status_code == status
    assert await everything(world) == before


async def test_a_sync_in_the_words_of_another_project_reaches_nothing_of_it(world: World) -> None:
    """The same source and keys, with reconcile and less in it: the stranger gets checks of its own, nothing of the other's is
    taken over, retired or brought back, and a stranger who sends what nobody has is answered the same."""

    async def sync(key: str, *keys: str, source: str = "celery") -> tuple[int, Any]:
        jobs = [{"key": one, "name": one, "schedule": "0 2 * * *", "gracePeriod": 60} for one in keys]
        body = {"source": source, "mode": "reconcile", "monitors": jobs}
        answer = await world.client.post("/api/sync", json=body, auth=(key, ""))
        return answer.status_code, answer.json()

    await sync(world.project.api_key, "nightly", "hourly", "gone")
    await sync(world.project.api_key, "nightly", "hourly")
    strangers = [await world.new_project("Stranger") for _ in range(2)]
    rows = "SELECT m::text AS line FROM monitors m WHERE project_id = :id ORDER BY id"
    before = await world.rows(rows, id=world.project.id)
    for keys in (("nightly", "gone"), ("gone",), ("hourly", "nightly")):
        foreign = await sync(strangers[0].api_key, *keys)
        nobodys = await sync(strangers[1].api_key, *(f"{key} of nobody" for key in keys), source="nobody")
        assert foreign == nobodys
        assert await world.rows(rows, id=world.project.id) == before
    assert foreign == (200, {"status": "success", "synced": 2, "created": 1, "updated": 1, "retired": 1, "errors": []})
