"""Bodies as they may arrive: whole, torn, broken, too large, and full of nonsense."""

import asyncio
import gzip
import json
import os
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.clock import utc_now
from app.errors import Invalid, TooLarge
from app.events.read import read
from tests.events.saying import Program, entry, monitors
from tests.world import World

pytestmark = pytest.mark.anyio
LEAST = timedelta(seconds=10)
HEAD = {"v": 1, "app": "shop", "sent_at": 1_760_000_000_123, "heartbeat": 15}
STARTED = {"type": "run.started", "id": "a", "ts": 1_760_000_000_001, "monitor": "entry:a", "run": "r", "att": 0, "x": "x"}


def body(*lines: Any) -> bytes:
    """Lines of JSON; bytes go as they are."""
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


def errors(*lines: Any) -> list[tuple[int, str]]:
    """What is wrong with lines after a good envelope."""
    return read(body(HEAD, *lines), False, utc_now(), LEAST).errors


async def test_a_good_batch_is_counted(world: World) -> None:
    """Packed or not: recorded, repeated, of an unknown type, of an unknown check."""
    shop = Program(world)
    started = await shop.run("started")
    answer = await shop.said(await shop.sync(entry()), started, await shop.event("queue.depth", queue="celery"))
    assert {name: answer[name] for name in ("accepted", "repeated", "ignored", "unknown_monitors", "flagged", "errors")} == {
        "accepted": 2, "repeated": 0, "ignored": 1, "unknown_monitors": 0, "flagged": 0, "errors": [],
    }  # fmt: skip
    again = await shop.said(
        started, await shop.run("started", monitor="entry:other"), await shop.run("started", monitor="check:x")
    )
    assert (again["accepted"], again["repeated"], again["unknown_monitors"]) == (0, 1, 2)
    assert any("entry:other" in words for words in again["warnings"])
    assert isinstance(again["server_time"], int)


async def test_an_envelope_alone_is_fine(world: World) -> None:
    """That is how a program asks whether address and key are right."""
    answer = await Program(world).said()
    assert (answer["accepted"], answer["warnings"], answer["errors"]) == (0, [], [])


async def test_broken_lines_are_named_and_the_good_ones_kept(world: World) -> None:
    """400 with each line's number, and what it had of sense is recorded."""
    shop = Program(world)
    await shop.said(await shop.sync(entry()))
    lines = [
        {**shop.envelope, "sent_at": await shop.now()}, b"{broken", await shop.run("started"), b"\xff\xfe", b"[1]", b"NaN",
        {"type": "run.started"}, {**await shop.run("failed"), "ts": 1e400}, await shop.run("succeeded"),
    ]  # fmt: skip
    answer = await shop.post(body(*lines))
    found = answer.json()
    assert (answer.status_code, found["accepted"]) == (400, 2)
    assert [error["line"] for error in found["errors"]] == [2, 4, 5, 6, 7, 8]
    assert found["error"].startswith("line 2: ")
    assert (await monitors(world))["nightly"]["status"] == "up"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({**STARTED, "monitor": "nightly"}, "monitor: must be entry:"),
        ({**STARTED, "monitor": 7}, "monitor: must be entry:"),
        ({**STARTED, "monitor": "entry:" + "x" * 201}, "monitor: must be entry:"),
        ({**STARTED, "monitor": "entry:\ud800"}, "half of a surrogate pair"),
        ({**STARTED, "run": ""}, "run: "),
        ({**STARTED, "run": "r" * 101}, "run: "),
        ({**STARTED, "run": ["r"]}, "run: "),
        ({**STARTED, "att": -1}, "att: "),
        ({**STARTED, "att": True}, "att: "),
        ({**STARTED, "att": 10**40}, "att: "),
        ({**STARTED, "ts": "now"}, "ts: "),
        ({**STARTED, "ts": None}, "ts: is missing"),
        ({**STARTED, "ts": -5}, "ts: "),
        ({**STARTED, "ts": 10**18}, "ts: "),
        ({**STARTED, "error": {}}, "error: "),
        ({**STARTED, "type": None}, "type: is missing"),
        ({**STARTED, "type": 1}, "type: is missing"),
        ({"type": "worker.beat", "ts": 1, "active": "entry:a"}, "active: "),
        ({"type": "beat.beat", "ts": 1, "next_due": ["a"]}, "next_due: must be an object"),
        ({"type": "beat.beat", "ts": 1, "stalled": "yes"}, "stalled: "),
        ({"type": "schedule.sync", "ts": 1, "entries": {}}, "entries: "),
        ({"type": "schedule.sync", "ts": 1, "entries": [{}] * 5001}, "entries: "),
        (b'{"a":' * 5000, "nested"),
        (b'{"type":"x","n":' + b"9" * 5000 + b"}", ""),
        (b'"' + b"x" * 2_000_001 + b'"', "longer than"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said_in_words(line: Any, words: str) -> None:
    """The line, the field, and what it must be."""
    found = errors(line)
    assert [number for number, _ in found] == ([2] if words else [])
    assert all(words in why for _, why in found)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "app: "),
        (b"hello", "is no JSON"),
        ({**HEAD, "app": ""}, "app: "),
        ({**HEAD, "app": "\0"}, "app: "),
        ({**HEAD, "app": "x" * 51}, "app: "),
        ({**HEAD, "environment": 5}, "environment: "),
        ({**HEAD, "sent_at": None}, "sent_at: is missing"),
        ({**HEAD, "heartbeat": 0}, "heartbeat: "),
        ({**HEAD, "v": 2}, "v: must be 1"),
    ],
)
async def test_without_an_envelope_nothing_can_be_used(world: World, head: Any, words: str) -> None:
    """400 in words, and nothing is kept."""
    answer = await Program(world).post(body(head) if head else b"")
    assert answer.status_code == 400
    assert answer.json()["accepted"] == 0
    assert answer.json()["error"].startswith("line 1: ")
    assert words in answer.json()["error"] or not head


def test_of_a_torn_body_what_came_before_is_kept() -> None:
    """Packed or not, cut anywhere: every whole line counts, and the tear is an error."""
    lines = [{**STARTED, "id": str(n), "run": os.urandom(12).hex()} for n in range(300)]
    whole = body(HEAD, *lines)
    packed = gzip.compress(whole)
    half = read(packed[: len(packed) // 2], False, utc_now(), LEAST)
    assert 100 < len(half.said) < 200
    assert [why for _, why in half.errors] == ["the body ends in the middle: what came before is kept"]
    cut = read(whole[: len(whole) // 2], True, utc_now(), LEAST)
    assert 140 < len(cut.said) < 160
    assert len(cut.errors) == 1
    broken = bytearray(packed)
    broken[len(packed) // 2] ^= 0xFF
    kept = read(bytes(broken), False, utc_now(), LEAST)
    assert len(kept.said) > 100
    assert kept.errors
    twice = gzip.compress(body(HEAD)) + gzip.compress(body(STARTED))
    assert len(read(twice, False, utc_now(), LEAST).said) == 1


async def test_too_large_is_413_packed_or_unpacked(world: World) -> None:
    """A bomb is never unpacked; nothing is kept."""
    shop = Program(world)
    head = body({**shop.envelope, "sent_at": await shop.now()})
    for large in (head + b" " * 10_000_000, gzip.compress(head + b" " * 10_000_001)):
        answer = await shop.post(large)
        assert (answer.status_code, "halve the batch" in answer.json()["error"]) == (413, True)
    bomb = gzip.compress(b"\n" * 500_000_000, 1)
    with pytest.raises(TooLarge):
        read(bomb, False, utc_now(), LEAST)
    assert (await shop.post(gzip.compress(head + b" " * 9_000_000))).status_code == 200


async def test_more_lines_than_anybody_sends_are_413_and_read_by_nobody(world: World) -> None:
    """A few kilobytes of gzip hold millions of them; of what is read a hundred errors are named, all are counted."""
    shop = Program(world)
    head = body({**shop.envelope, "sent_at": await shop.now()})
    answer = await shop.post(gzip.compress(head + b"{}\n" * 50_000))
    assert (answer.status_code, "halve the batch" in answer.json()["error"]) == (413, True)
    answer = await shop.post(gzip.compress(head + b"{}\n" * 49_999))
    assert (answer.status_code, len(answer.json()["errors"]), answer.json()["broken"]) == (400, 100, 49_999)
    assert len(read(head + b"{}\n" * 5000, True, utc_now(), LEAST).errors) == 100
    syncs = [{"type": "schedule.sync", "ts": 1, "entries": [entry(f"{n}", {}) for n in range(4000)]}] * 3
    with pytest.raises(TooLarge, match="halve the batch"):
        read(head + body(*syncs), False, utc_now(), LEAST)


async def test_one_body_is_read_at_a_time(world: World) -> None:
    """For it takes the processor from the pings; whoever waits too long is to come again."""
    shop = Program(world)
    async with world.web.recorder.reading:
        answer = await shop.send()
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
    found = await asyncio.gather(*(shop.send() for _ in range(5)))
    assert [answer.status_code for answer in found] == [200] * 5


async def test_a_heartbeat_counts_whatever_is_wrong_with_what_it_lists(world: World) -> None:
    """Only the bad items are left out, with a warning: their runs and slots are not worth the life of all the others."""
    shop, now = Program(world), await Program(world).now()
    declared = entry("a", {"kind": "declared", "next_due": now + 60_000})
    await shop.said(await shop.sync(declared), await shop.run("started", "entry:a"))
    due = {"a": now + 90_000, "\ud800": 1, "x" * 201: 1, "": 1, "b": "soon"}
    active = [["entry:a", "r" * 101, "x1", 1], ["entry:\ud800", "r", "x1", 1], ["entry:" + "x" * 201, "r"], ["entry:a"], 5]
    answer = await shop.said(
        await shop.event("beat.beat", next_due=due),
        await shop.event("worker.beat", active=[*active, ["entry:a", "r1", "x1", 1]]),
    )
    assert answer["accepted"] == 2
    assert len([words for words in answer["warnings"] if words.startswith("next_due of ")]) == 4
    assert len([words for words in answer["warnings"] if words.startswith("a run of `active` ")]) == 4  # two for one reason
    found = await monitors(world)
    assert {name: row["status"] for name, row in found.items()} == {"Beat of shop": "up", "Workers of shop": "up", "a": "new"}
    assert abs(found["a"]["due"].timestamp() - now / 1000 - 90) <= 1


async def test_what_the_database_cannot_hold_is_cleaned(world: World) -> None:
    """A NUL in a name, a run id or an error keeps nothing from being recorded."""
    shop = Program(world)
    failed = await shop.run("failed", monitor="entry:night\0ly", run="r\0", error="no\0thing \ud800")
    assert (await shop.said(await shop.sync(entry("night\0ly")), failed))["accepted"] == 2
    kept = await world.rows("SELECT run_id, convert_from(body, 'utf8') AS body FROM check_ins")
    assert kept == [{"run_id": "r", "body": "nothing ?"}]


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("\ud800"), st.just("\0"),
    st.lists(st.integers(), max_size=2), st.just({"kind": "crontab"}), st.just({"a": 5}), st.just({"\ud800": 1}),
    st.just([["entry:\ud800", "r", "x", 1]]), st.just({"kind": "every", "seconds": 60, "next_due": "soon"}),
    st.sampled_from([10**30, -1, 1e308, "entry:a", "task:b", "check:c", 1_760_000_000_000, [["entry:a", "r", "x", 1]]]),
    st.just([{"name": "a", "schedule": {"kind": "every", "seconds": 10**20}}]),
    st.just([{"name": "a", "schedule": {"kind": "declared", "next_due": -1}}, {"name": "b", "schedule": None}, 5]),
)  # fmt: skip
TYPES = st.sampled_from([
    "run.dispatched", "run.dispatch_failed", "run.started", "run.retry", "run.succeeded", "run.lost", "run.revoked",
    "schedule.sync", "beat.up", "beat.beat", "beat.down", "worker.beat", "worker.stopping", "worker.down", "else",
])  # fmt: skip
FIELDS = [
    "ts", "monitor", "run", "att", "x", "id", "error", "expires", "eta", "next_due", "broker", "entries", "reconcile", "active",
    "stalled", "publish_error", "standby", "last_tick_age", "reason", "warning", "duration_ms",
]  # fmt: skip
PLAUSIBLE = {"ts": 1_760_000_000_000, "monitor": "task:a", "run": "r", "id": "i"}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.data())
def fuzz(send: Callable[[bytes], None], data: st.DataObject) -> None:
    """Events with any field as anything, and their bytes hurt here and there."""
    events = data.draw(
        st.lists(
            st.builds(
                lambda kind, odd: {**PLAUSIBLE, "type": kind, **odd},
                TYPES,
                st.dictionaries(st.sampled_from(FIELDS), ODD, max_size=5),
            ),
            max_size=6,
        )
    )
    sent = bytearray(
        body({**HEAD, **data.draw(st.dictionaries(st.sampled_from(["heartbeat", "dropped", "host"]), ODD))}, *events)
    )
    if data.draw(st.booleans()):
        sent = bytearray(gzip.compress(bytes(sent)))
    for _ in range(data.draw(st.integers(0, 2))):
        sent[data.draw(st.integers(0, len(sent) - 1))] = data.draw(st.integers(0, 255))
    send(bytes(sent))


async def test_whatever_arrives_the_answer_is_never_500(world: World) -> None:
    """Every line is read, recorded or refused; the service lives."""
    shop = Program(world)
    found: list[bytes] = []
    fuzz(found.append)
    numbers = [(await shop.post(sent)).status_code for sent in found]
    assert set(numbers) == {200, 400}
    pure = random.Random(1)
    for _ in range(50):
        with pytest.raises(Invalid):
            read(pure.randbytes(200), False, utc_now(), LEAST)
    assert (await shop.said())["errors"] == []
