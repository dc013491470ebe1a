"""Incidents over the API: what happened, why, and who was told."""

from typing import Any

import pytest

from tests.receivers import HttpReceiver
from tests.world import World

pytestmark = pytest.mark.anyio

FIELDS = {"id", "check", "name", "reason", "explain", "opened_at", "closed_at", "closed_by", "acknowledged_at", "fine_until"}


async def silent(world: World, **fields: Any) -> dict[str, Any]:
    """A check that was heard once and then fell silent, with the incident of it."""
    check = await world.check(**{"name": "Nightly", "timeout": 60, "grace": 30, **fields})
    await world.ping(check)
    await world.advance(93)
    await world.sweep()
    return check


async def incidents(world: World, path: str = "incidents/", key: str | None = None) -> list[dict[str, Any]]:
    """What a list of incidents holds."""
    answer = await world.api("GET", path, key=key)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["incidents"])


async def test_an_incident_opens_with_silence_and_closes_with_the_return(world: World) -> None:
    """Listed for the project and for its check; dated at the deadline; closed by being heard."""
    check = await silent(world)
    seen = (await world.api("GET", f"checks/{check['uuid']}/transitions/")).json()["transitions"][0]
    (incident,) = await incidents(world)
    assert set(incident) == FIELDS
    assert (incident["check"], incident["name"], incident["reason"]) == (check["uuid"], "Nightly", "missed")
    assert incident["opened_at"] == seen["at"] < seen["noticed_at"]
    assert incident["closed_at"] is incident["closed_by"] is incident["acknowledged_at"] is None
    assert await incidents(world, f"checks/{check['uuid']}/incidents/") == [incident]
    await world.ping(check)
    closed = (await world.api("GET", f"incidents/{incident['id']}")).json()
    assert (closed["closed_by"], closed["closed_at"] > closed["opened_at"]) == ("heard", True)


async def test_an_incident_is_explained_as_a_sentence_and_as_data(world: World) -> None:
    """Why did this fire? Everything the verdict was decided from, and one sentence made of it."""
    await silent(world)
    (incident,) = await incidents(world)
    why = (await world.api("GET", f"incidents/{incident['id']}/explain")).json()
    assert set(why) == {"incident", "explain", "evidence"}
    assert why["incident"] == incident
    assert why["explain"] == incident["explain"]
    assert "Expected at" in why["explain"]
    assert "every 1 min" in why["explain"]
    assert (why["evidence"]["rule"], why["evidence"]["grace"]) == ("missed", 30)
    assert [heard["signal"] for heard in why["evidence"]["check_ins"]] == ["success"]


async def test_an_incident_says_who_was_told_and_how_that_went(world: World) -> None:
    """One delivery for each channel and turning, with what the receiver answered; the same by its own id."""
    async with HttpReceiver() as receiver:
        made = await world.api("POST", "channels/", {"kind": "slack", "name": "ops", "url": receiver.url()})
        check = await silent(world, channels="*")
        (incident,) = await incidents(world)
        path = f"incidents/{incident['id']}/deliveries/"
        assert [d["state"] for d in (await world.api("GET", path)).json()["deliveries"]] == ["waiting"]
        await world.deliver()
        await world.ping(check)
        await world.deliver()
        down, up = (await world.api("GET", path)).json()["deliveries"]
    assert (down["kind"], up["kind"]) == ("monitor.down", "monitor.up")
    assert (down["state"], down["channel"], down["channel_name"]) == ("delivered", made.json()["id"], "ops")
    assert (down["incident"], down["check"]) == (incident["id"], check["uuid"])
    assert [attempt["outcome"] for attempt in down["attempts"]] == ["delivered"]
    assert (await world.api("GET", f"deliveries/{down['id']}")).json() == down
    await world.api("DELETE", f"channels/{made.json()['id']}")
    assert (await world.api("GET", path)).json()["deliveries"] == [{**d, "channel_name": None} for d in (down, up)]


async def test_the_first_acknowledgement_counts(world: World) -> None:
    """Who looks second sees when the first did."""
    await silent(world)
    (incident,) = await incidents(world)
    first = await world.api("POST", f"incidents/{incident['id']}/acknowledge")
    assert (first.status_code, first.json()["acknowledged_at"] is None) == (200, False)
    await world.advance(5)
    assert (await world.api("POST", f"incidents/{incident['id']}/acknowledge/")).json() == first.json()
    assert await incidents(world) == [first.json()]


async def test_a_read_only_key_reads_incidents_and_changes_none(world: World) -> None:
    """It sees unique_key in place of the check's id, and neither channels nor deliveries."""
    check = await silent(world)
    key = world.project.api_key_readonly
    (incident,) = await incidents(world, key=key)
    assert set(incident) == FIELDS - {"check"} | {"check_unique_key"}
    shown = (await world.api("GET", "checks/", key=key)).json()["checks"][0]
    assert incident["check_unique_key"] == shown["unique_key"]
    for path in (
        f"incidents/{incident['id']}",
        f"incidents/{incident['id']}/explain",
        f"checks/{shown['unique_key']}/incidents/",
    ):
        answer = await world.api("GET", path, key=key)
        assert answer.status_code == 200
        assert check["uuid"] not in answer.text
    for method, path in (("GET", "deliveries/"), ("POST", "acknowledge")):
        answer = await world.api(method, f"incidents/{incident['id']}/{path}", key=key)
        assert (answer.status_code, answer.json()) == (401, {"error": "wrong api key"})


async def test_incidents_are_read_page_by_page_newest_first(calm: World) -> None:
    """100 at a time; `before` with the last one's opening gives the rest, without gap or repeat."""
    check = await calm.check()
    for _ in range(103):
        await calm.ping(check, "/fail")
        await calm.ping(check)
    for path in ("incidents/", f"checks/{check['uuid']}/incidents/"):
        first = await incidents(calm, path)
        rest = await incidents(calm, f"{path}?before={first[-1]['opened_at']}")
        assert (len(first), len(rest)) == (100, 3)
        opened = [incident["opened_at"] for incident in first + rest]
        assert opened == sorted(set(opened), reverse=True)


async def test_the_reason_is_that_of_the_trouble(world: World) -> None:
    """failed by a fail, overrun by a run that took too long, paused as its end."""
    failing = await world.check(name="failing")
    await world.ping(failing, "/3")
    stuck = await world.check(name="stuck", timeout=600, max_runtime=5)
    await world.ping(stuck, "/start")
    await world.advance(10)
    await world.sweep()
    await world.api("POST", f"checks/{failing['uuid']}/pause")
    found = {incident["name"]: (incident["reason"], incident["closed_by"]) for incident in await incidents(world)}
    assert found == {"failing": ("failed", "paused"), "stuck": ("overrun", None)}
