"""Mail to people: sent for what is committed, until it is taken or of no use any more."""

import asyncio
import html
import re
from datetime import timedelta

import pytest

from app.domain.letter import Asked, Letter, LetterKind, compose
from app.notify.email import Mailer
from app.notify.letters import send_letters_once
from app.store import letters
from app.store.vault import Vault
from tests.receivers import MailReceiver
from tests.world import SECRET_KEY, World

pytestmark = pytest.mark.anyio

ANNA = "anna@example.org"
LINK = "https://beat.example/login/secret-of-the-link"
TEN_MINUTES = timedelta(minutes=10)
HOSTILE = 'Évil\r\nBcc: all@example.org\r\n\r\n<img src="x"><a href="https://evil.example">{host} {{7*7}} %s\0\u2028</a>'
ENCODED = "=?utf-8?q?=0aBcc:_all=40example.org=0a=0aYour_prize?="  # Python's header parser would decode it


def letter() -> Letter:
    """A link to sign in."""
    asked = Asked("203.0.113.9", "Mozilla/5.0 <script>")
    return compose(LetterKind.LOGIN, host="beat.example", link=LINK, valid=TEN_MINUTES, asked=asked)


async def written(world: World, to: str = ANNA, good_for: timedelta = TEN_MINUTES, vault: Vault | None = None) -> None:
    """One letter, committed."""
    async with world.sessions() as session:
        await letters.write(session, vault or Vault(SECRET_KEY), letter(), to, good_for, await world.now())
        await session.commit()


async def sent(world: World, receiver: MailReceiver | None = None) -> int:
    """One round of the worker's job."""
    mailer = Mailer("127.0.0.1", receiver.port if receiver else 1, tls="none", sender="Missedbeat <beat@example.com>")
    return await send_letters_once(world.sessions, Vault(SECRET_KEY), mailer)


async def test_a_letter_says_who_asked_and_how_long_its_link_is_good_and_is_then_forgotten(world: World) -> None:
    """Text and HTML say the same; in the table the link never stood in clear, and after it was taken nothing does."""
    await written(world)
    (row,) = await world.rows("SELECT l::text AS whole, sealed FROM letters l")
    assert "secret-of-the-link" not in row["whole"]
    assert b"secret-of-the-link" not in row["sealed"]
    async with MailReceiver() as receiver:
        assert await sent(world, receiver) == 1
        assert await sent(world, receiver) == 0
    (mail,) = receiver.mails
    assert (receiver.recipients, mail["Subject"]) == ([ANNA], "Your link to sign in")
    assert mail["Auto-Submitted"] == "auto-generated"
    text, page = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert page is not None
    assert text.get_content().splitlines() == [
        "Somebody, probably you, wants to sign in at beat.example with this address.", "",
        "Sign in:", LINK, "",
        "The link is good for 10 minutes and opens once, in the browser that asked for it.",
        "Asked for from 203.0.113.9, Mozilla/5.0 <script>.", "",
        "If it was not you, do nothing: without the link nothing happens.",
    ]  # fmt: skip
    assert f'<a href="{LINK}">Sign in</a>' in page.get_content()
    assert "&lt;script&gt;" in page.get_content()
    assert "<script>" not in page.get_content()
    assert await world.rows("SELECT * FROM letters") == []


@pytest.mark.parametrize("hostile", [HOSTILE, ENCODED])
@pytest.mark.parametrize("kind", LetterKind)
async def test_what_others_chose_is_plain_text_in_every_letter(world: World, kind: LetterKind, hostile: str) -> None:
    """A name, an address and a browser of somebody else make no header, no recipient, no part of the mail and no markup; the link
    is whole in both parts."""
    asked = Asked(hostile, hostile)
    made = compose(kind, host="beat.example", link=LINK, valid=TEN_MINUTES, asked=asked, name=hostile, by=hostile, until="soon")
    async with world.sessions() as session:
        await letters.write(session, Vault(SECRET_KEY), made, ANNA, TEN_MINUTES, await world.now())
        await session.commit()
    async with MailReceiver() as receiver:
        assert await sent(world, receiver) == 1
    (mail,), names = receiver.mails, {"Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress"}
    assert receiver.recipients == [ANNA]
    assert set(mail.keys()) <= names | {"MIME-Version", "Content-Type", "X-Peer", "X-MailFrom", "X-RcptTo"}
    subject = " ".join(mail["Subject"].split())  # where a line was folded a blank may come twice
    assert (mail["To"], subject) == (ANNA, made.subject)
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    text, page = (mail.get_body((wanted,)) for wanted in ("plain", "html"))
    assert text is not None
    assert page is not None
    lines, markup = text.get_content().splitlines(), page.get_content()
    assert lines[0] == made.sentence
    assert LINK in lines
    assert not any(line.startswith("Bcc:") for line in lines)
    assert re.findall(r'(?:href|src)="([^"]*)"', markup) == [LINK]
    assert set(re.findall(r"<(\w+)", markup)) <= {"html", "head", "meta", "title", "body", "h2", "p", "a", "small"}
    assert html.unescape(re.sub(r"<[^>]*>", "\n", markup)).count(made.sentence) == 1


async def test_nothing_is_sent_for_what_is_not_committed(world: World) -> None:
    """It is written in the transaction of what it tells of."""
    async with world.sessions() as session, MailReceiver() as receiver:
        await letters.write(session, Vault(SECRET_KEY), letter(), ANNA, TEN_MINUTES, await world.now())
        assert await sent(world, receiver) == 0
        await session.rollback()
        assert await sent(world, receiver) == 0


async def test_a_letter_is_tried_again_until_a_mail_server_takes_it(world: World) -> None:
    """A server that is away or refuses for now loses nothing."""
    await written(world)
    assert await sent(world) == 0
    async with MailReceiver(refuse={"DATA": "451 not now"}) as receiver:
        assert await sent(world, receiver) == 0
        assert [row["attempts"] for row in await world.rows("SELECT attempts FROM letters")] == [1], "not due yet"
        world.sleep(7)
        assert await sent(world, receiver) == 0
        receiver.refuse.clear()
        world.sleep(40)
        assert await sent(world, receiver) == 1
    assert [(row["kind"], row["key"]) for row in await world.rows("SELECT kind, key FROM notices")] == []


async def test_while_one_process_holds_a_letter_no_other_sends_it(world: World) -> None:
    """Until its lease ends: then its process is taken for dead."""
    await written(world)
    async with world.sessions() as session, world.sessions() as other:
        claimed = await letters.claim(session, Vault(SECRET_KEY), await world.now(), 8)
        async with asyncio.timeout(20):
            assert await letters.claim(other, Vault(SECRET_KEY), await world.now(), 8) == [], "nor waits for it"
        await session.commit()
    assert len(claimed) == 1
    async with MailReceiver() as receiver:
        assert await sent(world, receiver) == 0
        world.sleep(61)
        assert await sent(world, receiver) == 1


async def test_a_link_is_not_sent_after_its_time_and_the_operator_hears_of_it(world: World) -> None:
    """Whoever runs the service can mend the mail server, and is told without an address or a link."""
    await written(world)
    for _ in range(12):
        await sent(world)
        world.sleep(120)
    (row,) = await world.rows("SELECT gave_up_at, sealed, answer FROM letters")
    assert row["gave_up_at"] is not None
    assert row["sealed"] == b""
    (notice,) = await world.rows("SELECT kind, words FROM notices")
    assert notice["kind"] == "letter"
    assert "(login): Error connecting to 127.0.0.1" in notice["words"]
    assert ANNA not in notice["words"]
    async with MailReceiver() as receiver:
        assert await sent(world, receiver) == 0


async def test_an_address_that_does_not_exist_is_its_owners_matter(world: World) -> None:
    """It is given up at once and the operator is not bothered; other letters go out."""
    async with MailReceiver(refuse={"RCPT": "550 no such user"}) as receiver:
        await written(world, "nobody@example.org")
        assert await sent(world, receiver) == 0
        receiver.refuse.clear()
        await written(world)
        assert await sent(world, receiver) == 1
        world.sleep(3600)
        assert await sent(world, receiver) == 0
    assert receiver.recipients == [ANNA]
    assert await world.rows("SELECT * FROM notices") == []


async def test_a_letter_sealed_with_another_key_is_given_up_and_told_of(world: World) -> None:
    """As after a secret key was lost; it holds up none behind it."""
    await written(world, vault=Vault("another secret key, 32 characters and more"))
    await written(world, "bob@example.org")
    async with MailReceiver() as receiver:
        assert await sent(world, receiver) == 1
    assert receiver.recipients == ["bob@example.org"]
    (notice,) = await world.rows("SELECT words FROM notices")
    assert "MISSEDBEAT_SECRET_KEY" in notice["words"]


async def test_without_a_mail_server_a_letter_waits_while_it_is_of_use(world: World) -> None:
    """A worker that was started without the setting loses nothing that the next one can send."""
    await written(world, good_for=timedelta(days=7))
    assert await send_letters_once(world.sessions, Vault(SECRET_KEY), Mailer()) == 0
    world.sleep(10)
    async with MailReceiver() as receiver:
        assert await sent(world, receiver) == 1
