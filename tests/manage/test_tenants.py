"""P11: nobody sees, changes, or learns the existence of another project's things."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi.routing import iter_route_contexts

from app.domain.tokens import unique_key
from app.store.tables import Base
from tests.world import World

pytestmark = pytest.mark.anyio

EVERYTHING = [name for name in Base.metadata.tables if name not in ("check_ins", "runs", "ticks", "heartbeats")]
BODY = {"name": "stolen", "channels": "*", "grace": 999, "url": "https://example.com", "hears": "down"}


def routes(world: World) -> Iterator[tuple[str, str]]:
    """Method and path of every route of the API."""
    for context in iter_route_contexts(world.web.app.routes):
        path = context.path or ""
        if path.startswith("/api/v"):
            yield from ((method, path) for method in context.methods or ())


async def theirs(world: World) -> dict[str, str]:
    """The things of another project, by the names that paths have for them."""
    check = await world.check(name="theirs", slug="theirs", tags="secret", channels="")
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
        "n": "1",
    }


async def everything(world: World) -> dict[str, Any]:
    """The whole database, as text."""
    found = {}
    for name in EVERYTHING:
        found[name] = (
            await world.rows(f"SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') AS rows FROM {name} t")
        )[0]["rows"]
    return found


async def answer(world: World, method: str, path: str, key: str) -> tuple[int, bytes, dict[str, str]]:
    """Everything that an answer tells."""
    headers = {"X-Api-Key": key}
    body = BODY if method == "POST" else None
    if path.endswith("/test"):
        path += "?wait=0"
    if body and "/channels" in path:
        body = {"name": "stolen", "hears": "down"}
    if body and path.endswith("/channels"):
        body |= {"kind": "email", "address": "a@example.com"}
    given = await world.client.request(method, path, json=body, headers=headers)
    return given.status_code, given.content, dict(given.headers)


async def test_every_route_answers_a_foreign_id_like_an_unknown_one_and_changes_nothing(world: World) -> None:
    """All routes of the app, each with another project's ids and with ids nobody has: status, body and headers are the same."""
    ids = await theirs(world)
    stranger = await world.new_project("Stranger")
    before = await everything(world)
    walked = [(method, path) for method, path in routes(world) if "{" in path]
    assert len(walked) >= 20
    for method, path in walked:
        for key in (stranger.api_key, stranger.api_key_readonly):
            foreign = await answer(world, method, path.format(**ids), key)
            unknown = await answer(world, method, path.format(**{name: str(uuid4()) for name in ids} | {"n": "1"}), key)
            assert foreign == unknown, (method, path)
            assert foreign[0] in ((404,) if key == stranger.api_key else (404, 401)), (method, path)
    assert await everything(world) == before


async def test_every_route_does_lead_to_ones_own(world: World) -> None:
    """The walk above proves nothing unless the same paths lead somewhere with the right key; what deletes goes last."""
    ids = await theirs(world)
    walked = sorted(routes(world), key=lambda route: (route[0] == "DELETE", route))
    for method, path in walked:
        if path.endswith("/resume"):
            continue
        status, body, _ = await answer(world, method, path.format(**ids), world.project.api_key)
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


async def test_strangers_do_the_same_to_no_test_message(world: World) -> None:
    """The test button keeps no connection and looks at keys by itself: nothing is put for a foreign channel."""
    ids = await theirs(world)
    stranger = await world.new_project("Stranger")
    before = await everything(world)
    for key, status in ((stranger.api_key, 404), (stranger.api_key_readonly, 401), ("", 401)):
        assert (await world.api("POST", f"channels/{ids['channel']}/test?wait=0", key=key or " ")).status_code == status
    assert await everything(world) == before
