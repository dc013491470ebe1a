"""What whoever runs the service is told by mail about the service itself."""

from datetime import timedelta

import pytest

from app.notify.operator import tell_operator_once
from app.notify.senders import Mailer
from app.store import notices
from tests.receivers import MailReceiver
from tests.world import World

pytestmark = pytest.mark.anyio

ADDRESS = "ops@example.org"


async def noted(world: World, key: str, words: str = "Something is wrong") -> bool:
    """One notice, as any part of the service makes it."""
    async with world.sessions() as session:
        new = await notices.notice(session, "test", key, words, await world.now())
        await session.commit()
    return new


async def told(world: World, receiver: MailReceiver | None = None, address: str = ADDRESS) -> int:
    """One round of the worker's job."""
    mailer = Mailer("127.0.0.1", receiver.port, tls="none") if receiver else Mailer("127.0.0.1", 1, tls="none")
    return await tell_operator_once(world.sessions, mailer, address, "https://beat.example")


async def test_a_storm_of_notices_is_one_mail_and_the_next_comes_after_a_pause(world: World) -> None:
    """What comes together is told together; a second mail waits five minutes; each says what and when."""
    async with MailReceiver() as receiver:
        soon = await world.now() + timedelta(seconds=60)  # so that a slow machine does not make them old
        async with world.sessions() as session:
            for n in range(120):
                assert await notices.notice(session, "test", f"{n:03}", f"Trouble number {n}", soon)
            await session.commit()
        assert await told(world, receiver) == 0, "more may be coming"
        await world.advance(66)
        assert await told(world, receiver) == 120
        await noted(world, "later")
        await world.advance(60)
        assert await told(world, receiver) == 0
        await world.advance(300)
        assert await told(world, receiver) == 1
    first, second = receiver.mails
    assert receiver.recipients == [ADDRESS, ADDRESS]
    assert first["Subject"] == "Missedbeat: 120 notices, the first: Trouble number 0"
    text = first.get_body(("plain",))
    assert text is not None
    assert "Trouble number 49" in text.get_content()
    assert "70 more" in text.get_content()
    assert second["Subject"] == "Missedbeat: Something is wrong"


async def test_the_same_event_is_told_once_however_often_it_is_noted(world: World) -> None:
    """Kind and key name it, also after it was told."""
    async with MailReceiver() as receiver:
        assert await noted(world, "same")
        assert not await noted(world, "same", "in other words")
        await world.advance(6)
        assert await told(world, receiver) == 1
        assert not await noted(world, "same")
        await world.advance(400)
        assert await told(world, receiver) == 0
    assert len(receiver.mails) == 1


async def test_a_notice_is_tried_again_until_the_mail_server_takes_it(world: World) -> None:
    """A server that is away or refuses loses nothing; while one process holds it, no other sends it."""
    await noted(world, "kept")
    await world.advance(6)
    assert await told(world) == 0
    async with MailReceiver(refuse={"DATA": "451 not now"}) as receiver:
        assert await told(world, receiver) == 0, "held until the lease ends"
        await world.advance(61)
        assert await told(world, receiver) == 0
        assert receiver.mails == []
        receiver.refuse.clear()
        await world.advance(61)
        assert await told(world, receiver) == 1
    assert len(receiver.mails) == 1


async def test_without_an_address_the_log_is_the_telling(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, at once, and no mail."""
    for n in range(2):
        await noted(world, str(n), f"Trouble number {n}")
    await world.advance(6)
    assert await told(world, address="") == 2
    assert await told(world, address="") == 0
    assert "Trouble number 1" in capsys.readouterr().out


async def test_what_is_untold_is_counted_and_what_was_told_is_forgotten_in_time(world: World) -> None:
    """Untold ones are never dropped."""
    await noted(world, "old")
    await world.advance(6)
    await told(world, address="")
    await world.advance(timedelta(days=91).total_seconds())
    await noted(world, "new")
    async with world.sessions() as session:
        await notices.forget(session, await world.now())
        await session.commit()
        assert (await notices.untold(session))[0] == 1
    assert [row["key"] for row in await world.rows("SELECT key FROM notices")] == ["new"]
