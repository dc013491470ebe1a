"""Detours: an alert that its channel does not take finds another way, once."""

from typing import Any

import pytest

from tests.notify.hooks import hook, shown
from tests.receivers import HttpReceiver, MailReceiver, Reply
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_without_an_owner_a_dead_alert_goes_through_another_channel_once(world: World) -> None:
    """It says instead of which. The delivery that died is seen as dead, with its reason."""
    async with HttpReceiver() as broken, HttpReceiver() as other:
        broken.always = Reply(400, body=b"no such thing")
        first = await hook(world, broken, name="pager")
        await hook(world, other, name="chat")
        await world.ping(await world.check(name="nightly", channels=first["id"]), "/fail")
        await world.deliver()
        await world.deliver()
        (request,) = other.requests
        said = request.json()
        assert (said["type"], said["data"]["monitor"]["name"], said["data"]["instead_of"]) == ("monitor.down", "nightly", "pager")
        (dead,) = (await world.api("GET", f"channels/{first['id']}/deliveries/")).json()["deliveries"]
        assert (dead["state"], dead["reason"]) == ("dead", "no such thing")
        metrics = (await world.client.get("/metrics")).text
        assert 'missedbeat_deliveries{state="dead"} 1' in metrics


async def test_without_an_owner_ten_minutes_of_failure_go_through_another_channel(world: World) -> None:
    """And the end of it after a day is not told a second time."""
    async with HttpReceiver() as broken, HttpReceiver() as other:
        broken.always = Reply(500)
        first = await hook(world, broken, name="pager")
        await hook(world, other, name="chat")
        await world.ping(await world.check(channels=first["id"]), "/fail")
        for _ in range(8):
            await world.deliver()
            await world.advance(200)
        assert len(other.requests) == 1
        for _ in range(30):
            await world.advance(3600)
            await world.deliver()
        rows = await world.rows("SELECT state FROM deliveries ORDER BY seq")
        assert [r["state"] for r in rows] == ["dead", "delivered"]
        assert len(other.requests) == 1


async def test_what_waits_behind_what_was_never_tried_waits_for_its_channel(world: World) -> None:
    """We were away, or had no room: that says nothing of the channel, and nobody else is told."""
    async with HttpReceiver() as slow, HttpReceiver() as other:
        pager = await hook(world, slow, name="pager")
        await hook(world, other, name="chat")
        check = await world.check(channels=pager["id"])
        for signal in ("/fail", ""):
            await world.ping(check, signal)
        await world.advance(3600)
        await world.deliver()
        assert (len(slow.requests), len(other.requests)) == (1, 0)


async def lively(world: World, check: dict[str, Any], minutes: int) -> None:
    """So many minutes in which a check of its own keeps a channel at work."""
    for _ in range(minutes // 2):
        for signal in ("/fail", ""):
            await world.ping(check, signal)
            await world.advance(60)
            await world.deliver()


async def test_what_waits_behind_a_message_that_its_channel_does_not_take_goes_through_another(world: World) -> None:
    """The channel takes all others, so it is not left alone. The job recovers and dies again while the first alert is still
    tried: each of that is told once, in order, ten minutes later."""
    async with HttpReceiver() as picky, HttpReceiver() as other:
        picky.poison = b"nightly"
        pager = await hook(world, picky, name="pager")
        await hook(world, other, name="chat")
        dying, busy = [await world.check(name=name, timeout=86_400, channels=pager["id"]) for name in ("nightly", "busy")]
        await world.ping(dying, "/fail")
        await lively(world, busy, 12)
        await world.ping(dying)
        await lively(world, busy, 6)
        assert turnings(other) in ([], ["monitor.down"])
        await world.ping(dying, "/fail")
        await lively(world, busy, 14)
        assert turnings(other) == ["monitor.down", "monitor.up", "monitor.down"]
        await lively(world, busy, 20)
        assert len(turnings(other)) == 3
        assert (await shown(world, pager))["breaker"] == "closed"


def turnings(receiver: HttpReceiver) -> list[str]:
    """What was told, in order; by itself or, where one had not been tried yet when the next came, together with it."""
    said = [request.json() for request in receiver.requests]
    assert {each["data"]["monitor"]["name"] for each in said} <= {"nightly"}
    return [turning["type"] for each in said for turning in (*each["data"].get("earlier", ()), each)]


async def test_a_channel_that_heard_it_itself_needs_no_detour(world: World) -> None:
    """Nobody is told the same alert twice, nor is a third channel bothered with it."""
    async with HttpReceiver() as broken, HttpReceiver() as other, HttpReceiver() as third:
        broken.always = Reply(400, drip=0.01)  # it says so when the other has heard
        channels = [await hook(world, broken, name="pager"), await hook(world, other, name="chat")]
        await hook(world, third, name="third")
        await world.ping(await world.check(channels=",".join(c["id"] for c in channels)), "/fail")
        await world.deliver()
        await world.deliver()
        assert (len(other.requests), len(third.requests)) == (1, 0)


async def test_the_detour_is_a_channel_that_works(world: World) -> None:
    """Neither one that is disabled nor, where there is a choice, one that fails; of those that work the one that did last."""
    receivers = [HttpReceiver(), HttpReceiver(), HttpReceiver(), HttpReceiver()]
    async with receivers[0] as broken, receivers[1] as failing, receivers[2] as idle, receivers[3] as lively:
        broken.always, failing.always = Reply(400), Reply(500)
        made = [await hook(world, r, name=str(n)) for n, r in enumerate((broken, failing, idle, lively))]
        for channel in (made[1], made[3]):
            await world.ping(await world.check(channels=channel["id"]), "/fail")
        await world.deliver()
        await world.ping(await world.check(channels=made[0]["id"]), "/fail")
        await world.deliver()
        assert [len(r.requests) for r in (broken, failing, idle, lively)] == [1, 1, 0, 2]


async def test_a_detour_that_fails_is_not_passed_on_again(world: World) -> None:
    """Three channels that refuse everything: the alert goes through its own and one other."""
    async with HttpReceiver() as broken:
        broken.always = Reply(400)
        made = [await hook(world, broken, name=str(n)) for n in range(3)]
        await world.ping(await world.check(channels=made[0]["id"]), "/fail")
        for _ in range(4):
            await world.deliver()
        assert len(broken.requests) == 2


async def test_the_operator_hears_of_an_alert_that_reached_nobody_once_a_day_for_each_project(world: World) -> None:
    """Not of one that another channel took, and not before the last way has failed."""
    async with HttpReceiver() as broken, HttpReceiver() as good:
        broken.always = Reply(400, body=b"no such thing")
        for way, lost in (([broken, good], 0), ([broken, broken], 1)):
            world.project = await world.new_project()
            made = [await hook(world, receiver, name=str(n)) for n, receiver in enumerate(way)]
            for _ in range(2):
                await world.ping(await world.check(channels=made[0]["id"]), "/fail")
            await world.deliver()
            notes = await world.rows("SELECT kind, words FROM notices")
            assert [n["kind"] for n in notes] == ["alert lost"] * lost
        assert "no such thing" in notes[0]["words"]
        assert str(world.project.id) in notes[0]["words"]


async def test_a_channel_that_hears_only_downs_is_no_detour_for_an_up(world: World) -> None:
    """It is one for a down."""
    async with HttpReceiver() as broken, HttpReceiver() as other:
        broken.always = Reply(400)
        first = await hook(world, broken, name="pager")
        await hook(world, other, name="chat", hears="down")
        check = await world.check(channels=first["id"])
        for signal in ("/fail", ""):
            await world.ping(check, signal)
            await world.deliver()
            await world.deliver()
        assert [r.json()["type"] for r in other.requests] == ["monitor.down"]


async def test_without_an_owner_a_channel_that_is_gone_is_told_of_through_another(world: World) -> None:
    """That it failed, the alert it did not take, and all that follow while every channel of the check is disabled."""
    async with HttpReceiver() as gone, HttpReceiver() as other:
        gone.always = Reply(410)
        first = await hook(world, gone, name="pager")
        await hook(world, other, name="chat")
        check = await world.check(channels=first["id"])
        await world.ping(check, "/fail")
        await world.deliver()
        await world.deliver()
        assert sorted(r.json()["type"] for r in other.requests) == ["channel.failed", "monitor.down"]
        assert (await shown(world, first))["disabled"]
        await world.ping(check)
        await world.deliver()
        assert other.requests[-1].json()["type"] == "monitor.up"


async def test_with_an_owner_the_detour_is_the_owners_mail(house: World, mail: MailReceiver) -> None:
    """Whatever other channels there are; the mail says which channel did not take it."""
    async with HttpReceiver() as broken, HttpReceiver() as other:
        broken.always = Reply(400)
        first = await hook(house, broken, name="pager")
        await hook(house, other, name="chat")
        await house.ping(await house.check(channels=first["id"]), "/fail")
        await house.deliver()
        await house.deliver()
        assert other.requests == []
        assert len(mail.mails) == 1
        assert "pager" in mail.mails[0].get_body(("plain",)).get_content()  # type: ignore[union-attr]
