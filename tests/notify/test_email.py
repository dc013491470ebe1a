"""Mail, as a real server gets it and a real parser reads it."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from app.domain.message import Message, Parcel, Told, Verdict, compose, plain
from app.errors import Invalid
from app.notify.senders import Mailer, Outbound, Outcome, Post, check_settings
from tests.receivers import HttpReceiver, MailReceiver, Reply, certify

pytestmark = pytest.mark.anyio

AT = datetime(2026, 3, 1, 2, 5, tzinfo=UTC)
SENDER = "Missedbeat <alerts@beat.example>"
HOSTILE = [
    "<!channel>",
    "<script>alert(1)</script>",
    "a\r\nBcc: victim@evil.test",
    "a\u2028Bcc: x@evil.test",
    "\u202eevil",
    "n\x00ul",
    "=?utf-8?q?x?=",
    "=?utf-8?q?=0aBcc:_victim=40evil.test?=",
    "=?utf-8?b?CgpZb3VyIGxpbms6?=",
    "ü" * 10_000,
]


def message(**changes: Any) -> Message:
    """A down by silence with everything in it."""
    given: dict[str, Any] = {
        "kind": "monitor.down",
        "at": AT,
        "project": "shop",
        "name": "nightly-backup",
        "tags": ("db",),
        "schedule": "every 10 s",
        "explain": "No check-in came.",
        "output": "line one\n<b>line two</b>",
        "incident_id": "i-1",
    }
    return compose(Told(**(given | changes)), base_url="https://beat.example")


async def send(receiver: MailReceiver, what: Message | None = None, to: str = "ops@shop.test", **mailer: Any) -> Outcome:
    """One attempt through everything there is, from the registry down."""
    given: dict[str, Any] = {"host": "127.0.0.1", "port": receiver.port, "tls": "none", "sender": SENDER}
    server = Mailer(**(given | mailer))
    async with Outbound() as outbound:
        return await Post(outbound, server).send("email", Parcel("d-1", what or message(), {"address": to}, "", AT))


def part(mail: EmailMessage, kind: str) -> str:
    """The text of the part in plain or html."""
    body = mail.get_body((kind,))
    assert body is not None
    content = body.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


class Tags(HTMLParser):
    """Which elements and addresses a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.links: list[str | None] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """The parser's hook."""
        self.seen.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src", "style", "background")]


async def test_a_mail_arrives_whole() -> None:
    """To one mailbox, with text and HTML that say the same."""
    async with MailReceiver() as receiver:
        outcome = await send(receiver)
    assert (outcome.verdict, outcome.status) == (Verdict.DELIVERED, 250)
    assert "kept as 4711" in outcome.answer
    (mail,) = receiver.mails
    assert receiver.recipients == ["ops@shop.test"]
    assert mail["To"] == "ops@shop.test"
    assert mail["From"] == SENDER
    assert mail["Subject"] == "DOWN: nightly-backup"
    assert parsedate_to_datetime(mail["Date"]) == AT
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "multipart/alternative"
    text = part(mail, "plain")
    assert text.startswith("No check-in came.\n\nSince: 2026-03-01 02:05:00 UTC\nExpected: every 10 s\n")
    assert "  line one\n  <b>line two</b>\n" in text
    assert text.rstrip().endswith("https://beat.example/incidents/i-1")
    assert "line one\n&lt;b&gt;line two&lt;/b&gt;" in part(mail, "html")
    assert Tags(part(mail, "html")).links == ["https://beat.example/incidents/i-1"]
    assert mail.defects == []


async def test_all_mails_of_an_incident_thread_and_each_delivery_has_its_own_id() -> None:
    """The id is the same over attempts, so that a receiver can tell a repeat."""
    async with MailReceiver() as receiver:
        for what in (message(), message(), message(kind="monitor.up", down_since=AT - timedelta(minutes=1))):
            await send(receiver, what)
    down, again, up = receiver.mails
    assert down["Message-ID"] == again["Message-ID"] == "<d-1@beat.example>"
    for mail in (down, up):
        assert mail["References"] == mail["In-Reply-To"] == "<incident-i-1@beat.example>"


async def test_a_test_message_belongs_to_no_thread() -> None:
    """It has no incident."""
    async with MailReceiver() as receiver:
        await send(receiver, message(kind="test", incident_id=""))
    assert receiver.mails[0]["References"] is None


@pytest.mark.parametrize("evil", HOSTILE)
async def test_hostile_words_change_neither_headers_nor_html(evil: str) -> None:
    """Written into every field; the mail is parsed back and has our headers and our elements, no more."""
    fields = ("name", "project", "schedule", "reason", "explain", "output", "incident_id")
    async with MailReceiver() as receiver:
        outcome = await send(receiver, message(**dict.fromkeys(fields, evil), tags=(evil, evil)))
    assert outcome.verdict is Verdict.DELIVERED
    (mail,) = receiver.mails
    ours = ["From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted"]
    assert mail.keys()[: len(ours)] == ours
    assert "Bcc" not in mail
    assert re.fullmatch(r"<incident-[A-Za-z0-9.-]+@beat\.example>", str(mail["References"]))
    assert receiver.recipients == ["ops@shop.test"]
    assert str(mail["Subject"]).startswith("DOWN: ")
    assert len(str(mail["Subject"])) <= 200
    seen = Tags(part(mail, "html"))
    assert seen.seen <= {"html", "head", "meta", "title", "body", "h2", "p", "table", "tr", "td", "pre", "a"}
    assert len(seen.links) == 1
    assert str(seen.links[0]).startswith("https://beat.example/incidents/")
    assert not any(char in part(mail, kind) + str(mail["Subject"]) for char in "\x00\u202e\u2028" for kind in ("plain", "html"))
    assert all(len(line) <= 998 for line in receiver.raw[0].split(b"\r\n"))


@pytest.mark.parametrize("words", ["=?utf-8?q?=0a=0aYour_link?=", "a=?utf-8?b?Cg==?=b", "ü =?utf-8?q?x?= =?", "plain =? words"])
async def test_a_name_that_looks_like_an_encoded_header_is_shown_as_it_was_written(words: str) -> None:
    """Python's header parser would decode it, and write the line breaks in it into the mail as they are."""
    async with MailReceiver() as receiver:
        assert (await send(receiver, message(name=words))).verdict is Verdict.DELIVERED
    assert receiver.mails[0]["Subject"] == f"DOWN: {words}"
    assert part(receiver.mails[0], "plain").startswith("No check-in came.")


async def test_the_fallback_goes_out_as_a_mail_too() -> None:
    """Even with nothing but a name."""
    async with MailReceiver() as receiver:
        outcome = await send(receiver, plain(Told(kind="monitor.down", at=AT, project="shop", name="a\r\nBcc: b@c.test")))
    assert outcome.verdict is Verdict.DELIVERED
    assert receiver.mails[0]["Subject"] == "DOWN: a Bcc: b@c.test"


@pytest.mark.parametrize(
    ("command", "line", "verdict"),
    [
        ("RCPT", "550 5.1.1 no such user", Verdict.REFUSED),
        ("RCPT", "450 4.2.1 greylisted", Verdict.RETRY),
        ("DATA", "554 5.7.1 looks like spam", Verdict.REFUSED),
        ("DATA", "452 4.3.1 disk full", Verdict.RETRY),
        ("MAIL", "451 4.3.0 later", Verdict.RETRY),
        ("MAIL", "530 5.7.0 sign in first", Verdict.UNAUTHORISED),
        ("RCPT", "530 5.7.0 sign in first", Verdict.UNAUTHORISED),
        ("MAIL", "553 5.1.8 not your domain", Verdict.UNAUTHORISED),
    ],
)
async def test_what_the_server_refuses_is_understood(command: str, line: str, verdict: Verdict) -> None:
    """For now or for good, and whether the recipient or we are meant; its words are kept."""
    async with MailReceiver(refuse={command: line}) as receiver:
        outcome = await send(receiver)
    assert (outcome.verdict, outcome.status) == (verdict, int(line[:3]))
    assert line[4:] in outcome.answer
    assert receiver.mails == []


async def test_it_signs_in_when_told_to() -> None:
    """With the right password it delivers; with a wrong one the owner is told, and the password is not."""
    async with MailReceiver(user="us", password="right") as receiver:
        good = await send(receiver, user="us", password="right")
        bad = await send(receiver, user="us", password="wrong-secret")
    assert good.verdict is Verdict.DELIVERED
    assert bad.verdict is Verdict.UNAUTHORISED
    assert "wrong-secret" not in bad.answer
    assert "wrong-secret" not in repr(Mailer(password="wrong-secret"))


async def test_auto_encrypts_where_it_is_offered_and_sends_no_password_in_clear_elsewhere(tmp_path: Path) -> None:
    """STARTTLS when the server has it, plain when it has not; with a password to another machine it is a must."""
    server, client = certify(tmp_path, "127.0.0.1")
    async with MailReceiver(tls=server) as offering, MailReceiver() as plain:
        assert (await send(offering, tls="auto", context=client)).verdict is Verdict.DELIVERED
        assert offering.encrypted == [True]
        assert (await send(plain, tls="auto")).verdict is Verdict.DELIVERED
        elsewhere = await send(plain, tls="auto", host="127.1", user="u", password="p")
        assert elsewhere.verdict is not Verdict.DELIVERED
        assert (await send(plain, tls="auto", host="127.1")).verdict is Verdict.DELIVERED


async def test_starttls_encrypts_and_checks_the_name(tmp_path: Path) -> None:
    """A server that offers none, or another's certificate, gets no mail."""
    server, client = certify(tmp_path, "127.0.0.1")
    async with MailReceiver(tls=server) as receiver, MailReceiver() as clear:
        assert (await send(receiver, tls="starttls", context=client)).verdict is Verdict.DELIVERED
        assert (await send(receiver, tls="starttls")).verdict is Verdict.RETRY
        assert (await send(clear, tls="starttls", context=client)).verdict is Verdict.RETRY
    assert receiver.encrypted == [True]
    assert clear.mails == []


async def test_without_a_server_it_says_what_to_set() -> None:
    """And tries no more."""
    async with Outbound() as outbound:
        outcome = await Post(outbound, Mailer()).send("email", Parcel("d-1", message(), {"address": "a@b.test"}, "", AT))
    assert outcome == Outcome(Verdict.REFUSED, "no SMTP server is set: set MISSEDBEAT_SMTP_HOST")


async def test_a_server_that_is_not_there_or_hangs_or_babbles_is_tried_again() -> None:
    """As an outcome, not as an exception, and within the time limit of an attempt."""
    async with MailReceiver() as receiver:
        pass
    assert (await send(receiver)).verdict is Verdict.RETRY
    async with HttpReceiver(Reply(hang=True)) as silent, Outbound() as outbound:
        before = time.monotonic()
        post = Post(outbound, Mailer(host="127.0.0.1", port=silent.port, tls="none", sender=SENDER), time_limit=0.3)
        outcome = await post.send("email", Parcel("d-1", message(), {"address": "a@b.test"}, "", AT))
        assert time.monotonic() - before < 2
    assert outcome == Outcome(Verdict.RETRY, "no answer within 0.3 s")


async def test_an_address_nobody_checked_is_refused() -> None:
    """A line break in a stored address reaches no server and stops no loop."""
    async with MailReceiver() as receiver:
        for address in ("a@b.test\r\nBcc: c@d.test", ""):
            assert (await send(receiver, to=address)).verdict is Verdict.REFUSED
    assert receiver.mails == []


def test_an_address_is_kept_in_clear() -> None:
    """There is no secret in it, and the page shows it."""
    assert check_settings("email", {"address": "o'ps+x@mail.shop.test"}) == ({"address": "o'ps+x@mail.shop.test"}, {})
    assert check_settings("email", {"address": "root@localhost"})[0] == {"address": "root@localhost"}


@pytest.mark.parametrize("address", [None, 7, "", "ops", "@b.test", "a@", "a@b..test", "a@-b.test", "ü@b.test", "a@[127.0.0.1]"])
def test_what_is_no_mailbox_is_refused(address: object) -> None:
    """Before it is stored."""
    with pytest.raises(Invalid, match=r"^address: give one e-mail address"):
        check_settings("email", {"address": address})


SEVERAL = [
    "a@b.test, c@d.test",
    "Ops <a@b.test>",
    "a b@c.test",
    "a@b.test\r\nBcc: c@d.test",
    "a@b.test\n",
    "a" * 65 + "@b.test",
    "=?utf-8?q?c=40d?=@b.test",
]


@pytest.mark.parametrize("address", [*SEVERAL, "a@" + "b" * 260])
def test_anything_but_one_mailbox_is_refused(address: object) -> None:
    """Before it is stored."""
    with pytest.raises(Invalid, match=r"^address: give one e-mail address"):
        check_settings("email", {"address": address})


def test_an_unknown_field_is_refused_by_name() -> None:
    """A misspelt field is no silent default."""
    with pytest.raises(Invalid, match=r"^adress: "):
        check_settings("email", json.loads('{"adress": "a@b.test"}'))
