"""Deliveries that make no sense: an accident in one row, or a fault of ours, costs as little as can be and stops nobody else."""

import pytest

from app.sweeper.prune import prune_once
from tests.notify.hooks import hook, states
from tests.receivers import HttpReceiver
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_a_message_that_cannot_be_made_goes_out_plain(house: World) -> None:
    """Broken data costs the dress, not the alert."""
    async with HttpReceiver() as receiver:
        await hook(house, receiver, "slack")
        await house.ping(await house.check(name="nightly", channels="*"), "/fail")
        await house.run("""UPDATE deliveries SET told = jsonb_set(told, '{tags}', '[null, 7]')""")
        await house.deliver()
        assert "nightly" in str(receiver.requests[0].body)


@pytest.mark.parametrize(
    "told", ["told - 'at'", "jsonb_set(told, '{at}', '\"never\"')", "jsonb_set(told, '{earlier}', '[7]')", "'7'"]
)
async def test_what_cannot_be_read_is_told_as_far_as_it_can_and_stops_nobody(house: World, told: str) -> None:
    """The alert goes out with what is left of it; those that were claimed with it go out whole."""
    async with HttpReceiver() as receiver:
        await hook(house, receiver)
        for name in ("broken", "whole"):
            await house.ping(await house.check(name=name, channels="*"), "/fail")
        await house.run(f"UPDATE deliveries SET told = {told} WHERE told ->> 'name' = 'broken'")
        await house.deliver()
        assert await states(house) == [("delivered", 1)] * 2
        said = sorted((r.json()["data"]["monitor"] or {}).get("name", "") for r in receiver.requests)
        assert said == ["" if told == "'7'" else "broken", "whole"]


async def test_a_sender_that_fails_in_itself_tries_again_as_after_any_failure(house: World) -> None:
    """A channel whose settings are broken: not again each half minute for ever, but by the usual steps, with the reason."""
    async with HttpReceiver() as receiver:
        channel = await hook(house, receiver)
        await house.ping(await house.check(channels="*"), "/fail")
        await house.run("UPDATE channels SET settings = '[]'")
        await house.deliver()
        assert await states(house) == [("waiting", 1)]
        (delivery,) = (await house.api("GET", f"channels/{channel['id']}/deliveries/")).json()["deliveries"]
        assert "we failed to send it" in delivery["attempts"][0]["answer"]
        assert (await house.rows("SELECT due_at > missedbeat_now() AS later FROM deliveries"))[0]["later"]


async def test_what_was_put_for_a_channel_as_it_was_deleted_is_laid_off(house: World) -> None:
    """The two did not see each other: the row would stay open for ever, and nothing could send it."""
    async with HttpReceiver() as receiver:
        await hook(house, receiver)
        await house.ping(await house.check(channels="*"), "/fail")
        await house.run("DELETE FROM channels")
        await house.deliver()
        await prune_once(house.sessions, 90)
        (row,) = await house.rows("SELECT state, reason, settled_at FROM deliveries")
        assert (row["state"], row["reason"]) == ("suppressed", "the channel was deleted")
        assert row["settled_at"] is not None
        assert not receiver.requests
