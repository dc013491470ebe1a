"""Webhooks: our body and its signature, and the user's own templates."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.clock import utc_now
from app.domain.message import Message, Parcel, Told, Verdict, compose
from app.errors import Invalid
from app.notify import webhook
from app.notify.senders import SENDERS, Mailer, Outbound, Outcome, Post, check_settings
from tests.receivers import HttpReceiver, Reply, Request

pytestmark = pytest.mark.anyio

AT = datetime(2026, 3, 1, 2, 5, tzinfo=UTC)
LOOPBACK = (ip_network("127.0.0.0/8"),)
HOSTILE = [
    "<!channel>",
    '", "status": "up',
    "a & b=c;d",
    "x\r\ny",
    "\u202eevil",
    "n\x00ul",
    "back\\slash",
    "$EXPLAIN $NOW",
    "../..",
    "a/b?c#d",
    "ü" * 10_000,
]


def message(**changes: Any) -> Message:
    """A down by silence with everything in it."""
    given: dict[str, Any] = {
        "kind": "monitor.down",
        "at": AT,
        "project": "shop",
        "name": "nightly backup",
        "slug": "nightly-backup",
        "tags": ("db", "prod"),
        "unique_key": "u1",
        "reason": "missed",
        "explain": "No check-in came.",
        "incident_id": "i-1",
    }
    return compose(Told(**(given | changes)), base_url="https://beat.example")


def up() -> Message:
    """The same monitor, back."""
    return message(kind="monitor.up", at=AT + timedelta(minutes=12), down_since=AT)


async def send(
    receiver: HttpReceiver, what: Message | None = None, at: datetime | None = None, path: str = "/hook", **given: Any
) -> Outcome:
    """Settings through their check, then one attempt through everything there is."""
    settings, secrets = check_settings("webhook", {"url": receiver.url(path), **given})
    parcel = Parcel("d-1", what or message(), settings, json.dumps(secrets), at or utc_now())
    async with Outbound(allow_networks=LOOPBACK, time_limit=2) as outbound:
        return await Post(outbound, Mailer()).send("webhook", parcel)


def verify(request: Request, secret: str) -> Any:
    """As a receiver does that uses the library of Standard Webhooks."""
    return Webhook(secret).verify(request.body, request.headers)


async def test_a_down_arrives_as_documented_and_signed() -> None:
    """delivery.md, "Channels"; verified by the library's own verifier."""
    secret = webhook.new_secret()
    async with HttpReceiver() as receiver:
        outcome = await send(receiver, secret=secret)
    assert (outcome.verdict, outcome.status) == (Verdict.DELIVERED, 200)
    (request,) = receiver.requests
    assert (request.method, request.target) == ("POST", "/hook")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "d-1"
    assert verify(request, secret) == {
        "type": "monitor.down",
        "timestamp": "2026-03-01T02:05:00Z",
        "data": {
            "project": "shop",
            "monitor": {"unique_key": "u1", "slug": "nightly-backup", "name": "nightly backup", "tags": ["db", "prod"]},
            "since": "2026-03-01T02:05:00Z",
            "reason": "missed",
            "explain": "No check-in came.",
            "incident_url": "https://beat.example/incidents/i-1",
        },
    }


def test_the_body_says_what_has_changed_since() -> None:
    """As every other channel does (P9)."""
    told = Told(kind="monitor.down", at=AT, project="shop", name="x", explain="No check-in came.")
    late = compose(told, base_url="https://beat.example", status_now="up")
    assert webhook.body(late)["data"]["explain"] == "No check-in came. It is up again by now."


def test_a_recovery_says_since_and_until() -> None:
    """From which a receiver has the downtime."""
    data = webhook.body(up())["data"]
    assert (data["since"], data["until"]) == ("2026-03-01T02:05:00Z", "2026-03-01T02:17:00Z")


@pytest.mark.parametrize("kind", ["channel.failed", "test", "blackout"])
def test_what_is_about_no_monitor_has_none(kind: str) -> None:
    """And says of which channel it is, where one failed."""
    what = webhook.body(message(kind=kind, name="", slug="", unique_key="", incident_id="", channel="ops", failure="no_service"))
    assert what["type"] == kind
    assert what["data"]["monitor"] is None
    assert what["data"]["incident_url"] is None
    assert ("channel" in what["data"]) is (kind == "channel.failed")


async def test_both_secrets_verify_while_one_is_changed() -> None:
    """Two signatures, a space between them; any other secret fails."""
    new, old = webhook.new_secret(), webhook.new_secret()
    async with HttpReceiver() as receiver:
        await send(receiver, secret=new, secret_before=old)
    (request,) = receiver.requests
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    assert verify(request, new) == verify(request, old)
    with pytest.raises(WebhookVerificationError):
        verify(request, webhook.new_secret())


async def test_the_signature_is_of_the_attempt_whatever_its_zone() -> None:
    """An old delivery is not refused as too old, and the library's reading of naive time does not matter."""
    secret, elsewhere = webhook.new_secret(), timezone(timedelta(hours=-7))
    async with HttpReceiver() as receiver:
        await send(receiver, secret=secret, at=utc_now().astimezone(elsewhere))
    assert verify(receiver.requests[0], secret)


async def test_the_delivery_id_is_the_same_over_attempts_and_the_time_is_not() -> None:
    """So that a receiver can tell a repeat (P8)."""
    async with HttpReceiver(Reply(500)) as receiver:
        for seconds in (0, 5):
            await send(receiver, at=AT + timedelta(seconds=seconds))
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 5


@pytest.mark.parametrize("evil", HOSTILE)
async def test_hostile_words_stay_words_in_our_own_body(evil: str) -> None:
    """It parses, has the documented keys, and verifies."""
    secret = webhook.new_secret()
    fields = ("name", "slug", "project", "reason", "explain", "unique_key")
    async with HttpReceiver() as receiver:
        await send(receiver, message(**dict.fromkeys(fields, evil), tags=(evil,)), secret=secret)
    what = verify(receiver.requests[0], secret)
    assert set(what["data"]) == {"project", "monitor", "since", "reason", "explain", "incident_url"}
    assert not any(char in what["data"]["monitor"]["name"] for char in "\x00\u202e\r\n")
    assert len(what["data"]["monitor"]["name"]) <= 1_000


@pytest.mark.parametrize("evil", HOSTILE)
async def test_hostile_words_stay_words_in_a_json_template(evil: str) -> None:
    """Escaped inside their quotes, and filled in once: a placeholder that comes out of a name stays as it is."""
    template = '{"text": "$NAME is $STATUS ($SLUG)", "tags": "$TAGS"}'
    async with HttpReceiver() as receiver:
        await send(receiver, message(name=evil), body_down=template)
    (request,) = receiver.requests
    assert request.headers["content-type"] == "application/json"
    what = request.json()
    assert set(what) == {"text", "tags"}
    assert what["text"].endswith(" is down (nightly-backup)")
    assert what["tags"] == "db prod"
    if evil.startswith("$"):
        assert what["text"].startswith("$EXPLAIN $NOW is")


@pytest.mark.parametrize("evil", HOSTILE)
async def test_hostile_words_stay_in_their_place_of_a_url_and_a_form(evil: str) -> None:
    """Percent-encoded: no new segment, parameter, fragment or host."""
    form: dict[str, Any] = {
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
        "body_down": "text=$NAME&status=$STATUS",
    }
    async with HttpReceiver() as receiver:
        await send(receiver, message(name=evil, slug=".."), path="/a/$SLUG/b/$NAME?name=$NAME&s=$STATUS", **form)
    (request,) = receiver.requests
    path, _, query = request.target.partition("?")
    assert path.lower().startswith("/a/%2e%2e/b/")
    assert path.count("/") == 4
    name = parse_qs(query, keep_blank_values=True, max_num_fields=2)["name"][0]
    assert name == parse_qs(request.body.decode(), keep_blank_values=True)["text"][0]
    assert parse_qs(query)["s"] == ["down"]
    assert set(parse_qs(request.body.decode())) == {"text", "status"}
    assert unquote(name)


async def test_every_placeholder_has_its_value() -> None:
    """In one template; longer words that begin like one are left alone."""
    template = "$NAME|$STATUS|$SLUG|$TAGS|$SINCE|$REASON|$EXPLAIN|$NOW|$NAMES|$name|$$|$OTHER"
    async with HttpReceiver() as receiver:
        await send(receiver, up(), at=AT + timedelta(hours=1), body_up=template)
    (request,) = receiver.requests
    assert request.headers["content-type"] == "text/plain; charset=utf-8"
    assert request.body.decode() == (
        "nightly backup|up|nightly-backup|db prod|2026-03-01T02:05:00Z|missed|No check-in came.|2026-03-01T03:05:00Z"
        "|$NAMES|$name|$$|$OTHER"
    )


async def test_markup_is_escaped_in_a_body_of_markup() -> None:
    """By what the user's own Content-Type says."""
    async with HttpReceiver() as receiver:
        await send(receiver, message(name="<b>&"), headers={"Content-Type": "application/xml"}, body_down="<m>$NAME</m>")
    assert receiver.requests[0].body == b"<m>&lt;b&gt;&amp;</m>"


async def test_the_users_method_headers_and_bodies_are_used() -> None:
    """One for down, one for up; what is neither goes as down; it is signed all the same."""
    secret = webhook.new_secret()
    own: dict[str, Any] = {
        "method": "put",
        "headers": {"Authorization": "Bearer key"},
        "body_down": "D $STATUS",
        "body_up": "U $STATUS",
    }
    async with HttpReceiver() as receiver:
        for what in (message(), up(), message(kind="test")):
            await send(receiver, what, secret=secret, **own)
    assert [request.body for request in receiver.requests] == [b"D down", b"U up", b"D test"]
    assert {request.method for request in receiver.requests} == {"PUT"}
    for request in receiver.requests:
        assert request.headers["authorization"] == "Bearer key"
        Webhook(secret).verify(request.body, request.headers, json_parse=False)


@pytest.mark.parametrize("field", ["body_down", "body_up"])
async def test_a_single_template_serves_for_both(field: str) -> None:
    """It has $STATUS to tell them apart."""
    async with HttpReceiver() as receiver:
        for what in (message(), up()):
            template: dict[str, Any] = {field: "is $STATUS"}
            await send(receiver, what, **template)
    assert [request.body for request in receiver.requests] == [b"is down", b"is up"]


async def test_a_get_has_no_body() -> None:
    """All it says stands in the URL."""
    async with HttpReceiver() as receiver:
        await send(receiver, path="/?s=$STATUS", method="GET", body_down="x")
    assert (receiver.requests[0].method, receiver.requests[0].target, receiver.requests[0].body) == ("GET", "/?s=down", b"")


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(410, Verdict.GONE), (404, Verdict.RETRY), (400, Verdict.REFUSED), (401, Verdict.UNAUTHORISED), (503, Verdict.RETRY)],
)
async def test_what_a_receiver_answers_is_understood(status: int, verdict: Verdict) -> None:
    """404 is tried again: a receiver that is just being rolled out answers so."""
    async with HttpReceiver(Reply(status, body=b"because", headers=(("retry-after", "9"),))) as receiver:
        outcome = await send(receiver)
    assert (outcome.verdict, outcome.answer, outcome.retry_after) == (verdict, "because", 9.0)


async def test_no_secret_is_repeated_when_the_receiver_does() -> None:
    """Neither of the URL, nor of the headers, nor the one that signs."""
    secret = webhook.new_secret()
    async with HttpReceiver() as receiver:
        echo = f"{receiver.url('/hook/url-secret')} /hook/url-secret header-secret {secret} because"
        receiver.answers = [Reply(500, body=echo.encode())]
        outcome = await send(receiver, path="/hook/url-secret", headers={"X-Key": "Token header-secret"}, secret=secret)
    assert outcome.answer.endswith("because")
    assert not any(word in outcome.answer for word in ("url-secret", "header-secret", secret))


def test_all_that_may_hold_a_key_is_a_secret_and_one_is_made_to_sign_with() -> None:
    """In clear stand the host and the method."""
    given = {"url": "https://a.test/token", "headers": {"X-Key": "k"}, "body_down": '{"key": "k"}', "body_up": "up"}
    settings, secrets = check_settings("webhook", given)
    assert settings == {"host": "a.test", "method": "POST"}
    assert set(secrets) == {"url", "headers", "body_down", "body_up", "secret"}
    assert all(isinstance(value, str) for value in secrets.values())
    assert secrets["secret"].startswith("whsec_")
    assert len(base64.b64decode(secrets["secret"][6:])) == 24
    assert check_settings("webhook", given)[1]["secret"] != secrets["secret"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"url": "https://$NAME.test/"}, "url: "),
        ({"method": "DELETE"}, "method: choose one of"),
        ({"method": "POST\r\nX: y"}, "method: choose one of"),
        ({"headers": ["x"]}, "headers: give an object"),
        ({"headers": {f"x-{n}": "" for n in range(21)}}, "headers: give an object of at most 20"),
        ({"headers": {"X-Key": "a\r\nX-Evil: b"}}, "headers: the value of X-Key"),
        ({"headers": {"X-Key": "a\nb"}}, "headers: the value of X-Key"),
        ({"headers": {"X-Key": "\x00"}}, "headers: the value of X-Key"),
        ({"headers": {"X-Key": "ü"}}, "headers: the value of X-Key"),
        ({"headers": {"X-Key": 7}}, "headers: the value of X-Key"),
        ({"headers": {"X-Key": "k" * 1_001}}, "headers: the value of X-Key"),
        ({"headers": {"X Key": "a"}}, "headers: 'X Key' is not a valid header name"),
        ({"headers": {"X-Key\r\nX-Evil": "a"}}, "headers: 'X-Key X-Evil' is not"),
        ({"headers": {"": "a"}}, "headers: '' is not"),
        ({"headers": {"Host": "inside"}}, "headers: Host is set by us"),
        ({"headers": {"transfer-encoding": "chunked"}}, "headers: transfer-encoding is set by us"),
        ({"headers": {"Webhook-Id": "x"}}, "headers: Webhook-Id is set by us"),
        ({"body_down": 7}, "body_down: text of at most"),
        ({"body_up": "x" * 10_001}, "body_up: text of at most"),
        ({"body_up": "\ud800"}, "body_up: this is not valid Unicode"),
        ({"body_down": '{"name": $NAME}'}, "body_down: this is not JSON once filled in"),
        ({"body_down": "x", "headers": {"content-type": "application/json"}}, "body_down: this is not JSON"),
        ({"secret": "hunter2"}, "secret: 'whsec_'"),
        ({"secret": "whsec_!" + base64.b64encode(b"k" * 24).decode()}, "secret: 'whsec_'"),
        ({"secret": "whsec_" + base64.b64encode(b"short").decode()}, "secret: 'whsec_'"),
        ({"secret_before": 7}, "secret_before: 'whsec_'"),
        ({"bodydown": "x"}, "bodydown: a webhook takes url, "),
    ],
)
def test_wrong_settings_are_refused_by_name_with_words_on_what_to_do(given: dict[str, Any], words: str) -> None:
    """Before they are stored; a line break in a header never is."""
    with pytest.raises(Invalid) as caught:
        check_settings("webhook", {"url": "https://a.test/"} | given)
    assert str(caught.value).startswith(words)


async def test_an_unknown_kind_is_refused() -> None:
    """As an outcome when sending, as words on what there is when setting."""
    async with Outbound() as outbound:
        outcome = await Post(outbound, Mailer()).send("pigeon", Parcel("d-1", message(), {}, "", AT))
    assert outcome.verdict is Verdict.REFUSED
    with pytest.raises(Invalid, match=f"^kind: choose one of {', '.join(sorted(SENDERS))}$"):
        check_settings("pigeon", {})


async def test_an_attempt_ends_within_its_limit() -> None:
    """Whatever the way out allows: the lease is shorter than patience."""
    async with HttpReceiver(Reply(hang=True)) as receiver, Outbound(allow_networks=LOOPBACK, time_limit=60) as outbound:
        _, secrets = check_settings("webhook", {"url": receiver.url()})
        parcel = Parcel("d-1", message(), {}, json.dumps(secrets), AT)
        outcome = await Post(outbound, Mailer(), time_limit=0.2).send("webhook", parcel)
    assert outcome == Outcome(Verdict.RETRY, "no answer within 0.2 s")
