"""What a mail says, for every way in which mails say it, and for those that make no sense."""

import base64
import quopri
import time
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.mail import read_mail, repeat_key
from app.ingest.markup import words_of
from app.ingest.smtp import address_of
from app.store.addresses import Address

UUID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def mail(headers: str, body: str | bytes = "") -> bytes:
    """A mail as it comes over the wire."""
    head = headers.strip().replace("\n", "\r\n").encode()
    return head + b"\r\n\r\n" + (body.replace("\n", "\r\n").encode() if isinstance(body, str) else body)


# ---- Subjects


@pytest.mark.parametrize(
    ("raw", "subject"),
    [
        ("Backup OK", "Backup OK"),
        ("=?utf-8?q?Sicherung_l=C3=A4uft?=", "Sicherung läuft"),
        ("=?UTF-8?B?U2ljaGVydW5nIGzDpHVmdA==?=", "Sicherung läuft"),
        ("=?iso-8859-1?Q?l=E4uft?= gut", "läuft gut"),
        ("=?iso-2022-jp?B?GyRCQC44eRsoQg==?=", "成功"),
        ("=?utf-8?q?SUC?=\n =?utf-8?q?CESS?=", "SUCCESS"),
        ("a long\n one", "a long one"),
        ("läuft", "läuft"),
        ("=?no-such-charset?q?OK=C3=A4?=", "OKä"),
        ("=?utf-8?b?a?= OK", "=?utf-8?b?a?= OK"),
        ("=?utf-8?q?half", "=?utf-8?q?half"),
        ("", ""),
    ],
)
def test_a_subject_is_read_as_a_person_would_see_it(raw: str, subject: str) -> None:
    """Encoded words in any charset, folded lines, raw UTF-8; what cannot be decoded stays as it came."""
    assert read_mail(mail(f"From: a@example.org\nSubject: {raw}\nTo: b@example.org")).subject == subject


def test_a_raw_latin_1_subject_is_read_too() -> None:
    """Old scripts write what their locale has, without saying which."""
    assert read_mail(b"Subject: l\xe4uft\r\n\r\n").subject == "läuft"


def test_names_of_headers_have_any_case_and_the_first_of_several_counts() -> None:
    """As mail programs show them."""
    assert read_mail(b"From root Mon Jan  1 00:00:00 2026\nsUBJECT: one\nSubject: two\n\nbody\n") == read_mail(
        b"Subject: one\n\nbody\n"
    )


# ---- Texts


@pytest.mark.parametrize(
    ("charset", "encoding", "body"),
    [
        ("utf-8", "8bit", "läuft".encode()),
        ("utf-8", "quoted-printable", quopri.encodestring("läuft".encode())),
        ("utf-8", "base64", base64.encodebytes("läuft".encode())),
        ("utf-8", "base64", base64.b64encode("läuft".encode()).rstrip(b"=")),
        ("ISO-8859-1", "8bit", "läuft".encode("latin-1")),
        ("windows-1252", "quoted-printable", quopri.encodestring("läuft".encode("cp1252"))),
        ("utf-16", "base64", base64.b64encode("läuft".encode("utf-16"))),
        ("us-ascii", "7bit", "läuft".encode()),
        ("no-such-charset", "8bit", "läuft".encode()),
        ("no-such-charset", "8bit", "läuft".encode("latin-1")),
        ("punycode", "8bit", "läuft".encode()),
        ("undefined", "8bit", "läuft".encode()),
        ("hex", "8bit", "läuft".encode()),
        ("utf-8\0", "8bit", "läuft".encode()),
    ],
)
def test_a_text_is_read_in_its_charset_and_encoding(charset: str, encoding: str, body: bytes) -> None:
    """And as UTF-8 or Latin-1 where its charset is none."""
    headers = f'Content-Type: text/plain; charset="{charset}"\nContent-Transfer-Encoding: {encoding}'
    assert read_mail(mail(headers, body)).text.strip() == "läuft"


def test_japanese_in_its_old_charset_is_read() -> None:
    """ISO-2022-JP, as mails from Japan have it."""
    assert read_mail(mail("Content-Type: text/plain; charset=iso-2022-jp", "成功".encode("iso-2022-jp"))).text == "成功"


def test_of_alternatives_both_are_read_and_attachments_are_not() -> None:
    """As Python's own library makes such a mail."""
    made = EmailMessage()
    made["Subject"] = "Report"
    made.set_content("the plain text")
    made.add_alternative("<p>the <b>HT</b>ML</p>", subtype="html")
    made.add_attachment("FAILED, in a log", filename="log.txt")
    made.add_attachment(b"FAILED", maintype="application", subtype="pdf", filename="x.pdf")
    text = read_mail(made.as_bytes()).text
    assert "the plain text" in text
    assert "the HTML" in text
    assert "FAILED" not in text


def test_a_mail_within_a_mail_is_read_but_has_no_say_in_the_subject() -> None:
    """A forwarded mail."""
    inner = EmailMessage()
    inner["Subject"] = "inner"
    inner.set_content("inner text")
    outer = EmailMessage()
    outer["Subject"] = "outer"
    outer.set_content("outer text")
    outer.add_attachment(inner, disposition="inline")
    found = read_mail(outer.as_bytes())
    assert found.subject == "outer"
    assert "outer text" in found.text
    assert "inner text" in found.text


@pytest.mark.parametrize(
    "raw",
    [
        b"the words",
        b"Subject: x\r\n\r\nthe words",
        b"Content-Type: multipart/mixed\r\n\r\nthe words",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\nthe words",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nthe words",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nnot a header\r\n\r\nthe words\r\n--b--\r\nafter",
        b'Content-Type: multipart/mixed; boundary="b(.*"\n\n--b(.*\n\nthe words\n--b(.*--\n',
        b"Content-Type: nonsense\r\n\r\nthe words",
        b"Content-Type: text/plain; charset=\r\n\r\nthe words",
        b"Content-Transfer-Encoding: base64\r\n\r\nthe words!",
        b"Content-Type: text/html\r\n\r\nthe words <unfinished",
        b"Content-Type: text/html\r\n\r\n<!-- the words",
        b"\0\xff\xfe the words \r\n.\r\n",
        b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nthe words",
    ],
)
def test_of_a_broken_mail_the_text_is_what_it_looks_like(raw: bytes) -> None:
    """Nobody's alert may hang on a missing boundary."""
    assert "the words" in read_mail(raw).text


@given(st.binary(max_size=400))
def test_no_bytes_are_too_broken_to_be_read(raw: bytes) -> None:
    """Whatever comes: an answer, never an exception."""
    for start in (b"", b"Subject: =?", b"Content-Type: multipart/mixed; boundary=", b"Content-Type: text/html; charset="):
        read_mail(start + raw)


# ---- HTML


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<b>S</b>UCCESS", "SUCCESS"),
        ("<p>one</p><p>two</p>", "one two"),
        ("<td>Status:</td><td>OK</td>", "Status: OK"),
        ("a<br>b", "a b"),
        ("Backup\n   OK&nbsp;now", "Backup OK now"),
        ("&lt;FAIL&gt; &#65;&#x42;&amp;", "<FAIL> AB&"),
        ("<script>FAIL</script><STYLE>p {FAIL}</STYLE>ok", "ok"),
        ("<!-- FAIL -->ok<![if !mso]>!", "ok !"),
        ("<img alt=\"a > FAIL\" src='>FAIL'>ok", "ok"),
        ("<p title=it's>ok</p> it's", "ok it's"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("ok &#99999999999999999999; " + "&#" + "1" * 5000 + ";", "ok \ufffd \ufffd"),
    ],
)
def test_of_html_only_what_a_person_reads_is_left(html: str, words: str) -> None:
    """Markup, scripts, styles and comments say nothing; blocks are told apart, inline marks are not."""
    assert words_of(html) == words


@pytest.mark.parametrize("piece", ["<!--", "<a ", "</", "<a b='", "<a =\" '", "<script>", "&#", "<![CDATA[", "<b><p>"])
def test_html_of_any_kind_is_read_in_time(piece: str) -> None:
    """A megabyte of what is never closed takes Python's own parser an hour; others wait meanwhile."""
    began = time.monotonic()
    words_of(piece * (1_000_000 // len(piece)))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: " + b"=?a?q?" * 200_000,
        b"Content-Type: message/rfc822\n\n" * 40_000,
        b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(20_000)),
        b"Content-Type: multipart/mixed; boundary=a\n\n" + b"--a\n\n" * 200_000,
        b"Content-Type: text/plain; charset=punycode\n\n" + b"a-b9" * 250_000,
        b"Content-Type: text/plain" + b"; charset=    " * 80_000 + b"\n\n",
        b"a: b\n" * 200_000,
    ],
    ids=["encoded words", "mails in mails", "parts in parts", "parts", "punycode", "parameters", "headers"],
)
def test_a_mail_of_any_kind_is_read_in_time(raw: bytes) -> None:
    """What costs its sender a megabyte must not cost the service minutes."""
    began = time.monotonic()
    read_mail(raw)
    assert time.monotonic() - began < 5


# ---- Repeats and addresses


def test_only_the_same_mail_is_a_repeat() -> None:
    """The same Message-ID and the same bytes; without a Message-ID nothing is taken for a repeat."""
    first = mail("Message-ID: <1@example.org>\nSubject: x", "ok")
    assert repeat_key(first) == repeat_key(first)
    assert repeat_key(first) != repeat_key(mail("Message-ID: <2@example.org>\nSubject: x", "ok"))
    assert repeat_key(first) != repeat_key(first + b"!")
    assert repeat_key(mail("Subject: x", "ok")) is None
    assert repeat_key(mail("Message-ID:\nSubject: x", "ok")) is None


@pytest.mark.parametrize(
    ("mailbox", "address"),
    [
        (f"{UUID}@ping.example.org", Address("ping", UUID)),
        (f"{UUID.upper()}@PING.example.org", Address("ping", UUID)),
        (f"{UUID}@ping.example.org.", Address("ping", UUID)),
        (
            "AbCd0123456789AbCd0123+nightly-backup@ping.example.org",
            Address("ping_key", "AbCd0123456789AbCd0123", "nightly-backup"),
        ),
        ("AbCd0123456789AbCd0123+Nightly@ping.example.org", Address("ping_key", "AbCd0123456789AbCd0123", "nightly")),
        (f"{UUID}@example.org", None),
        (f"{UUID}@evil.ping.example.org", None),
        (f"{UUID}@ping.example.org@example.org", None),
        (UUID, None),
        (f"{UUID.replace('-', '')}@ping.example.org", None),
        ("postmaster@ping.example.org", None),
        ("key+@ping.example.org", None),
        ("key+a+b@ping.example.org", None),
        ("\udcff\0@ping.example.org", None),
        ("", None),
    ],
)
def test_an_address_names_a_monitor_or_nothing(mailbox: str, address: Address | None) -> None:
    """By id or by ping key and slug, of our domain only; the ping key's case matters, no other."""
    assert address_of(mailbox, "ping.example.org") == address
