"""Aliases over the API: what a check is called in other services' ping URLs."""

import asyncio
from typing import Any

import pytest

from tests.manage.test_checks_api import channel
from tests.many import statements
from tests.world import World

pytestmark = pytest.mark.anyio

UPTIME, BETTER = {"service": "uptimekuma", "token": "kuma-1"}, {"service": "betterstack", "token": "better-1"}
CRON = {"service": "cronitor", "token": "Nightly backup é"}


async def aliases(world: World, check: dict[str, Any], given: list[dict[str, str]] | None = None) -> list[dict[str, str]]:
    """What an edit makes of them."""
    answer = await world.api("POST", f"checks/{check['uuid']}", {} if given is None else {"aliases": given})
    assert answer.status_code == 200, answer.text
    assert (await world.seen(check))["aliases"] == answer.json()["aliases"]
    return list(answer.json()["aliases"])


async def test_the_list_is_replaced_where_it_is_given(world: World) -> None:
    """In one order, each once; an edit without them leaves them; what is gone is free for another check."""
    made = await world.check(aliases=[UPTIME, CRON, UPTIME])
    assert made["aliases"] == [CRON, UPTIME]
    assert await aliases(world, made) == [CRON, UPTIME]
    assert await aliases(world, made, [BETTER, CRON]) == [BETTER, CRON]
    assert (await world.check(aliases=[UPTIME]))["aliases"] == [UPTIME]
    assert await aliases(world, made, []) == []
    again = await world.api("POST", "checks/", {"name": "x", "slug": "x", "aliases": [CRON], "unique": ["slug"]})
    assert again.json()["aliases"] == [CRON]
    again = await world.api("POST", "checks/", {"slug": "x", "aliases": [BETTER], "unique": ["slug"]})
    assert (again.status_code, again.json()["aliases"]) == (200, [BETTER])


async def test_an_alias_leads_to_its_check_from_the_next_ping_on(world: World) -> None:
    """By a token of its own, and by name beside a key taken over; what is replaced leads nowhere, or to a new check."""
    key = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
    assert (await world.api("POST", "keys/", {"service": "cronitor", "key": key})).status_code == 201
    made = await world.check(aliases=[BETTER, {"service": "cronitor", "token": "nightly"}])
    for path, n in (("/api/v1/heartbeat/better-1", 1), (f"/p/{key}/nightly?state=complete", 2)):
        assert (await world.client.get(path)).status_code == 200
        assert (await world.seen(made))["n_pings"] == n
    await aliases(world, made, [])
    assert (await world.client.get("/api/v1/heartbeat/better-1")).status_code == 404
    (row,) = (await world.api("GET", "keys/")).json()["keys"][2:]
    assert (await world.api("DELETE", f"keys/{row['id']}")).status_code == 200
    assert (await world.client.get(f"/p/{key}/nightly?state=complete")).status_code >= 400
    assert (await world.seen(made))["n_pings"] == 2
    assert len((await world.api("GET", "checks/")).json()["checks"]) == 1


async def test_an_alias_that_is_taken_is_refused_and_nothing_is_changed(world: World) -> None:
    """By another check, when made and when edited; what the check had stays."""
    await world.check(aliases=[CRON, UPTIME])
    other = await world.check(name="other", aliases=[BETTER])
    for alias in (CRON, UPTIME):
        for path in ("checks/", f"checks/{other['uuid']}"):
            answer = await world.api("POST", path, {"name": "new", "aliases": [alias]})
            assert answer.status_code == 400
            assert answer.json() == {"error": "json validation error: an item in 'aliases' is taken by another check"}
    assert await world.seen(other) == other
    assert len((await world.api("GET", "checks/")).json()["checks"]) == 2


async def test_a_deleted_check_gives_its_aliases_back(world: World) -> None:
    """They lead nowhere, and another check can have them."""
    made = await world.check(aliases=[CRON, UPTIME])
    assert (await world.api("DELETE", f"checks/{made['uuid']}")).json()["aliases"] == [CRON, UPTIME]
    assert (await world.check(aliases=[UPTIME, CRON]))["aliases"] == [CRON, UPTIME]


async def test_twenty_checks_that_want_the_same_aliases_at_once_end_with_one(world: World) -> None:
    """However they are ordered: one has them, nobody gets a 500, and nobody waits for ever."""
    orders = ([CRON, UPTIME, BETTER], [BETTER, CRON, UPTIME], [UPTIME, BETTER, CRON])
    answers = await asyncio.gather(*(world.api("POST", "checks/", {"aliases": orders[n % 3]}) for n in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 19


async def test_a_read_only_key_sees_no_alias(world: World) -> None:
    """A token is a ping id in all but form."""
    await world.check(aliases=[UPTIME])
    answer = await world.api("GET", "checks/", key=world.project.api_key_readonly)
    assert "aliases" not in answer.json()["checks"][0]
    assert "kuma-1" not in answer.text


async def test_the_list_asks_the_database_as_often_for_many_checks_with_channels_and_aliases(world: World) -> None:
    """The same number of statements for 5 checks and for 200, each with two channels and two aliases."""
    await channel(world, "a")
    await channel(world, "b")
    counted = {}
    for count in (5, 200):
        have = len((await world.api("GET", "checks/")).json()["checks"])
        for n in range(have, count):
            pair = [{"service": "cronitor", "token": f"job {n}"}, {"service": "uptimekuma", "token": f"kuma-{n}"}]
            await world.check(channels="*", aliases=pair)
        with statements() as sent:
            shown = (await world.api("GET", "checks/")).json()["checks"]
        assert {(len(check["aliases"]), check["channels"].count(",")) for check in shown} == {(2, 1)}
        assert len(shown) == count
        counted[count] = len(sent)
    assert counted[5] == counted[200] <= 6


OWN_PATHS = ("livez", "readyz", "metrics", "healthz", "docs", "login", "signup", "logout", "static", "favicon.ico", "robots.txt")


@pytest.mark.parametrize("token", OWN_PATHS)
async def test_an_alias_is_no_path_of_the_service_itself(world: World, token: str) -> None:
    """A snitch's URL is its token at the root: there it would never be heard. Others' URLs stand elsewhere."""
    answer = await world.api("POST", "checks/", {"aliases": [{"service": "deadmanssnitch", "token": token}]})
    assert (answer.status_code, "token" in answer.json()["detail"]) == (400, True)
    if "." not in token:
        assert (await world.check(aliases=[{"service": "betterstack", "token": token}]))["aliases"]


async def test_a_check_keeps_the_id_it_had_at_healthchecks(world: World) -> None:
    """No crontab changes but for the host: the old id pings beside the own one, in either case, until it is taken away."""
    old = "0D7C5B1E-93B1-4A7E-8A3F-3B9B5C8B1D11"
    made = await world.check(aliases=[{"service": "healthchecks", "token": old}])
    assert made["aliases"] == [{"service": "healthchecks", "token": old.lower()}]
    for path in (f"/ping/{old}", f"/ping/{old.lower()}/start", f"/ping/{made['uuid']}"):
        assert (await world.client.get(path)).status_code == 200
    assert (await world.seen(made))["n_pings"] == 3
    taken = await world.api("POST", "checks/", {"aliases": [{"service": "healthchecks", "token": made["uuid"]}]})
    assert (taken.status_code, "taken" in taken.text) == (400, True)
    bad = await world.api("POST", "checks/", {"aliases": [{"service": "healthchecks", "token": "nightly"}]})
    assert (bad.status_code, "UUID" in bad.text) == (400, True)
    assert await aliases(world, made, []) == []
    assert (await world.client.get(f"/ping/{old}")).status_code == 404
    assert (await world.client.get(f"/ping/{made['uuid']}")).status_code == 200
