"""Channels over the API: made, edited, tested, and their secrets kept."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from standardwebhooks import Webhook

from tests.receivers import HttpReceiver, Reply
from tests.world import World

pytestmark = pytest.mark.anyio

FIELDS = {"id", "name", "kind", "hears", "tags", "hours", "disabled", "why", "created_at", "failing_since", "breaker", "next_try"}
SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"


async def made(world: World, **body: Any) -> dict[str, Any]:
    """A new channel as its 201 shows it."""
    answer = await world.api("POST", "channels/", body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def edited(world: World, channel: dict[str, Any], **body: Any) -> dict[str, Any]:
    """The channel after an edit."""
    answer = await world.api("POST", f"channels/{channel['id']}", body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def pressed(world: World, channel: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """What the test button answers while a worker is at work."""
    asked = asyncio.create_task(world.api("POST", f"channels/{channel['id']}/test"))
    while not asked.done():
        await world.deliver()
        await asyncio.sleep(0.02)
    return (await asked).status_code, (await asked).json()


# ---- made


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"kind": "slack", "url": "https://hooks.example.com/services/SECRET"}, {"host": "hooks.example.com"}),
        ({"kind": "webhook", "url": "https://example.com/SECRET", "secret": SECRET}, {"host": "example.com", "method": "POST"}),
        ({"kind": "email", "address": "ops@example.com"}, {"address": "ops@example.com"}),
    ],
)
async def test_a_channel_of_each_kind_is_made_and_read_back_without_its_secrets(
    world: World, settings: dict[str, Any], shown: dict[str, Any]
) -> None:
    """201 with an id; one, and the list, show the same; neither the URL nor the signing secret is ever read again."""
    channel = await made(world, name="On call", hears="down", **settings)
    assert set(channel) == FIELDS | set(shown)
    assert {
        **shown,
        "name": "On call",
        "kind": settings["kind"],
        "hears": "down",
        "disabled": False,
        "why": None,
    }.items() <= channel.items()
    answers = [
        await world.api("GET", f"channels/{channel['id']}"),
        await world.api("GET", "channels/"),
        await world.api("POST", f"channels/{channel['id']}", {"name": "On call"}),
    ]
    assert [answer.json() for answer in answers] == [channel, {"channels": [channel]}, channel]
    for answer in answers:
        assert "SECRET" not in answer.text
        assert SECRET not in answer.text


async def test_a_signing_secret_made_here_is_shown_once(world: World) -> None:
    """In the 201 and nowhere else; it is what messages are signed with."""
    async with HttpReceiver() as receiver:
        channel = await made(world, kind="webhook", name="w", url=receiver.url())
        assert channel["secret"].startswith("whsec_")
        assert (await pressed(world, channel))[0] == 200
        request = receiver.requests[0]
        Webhook(channel["secret"]).verify(request.body, request.headers, json_parse=False)
    for path in ("channels/", f"channels/{channel['id']}"):
        assert "whsec_" not in (await world.api("GET", path)).text


async def test_secrets_lie_sealed_in_the_database(world: World) -> None:
    """Neither the URL nor the signing secret stands in any column."""
    await made(world, kind="webhook", url="https://example.com/SECRET", secret=SECRET, headers={"Authorization": "SECRET"})
    (row,) = await world.rows("SELECT channels::text AS everything, secret FROM channels")
    assert "SECRET" not in row["everything"]
    assert b"SECRET" not in bytes(row["secret"])
    assert SECRET[6:].encode() not in bytes(row["secret"])


NO_CHANNELS: list[tuple[dict[str, Any], str]] = [
    ({}, "kind"),
    ({"kind": "pigeon"}, "kind: choose one of email, slack, webhook"),
    ({"kind": ["slack"]}, "kind is not a string"),
    ({"kind": None}, "kind is not a string"),
    ({"kind": "slack"}, "url"),
    ({"kind": "slack", "url": 7}, "url"),
    ({"kind": "slack", "url": None}, "url"),
    ({"kind": "slack", "url": "ftp://example.com"}, "url"),
    ({"kind": "slack", "url": "https://exam\0ple.com"}, "url"),
    ({"kind": "slack", "url": "https://example.com", "address": "a@example.com"}, "address"),
    ({"kind": "slack", "url": "https://example.com", "disabled": False}, "disabled"),
    ({"kind": "slack", "url": "https://example.com", "id": str(uuid4())}, "id"),
    ({"kind": "email", "address": "nobody"}, "address"),
    ({"kind": "email", "address": ["a@example.com"]}, "address"),
    ({"kind": "email", "address": "a@example.com\r\nBcc: b@example.com"}, "address"),
    ({"kind": "email", "address": "a@example.com", "name": "x" * 101}, "name is too long"),
    ({"kind": "email", "address": "a@example.com", "name": None}, "name is not a string"),
    ({"kind": "email", "address": "a@example.com", "name": "a\0"}, "name"),
    ({"kind": "email", "address": "a@example.com", "hears": "some"}, "hears has unexpected value"),
    ({"kind": "email", "address": "a@example.com", "hears": []}, "hears has unexpected value"),
    ({"kind": "webhook", "url": "https://example.com", "headers": ["a"]}, "headers"),
    ({"kind": "webhook", "url": "https://example.com", "headers": []}, "headers"),
    ({"kind": "webhook", "url": "https://example.com", "headers": ""}, "headers"),
    ({"kind": "webhook", "url": "https://example.com", "headers": {"a": "b\r\nc: d"}}, "headers"),
    ({"kind": "webhook", "url": "https://example.com", "method": 7}, "method"),
    ({"kind": "webhook", "url": "https://example.com", "method": ["POST"]}, "method"),
    ({"kind": "webhook", "url": "https://example.com", "secret": "short"}, "secret"),
    ({"kind": "webhook", "url": "https://example.com", "body_down": '{"a": $NAME}'}, "body_down"),
    ({"kind": "webhook", "url": "https://example.com", "body_down": 1e20}, "body_down"),
]


async def test_a_body_that_makes_no_channel_is_refused_by_name(world: World) -> None:
    """400 naming the field, and nothing is made; unknown keys are refused, for this resource is ours."""
    wrong = []
    for body, words in NO_CHANNELS:
        answer = await world.api("POST", "channels/", body)
        if answer.status_code != 400 or words not in answer.json()["error"]:
            wrong.append((body, answer.status_code, answer.text))
    assert wrong == []
    assert (await world.api("GET", "channels/")).json() == {"channels": []}


async def test_the_key_may_stand_in_the_body(world: World) -> None:
    """`api_key` is no setting of a channel."""
    body = {"api_key": world.project.api_key, "kind": "email", "address": "a@example.com", "name": "a\nb"}
    answer = await world.client.post("/api/v3/channels/", json=body)
    assert (answer.status_code, answer.json()["name"]) == (201, "a b")


# ---- edited and deleted


async def test_an_edit_leaves_the_settings_unless_some_are_given(world: World) -> None:
    """A name alone changes a name; settings are replaced as a whole, but the signing secret in use stays."""
    async with HttpReceiver() as old, HttpReceiver() as new:
        channel = await made(world, kind="webhook", name="a", url=old.url(), headers={"X-Team": "ops"})
        await edited(world, channel, name="b")
        assert (await pressed(world, channel))[0] == 200
        assert old.requests[0].headers["x-team"] == "ops"
        assert await edited(world, channel, kind="webhook", url=new.url()) == {
            **{k: channel[k] for k in channel if k != "secret"},
            "name": "b",
        }
        assert (await pressed(world, channel))[0] == 200
        request = new.requests[0]
        assert "x-team" not in request.headers
        Webhook(channel["secret"]).verify(request.body, request.headers, json_parse=False)
        await edited(world, channel, url=new.url(), secret=SECRET)
        assert (await pressed(world, channel))[0] == 200
        Webhook(SECRET).verify(new.requests[1].body, new.requests[1].headers, json_parse=False)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "email"}, "kind"),
        ({"method": "PUT"}, "url"),
        ({"colour": "red"}, "colour"),
        ({"name": 1}, "name"),
        ({"hears": None}, "hears"),
    ],
)
async def test_an_edit_that_makes_no_sense_changes_nothing(world: World, body: dict[str, Any], words: str) -> None:
    """400 naming the field."""
    channel = await made(world, kind="webhook", name="a", url="https://example.com", secret=SECRET)
    answer = await world.api("POST", f"channels/{channel['id']}", {"name": "b", **body})
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert (await world.api("GET", f"channels/{channel['id']}")).json() == channel


async def test_a_receiver_that_is_gone_disables_its_channel_until_it_is_edited(world: World) -> None:
    """`disabled` and `why` say so, to whoever reads; an edit puts it to use again."""
    async with HttpReceiver() as receiver:
        receiver.answers.append(Reply(410, body=b"closed"))
        channel = await made(world, kind="slack", name="a", url=receiver.url())
        check = await world.check(channels="*")
        await world.ping(check, "/fail")
        await world.deliver()
        seen = (await world.api("GET", "channels/")).json()["channels"][0]
        assert seen["disabled"]
        assert "closed" in seen["why"]
        again = await edited(world, channel)
        assert (again["disabled"], again["why"]) == (False, None)
        await world.ping(check)
        await world.deliver()
        assert len(receiver.requests) == 2


async def test_a_deleted_channel_is_told_nothing_more(world: World) -> None:
    """What waits for it is suppressed with the reason, checks forget it, and it is gone."""
    async with HttpReceiver() as receiver:
        channel = await made(world, kind="slack", name="a", url=receiver.url())
        check = await world.check(channels="*")
        await world.ping(check, "/fail")
        gone = await world.api("DELETE", f"channels/{channel['id']}")
        assert (gone.status_code, gone.json()["id"]) == (200, channel["id"])
        await world.deliver()
        assert receiver.requests == []
    assert (await world.seen(check))["channels"] == ""
    (row,) = await world.rows("SELECT state, reason FROM deliveries")
    assert row == {"state": "suppressed", "reason": "the channel was deleted"}
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/deliveries/")):
        answer = await world.api(method, f"channels/{channel['id']}{path}", {})
        assert (answer.status_code, answer.json()) == (404, {"error": "not found"})


async def test_the_owners_fallback_is_no_channel_of_the_api(world: World) -> None:
    """It is neither listed nor found, nor meant by `*`."""
    project = await world.new_project("Owned", email="owner@example.com")
    (row,) = await world.rows("SELECT id FROM channels WHERE fallback")
    assert (await world.api("GET", "channels/", key=project.api_key)).json() == {"channels": []}
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/test")):
        assert (await world.api(method, f"channels/{row['id']}{path}", {}, key=project.api_key)).status_code == 404
    check = (await world.api("POST", "checks/", {"channels": "*"}, key=project.api_key)).json()
    assert check["channels"] == ""


async def test_a_channel_deleted_while_it_is_given_to_a_check_never_breaks_an_answer(world: World) -> None:
    """Whoever comes second is told so in words; never a 500, never a check with a channel that is not there."""
    for _ in range(15):
        channel = await made(world, kind="email", name="a", address="a@example.com")
        answers = await asyncio.gather(
            world.api("DELETE", f"channels/{channel['id']}"),
            *(world.api("POST", "checks/", {"channels": channel["id"]}) for _ in range(2)),
        )
        assert {answer.status_code for answer in answers} <= {200, 201, 400, 409}
    seen = (await world.api("GET", "checks/")).json()["checks"]
    assert {check["channels"] for check in seen} <= {""}


# ---- tested


async def test_the_test_button_says_what_the_receiver_said(world: World) -> None:
    """200 with the answer once it is delivered; the message is a test of this channel, and is sent once."""
    async with HttpReceiver() as receiver:
        receiver.answers.append(Reply(200, body=b"thank you"))
        channel = await made(world, kind="webhook", name="a", url=receiver.url())
        status, answer = await pressed(world, channel)
        assert (status, answer["state"]) == (200, "delivered")
        assert "thank you" in answer["answer"]
        assert receiver.requests[0].json()["type"] == "test"
        assert receiver.requests[0].headers["webhook-id"] == answer["id"]
        await world.deliver()
        assert len(receiver.requests) == 1


async def test_a_test_that_fails_says_why_and_is_not_tried_again(world: World) -> None:
    """502 with what the receiver said, or that nobody was there."""
    async with HttpReceiver() as receiver:
        receiver.always = Reply(500, body=b"out of paper")
        channel = await made(world, kind="slack", name="a", url=receiver.url())
        status, answer = await pressed(world, channel)
        assert (status, answer["state"], answer["error"]) == (502, "dead", "not delivered")
        assert "out of paper" in answer["answer"]
        await world.advance(3600)
        await world.deliver()
        assert len(receiver.requests) == 1
    status, answer = await pressed(world, channel)
    assert (status, answer["state"]) == (502, "dead")
    assert answer["answer"]


async def test_a_test_without_a_worker_is_given_up_in_time(world: World) -> None:
    """504 after the patience asked for; the delivery waits, and no database connection is held meanwhile."""
    channel, other = [await made(world, kind="slack", name=name, url="https://hooks.example.com/x") for name in "ab"]
    waiting = [asyncio.create_task(pressed_alone(world, one)) for one in (channel, other) for _ in range(6)]
    await asyncio.sleep(0.3)
    assert (await world.api("GET", "channels/")).status_code == 200  # twelve wait, the pool has five
    for task in waiting:
        answer = await task
        assert (answer[0], answer[1]["state"], answer[1]["error"]) == (504, "waiting", "no worker has sent it yet")
    for wait in ("-1", "26", "x", "nan", "1e400"):
        refused = await world.api("POST", f"channels/{channel['id']}/test?wait={wait}")
        assert (refused.status_code, refused.json()["error"].partition(":")[0]) == (400, "wait")


async def pressed_alone(world: World, channel: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """What the test button answers while nobody delivers."""
    answer = await world.api("POST", f"channels/{channel['id']}/test?wait=0.7")
    return answer.status_code, answer.json()


async def test_a_read_only_key_sends_no_test(world: World) -> None:
    """Nor does a missing one, though the route looks at keys by itself."""
    channel = await made(world, kind="slack", name="a", url="https://hooks.example.com/x")
    answer = await world.api("POST", f"channels/{channel['id']}/test", key=world.project.api_key_readonly)
    assert (answer.status_code, answer.json()) == (401, {"error": "wrong api key"})
    assert (await world.client.post(f"/api/v3/channels/{channel['id']}/test")).json() == {"error": "missing api key"}
    assert await world.rows("SELECT 1 FROM deliveries") == []


async def test_the_last_twenty_messages_of_a_channel_are_listed_newest_first(world: World) -> None:
    """Each with its state, its attempts and what the receiver answered; and one by its id."""
    async with HttpReceiver() as receiver:
        receiver.answers.append(Reply(503, body=b"busy"))
        channel = await made(world, kind="slack", name="ops", url=receiver.url())
        check = await world.check(channels="*")
        await world.ping(check, "/fail")
        await world.deliver()
        path = f"channels/{channel['id']}/deliveries/"
        (first,) = (await world.api("GET", path)).json()["deliveries"]
        assert (first["state"], first["tries"], first["kind"], first["channel_name"]) == ("waiting", 1, "monitor.down", "ops")
        assert first["next_try"] is not None
        assert "busy" in first["attempts"][0]["answer"]
        await world.advance(600)
        await world.deliver()
        for _ in range(11):
            for signal in ("", "/fail"):
                await world.ping(check, signal)
                await world.deliver()
        listed = (await world.api("GET", path)).json()["deliveries"]
        assert len(listed) == 20
        assert [d["created_at"] for d in listed] == sorted((d["created_at"] for d in listed), reverse=True)
        assert first["id"] not in {d["id"] for d in listed}
        assert [d["kind"] for d in listed] == ["monitor.down", "monitor.up"] * 10
        assert {d["state"] for d in listed} == {"delivered"}
        again = (await world.api("GET", f"deliveries/{first['id']}")).json()
    assert (again["state"], again["tries"], len(again["attempts"]), again["next_try"]) == ("delivered", 2, 2, None)
    assert (again["check"], again["channel"]) == (check["uuid"], channel["id"])


async def test_nobody_is_flooded_with_tests(world: World) -> None:
    """Ten at once, then one each half minute; of each channel, and it is said when the next may be sent."""
    one, other = [await made(world, kind="email", address=f"{name}@example.com") for name in ("a", "b")]
    path = f"channels/{one['id']}/test?wait=0"
    assert {(await world.api("POST", path)).status_code for _ in range(10)} == {504}
    refused = await world.api("POST", path)
    assert refused.status_code == 429
    assert 25 <= int(refused.headers["Retry-After"]) <= 30
    assert "send the next in" in refused.text
    assert (await world.api("POST", f"channels/{other['id']}/test?wait=0")).status_code == 504
    await world.advance(31)
    assert (await world.api("POST", path)).status_code == 504
    assert len(await world.rows("SELECT id FROM deliveries")) == 12
