"""The state table, cell by cell, as a client sees it through pings and the API."""

from typing import Any

import pytest

from tests.world import World

pytestmark = pytest.mark.anyio

HEARD = {"success": "", "fail": "/fail", "start": "/start", "log": "/log"}


async def brought_to(world: World, status: str, **fields: Any) -> dict[str, Any]:
    """A check in that status; its subscribed channel hears of what follows."""
    if not (await world.api("GET", "channels/")).json()["channels"]:
        await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    check = await world.check(timeout=60, grace=30, channels="*", **fields)
    if status in ("up", "down"):
        await world.ping(check)
    if status == "down":
        await world.advance(93)
        assert (await world.sweep()).turned == 1
    if status == "paused":
        assert (await world.api("POST", f"checks/{check['uuid']}/pause")).status_code == 200
    await world.run("DELETE FROM deliveries")
    assert (await world.seen(check))["status"] == status
    return check


async def told(world: World) -> list[str]:
    """What people are told, in order."""
    rows = await world.rows("SELECT told ->> 'kind' AS kind FROM deliveries WHERE state = 'waiting' ORDER BY seq")
    return [row["kind"] for row in rows]


@pytest.mark.parametrize(
    ("before", "heard", "after", "started", "messages"),
    [
        ("new", "success", "up", False, []),
        ("up", "success", "up", False, []),
        ("down", "success", "up", False, ["monitor.up"]),
        ("paused", "success", "up", False, []),
        ("new", "fail", "down", False, ["monitor.down"]),
        ("up", "fail", "down", False, ["monitor.down"]),
        ("down", "fail", "down", False, []),
        ("paused", "fail", "down", False, ["monitor.down"]),
        ("new", "start", "new", True, []),
        ("up", "start", "up", True, []),
        ("down", "start", "down", True, []),
        ("paused", "start", "paused", True, []),
        ("new", "log", "new", False, []),
        ("up", "log", "up", False, []),
        ("down", "log", "down", False, []),
        ("paused", "log", "paused", False, []),
    ],
)
async def test_a_signal_turns_a_status_as_the_table_says(
    world: World, before: str, heard: str, after: str, started: bool, messages: list[str]
) -> None:
    """Each signal in each status: what it becomes, whether it runs, who is told what."""
    check = await brought_to(world, before)
    await world.ping(check, HEARD[heard])
    seen = await world.seen(check)
    assert (seen["status"], seen["started"]) == (after, started)
    assert await told(world) == messages


@pytest.mark.parametrize("heard", list(HEARD))
async def test_with_manual_resume_a_paused_check_hears_nothing(world: World, heard: str) -> None:
    """Every signal is answered 200, logged as ign, and changes nothing until somebody resumes it."""
    check = await brought_to(world, "paused", manual_resume=True)
    assert (await world.ping(check, HEARD[heard])).status_code == 200
    seen = await world.seen(check)
    assert (seen["status"], seen["started"], seen["n_pings"]) == ("paused", False, 1)
    (ping,) = (await world.api("GET", f"checks/{check['uuid']}/pings/")).json()["pings"]
    assert ping["type"] == "ign"
    assert (await world.api("POST", f"checks/{check['uuid']}/resume")).json()["status"] == "new"


@pytest.mark.parametrize(
    ("before", "after", "messages"),
    [("new", "new", []), ("up", "down", ["monitor.down"]), ("down", "down", []), ("paused", "paused", [])],
)
async def test_a_deadline_that_passes_in_silence(world: World, before: str, after: str, messages: list[str]) -> None:
    """Only what expects something goes down, once, dated at the deadline."""
    check = await brought_to(world, before)
    await world.advance(3600)
    assert (await world.seen(check))["status"] == after, "right even if nobody has swept"
    await world.sweep()
    await world.sweep()
    assert (await world.seen(check))["status"] == after
    assert await told(world) == messages


@pytest.mark.parametrize("before", ["new", "up", "down", "paused"])
async def test_a_run_that_does_not_end_in_time_is_overrun(world: World, before: str) -> None:
    """A start gives every status a deadline for its run; only what is down already has no second transition."""
    check = await brought_to(world, before)
    await world.ping(check, "/start")
    await world.advance(33)
    await world.sweep()
    seen = await world.seen(check)
    assert (seen["status"], seen["started"]) == ("down", True)
    assert await told(world) == ([] if before == "down" else ["monitor.down"])
    runs = (await world.api("GET", f"checks/{check['uuid']}/runs/")).json()["runs"]
    assert "overrun" in [run["outcome"] for run in runs]


async def test_thresholds_hold_a_status_until_they_are_reached(world: World) -> None:
    """Two failures in two slots to go down, two successes in two slots to come back; one outcome counts per slot."""
    check = await brought_to(world, "up", failures_to_alert=2, successes_to_recover=2)
    await world.advance(60)
    for _ in range(3):
        await world.ping(check, "/fail")
    assert (await world.seen(check))["status"] == "up"
    await world.advance(60)
    await world.ping(check, "/fail")
    assert (await world.seen(check))["status"] == "down"
    await world.advance(60)
    await world.ping(check)
    await world.ping(check)
    assert (await world.seen(check))["status"] == "down"
    await world.advance(60)
    await world.ping(check)
    assert (await world.seen(check))["status"] == "up"
    assert await told(world) == ["monitor.down", "monitor.up"]


async def test_late_is_shown_inside_the_grace(world: World) -> None:
    """Past its slot a check is `grace`, past its deadline `down`, dated there, and one ping heard in grace makes it up again."""
    check = await brought_to(world, "up")
    await world.advance(61)
    assert (await world.seen(check))["status"] == "grace"
    await world.ping(check)
    assert (await world.seen(check))["status"] == "up"
    deadline = (await world.seen(check))["deadline"]
    await world.advance(93)
    await world.sweep()
    (last, *_) = (await world.api("GET", f"checks/{check['uuid']}/transitions/")).json()["transitions"]
    assert last["at"][:19] == deadline[:19]


async def test_an_edit_gives_a_minute_and_an_equal_one_changes_nothing(world: World) -> None:
    """The deadline after an edit is the later of the new rule and now + 60 s; an upsert of the same leaves it alone."""
    check = await brought_to(world, "up")
    before = (await world.seen(check))["deadline"]
    await world.api("POST", f"checks/{check['uuid']}", {"timeout": 60, "grace": 30, "name": "renamed"})
    assert (await world.seen(check))["deadline"] == before
    await world.advance(50)
    await world.api("POST", f"checks/{check['uuid']}", {"timeout": 10, "grace": 10})
    await world.advance(50)
    await world.sweep()
    assert (await world.seen(check))["status"] in ("up", "grace")
    await world.advance(13)
    await world.sweep()
    assert (await world.seen(check))["status"] == "down"


async def test_resume_forgets_and_arms_what_was_ever_heard(world: World) -> None:
    """A resumed check is new, without last ping, and goes down a period and a grace later if it stays silent."""
    check = await brought_to(world, "up")
    await world.api("POST", f"checks/{check['uuid']}/pause")
    seen = (await world.api("POST", f"checks/{check['uuid']}/resume")).json()
    assert (seen["status"], seen["last_ping"]) == ("new", None)
    assert (await world.api("POST", f"checks/{check['uuid']}/resume")).status_code == 409
    await world.advance(93)
    await world.sweep()
    assert (await world.seen(check))["status"] == "down"


async def test_pause_and_delete_stop_what_waits_to_be_told(world: World) -> None:
    """A delivery still waiting is suppressed with its reason; the incident closes."""
    check = await brought_to(world, "up")
    await world.ping(check, "/fail")
    assert await told(world) == ["monitor.down"]
    await world.api("POST", f"checks/{check['uuid']}/pause")
    assert await told(world) == []
    (incident,) = (await world.api("GET", "incidents/")).json()["incidents"]
    assert incident["closed_at"] is not None
    await world.api("POST", f"checks/{check['uuid']}/resume")
    await world.ping(check, "/fail")
    await world.api("DELETE", f"checks/{check['uuid']}")
    states = await world.rows("SELECT state, reason FROM deliveries ORDER BY seq")
    assert [s["state"] for s in states] == ["suppressed", "suppressed"]
    assert "deleted" in states[1]["reason"]


async def test_what_is_expected_first_goes_down_without_ever_having_run(world: World) -> None:
    """expect_first arms a new check: the job that never ran once is missed, too."""
    check = await world.check(timeout=60, grace=30, expect_first=True)
    await world.advance(93)
    await world.sweep()
    assert (await world.seen(check))["status"] == "down"
