"""The breaker of a channel: a receiver that fails is left alone for a while, and no alert is lost by that."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.retry import FIRST_PAUSE, LONGEST_PAUSE, OPENS_AFTER, is_given_up, pause_after
from tests.notify.hooks import hook, shown, states
from tests.receivers import HttpReceiver, MailReceiver, Reply
from tests.world import World

pytestmark = pytest.mark.anyio

BROKEN = [Reply(500)] * 1000


async def alert(world: World, count: int) -> None:
    """So many monitors go down."""
    checks = [await world.check(channels="*") for _ in range(count)]
    await asyncio.gather(*(world.ping(check, "/fail") for check in checks))


async def opened(world: World, receiver: HttpReceiver) -> dict[str, object]:
    """A channel whose breaker is open, twelve alerts before it."""
    receiver.always = Reply(500)
    channel = await hook(world, receiver)
    await alert(world, 12)
    await world.deliver()
    assert (await shown(world, channel))["breaker"] == "open"
    return channel


def test_pauses_begin_with_the_fifth_failure_and_double_up_to_a_quarter_of_an_hour() -> None:
    """30 s, 1 min, 2 min, 4 min, 8 min, 15 min, and never more."""
    assert [pause_after(n) for n in range(OPENS_AFTER)] == [None] * OPENS_AFTER
    pauses = [pause for n in range(OPENS_AFTER, 1000) if (pause := pause_after(n)) is not None]
    assert pauses[0] == FIRST_PAUSE
    assert pauses[1:] == [min(pause * 2, LONGEST_PAUSE) for pause in pauses[:-1]]


def test_no_delivery_is_given_up_before_it_was_tried_three_times() -> None:
    """However long its channel was left alone."""
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert not is_given_up(since + timedelta(days=9), since, attempts=2)
    assert is_given_up(since + timedelta(days=9), since, attempts=3)
    assert not is_given_up(since + timedelta(hours=24), since, attempts=20)


async def test_five_failures_in_a_row_open_it_and_the_oldest_message_tries_it_alone(house: World) -> None:
    """What was under way is the last; after the pause one message, the oldest, finds out; a success lets all others follow."""
    async with HttpReceiver() as receiver:
        channel = await opened(house, receiver)
        tried = len(receiver.requests)
        assert 5 <= tried <= 8, "four at once at most, so three more may be under way when the fifth fails"
        assert (await shown(house, channel))["failing_since"] is not None
        await house.advance(20)
        assert await house.deliver() == 0
        for n, pause in enumerate((11, 61, 121)):
            await house.advance(pause)
            await house.deliver()
            assert len(receiver.requests) == tried + n + 1, "one message for each pause"
        ids = [request.headers["webhook-id"] for request in receiver.requests]
        assert set(ids[tried:]) <= set(ids[:tried]), "one that waits since then, before any that came later"
        receiver.always = Reply(200)
        for _ in range(2):  # of what was tried often the next try may be due later than the pause is over
            await house.advance(400)
            await house.deliver()
        assert await states(house) == [("delivered", state[1]) for state in await states(house)]
        seen = await shown(house, channel)
        assert (seen["breaker"], seen["failing_since"], seen["next_try"]) == ("closed", None, None)


async def test_an_edit_closes_it(house: World) -> None:
    """Who mends a channel need not wait for its pause."""
    async with HttpReceiver() as receiver:
        channel = await opened(house, receiver)
        receiver.always = Reply(200)
        answer = await house.api("POST", f"channels/{channel['id']}", {"name": "mended"})
        assert (answer.json()["breaker"], answer.json()["failing_since"]) == ("closed", None)
        assert await house.deliver() >= 4


async def test_a_test_message_is_sent_whatever_the_breaker_says(house: World) -> None:
    """A person tries it: at once, a failure counts for nothing, and a success closes it."""
    async with HttpReceiver() as receiver:
        channel = await opened(house, receiver)
        (before,) = await house.rows("SELECT failures, open_until FROM channels WHERE NOT fallback")
        await house.api("POST", f"channels/{channel['id']}/test?wait=0")
        assert await house.deliver() == 1
        assert await house.rows("SELECT failures, open_until FROM channels WHERE NOT fallback") == [before]
        receiver.always = Reply(200)
        await house.api("POST", f"channels/{channel['id']}/test?wait=0")
        await house.deliver()
        assert (await shown(house, channel))["breaker"] == "closed"


async def test_what_waits_behind_an_open_breaker_is_told_to_the_owner_in_time(house: World, mail: MailReceiver) -> None:
    """Ten minutes, and the owner has all alerts by mail, those too that were never tried."""
    async with HttpReceiver() as receiver:
        await opened(house, receiver)
        assert ("waiting", 0) in await states(house)
        await house.advance(590)
        await house.deliver()
        assert mail.mails == []
        await house.advance(20)
        await house.deliver()
        await house.deliver()
        assert len(mail.mails) == 12
        await house.advance(300)
        await house.deliver()
        assert len(mail.mails) == 12, "once"


async def test_a_channel_that_stays_broken_ends_every_delivery_after_tries_of_its_own(house: World) -> None:
    """After a day they are dead, each tried three times at least, and none was dropped untried."""
    async with HttpReceiver() as receiver:
        await opened(house, receiver)
        for _ in range(30):
            await house.advance(3600)
            await house.deliver()
        assert {("waiting", 0)}.isdisjoint(await states(house))
        for _ in range(10):
            await house.advance(3600)
            await house.deliver()
        dead = [row for row in await house.rows("SELECT state, tries, reason FROM deliveries ORDER BY seq LIMIT 12")]
        assert {row["state"] for row in dead} == {"dead"}
        assert all("24 h" in row["reason"] and row["tries"] >= 3 for row in dead)


async def test_a_delivery_that_its_receiver_refuses_does_not_open_it(house: World) -> None:
    """400 is about that message, not about the channel."""
    async with HttpReceiver() as receiver:
        receiver.always = Reply(400)
        channel = await hook(house, receiver)
        await alert(house, 8)
        await house.deliver()
        assert len(receiver.requests) == 8
        assert (await shown(house, channel))["failing_since"] is None
