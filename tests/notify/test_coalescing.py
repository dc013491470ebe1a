"""Coalescing: what is overtaken before it was ever tried is told together with what overtook it."""

import pytest

from tests.notify.hooks import hook
from tests.receivers import HttpReceiver, Reply
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_down_and_up_before_the_first_was_tried_are_one_message(house: World) -> None:
    """The recovery tells both: from when to when, and why; the alarm is on record as suppressed, with the reason."""
    async with HttpReceiver() as receiver:
        channel = await hook(house, receiver)
        check = await house.check(channels="*")
        await house.ping(check, "/fail")
        await house.ping(check)
        await house.deliver()
        (request,) = receiver.requests
        said = request.json()
        assert said["type"] == "monitor.up"
        assert [(e["type"], e["reason"]) for e in said["data"]["earlier"]] == [("monitor.down", "failed")]
        assert "It was down from " in said["data"]["explain"]
        up, down = (await house.api("GET", f"channels/{channel['id']}/deliveries/")).json()["deliveries"]
        assert (up["state"], down["state"]) == ("delivered", "suppressed")
        assert down["reason"] == f"coalesced: told together with {up['id']}"
        assert request.headers["webhook-id"] == up["id"]


async def test_of_down_up_down_the_last_is_told(house: World) -> None:
    """As down, for it is down; what came before is said too."""
    async with HttpReceiver() as receiver:
        await hook(house, receiver)
        check = await house.check(channels="*")
        for signal in ("/fail", "", "/fail"):
            await house.ping(check, signal)
        await house.deliver()
        (request,) = receiver.requests
        assert request.json()["type"] == "monitor.down"
        assert [e["type"] for e in request.json()["data"]["earlier"]] == ["monitor.down", "monitor.up"]
        assert "Not told by itself: down 2" in request.json()["data"]["explain"]


async def test_a_channel_that_hears_only_downs_still_gets_the_down(house: World) -> None:
    """Nothing overtakes it there; of two downs the last is told and tells of the first."""
    async with HttpReceiver() as receiver:
        await hook(house, receiver, hears="down")
        check = await house.check(channels="*")
        await house.ping(check, "/fail")
        await house.ping(check)
        await house.deliver()
        assert [r.json()["type"] for r in receiver.requests] == ["monitor.down"]
        for signal in ("/fail", "", "/fail", ""):
            await house.ping(check, signal)
        await house.deliver()
        assert [r.json()["type"] for r in receiver.requests] == ["monitor.down"] * 2
        assert [e["type"] for e in receiver.requests[1].json()["data"]["earlier"]] == ["monitor.down"]


async def test_what_was_tried_is_never_coalesced(house: World) -> None:
    """It may have arrived: it is tried until it is through, and only what waits untried behind it becomes one message."""
    async with HttpReceiver(Reply(500)) as receiver:
        await hook(house, receiver)
        check = await house.check(channels="*")
        await house.ping(check, "/fail")
        await house.deliver()
        for signal in ("", "/fail", ""):
            await house.ping(check, signal)
        await house.advance(10)
        await house.deliver()
        assert [r.json()["type"] for r in receiver.requests] == ["monitor.down", "monitor.down", "monitor.up"]
        assert [e["type"] for e in receiver.requests[2].json()["data"]["earlier"]] == ["monitor.up", "monitor.down"]
        rows = await house.rows("SELECT state FROM deliveries ORDER BY seq")
        assert [r["state"] for r in rows] == ["delivered", "suppressed", "suppressed", "delivered"]


async def test_what_a_killed_sender_had_begun_counts_as_tried(house: World) -> None:
    """Its lease is over and nobody knows whether it arrived: it goes again, with its own id."""
    async with HttpReceiver() as receiver:
        await hook(house, receiver)
        check = await house.check(channels="*")
        await house.ping(check, "/fail")
        await house.run("""
            UPDATE deliveries SET state = 'sending', claim_no = 1, owner = gen_random_uuid(), first_try_at = missedbeat_now(),
                due_at = missedbeat_now() + interval '30 seconds'""")
        await house.ping(check)
        assert await house.deliver() == 0
        await house.advance(31)
        await house.deliver()
        assert [r.json()["type"] for r in receiver.requests] == ["monitor.down", "monitor.up"]
