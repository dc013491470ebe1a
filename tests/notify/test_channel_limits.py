"""Channels limited to tags and to hours: who is told of what, and when."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.store import vitals
from tests.notify.hooks import hook, states
from tests.receivers import HttpReceiver, Reply
from tests.world import MARGIN, World

pytestmark = pytest.mark.anyio

BROKEN = """
    UPDATE channels SET failures = 5, failing_since = missedbeat_now(), open_until = missedbeat_now() + CAST(:pause AS interval)
    WHERE id = CAST(:channel AS uuid)"""
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


async def in_two_hours(world: World, lasting: float = 2) -> dict[str, Any]:
    """Hours that begin two from now, in a zone with a clock of its own."""
    begins = (await world.now()).replace(second=0, microsecond=0) + timedelta(hours=2, minutes=345)  # Kathmandu's 5 h 45 min
    return {
        "zone": "Asia/Kathmandu", "days": DAYS, "from": f"{begins:%H:%M}", "to": f"{begins + timedelta(hours=lasting):%H:%M}"
    }  # fmt: skip


# ---- tags


async def test_a_channel_with_tags_hears_of_checks_with_one_of_them(house: World) -> None:
    """Not of others, nor of one whose tag only begins alike; another channel hears of all."""
    async with HttpReceiver() as billing, HttpReceiver() as everything:
        await hook(house, billing, tags="  billing   payroll ")
        await hook(house, everything, name="all")
        tagged = {"invoices": "prod billing", "salaries": "payroll", "backup": "prod", "old": "billing2", "bare": ""}
        for name, tags in tagged.items():
            await house.ping(await house.check(channels="*", name=name, tags=tags), "/fail")
        await house.deliver()
        assert {r.json()["data"]["monitor"]["name"] for r in billing.requests} == {"invoices", "salaries"}
        assert len(everything.requests) == 5


async def test_who_hears_is_judged_by_the_tags_of_the_moment(house: World) -> None:
    """A check that gets the tag is told of from then on, and a channel that loses its tags hears of all again."""
    async with HttpReceiver() as receiver:
        channel = await hook(house, receiver, tags="billing")
        check = await house.check(channels="*", tags="prod")
        await house.ping(check, "/fail")
        assert await states(house) == []
        await house.ping(check)
        await house.api("POST", f"checks/{check['uuid']}", {"tags": "prod billing"})
        await house.ping(check, "/fail")
        await house.deliver()
        assert [r.json()["type"] for r in receiver.requests] == ["monitor.down"]
        await house.api("POST", f"channels/{channel['id']}", {"tags": ""})
        await house.api("POST", f"checks/{check['uuid']}", {"tags": ""})
        await house.ping(check)
        await house.deliver()
        assert [r.json()["type"] for r in receiver.requests] == ["monitor.down", "monitor.up"]


# ---- hours


async def test_outside_of_its_hours_a_channel_is_told_once_they_begin(house: World) -> None:
    """Then at once, dated as it was; meanwhile nothing is lost, nobody else is told instead, and no alarm says that we hang."""
    async with HttpReceiver() as day, HttpReceiver() as always:
        channel = await hook(house, day, name="day", hours=await in_two_hours(house))
        await hook(house, always, name="always")
        check = await house.check(channels="*", timeout=86_400)
        failed_at = await house.now()
        await house.ping(check, "/fail")
        await house.deliver()
        assert (len(day.requests), len(always.requests)) == (0, 1)
        await house.advance(3_600)
        await house.deliver()
        async with house.sessions() as session:
            figures = await vitals.read(session, MARGIN)
        assert (figures.stuck_delivery, figures.oldest_delivery) == (0, 0)
        (waiting,) = (await house.api("GET", f"channels/{channel['id']}/deliveries/")).json()["deliveries"]
        opens = datetime.fromisoformat(waiting["next_try"])
        assert (waiting["state"], waiting["tries"]) == ("waiting", 0)
        assert timedelta(hours=1.9) < opens - failed_at <= timedelta(hours=2)
        await house.advance(3_601)
        async with house.sessions() as session:
            assert (await vitals.read(session, MARGIN)).stuck_delivery < 65
        await house.deliver()
        (request,) = day.requests
        assert request.json()["type"] == "monitor.down"
        assert abs(datetime.fromisoformat(request.json()["data"]["since"]) - failed_at) < timedelta(seconds=10)
        assert len(always.requests) == 1


async def test_what_went_down_and_up_in_the_night_is_one_message_in_the_morning(house: World) -> None:
    """And what is down still is told as down."""
    async with HttpReceiver() as day:
        await hook(house, day, hours=await in_two_hours(house))
        gone, back = await house.check(channels="*", name="gone", timeout=86_400), await house.check(channels="*", timeout=86_400)
        for check, signal in ((gone, "/fail"), (back, "/fail"), (back, "")):
            await house.ping(check, signal)
            await house.deliver()
        await house.advance(7_201)
        await house.deliver()
        kinds = sorted(r.json()["type"] for r in day.requests)
        assert kinds == ["monitor.down", "monitor.up"]
        (up,) = (r.json() for r in day.requests if r.json()["type"] == "monitor.up")
        assert [e["type"] for e in up["data"]["earlier"]] == ["monitor.down"]


async def test_a_test_is_sent_at_any_time_and_an_edit_opens_the_channel(house: World) -> None:
    """What waits behind is not let out by the test; without hours it goes at once."""
    async with HttpReceiver() as day:
        channel = await hook(house, day, hours=await in_two_hours(house))
        await house.ping(await house.check(channels="*"), "/fail")
        await house.deliver()
        await house.api("POST", f"channels/{channel['id']}/test?wait=0")
        await house.deliver()
        assert [r.json()["type"] for r in day.requests] == ["test"]
        answer = await house.api("POST", f"channels/{channel['id']}", {"hours": None})
        assert answer.json()["hours"] is None
        await house.deliver()
        assert [r.json()["type"] for r in day.requests] == ["test", "monitor.down"]


async def test_what_was_begun_in_the_hours_is_tried_again_after_them(house: World) -> None:
    """It may have arrived, and the one who was on duty is told of it."""
    async with HttpReceiver(Reply(500)) as day:
        hours = await in_two_hours(house, lasting=1)
        await hook(house, day, hours=hours)
        check = await house.check(channels="*", timeout=86_400)
        await house.advance(2 * 3_600 + 3_500)
        await house.ping(check, "/fail")
        await house.deliver()
        assert await states(house) == [("waiting", 1)]
        await house.advance(200)
        await house.deliver()
        assert await states(house) == [("delivered", 2)]
        await house.ping(check)
        await house.deliver()
        assert await states(house) == [("delivered", 2), ("waiting", 0)]


async def test_hours_that_nobody_can_read_close_nothing(house: World) -> None:
    """As of a zone that is not known any more: rather told too early than never."""
    async with HttpReceiver() as day:
        await hook(house, day, hours=await in_two_hours(house))
        await house.run("""UPDATE channels SET hours = jsonb_set(hours, '{zone}', '"Mars/Olympus"')""")
        await house.ping(await house.check(channels="*"), "/fail")
        await house.deliver()
        assert len(day.requests) == 1


async def test_outside_of_its_hours_nobody_is_told_instead_of_a_channel_that_fails_either(house: World) -> None:
    """What came after its hours waits for them, though the channel is left alone and the owner could be told; then they are."""
    async with HttpReceiver() as day:
        channel = await hook(house, day, name="day", hours=await in_two_hours(house, lasting=1))
        check = await house.check(channels=channel["id"], timeout=10 * 86_400)
        await house.advance(2 * 3_600 + 3_500)
        await house.run(BROKEN, channel=channel["id"], pause="25 hours")
        await house.advance(200)
        await house.ping(check, "/fail")
        await house.deliver()
        await house.advance(3_600)
        await house.deliver()
        assert await states(house) == [("waiting", 0)]
        await house.advance(22 * 3_600)
        await house.deliver()
        assert await states(house) == [("waiting", 0), ("delivered", 1)]


async def test_what_waited_for_hours_has_a_day_to_arrive_from_then_on(house: World) -> None:
    """A channel that has failed since before they ended gives up on nothing earlier, and is not asked more often for it."""
    async with HttpReceiver(*[Reply(500)] * 10) as day:
        hours = await in_two_hours(house)
        later = DAYS[((await house.now()) + timedelta(hours=2, days=2)).astimezone(ZoneInfo(hours["zone"])).weekday()]
        channel = await hook(house, day, hours=hours | {"days": [later]})
        check = await house.check(channels="*", timeout=10 * 86_400)
        await house.ping(check, "/fail")
        await house.deliver()
        await house.run(BROKEN, channel=channel["id"], pause="50 hours 1 minute")
        await house.advance(50 * 3_600 + 1)
        await house.deliver()
        assert len(day.requests) == 0
        for _ in range(5):
            await house.advance(1_100)
            await house.deliver()
        assert (await states(house))[0] == ("waiting", 5)


async def test_where_all_channels_of_a_check_are_disabled_one_without_hours_is_told_instead(house: World) -> None:
    """Rather than an older one that would keep it until morning."""
    await house.run("DELETE FROM channels WHERE fallback")
    async with HttpReceiver() as gone, HttpReceiver() as day, HttpReceiver() as always:
        await hook(house, day, name="day", hours=await in_two_hours(house))
        channel = await hook(house, gone, name="gone")
        await hook(house, always, name="always")
        check = await house.check(channels=channel["id"])
        await house.run("UPDATE channels SET disabled_at = missedbeat_now() WHERE id = CAST(:id AS uuid)", id=channel["id"])
        await house.ping(check, "/fail")
        await house.deliver()
        assert (len(gone.requests), len(day.requests), len(always.requests)) == (0, 0, 1)


async def test_a_job_that_went_to_and_fro_all_night_makes_a_message_of_a_size_that_is_taken(house: World) -> None:
    """The last turnings one by one, and how many there were."""
    async with HttpReceiver() as day:
        await hook(house, day, hours=await in_two_hours(house))
        check = await house.check(channels="*", timeout=86_400)
        for _ in range(60):
            await house.ping(check, "/fail")
            await house.ping(check)
        await house.advance(7_201)
        await house.deliver()
        (up,) = (r.json() for r in day.requests)
        assert (up["type"], len(up["data"]["earlier"]), up["data"]["earlier_count"]) == ("monitor.up", 50, 119)
        assert up["data"]["earlier"][-1]["type"] == "monitor.down"
        assert "119 turnings, the last of them up 2" in up["data"]["explain"]
