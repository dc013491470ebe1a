"""The mail door's end of SMTP: what it refuses and with which words, and what a sender cannot do to it. Raw lines on a real
socket, the inbox and database of the world behind them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

from app.ingest import smtp
from app.ingest.smtp import Mailroom
from app.store.engine import make_engine, make_sessions
from tests.world import World, living

pytestmark = pytest.mark.anyio

DOMAIN = "ping.example.org"


class Client:
    """A sender that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> str:
        """The next answer, its lines joined; empty where the other end hung up."""
        lines = []
        async with asyncio.timeout(20):
            while line := (await self.reader.readline()).decode():
                lines.append(line.rstrip())
                if line[3:4] != "-":
                    break
        return "\n".join(lines)

    async def say(self, line: str | bytes) -> str:
        """One line, and its answer."""
        self.writer.write((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return await self.answer()

    async def mail(self, body: bytes, *recipients: str) -> str:
        """A whole mail; `body` with its line ends and without the closing dot. The last answer."""
        await self.say("RSET")
        assert (await self.say("MAIL FROM:<job@example.com>")).startswith("250")
        for recipient in recipients:
            answer = await self.say(f"RCPT TO:<{recipient}>")
            if not answer.startswith("250"):
                return answer
        assert (await self.say("DATA")).startswith("354")
        return await self.say(body + b"\r\n.")


class Door:
    """An open mail door."""

    def __init__(self, room: Mailroom, port: int) -> None:
        self.room = room
        self.port = port
        self._clients: list[Client] = []

    async def client(self, greet: bool = True) -> Client:
        """A new connection, greeted."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        if greet:
            assert (await client.answer()).startswith("220 ")
            assert (await client.say("EHLO job.example.com")).startswith("250")
        return client

    async def close(self) -> None:
        """Hang up from both ends."""
        await self.room.close()
        for client in self._clients:
            client.writer.close()
            with contextlib.suppress(ConnectionError):
                await client.writer.wait_closed()


@asynccontextmanager
async def opened(world: World, **more: Any) -> AsyncIterator[Door]:
    """A mail door before this world's inbox."""
    engine = make_engine(world.dsn, "ingest", 2)
    room = Mailroom(world.web.inbox, make_sessions(engine), DOMAIN, 100_000, **more)
    server = await asyncio.get_running_loop().create_server(room.connection, "127.0.0.1", 0)
    door = Door(room, server.sockets[0].getsockname()[1])
    try:
        yield door
    finally:
        server.close()
        await door.close()
        await engine.dispose()


@pytest.fixture
async def door(world: World) -> AsyncIterator[Door]:
    """A mail door."""
    async with opened(world) as door:
        yield door


async def kept(world: World) -> list[dict[str, Any]]:
    """Every ping that was heard, oldest first."""
    return await world.rows("SELECT n, signal, user_agent, body, body_truncated FROM check_ins ORDER BY received_at, n")


async def test_what_is_no_address_is_refused_at_once(world: World, door: Door) -> None:
    """Broken, foreign or unknown: a 5xx in answer to RCPT, whatever Python's parser makes of it; the connection goes on."""
    address = f"{(await world.check())['uuid']}@{DOMAIN}"
    client = await door.client()
    assert (await client.say("MAIL FROM:<>")).startswith("250")
    for broken in ("<", "<a@", '<"', "<a@[", "<>", "<@>", "", "<a b@c>", "((((", "<" + "(" * 400, "\\"):
        assert (await client.say(f"RCPT TO:{broken}"))[:1] == "5", broken
    assert (await client.say(b"RCPT TO:<\xff\xfe\0@ping.example.org>"))[:1] == "5"
    for unknown in (address.replace(DOMAIN, "example.org"), f"{'a' * 36}@{DOMAIN}", f"key+slug@{DOMAIN}", "postmaster"):
        assert await client.say(f"RCPT TO:<{unknown}>") == smtp.UNKNOWN
    assert (await client.say("DATA")).startswith("503")
    assert await client.say(f"RCPT TO:<{address}>") == smtp.GOOD
    assert (await client.say("DATA")).startswith("354")
    assert await client.say("Subject: x\r\n\r\nok\r\n.") == smtp.GOOD
    assert len(await kept(world)) == 1


async def test_a_sender_learns_what_it_may_do(door: Door) -> None:
    """SIZE, 8BITMIME and SMTPUTF8; nobody signs in, nobody is told who is here; an old HELO will do."""
    client = await door.client()
    offers = await client.say("EHLO job.example.com")
    assert "SIZE 10000000" in offers
    assert "8BITMIME" in offers
    assert "SMTPUTF8" in offers
    assert "AUTH" not in offers
    assert (await client.say("AUTH PLAIN AGEAYg==")).startswith("502")
    assert (await client.say("VRFY <root\udcff>".encode(errors="surrogateescape"))).startswith("252")
    assert (await client.say("EXPN all")).startswith("502")
    assert (await client.say("MAIL FROM:<a@b> SIZE=10000001")).startswith("552")
    assert (await client.say("HELO job")).startswith("250")
    assert (await client.say("MAIL FROM:<a@b>")).startswith("250")
    assert (await client.say("QUIT")).startswith("221")


async def test_a_mail_is_kept_as_it_was_written(world: World, door: Door) -> None:
    """Doubled dots are single again, lines may be long, only CRLF.CRLF ends a mail, NUL and bytes of any kind are kept; an empty
    mail counts too."""
    address = f"{(await world.check())['uuid']}@{DOMAIN}"
    client = await door.client()
    for wire, content in (
        (b"..first\r\nends with a dot.\r\n...", b".first\r\nends with a dot.\r\n..\r\n"),
        (b"long " + b"x" * 90_000, b"long " + b"x" * 90_000 + b"\r\n"),
        (b"a\n.\nb\n.\r\nMAIL FROM:<smuggled@example.com>\r\n", b"a\n.\nb\n.\r\nMAIL FROM:<smuggled@example.com>\r\n\r\n"),
        (b"\0\xff\xfe\r\r\n\x1a", b"\0\xff\xfe\r\r\n\x1a\r\n"),
        (b"", b"\r\n"),
    ):
        assert await client.mail(wire, address) == smtp.GOOD
        assert (await kept(world))[-1]["body"] == content
    assert (await client.say("MAIL FROM:<a@b>")).startswith("250")
    await client.say(f"RCPT TO:<{address}>")
    await client.say("DATA")
    assert await client.say(".") == smtp.GOOD
    assert (await kept(world))[-1]["body"] is None
    assert len(await kept(world)) == 6


async def test_a_mail_over_10_mb_is_refused_and_the_next_one_is_heard(world: World, door: Door) -> None:
    """552 once it is over; of a smaller one the first 100 kB are kept, and its memory is given back."""
    address = f"{(await world.check())['uuid']}@{DOMAIN}"
    client = await door.client()
    assert await client.mail(b"x\r\n" * 3_400_000, address) == smtp.TOO_LARGE
    assert await client.mail(b"\r\n" * 4_900_000, address) == smtp.GOOD
    assert door.room.reading == 0
    (only,) = await kept(world)
    assert (len(only["body"]), only["body_truncated"]) == (100_000, True)


async def test_mails_on_their_way_are_bounded_all_together(world: World, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes while the room is full is asked to come again; who hangs up makes room."""
    monkeypatch.setattr(smtp, "MOST_READING", 300_000)
    address = f"{(await world.check())['uuid']}@{DOMAIN}"
    slow, other = await door.client(), await door.client()
    await slow.say("MAIL FROM:<a@b>")
    await slow.say(f"RCPT TO:<{address}>")
    await slow.say("DATA")
    slow.writer.write(b"x" * 250_000)
    await slow.writer.drain()
    async with asyncio.timeout(5):
        while door.room.reading < 200_000:
            await asyncio.sleep(0.01)
    assert await other.mail(b"x" * 100_000, address) == smtp.FULL
    slow.writer.close()
    async with asyncio.timeout(5):
        while door.room.reading:
            await asyncio.sleep(0.01)
    assert await other.mail(b"x" * 100_000, address) == smtp.GOOD
    assert len(await kept(world)) == 1


async def test_connections_are_bounded_in_number_and_commands(world: World, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """421 beyond so many of one address or of all; a line without an end is no command; nonsense is not listened to for long."""
    monkeypatch.setattr(smtp, "MOST_FROM_ONE", 2)
    first, _ = await door.client(), await door.client()
    third = await door.client(greet=False)
    assert await third.answer() == smtp.CROWDED
    assert await third.answer() == ""
    assert (await first.say("QUIT")).startswith("221")
    assert await first.answer() == ""
    client = await door.client()
    assert (await client.say("NOOP " + "x" * 5_000)).startswith("500")
    assert (await client.say("MAIL FROM:<" + "x" * 600 + "@b>")).startswith("500")
    answers = [await client.say(f"NONSENSE{n}") for n in range(5)]
    assert answers[-1].startswith("502")
    assert await client.answer() == ""


async def test_a_sender_that_says_nothing_is_hung_up_on(world: World, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and in the middle of a mail; what it had sent does not count."""
    monkeypatch.setattr(smtp, "COMMAND_LIMIT", 0.5)
    monkeypatch.setattr(smtp, "DATA_LIMIT", 0.5)
    address = f"{(await world.check())['uuid']}@{DOMAIN}"
    idle, slow = await door.client(), await door.client()
    await slow.say("MAIL FROM:<a@b>")
    await slow.say(f"RCPT TO:<{address}>")
    await slow.say("DATA")
    slow.writer.write(b"Subject: x\r\n")
    assert [await idle.answer(), await slow.answer()] == ["", ""]
    assert await kept(world) == []
    assert door.room.reading == 0


async def test_a_check_deleted_in_the_middle_of_a_mail_is_no_address_any_more(world: World, door: Door) -> None:
    """550 for its sender to see; a mail that also counted elsewhere is accepted."""
    gone, stays = await world.check(), await world.check(name="stays")
    client = await door.client()
    for others, answer in (((), smtp.DELETED), ((f"{stays['uuid']}@{DOMAIN}",), smtp.GOOD)):
        going = gone if not others else await world.check(name="going")
        await client.say("MAIL FROM:<a@b>")
        for recipient in (f"{going['uuid']}@{DOMAIN}", *others):
            assert await client.say(f"RCPT TO:<{recipient}>") == smtp.GOOD
        await world.api("DELETE", f"checks/{going['uuid']}")
        await client.say("DATA")
        assert await client.say("Subject: x\r\n\r\n.") == answer


async def test_one_mail_counts_once_for_each_of_its_addresses(world: World, door: Door) -> None:
    """An address given twice is one; too many are asked to be sent apart."""
    check = await world.check(slug="x")
    by_id, by_slug = f"{check['uuid']}@{DOMAIN}", f"{world.project.ping_key}+x@{DOMAIN}"
    client = await door.client()
    assert await client.mail(b"Message-ID: <1@b>\r\n", by_id, by_id.upper(), by_slug) == smtp.GOOD
    assert [row["n"] for row in await kept(world)] == [1, 2]
    await client.say("MAIL FROM:<a@b>")
    answers = [await client.say(f"RCPT TO:<{by_id}>") for _ in range(101)]
    assert answers[99:] == [smtp.GOOD, smtp.TOO_MANY_RECIPIENTS]


async def test_more_mails_than_a_monitor_may_have_are_to_come_again_later(dsn: str) -> None:
    """452 where HTTP has 429; nothing is stored of them."""
    async with living(dsn, ping_limit=1) as world, opened(world) as door:
        address = f"{(await world.check())['uuid']}@{DOMAIN}"
        client = await door.client()
        answers = [await client.mail(b"Subject: x\r\n", address) for _ in range(4)]
        assert smtp.TOO_MANY in answers
        assert len(await kept(world)) == answers.count(smtp.GOOD)


async def test_a_closed_inbox_asks_senders_to_come_again(world: World, door: Door) -> None:
    """Nothing is lost while the process stops: 451 for the mail, 421 for the connection."""
    address = f"{(await world.check())['uuid']}@{DOMAIN}"
    client, idle = await door.client(), await door.client()
    await client.say("MAIL FROM:<a@b>")
    await client.say(f"RCPT TO:<{address}>")
    await client.say("DATA")
    world.web.inbox.close()
    assert await client.say("Subject: x\r\n\r\n.") == smtp.NOT_NOW
    await asyncio.wait_for(door.room.close(), 5)
    assert [await client.answer(), await idle.answer()] == [smtp.CLOSING] * 2
    assert [await client.answer(), await idle.answer()] == ["", ""]


async def test_a_mail_that_is_being_heard_is_answered_before_its_connection_is_closed(world: World, door: Door) -> None:
    """The process stops while the commit is under way: 250, and only then 421."""
    address = f"{(await world.check())['uuid']}@{DOMAIN}"
    client = await door.client()
    await client.say("MAIL FROM:<a@b>")
    await client.say(f"RCPT TO:<{address}>")
    await client.say("DATA")
    async with world.sessions() as holding:
        await holding.execute(text("SELECT id FROM monitors FOR UPDATE"))
        client.writer.write(b"Subject: x\r\n\r\n.\r\n")
        async with asyncio.timeout(5):
            while not any(connection.hearing for connection in door.room.open):
                await asyncio.sleep(0.01)
        closing = asyncio.create_task(door.room.close())
        await asyncio.sleep(0.1)
        await holding.rollback()
    assert [await client.answer() for _ in range(3)] == [smtp.GOOD, smtp.CLOSING, ""]
    await asyncio.wait_for(closing, 5)
    assert len(await kept(world)) == 1


async def test_a_sender_of_strange_bytes_is_kept_as_far_as_it_can_be_read(world: World, door: Door) -> None:
    """At most 200 characters, none that cannot be shown or stored."""
    address = f"{(await world.check())['uuid']}@{DOMAIN}"
    client = await door.client()
    for sender in (b"<j\xc3\xb6b@example.com>", b"<j\xff\xfe\0b@example.com>", b"<" + b"x" * 300 + b"@example.com>"):
        await client.say("RSET")
        assert (await client.say(b"MAIL FROM:" + sender + b" BODY=8BITMIME SMTPUTF8")).startswith("250")
        await client.say(f"RCPT TO:<{address}>")
        await client.say("DATA")
        assert await client.say("Subject: x\r\n\r\n.") == smtp.GOOD
    first, second, third = [row["user_agent"] for row in await kept(world)]
    assert first == "Email from jöb@example.com"
    assert second.startswith("Email from j")
    assert second.isprintable()
    assert len(third) == 200
