"""Slack and those who speak its form."""

import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest

from app.domain.message import Message, Parcel, Told, Verdict, compose, plain
from app.errors import Invalid
from app.notify import slack
from app.notify.senders import Mailer, Outbound, Outcome, Post, check_settings
from tests.receivers import HttpReceiver, Reply

pytestmark = pytest.mark.anyio

AT = datetime(2026, 3, 1, 2, 5, tzinfo=UTC)
LOOPBACK = (ip_network("127.0.0.0/8"),)
HOSTILE = [
    "<!channel>",
    "<@U123>",
    "<http://evil.test|click>",
    "a & b",
    "*bold* :smile:",
    "x\r\ny",
    "\u202eevil",
    "n\x00ul",
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
        "reason": "missed",
        "explain": "No check-in came.",
        "last_success": AT - timedelta(days=1),
        "output": "line one\nline two",
        "incident_id": "i-1",
    }
    return compose(Told(**(given | changes)), base_url="https://beat.example")


async def send(receiver: HttpReceiver, what: Message | None = None) -> Outcome:
    """One attempt through everything there is, from the registry down."""
    secret = json.dumps({"url": receiver.url("/services/T000/B000/very-secret-token")})
    async with Outbound(allow_networks=LOOPBACK, time_limit=2) as outbound:
        return await Post(outbound, Mailer()).send("slack", Parcel("d-1", what or message(), {}, secret, AT))


def texts(payload: Any, kind: str) -> list[str]:
    """Every text object of this type, however deep."""
    if isinstance(payload, list):
        return [text for part in payload for text in texts(part, kind)]
    if not isinstance(payload, dict):
        return []
    own = [payload["text"]] if payload.get("type") == kind else []
    return own + [text for part in payload.values() for text in texts(part, kind)]


async def test_a_message_arrives_as_blocks_and_is_delivered() -> None:
    """State and monitor as the header, then the sentence, the facts, the output, and our link."""
    async with HttpReceiver() as receiver:
        outcome = await send(receiver)
    assert (outcome.verdict, outcome.status, outcome.answer) == (Verdict.DELIVERED, 200, "ok")
    payload = receiver.requests[0].json()
    assert receiver.requests[0].headers["content-type"].startswith("application/json")
    assert payload["unfurl_links"] is False
    assert payload["unfurl_media"] is False
    assert [block["type"] for block in payload["blocks"]] == ["header", "section", "section", "section", "context"]
    shown = texts(payload["blocks"], "plain_text")
    assert shown[:2] == ["DOWN: nightly-backup", "No check-in came."]
    assert "Since: 2026-03-01 02:05:00 UTC" in shown
    assert "Last output:\nline one\nline two" in shown
    assert texts(payload["blocks"], "mrkdwn") == ["<https://beat.example/incidents/i-1|Incident>"]


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_any_2xx_is_success(status: int) -> None:
    """Mattermost and Rocket.Chat answer differently from Slack."""
    async with HttpReceiver(Reply(status, body=b"")) as receiver:
        assert (await send(receiver)).verdict is Verdict.DELIVERED


@pytest.mark.parametrize("evil", HOSTILE)
@pytest.mark.parametrize("field", ["name", "project", "explain", "schedule", "output", "incident_id", "reason"])
def test_hostile_words_are_shown_as_written(field: str, evil: str) -> None:
    """Nobody is called and nothing is linked by a monitor's name: all words are plain_text, and escaped where text is read."""
    payload = slack.payload(message(**{field: evil}))
    ours = texts(payload["blocks"], "mrkdwn")
    assert len(ours) == 1
    assert ours[0].startswith("<https://beat.example/incidents/")
    assert ours[0].count("<") == ours[0].count(">") == ours[0].count("|") == 1
    for text in (payload["text"].replace(ours[0], ""), ours[0][1:-1]):
        assert "<" not in text
        assert ">" not in text
    assert not any(char in json.dumps(payload, ensure_ascii=False) for char in "\x00\u202e\r")
    assert all(block["text"]["emoji"] is False for block in payload["blocks"] if "text" in block)


def test_hostile_tags_are_shown_as_written() -> None:
    """They are a list, and some are long."""
    payload = slack.payload(message(tags=("<!here>", "t" * 10_000)))
    assert "&lt;!here&gt;" in payload["text"]
    assert "<!here>" not in payload["text"]


def test_mattermost_calls_nobody_and_loads_no_image() -> None:
    """It reads `text` as its own Markdown, in which @all is a call and ![](…) an image."""
    text = slack.payload(message(name="@all @channel ![x](http://evil.test/x.png)"))["text"]
    assert "@all" not in text
    assert "@channel" not in text
    assert "](" not in text


def test_no_text_is_longer_or_shorter_than_slack_takes() -> None:
    """A header of 150, a section of 3,000, ten fields of 2,000 characters, and none of them empty."""
    long = {field: "w" * 10_000 for field in ("name", "project", "explain", "schedule", "reason", "failure", "output")}
    for kind in ("monitor.down", "monitor.up", "channel.failed", "test", "blackout"):
        for what in (message(kind=kind, down_since=AT - timedelta(days=400), **long), plain(Told(kind=kind, at=AT, project=""))):
            blocks = slack.payload(what)["blocks"]
            assert 1 <= len(blocks[0]["text"]["text"]) <= 150
            assert all(1 <= len(text) <= 2_000 for text in texts(blocks, "plain_text"))
            assert all(len(block.get("fields", ())) <= 10 for block in blocks)


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (404, "no_service", Verdict.GONE),
        (404, "", Verdict.GONE),
        (410, "channel_is_archived", Verdict.GONE),
        (403, "channel_is_archived", Verdict.GONE),
        (403, "action_prohibited", Verdict.UNAUTHORISED),
        (401, "", Verdict.UNAUTHORISED),
        (400, "invalid_payload", Verdict.REFUSED),
        (500, "rollup_error", Verdict.RETRY),
        (302, "", Verdict.RETRY),
    ],
)
async def test_what_slack_answers_is_understood(status: int, body: str, verdict: Verdict) -> None:
    """A removed webhook disables the channel; anything for the moment is tried again."""
    async with HttpReceiver(Reply(status, body=body.encode())) as receiver:
        outcome = await send(receiver)
    assert (outcome.verdict, outcome.status) == (verdict, status)
    assert body in outcome.answer


async def test_a_limit_says_how_long_to_wait() -> None:
    """429 with Retry-After."""
    async with HttpReceiver() as receiver:
        receiver.answer(429, "rate_limited", retry_after="7")
        outcome = await send(receiver)
    assert (outcome.verdict, outcome.retry_after) == (Verdict.LIMITED, 7.0)


async def test_a_receiver_that_hangs_or_is_not_there_is_tried_again() -> None:
    """As an outcome, not as an exception, and without the token."""
    async with HttpReceiver(Reply(hang=True)) as receiver:
        hanging = await send(receiver)
    gone = await send(receiver)
    for outcome in (hanging, gone):
        assert outcome.verdict is Verdict.RETRY
        assert "very-secret-token" not in outcome.answer


async def test_the_token_is_not_repeated_when_the_receiver_does() -> None:
    """The last answers stand on a page."""
    async with HttpReceiver(Reply(500, body=b"cannot post to /services/T000/B000/very-secret-token")) as receiver:
        outcome = await send(receiver)
    assert "very-secret-token" not in outcome.answer
    assert "cannot post to" in outcome.answer


async def test_an_address_inside_is_refused_for_good() -> None:
    """Unless the operator opens its network, and the answer says how."""
    async with HttpReceiver() as receiver, Outbound() as outbound:
        parcel = Parcel("d-1", message(), {}, json.dumps({"url": receiver.url()}), AT)
        outcome = await Post(outbound, Mailer()).send("slack", parcel)
        assert receiver.connections == 0
    assert outcome.verdict is Verdict.REFUSED
    assert "127.0.0.1" in outcome.answer
    assert "MISSEDBEAT_ALLOW_NETWORKS" in outcome.answer


async def test_a_channel_without_a_url_is_refused() -> None:
    """A broken row stops no loop."""
    async with Outbound() as outbound:
        outcome = await Post(outbound, Mailer()).send("slack", Parcel("d-1", message(), {}, "{}", AT))
    assert outcome.verdict is Verdict.REFUSED


def test_the_url_is_kept_as_a_secret_and_its_host_to_tell_channels_apart() -> None:
    """Nothing else is stored in clear."""
    url = "https://hooks.slack.com/services/T000/B000/very-secret-token"
    assert check_settings("slack", {"url": url}) == ({"host": "hooks.slack.com"}, {"url": url})


@pytest.mark.parametrize(
    ("given", "field"), [({}, "url"), ({"url": "x"}, "url"), ({"url": "https://a.test/", "chanel": "x"}, "chanel")]
)
def test_wrong_settings_are_refused_by_name(given: dict[str, Any], field: str) -> None:
    """A misspelt field is no silent default."""
    with pytest.raises(Invalid, match=f"^{field}: "):
        check_settings("slack", given)
