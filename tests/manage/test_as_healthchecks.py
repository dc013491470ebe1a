"""The finer points of Healthchecks' API that its clients may lean on, beside those of test_checks_api.py."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.world import World, living

pytestmark = pytest.mark.anyio


def at(text: str) -> datetime:
    """An instant of the API."""
    return datetime.fromisoformat(text)


# ---- next_ping


async def test_next_ping_plus_grace_is_the_deadline_while_it_runs_too(world: World) -> None:
    """A check that runs is waited for since its start; new, up and paused ones alike."""
    for before in ("new", "up", "paused"):
        made = await world.check(timeout=600, grace=60)
        if before != "new":
            await world.ping(made)
        if before == "paused":
            await world.api("POST", f"checks/{made['uuid']}/pause")
        await world.advance(5)
        began = await world.now()
        await world.ping(made, "/start")
        seen = await world.seen(made)
        assert (seen["status"], seen["started"]) == (before, True)
        assert abs(at(seen["next_ping"]) - began) < timedelta(seconds=2)
        assert at(seen["deadline"]) - at(seen["next_ping"]) == timedelta(seconds=60)
        await world.ping(made)
        assert at((await world.seen(made))["next_ping"]) - at((await world.seen(made))["last_ping"]) == timedelta(seconds=600)


async def test_next_ping_stays_the_slot_where_a_run_has_a_time_of_its_own(world: World) -> None:
    """With max_runtime, which Healthchecks does not have, a start is no moment from which grace counts."""
    made = await world.check(timeout=600, grace=60, max_runtime=3600)
    await world.ping(made)
    before = (await world.seen(made))["next_ping"]
    await world.advance(5)
    await world.ping(made, "/start")
    assert (await world.seen(made))["next_ping"] == before


async def test_a_running_check_past_its_grace_is_down_in_every_version(world: World) -> None:
    """v1 says `started` only until then."""
    made = await world.check(timeout=600, grace=5)
    await world.ping(made, "/start")
    shown = []
    for ahead in (0, 20):
        await world.advance(ahead)
        for version in (1, 2, 3):
            path = f"/api/v{version}/checks/{made['uuid']}"
            answer = (await world.client.get(path, headers={"X-Api-Key": world.project.api_key})).json()
            shown.append((answer["status"], answer["started"]))
    assert shown == [("started", True), ("new", True), ("new", True), *[("down", True)] * 3]


# ---- what goes in


@pytest.mark.parametrize("zone", ["Europe/Kiev", "UCT", "CET", "US/Eastern", "Etc/GMT+5", "Asia/Calcutta", "UTC"])
async def test_a_zone_by_its_older_name_is_taken(world: World, zone: str) -> None:
    """And stays written as it was given."""
    made = await world.check(schedule="0 3 * * *", tz=zone)
    assert made["tz"] == zone


@pytest.mark.parametrize("version", [1, 2])
async def test_checks_without_a_name_have_no_slug(world: World, version: int) -> None:
    """However many there are."""
    key = {"X-Api-Key": world.project.api_key}
    made = [(await world.client.post(f"/api/v{version}/checks/", json={}, headers=key)).json() for _ in range(3)]
    made.append((await world.client.post(f"/api/v{version}/checks/{made[0]['uuid']}", json={"name": "!"}, headers=key)).json())
    assert {check["slug"] for check in made} == {""}


async def test_a_key_in_the_body_opens_every_post(world: World) -> None:
    """Whatever the Content-Type says, and beside the fields."""
    key = {"api_key": world.project.api_key}
    made = (await world.client.post("/api/v3/checks/", json={**key, "name": "a"})).json()
    assert made["name"] == "a"
    own = f"/api/v3/checks/{made['uuid']}"
    for path, status in ((own, 200), (f"{own}/pause", 200), (f"{own}/resume", 200), ("/api/v3/keys/", 201)):
        body = {**key, "scope": "ro"} if path.endswith("keys/") else key
        assert (await world.client.post(path, json=body, headers={"content-type": "text/plain"})).status_code == status
    for wrong, words in (
        ({"api_key": 5}, "missing api key"),
        ({"api_key": ""}, "missing api key"),
        ({"api_key": "x"}, "wrong api key"),
    ):
        answer = await world.client.post("/api/v3/checks/", json=wrong)
        assert (answer.status_code, answer.json()) == (401, {"error": words})


# ---- what comes out


async def test_a_check_that_is_not_paused_cannot_be_resumed(world: World) -> None:
    """409 in Healthchecks' words."""
    made = await world.check()
    answer = await world.api("POST", f"checks/{made['uuid']}/resume")
    assert (answer.status_code, answer.json()) == (409, {"error": "check is not paused"})


async def test_durations_have_two_digits_and_a_reported_time_is_shown(world: World) -> None:
    """`reported_at` stands only where the client gave its own time."""
    made = await world.check()
    run = {"rid": "f618072a-7bde-4eee-af63-71a77c5723bc"}
    await world.ping(made, "/start", params=run)
    await world.advance(1.23456)
    await world.ping(made, "", params=run)
    said = await world.now() - timedelta(minutes=5)
    key = {"X-Api-Key": world.project.api_key}
    await world.ping(made, "/log", params={"at": said.isoformat()}, headers=key)
    log, end, start = (await world.api("GET", f"checks/{made['uuid']}/pings/")).json()["pings"]
    assert end["duration"] == round(end["duration"], 2) >= 1.23
    assert abs(at(log["reported_at"]) - said) < timedelta(seconds=1)
    assert at(log["date"]) > said
    assert "reported_at" not in end
    assert "reported_at" not in start


async def test_pings_are_the_newest_thousand_however_many_are_kept(dsn: str) -> None:
    """The rest can still be read by number."""
    async with living(dsn, log_limit=5000) as world:
        made = await world.check()
        await world.ping(made, content=b"first")
        await world.run(
            """INSERT INTO check_ins (project_id, monitor_id, n, received_at, signal, scheme, method, remote_addr, user_agent)
            SELECT project_id, monitor_id, n + i, received_at, signal, scheme, method, remote_addr, user_agent
            FROM check_ins, generate_series(1, 1500) i"""
        )
        await world.run("UPDATE monitors SET heard = 1501")
        pings = (await world.api("GET", f"checks/{made['uuid']}/pings/")).json()["pings"]
        assert (len(pings), pings[0]["n"], pings[-1]["n"]) == (1000, 1501, 502)
        assert (await world.api("GET", f"checks/{made['uuid']}/pings/1/body")).content == b"first"


@pytest.mark.parametrize(
    "path", ["checks/", "checks/x", "checks/x/pause", "channels/", "badges/", "status/", "keys/x", "nothing"]
)
async def test_a_preflight_needs_no_key_and_allows_what_clients_send(world: World, path: str) -> None:
    """204 on every path, with methods, headers and how long to remember that."""
    answer = await world.client.options(f"/api/v1/{path}")
    assert (answer.status_code, answer.content) == (204, b"")
    allowed = answer.headers["access-control-allow-methods"]
    assert {"GET", "POST", "DELETE"} <= set(allowed.split(", "))
    assert {"X-Api-Key", "Content-Type"} <= set(answer.headers["access-control-allow-headers"].split(", "))
    assert answer.headers["access-control-max-age"] == "600"


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_status_needs_no_key(world: World, version: int) -> None:
    """`OK` in plain text, with and without the last slash."""
    for slash in ("", "/"):
        answer = await world.client.get(f"/api/v{version}/status{slash}")
        assert (answer.status_code, answer.text) == (200, "OK")
        assert answer.headers["content-type"].startswith("text/plain")


async def test_lists_have_healthchecks_shape(world: World) -> None:
    """channels: id, name, kind and ours; a list of checks while they change is whole."""
    made = await world.api("POST", "channels/", {"kind": "email", "name": "ops", "address": "a@example.com"})
    (listed,) = (await world.api("GET", "channels/")).json()["channels"]
    assert {"id": made.json()["id"], "name": "ops", "kind": "email"}.items() <= listed.items()
    checks = [await world.check(name=f"{n}", channels="*") for n in range(5)]
    edits: list[Any] = [world.api("POST", f"checks/{check['uuid']}", {"channels": ""}) for check in checks]
    answers = await asyncio.gather(*edits, *(world.api("GET", "checks/") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert all(len(answer.json()["checks"]) == 5 for answer in answers[5:])
