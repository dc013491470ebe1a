"""The way out by HTTP: whom it connects to, how long and how much it listens, and what an answer means."""

import asyncio
import gzip
import logging
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.domain.message import Verdict
from app.errors import Invalid
from app.notify.connections import CONNECTIONS
from app.notify.outbound import (
    READ_LIMIT,
    Answer,
    Outbound,
    OutboundError,
    check_url,
    judge,
    outcome_of,
    outcome_of_failure,
)
from tests.receivers import HttpReceiver, Reply, certify, resolver

pytestmark = pytest.mark.anyio

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LOOPBACK = (ip_network("127.0.0.0/8"),)
PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8"]
NOT_PUBLIC = [
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255"),
    *("192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
    *("::", "::1", "::7f00:1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:0:8.8.8.8"),
    *(
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:53aa:64c::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:808:808::1",
    ),
    *("3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "ff02::1"),
]
UNUSUAL = [
    "2130706433",
    "134744072",
    "0x7f000001",
    "0x08080808",
    "0177.0.0.1",
    "010.8.8.8",
    "127.1",
    "8.8.2056",
    "0x7f.1",
    "8.8.8.8.",
]
SEND: dict[str, Any] = {"content": b"{}", "headers": {"content-type": "application/json"}}


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_connected_to(address: str) -> None:
    """Of either family; a v4-mapped one as what it stands for."""
    assert str(judge("hook.test", 443, [address])[0]) == address.removeprefix("::ffff:")


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    """Every range of security.md, and the words say which address it was."""
    shown = getattr(ip_address(address), "ipv4_mapped", None) or ip_address(address)
    with pytest.raises(OutboundError) as caught:
        judge("hook.test", 443, [address])
    assert caught.value.blocked
    assert caught.value.words.startswith(f"hook.test is refused: {shown}")


@pytest.mark.parametrize("form", UNUSUAL)
def test_an_address_in_an_unusual_form_is_refused_public_or_not(form: str) -> None:
    """Decimal, octal, hex, short: two readers could read them differently. Refused as a setting and again when connecting."""
    with pytest.raises(OutboundError, match="usual form"):
        judge(form, 443, [form], LOOPBACK)
    with pytest.raises(Invalid, match=r"usual form|not a URL"):
        check_url(f"http://{form}/hook")


@pytest.mark.parametrize(
    "host", [*UNUSUAL, "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[fe80::1%25lo]", "①②⑦.⓪.⓪.①", "localhost"]
)
async def test_no_spelling_of_this_machine_gets_through(host: str) -> None:
    """Asked of the whole client, whatever its parsers make of it; a receiver listens there and hears nothing."""
    async with HttpReceiver() as receiver, Outbound() as outbound:
        with pytest.raises(OutboundError) as caught:
            await outbound.post(f"http://{host}:{receiver.port}/hook", **SEND)
        assert caught.value.blocked
        assert receiver.connections == 0


def test_one_bad_address_of_several_refuses_all() -> None:
    """In any order; none of them is tried."""
    for found in (["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["8.8.8.8", "::1"]):
        with pytest.raises(OutboundError) as caught:
            judge("mixed.test", 443, found)
        assert caught.value.blocked


@pytest.mark.parametrize(
    ("port", "open_"), [(80, True), (443, True), (8443, True), (1024, True), (25, False), (22, False), (1023, False)]
)
def test_only_ports_of_the_web_are_open(port: int, open_: bool) -> None:
    """So that nobody speaks SMTP or SSH through us."""
    if open_:
        assert judge("hook.test", port, ["8.8.8.8"])
    else:
        with pytest.raises(OutboundError, match=f"port {port} is refused"):
            judge("hook.test", port, ["8.8.8.8"])


def test_an_allowed_network_is_open_on_any_port_and_nothing_else_is() -> None:
    """What MISSEDBEAT_ALLOW_NETWORKS opens."""
    lan = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
        assert judge("lan.test", 25, [address], lan)
    assert judge("both.test", 443, ["10.1.2.3", "8.8.8.8"], lan)
    for found in (["192.168.0.1"], ["10.1.2.3", "192.168.0.1"], ["fe80::1%eth0"]):
        with pytest.raises(OutboundError):
            judge("lan.test", 443, found, lan)
    with pytest.raises(OutboundError, match="port 25"):
        judge("both.test", 25, ["10.1.2.3", "8.8.8.8"], lan)


def test_a_name_without_addresses_is_tried_again() -> None:
    """DNS may know it later; no rule of ours forbade it."""
    with pytest.raises(OutboundError) as caught:
        judge("empty.test", 443, [])
    assert not caught.value.blocked


async def test_the_address_that_was_judged_is_the_one_connected_to() -> None:
    """DNS rebinding: the name is asked once, and a second answer would change nothing. Host stays the name's."""
    asked: list[str] = []

    def rebind(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    async with HttpReceiver() as receiver, Outbound(allow_networks=LOOPBACK, resolve=rebind) as outbound:
        assert (await outbound.post(receiver.url(host="hook.test"), **SEND)).text == "ok"
        assert asked == ["hook.test"]
        assert receiver.requests[0].headers["host"] == f"hook.test:{receiver.port}"


async def test_a_name_that_turns_private_is_refused_by_the_next_connection() -> None:
    """Nothing remembers that it once was good."""
    answers = iter((["127.0.0.1"], ["10.0.0.1"]))
    async with HttpReceiver() as receiver, Outbound(allow_networks=LOOPBACK, resolve=lambda _: next(answers)) as outbound:
        receiver.answers = [Reply(headers=(("connection", "close"),))]
        await outbound.post(receiver.url(host="hook.test"), **SEND)
        with pytest.raises(OutboundError, match=r"10\.0\.0\.1 is not a public address") as caught:
            await outbound.post(receiver.url(host="hook.test"), **SEND)
        assert caught.value.blocked


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    """A name with a dead first address still hears us."""
    async with HttpReceiver() as receiver:
        dead_first = resolver(hook_test=["127.0.0.2", "127.0.0.1"])
        async with Outbound(allow_networks=LOOPBACK, resolve=dead_first) as outbound:
            assert (await outbound.post(receiver.url(host="hook.test"), **SEND)).status == 200


async def test_tls_is_checked_against_the_name_in_the_url(tmp_path: Path) -> None:
    """Though we connect to an address: its own name passes, another one does not."""
    server, client = certify(tmp_path, "hook.test")
    names = resolver(hook_test=["127.0.0.1"], other_test=["127.0.0.1"])
    async with HttpReceiver(tls=server) as receiver, Outbound(allow_networks=LOOPBACK, resolve=names, tls=client) as outbound:
        assert (await outbound.post(receiver.url(host="hook.test"), **SEND)).text == "ok"
        with pytest.raises(OutboundError, match="certificate"):
            await outbound.post(receiver.url(host="other.test"), **SEND)
        assert len(receiver.requests) == 1


async def test_a_certificate_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    """The usual roots are what counts."""
    server, _ = certify(tmp_path, "hook.test")
    names = resolver(hook_test=["127.0.0.1"])
    async with HttpReceiver(tls=server) as receiver, Outbound(allow_networks=LOOPBACK, resolve=names) as outbound:
        with pytest.raises(OutboundError, match="self-signed certificate"):
            await outbound.post(receiver.url(host="hook.test"), **SEND)


async def test_a_receiver_that_drips_is_cut_by_the_total_deadline() -> None:
    """Each byte comes in time, the answer never does."""
    drip = Reply(drip=0.02, body=b"x" * 500)
    async with HttpReceiver(drip) as receiver, Outbound(allow_networks=LOOPBACK, time_limit=0.3) as outbound:
        before = time.monotonic()
        with pytest.raises(OutboundError, match=r"no answer within 0\.3 s") as caught:
            await outbound.post(receiver.url(), **SEND)
        assert time.monotonic() - before < 2
        assert not caught.value.blocked


async def test_a_connection_is_used_again_until_the_receiver_closes_it() -> None:
    """Three requests in turn are one call; after the receiver hung up the next one calls anew, and is answered. What is sent at
    once takes a connection each, and those are used again too."""
    async with HttpReceiver() as receiver, Outbound(allow_networks=LOOPBACK) as outbound:
        for _ in range(3):
            assert (await outbound.post(receiver.url(), **SEND)).status == 200
        assert receiver.connections == 1
        receiver.hang_up()
        await asyncio.sleep(0.1)
        assert (await outbound.post(receiver.url(), **SEND)).status == 200
        assert receiver.connections == 2
        for _ in range(2):
            await asyncio.gather(*(outbound.post(receiver.url(), **SEND) for _ in range(5)))
        assert receiver.connections == 6


async def test_idle_connections_make_room_for_new_ones() -> None:
    """As many as may be open lead to one receiver and idle; a request to another is answered, and all close in the end."""
    async with HttpReceiver() as one, HttpReceiver() as other, Outbound(allow_networks=LOOPBACK) as outbound:
        await asyncio.gather(*(outbound.post(one.url(), **SEND) for _ in range(CONNECTIONS)))
        before = len(psutil.Process().net_connections("tcp"))
        assert (await outbound.post(other.url(), **SEND)).status == 200
        assert other.connections == 1
        assert len(psutil.Process().net_connections("tcp")) < before


async def test_receivers_that_hang_leave_no_connection_behind() -> None:
    """More of them than the pool has places, and the next one is served."""
    async with HttpReceiver() as receiver, Outbound(allow_networks=LOOPBACK, time_limit=0.5) as outbound:
        receiver.always = Reply(hang=True)
        tries = [outbound.post(receiver.url(), **SEND) for _ in range(CONNECTIONS + 20)]
        assert all(isinstance(end, OutboundError) for end in await asyncio.gather(*tries, return_exceptions=True))
        receiver.always = Reply()
        assert (await outbound.post(receiver.url(), **SEND)).status == 200


async def test_a_name_that_hangs_stalls_nobody_else() -> None:
    """Its look-ups have threads of their own and its caller a deadline."""

    def tarpit(host: str) -> list[str]:
        if host == "tar.test":
            time.sleep(1)
        return ["127.0.0.1"]

    async with HttpReceiver() as receiver, Outbound(allow_networks=LOOPBACK, resolve=tarpit, time_limit=0.5) as outbound:
        stuck = [asyncio.create_task(outbound.post(receiver.url(host="tar.test"), **SEND)) for _ in range(12)]
        await asyncio.sleep(0.05)
        before = time.monotonic()
        await outbound.post(receiver.url(host="good.test"), **SEND)
        await asyncio.to_thread(lambda: None)
        assert time.monotonic() - before < 0.4
        assert all(isinstance(end, OutboundError) for end in await asyncio.gather(*stuck, return_exceptions=True))


async def test_at_most_64_kb_of_an_answer_are_read() -> None:
    """The rest is not waited for: here it never comes."""
    endless = Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\n\r\n" + b"x" * 200_000)
    async with HttpReceiver(endless) as receiver, Outbound(allow_networks=LOOPBACK, time_limit=5) as outbound:
        assert (await outbound.post(receiver.url(), **SEND)).text == "x" * READ_LIMIT


async def test_a_gzip_bomb_stays_as_small_as_it_came() -> None:
    """None was asked for, and none is unpacked."""
    bomb = Reply(headers=(("content-encoding", "gzip"),), body=gzip.compress(b"0" * 20_000_000))
    async with HttpReceiver(bomb) as receiver, Outbound(allow_networks=LOOPBACK) as outbound:
        answer = await outbound.post(receiver.url(), **SEND)
        assert len(answer.text) <= len(bomb.body)
        assert "00000000" not in answer.text
        assert receiver.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """It could lead inside."""
    async with HttpReceiver() as receiver, Outbound(allow_networks=LOOPBACK) as outbound:
        receiver.answer(status, location=receiver.url("/elsewhere"))
        assert (await outbound.post(receiver.url(), **SEND)).status == status
        assert [request.target for request in receiver.requests] == ["/hook"]


async def test_no_cookie_is_brought_back() -> None:
    """One tenant's receiver learns nothing of another's."""
    async with HttpReceiver() as receiver, Outbound(allow_networks=LOOPBACK) as outbound:
        receiver.answer(200, set_cookie="who=tenant-one")
        for _ in range(2):
            await outbound.post(receiver.url(), **SEND)
        assert "cookie" not in receiver.requests[1].headers


async def test_proxies_and_passwords_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A proxy would connect where our judge did not look; .netrc would hand out passwords."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with HttpReceiver() as proxy, HttpReceiver() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        async with Outbound(allow_networks=LOOPBACK) as outbound:
            await outbound.post(receiver.url(), **SEND)
        assert proxy.connections == 0
        assert "authorization" not in receiver.requests[0].headers


async def test_nothing_of_the_url_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """P19: httpx writes whole URLs at INFO, and ours hold tokens."""
    caplog.set_level(logging.DEBUG)
    async with HttpReceiver() as receiver, Outbound(allow_networks=LOOPBACK) as outbound:
        await outbound.post(receiver.url("/T00/very-secret-token"), **SEND)
    assert "very-secret-token" not in caplog.text


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(raw=b"SSH-2.0-OpenSSH_9.6\r\n"), "the connection failed"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"), "the connection failed"),
        (Reply(raw=b""), "no answer within"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 300_000), "the connection failed"),
    ],
)
async def test_an_answer_that_is_no_http_is_a_failure_like_any_other(reply: Reply, words: str) -> None:
    """Whatever a receiver sends, the caller gets its own kind of error, and may try again."""
    async with HttpReceiver(reply, Reply(hang=True)) as receiver, Outbound(allow_networks=LOOPBACK, time_limit=0.5) as outbound:
        with pytest.raises(OutboundError, match=words) as caught:
            await asyncio.gather(outbound.post(receiver.url(), **SEND), _hang_up(receiver, reply))
        assert not caught.value.blocked


async def _hang_up(receiver: HttpReceiver, reply: Reply) -> None:
    """Close after a short answer, as a server that died would."""
    await receiver.heard()
    if reply.raw:
        await asyncio.sleep(0.05)
        receiver.hang_up()


async def test_a_closed_port_and_an_unknown_name_are_failures_to_try_again() -> None:
    """Their words name the host and the cause."""
    async with HttpReceiver() as receiver:
        port = receiver.port
    async with Outbound(allow_networks=LOOPBACK, resolve=resolver(hook_test=["127.0.0.1"])) as outbound:
        for host, words in (("hook.test", "could not connect to hook.test"), ("gone.test", "the name gone.test was not found")):
            with pytest.raises(OutboundError, match=words) as caught:
                await outbound.post(f"http://{host}:{port}/", **SEND)
            assert not caught.value.blocked


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "ftp://a.test/",
        "file:///etc/passwd",
        "http://",
        "http://u:p@a.test/",
        "http://a b/",
        "http://[/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
    ],
)
async def test_what_is_no_url_is_refused_for_good(url: str) -> None:
    """An old or broken setting is no reason to try for a day."""
    async with Outbound(allow_networks=LOOPBACK) as outbound:
        with pytest.raises(OutboundError) as caught:
            await outbound.post(url, **SEND)
    assert caught.value.blocked


async def test_a_header_that_is_no_header_is_refused_without_its_value() -> None:
    """A line break cannot smuggle a second one, and what it held is not repeated."""
    async with HttpReceiver() as receiver, Outbound(allow_networks=LOOPBACK) as outbound:
        for value in ("secret\r\nx-evil: 1", "secret ☃"):
            with pytest.raises(OutboundError) as caught:
                await outbound.post(receiver.url(), content=b"", headers={"x-key": value})
            assert "secret" not in caught.value.words
        assert receiver.requests == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, "url: give the URL"),
        (7, "url: give the URL"),
        ("", "url: give the URL"),
        ("ftp://a.test/", "url: start it with https"),
        ("a.test/hook", "url: start it with https"),
        ("https://user:pw@a.test/", "url: leave user and password out"),
        ("https://user@a.test/", "url: leave user and password out"),
        ("https://a.test:99999/", "url: the port"),
        ("https://a.test:0/", "url: the port"),
        ("https:///hook", "not a valid host"),
        ("https://a..test/", "url: "),
        ("https://-a.test/", "url: "),
        ("https://$NAME.test/", "not a valid host"),
        ("https://a.test/x\r\ny", "url: a URL has no spaces"),
        ("https://a.test/x y", "url: a URL has no spaces"),
        ("https://a.test\\@b.test/", "url: a URL has no spaces"),
        ("https://[fe80::1%25eth0]/", "url: "),
        ("https://a.test/" + "x" * 2_000, "url: at most 2,000 characters"),
    ],
)
def test_a_bad_url_is_refused_with_words_on_what_to_do(url: object, words: str) -> None:
    """Before it is stored."""
    with pytest.raises(Invalid, match=words.replace("$", r"\$")):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://a.test/x?y=1&z=%20",
        "http://localhost:8065/hooks/x",
        "https://bücher.test/",
        "http://10.0.0.1:25/",
        "https://[fd00::1]:8443/x",
    ],
)
def test_a_good_url_is_taken_wherever_it_leads(url: str) -> None:
    """Whether its address may be connected to is for the judge, who knows the allowed networks."""
    assert str(check_url(url).scheme) in ("http", "https")


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, Verdict.DELIVERED) for status in (200, 201, 202, 204)),
        *((status, Verdict.RETRY) for status in (301, 302, 404, 408, 418, 425, 500, 502, 503, 504, 599)),
        *((status, Verdict.REFUSED) for status in (400, 413, 415, 422)),
        *((status, Verdict.UNAUTHORISED) for status in (401, 403)),
        *((429, Verdict.LIMITED), (410, Verdict.GONE)),
    ],
)
def test_every_status_has_its_meaning(status: int, verdict: Verdict) -> None:
    """And its number is kept."""
    outcome = outcome_of(Answer(status, "", {}), AT, hide=())
    assert (outcome.verdict, outcome.status) == (verdict, status)
    assert outcome.answer


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("1.5", 1.5), ("Sun, 01 Mar 2026 12:02:00 GMT", 120.0), ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0)]
    + [
        (header, None)
        for header in ("", "soon", "-5", "nan", "inf", "1e9", "9" * 400, "Sun, 01 Mar 2026 12:02:00 -0000", "Sun, 99 Mar")
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    """And nonsense is none at all."""
    assert outcome_of(Answer(503, "", {"retry-after": header}), AT, hide=()).retry_after == seconds


def test_an_answer_is_one_short_line_without_our_secrets() -> None:
    """Receivers repeat what they were sent, and people read the last answers on a page."""
    url, key = "https://hooks.test/services/T000/B0000000/abcdefghijkl", "Bearer 0123456789"
    said = f"no such hook {url}\r\n/B0000000/abcdefghijkl \x00 key 0123456789 {'x' * 10_000}"
    answer = outcome_of(Answer(404, said, {}), AT, hide=(url, key)).answer
    assert "abcdefghijkl" not in answer
    assert "0123456789" not in answer
    assert answer.isprintable()
    assert len(answer) <= 300


def test_a_blocked_address_is_refused_and_says_what_opens_it() -> None:
    """The owner reads which address and which setting."""
    with pytest.raises(OutboundError) as caught:
        judge("hook.test", 443, ["10.0.0.1"])
    outcome = outcome_of_failure(caught.value)
    assert outcome.verdict is Verdict.REFUSED
    assert "10.0.0.1" in outcome.answer
    assert "MISSEDBEAT_ALLOW_NETWORKS" in outcome.answer
    assert outcome_of_failure(OutboundError("no answer")).verdict is Verdict.RETRY


def test_a_retry_after_date_counts_from_the_attempt() -> None:
    """Not from this machine's clock."""
    header = {"retry-after": "Sun, 01 Mar 2026 12:02:00 GMT"}
    assert outcome_of(Answer(429, "", header), AT + timedelta(seconds=60), hide=()).retry_after == 60.0
