"""Our own sign of life goes out while all is well, and stops when it is not."""

from datetime import timedelta

import pytest

from app.notify.heartbeat import Heartbeat
from tests.receivers import HttpReceiver, Reply
from tests.world import World

pytestmark = pytest.mark.anyio

SECRET = "/ping/0f2c1b7e-secret"
MARGIN = timedelta(seconds=2)


async def beat(world: World, receiver: HttpReceiver) -> str:
    """One look of a heartbeat whose turn it is; the address is a private one."""
    heartbeat = Heartbeat(receiver.url(SECRET), MARGIN)
    try:
        return await heartbeat.beat_once(world.sessions)
    finally:
        await heartbeat.aclose()


async def well(world: World) -> None:
    """The worker's loops have just ended a round."""
    await world.tick()
    await world.sweep()
    await world.deliver()


async def test_it_is_sent_after_a_sweep_and_then_waits_its_turn(world: World) -> None:
    """A GET on a private address, and no second one at once."""
    async with HttpReceiver() as receiver:
        await well(world)
        heartbeat = Heartbeat(receiver.url(SECRET), MARGIN)
        assert await heartbeat.beat_once(world.sessions) == "sent"
        assert await heartbeat.beat_once(world.sessions) == ""
        await heartbeat.aclose()
    assert [(request.method, request.target) for request in receiver.requests] == [("GET", SECRET)]


async def test_without_an_address_nothing_is_called(world: World) -> None:
    """Nor is the database asked."""
    heartbeat = Heartbeat("", MARGIN)
    assert await heartbeat.beat_once(world.sessions) == ""
    await heartbeat.aclose()


async def test_it_is_withheld_while_the_sweep_stands_still(world: World) -> None:
    """Before the first sweep, after the last, and again sent once somebody sweeps."""
    async with HttpReceiver() as receiver:
        assert await beat(world, receiver) == "withheld"
        await well(world)
        await world.advance(11)
        assert await beat(world, receiver) == "withheld"
        await well(world)
        assert await beat(world, receiver) == "sent"
    assert len(receiver.requests) == 1


async def test_it_is_withheld_while_something_stays_unjudged(world: World) -> None:
    """A deadline that no sweep gets to, though sweeps end."""
    check = await world.check()
    await world.ping(check)
    await well(world)
    async with HttpReceiver() as receiver:
        await world.advance(200)
        await world.run("UPDATE heartbeats SET at = missedbeat_now()")
        assert await beat(world, receiver) == "withheld"


async def test_it_is_withheld_while_a_message_is_due_and_nobody_sends(world: World) -> None:
    """One that waits for its next try, or behind it, is no reason."""
    await world.api("POST", "channels/", {"kind": "webhook", "name": "hook", "url": "http://127.0.0.1:1/"})
    check = await world.check(channels="*", timeout=86400)
    await well(world)
    await world.ping(check, "/fail")
    async with HttpReceiver() as receiver:
        tried = "first_try_at = missedbeat_now(), tries = 1"
        await world.run(f"UPDATE deliveries SET due_at = missedbeat_now() + interval '1 h', {tried}")
        await world.ping(check)
        await world.advance(130)
        await well(world)
        assert [row["state"] for row in await world.rows("SELECT state FROM deliveries")] == ["waiting", "waiting"]
        assert await beat(world, receiver) == "sent"
        await world.run("UPDATE deliveries SET due_at = missedbeat_now() - interval '130 s'")
        assert await beat(world, receiver) == "withheld"


async def test_it_is_withheld_while_no_web_process_ticks(world: World) -> None:
    """Then pings are not recorded, and silence is not judged."""
    await well(world)
    world.sleep(50)
    await world.run("UPDATE heartbeats SET at = missedbeat_now()")
    async with HttpReceiver() as receiver:
        assert await beat(world, receiver) == "withheld"


@pytest.mark.parametrize("answer", [Reply(500), Reply(302, (("location", "/elsewhere"),)), Reply(raw=b"no HTTP\r\n\r\n")])
async def test_a_failure_is_logged_without_the_path_and_tried_again(
    world: World, answer: Reply, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has the URL could keep us looking alive, so no log holds it."""
    async with HttpReceiver(answer) as receiver:
        await well(world)
        assert await beat(world, receiver) == "failed"
        assert await beat(world, receiver) == "sent"
    printed = capsys.readouterr()
    assert "the outgoing heartbeat failed" in printed.out
    assert "secret" not in printed.out + printed.err
