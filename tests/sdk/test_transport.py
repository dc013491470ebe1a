"""How what was seen gets to the server, or does not: the buffer, the relay, one request, and the thread that sends."""

import contextlib
import gzip
import json
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.beat import Scheduler
from missedbeat import post as posting
from missedbeat.buffer import Buffer
from missedbeat.celery.beat import Watch
from missedbeat.celery.handle import Handle
from missedbeat.event import Event
from missedbeat.heart import Heart
from missedbeat.post import Answer, Post
from missedbeat.relay import Relay
from missedbeat.relayed import Relayed, pack, unpack
from missedbeat.reporter import Reporter
from missedbeat.runs import UNDERWAY_KEPT, Runs
from missedbeat.settings import Settings, read
from missedbeat.verdict import Fate, ceiling, judge

Said = dict[str, Any]
PATIENCE = 10.0


def event(kind: str = "run.started", number: int = 1, **fields: Any) -> Event:
    return Event(kind, "abcd1234", number, 1_760_000_000_000 + number, **fields)


class Server:
    """Answers each request with what `decide` says of it; 200 if that is not given. `requests` is what came."""

    def __init__(self, decide: Callable[[list[Said]], tuple[int, dict[str, str], bytes]] | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str], list[Said]]] = []
        self.connections: set[tuple[str, int]] = set()
        self._decide = decide or (lambda lines: (200, {}, b"{}"))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def events(self) -> list[Said]:
        """All that came in requests that were taken, the envelopes left out."""
        return [said for _, _, lines in self.requests for said in lines[1:]]

    def __enter__(self) -> "Server":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                lines = [json.loads(line) for line in body.splitlines()]
                status, headers, answer = server._decide(lines)
                if status == 200:
                    server.requests.append((self.path, dict(self.headers), lines))
                server.connections.add(self.client_address)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(answer)

            def log_message(self, *_: object) -> None: ...

        return Handler


@pytest.fixture
def reporters() -> Iterator[list[Reporter]]:
    """Those of a test; they end with it."""
    made: list[Reporter] = []
    yield made
    for one in made:
        one.close()


@pytest.fixture
def reporting(reporters: list[Reporter]) -> Callable[..., Reporter]:
    """A reporter to a server."""

    def made(url: str = "http://127.0.0.1:9", **given: Any) -> Reporter:
        reporters.append(Reporter(replace(Settings(url=url, key="a-key", app="shop"), **given)))
        return reporters[-1]

    return made


# ---- what waits


def test_a_full_buffer_lets_starts_go_before_ends_and_counts_them() -> None:
    """An end says all that its start said; a start without an end is a false alarm."""
    buffer = Buffer(4)
    for number, kind in enumerate(["run.started", "run.failed", "run.started", "run.lost", "run.succeeded", "run.expired"]):
        buffer.append(event(kind, number))
    assert buffer.dropped == {"run.started": 2}
    assert [buffer.take() for _ in range(4)] == [
        event("run.failed", 1), event("run.lost", 3), event("run.succeeded", 4), event("run.expired", 5),
    ]  # fmt: skip
    for number in range(6):
        buffer.append(event("run.failed", number))
    assert buffer.dropped == {"run.started": 2, "run.failed": 2}
    assert len(buffer) == 4


def test_successes_go_before_failures_and_losses() -> None:
    """A failure that nobody hears of is what all of this is against; a success comes again."""
    buffer = Buffer(3)
    for number, kind in enumerate(["run.failed", "run.succeeded", "run.lost", "run.ignored", "run.aborted"]):
        buffer.append(event(kind, number))
    assert buffer.dropped == {"run.succeeded": 1, "run.ignored": 1}
    assert [taken.type for taken in iter(buffer.take, None)] == ["run.failed", "run.lost", "run.aborted"]


def test_what_waits_goes_in_the_order_in_which_it_happened() -> None:
    """Starts and ends wait in two queues, and leave as one."""
    buffer = Buffer(10)
    kinds = ["run.started", "run.succeeded", "worker.up", "run.started", "run.retry", "run.failed"]
    for number, kind in enumerate(kinds):
        buffer.append(event(kind, number))
    assert [taken.type for taken in iter(buffer.take, None)] == kinds


def test_of_heartbeats_only_the_newest_waits() -> None:
    """An hour without a server must not end in an hour of old heartbeats; what came while one was sent stays."""
    buffer = Buffer(10)
    for number in range(3):
        buffer.beat("worker.beat", [event("worker.beat", number)])
    (waiting,) = buffer.newest_beats()
    assert [beat.seq for beat in waiting] == [2]
    assert buffer.dropped == {"worker.beat": 2}
    buffer.beat("worker.beat", [event("worker.beat", 3)])
    buffer.sent([waiting])
    assert not buffer.is_empty
    buffer.sent(buffer.newest_beats())
    assert buffer.is_empty


def test_a_schedule_goes_with_the_events_that_mean_its_entries() -> None:
    """Before them, and not with the heartbeats, which must not depend on what stands in it."""
    buffer = Buffer(10)
    buffer.append(event("run.dispatched", 1))
    for number in (2, 3):
        buffer.beat("schedule.sync", [event("schedule.sync", number)])
    assert buffer.newest_beats() == []
    assert [taken.seq for taken in iter(buffer.take, None)] == [3, 1]
    assert buffer.is_empty


def test_runs_that_nobody_ends_do_not_pile_up() -> None:
    """Where no heartbeat clears them away either: the oldest are forgotten."""
    runs = Runs()
    for number in range(UNDERWAY_KEPT + 5):
        runs.note(event("run.started", number, monitor="task:t", run=f"r{number}", x="x"))
    assert [runs.is_underway(f"r{number}") for number in (0, 4, 5, UNDERWAY_KEPT + 4)] == [False, False, True, True]


def test_ten_thousand_events_take_less_than_five_megabytes(reporting: Callable[..., Reporter]) -> None:
    """Told by the hooks of this process, or relayed by others."""
    reporter, relay = reporting(), Relay()
    tracemalloc.start()
    for number in range(5_000):
        run = f"{number:08}-39b4-4f0c-9f0b-0123456789ab"
        reporter._buffer.append(
            event("run.started", number, monitor="entry:n", run=run, x=f"{number:08}", more=("wait_ms", number))
        )
        failed = event("run.failed", number, monitor="entry:n", run=run, x=f"{number:08}", more=("error", "ValueError: x" * 5))
        for relayed in through(relay, failed):
            reporter._buffer.append(relayed.told)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(reporter._buffer) == 10_000
    assert held < 5_000_000


# ---- from a child to its worker


def through(relay: Relay, *events: Event, dropped: dict[str, int] | None = None) -> list[Relayed]:
    """What the main process makes of these events of a child."""
    for one in events:
        line = pack(one, "boot", dropped or {})
        assert line is not None
        assert relay.write(line)
    return [found for found in map(unpack, relay.read()) if found is not None]


def test_the_relay_brings_whole_events_in_their_order() -> None:
    """As the text that is sent, with all that the main process goes by, and what was dropped before."""
    relay = Relay()
    sent = [event(number=number, run=f"r{number}", monitor="entry:größe", more=("queue", "größe")) for number in range(1000)]
    received = through(relay, *sent)
    assert [json.loads(one.told.text) for one in received] == [one.said("boot") for one in sent]
    assert [one.event for one in received] == [one._replace(process="", seq=0, more=()) for one in sent]
    (after,) = through(relay, event(), dropped={"run.started": 1})
    assert after.dropped == {"run.started": 1}


def test_odd_names_pass_the_relay_and_what_others_write_is_passed_over() -> None:
    """Tabs, line breaks, halves of pairs in the name of a run or an entry; lines that are none of ours."""
    relay = Relay()
    odd = event(run='a\tb\nc\\ "d" \udcff', monitor="entry:\t\n ü")
    (received,) = through(relay, odd)
    assert (received.event.run, received.event.monitor) == (odd.run, odd.monitor)
    for noise in (b"\n\n", b"hello\n", b"\t" * 7 + b"{}\n", b"a\tb\tc\td\te\tf\tg\t{}\n", b"\xff\t1\t1\t\t\t\t\t{}\n"):
        assert relay.write(noise)
    assert [found.event.run for found in through(relay, event(run="r"))] == ["r"]


def test_a_long_error_is_cut_rather_than_the_event_lost() -> None:
    """A write of more than 4096 bytes could be torn by that of another child."""
    (cut,) = through(Relay(), event("run.failed", run="r", more=("duration_ms", 5, "error", "x" * 9000)))
    said = json.loads(cut.told.text)
    assert (said["run"], said["duration_ms"]) == ("r", 5)
    assert 0 < len(said["error"]) <= 500


def test_a_full_relay_does_not_block_and_what_it_refused_is_told_later(reporting: Callable[..., Reporter]) -> None:
    """A task never waits for us; the main process learns the number with the next event that fits."""
    reporter = reporting(max_buffer=50_000)
    reporter.open_relay()
    reporter.enter_child()
    for number in range(20_000):
        reporter.record("run.started", "entry:n", f"r{number}")
    reporter._in_child = False  # from here on it is the other end
    reporter.drain()
    arrived = len(reporter._buffer)
    reporter._in_child = True
    for run in ("r1", "r2"):
        reporter.record("run.succeeded", "entry:n", run)
    reporter._in_child = False
    reporter.drain()
    assert 1000 < arrived < 20_000
    assert reporter.stats()["dropped"]["run.started"] == 20_000 - arrived


def test_only_the_main_process_reads_the_relay(reporting: Callable[..., Reporter]) -> None:
    """What another process that was forked from it would read, nobody would send."""
    reporter = reporting()
    reporter.open_relay()
    assert reporter.relay is not None
    reporter.relay.write(b"a line\n")
    reporter._renew()  # as after a fork
    reporter.drain()
    assert reporter.stats()["queued"] == 0
    assert len(reporter.relay.read()) == 1
    inherited = reporter.relay
    reporter.open_relay()  # it has children of its own
    assert reporter.relay is not inherited


def test_a_closed_descriptor_is_not_written_to_even_if_it_was_opened_again(tmp_path: Path) -> None:
    """Embedded Beat closes whatever it inherited, a task one file twice; the number may be anybody's afterwards."""
    relay = Relay()
    assert relay.is_open()
    os.close(relay._writes)
    assert not relay.is_open()
    with (tmp_path / "somebody's").open("wb") as file:
        assert file.fileno() == relay._writes
        assert not relay.is_open()
        assert not relay.write(b"what a task of theirs must never find there\n")
        relay.wake()
    assert (tmp_path / "somebody's").stat().st_size == 0
    os.close(relay._reads)
    with (tmp_path / "somebody's").open("w+b", buffering=0) as file:
        assert file.fileno() == relay._reads
        file.write(b"theirs to read\n")
        file.seek(0)
        assert relay.read() == []
        assert file.read() == b"theirs to read\n"


# ---- what an answer means


@pytest.mark.parametrize(
    ("status", "fate", "least", "most"),
    [
        (200, Fate.ARRIVED, 1, 1), (202, Fate.ARRIVED, 1, 1), (413, Fate.HALVE, 1, 1), (400, Fate.SUSPECT, 1, 16),
        (401, Fate.SUSPECT, 1, 16), (403, Fate.SUSPECT, 1, 16), (410, Fate.SUSPECT, 1, 16), (404, Fate.SUSPECT, 1, 16),
        (405, Fate.SUSPECT, 1, 16), (500, Fate.SUSPECT, 1, 16), (301, Fate.KEEP, 1, 16), (0, Fate.KEEP, 1, 16),
        (429, Fate.KEEP, 1, 16), (502, Fate.KEEP, 1, 16), (503, Fate.KEEP, 1, 16), (504, Fate.KEEP, 1, 16),
    ],
)  # fmt: skip
def test_each_answer_has_its_meaning(status: int, fate: Fate, least: float, most: float) -> None:
    """Nothing is thrown away that waiting could save, and no server is asked more than once a second."""
    verdict = judge(Answer(status, ""), 3, 0.0)
    assert verdict.fate is fate
    assert least <= verdict.pause <= most
    assert bool(verdict.complaint) is (fate in (Fate.KEEP, Fate.SUSPECT))


@pytest.mark.parametrize(("status", "pause"), [(401, 600), (403, 600), (410, 600), (404, 1), (500, 1), (0, 1)])
def test_a_key_that_is_refused_again_and_again_is_kept_back(status: int, pause: float) -> None:
    """Ten minutes; nothing else makes us silent for longer than half a minute."""
    assert judge(Answer(status, ""), 3, 0.0, lambda least, most: 1.0, is_refused=True).pause == pause


def test_only_the_service_itself_can_say_that_sending_again_is_of_no_use() -> None:
    """A 400 in its own words; one of a proxy says nothing of what it kept."""
    assert judge(Answer(400, '{"error": "line 2: no such thing"}'), 0, 0.0).fate is Fate.GIVE_UP
    assert judge(Answer(400, "<html>Bad Request</html>"), 0, 0.0).fate is Fate.SUSPECT


def test_pauses_grow_to_half_a_minute_and_are_spread_over_all_of_it() -> None:
    """So that a thousand workers do not come back at once."""
    assert [ceiling(failures) for failures in range(7)] == [2, 4, 8, 16, 30, 30, 30]
    generator = random.Random(1)
    pauses = [judge(Answer(500, ""), 20, 0.0, generator.uniform).pause for _ in range(500)]
    assert min(pauses) < 5
    assert max(pauses) > 25


@pytest.mark.parametrize(
    ("asked", "pause"),
    [("7", 7), ("0", 1), ("100000", 300), ("Thu, 01 Jan 1970 00:02:00 GMT", 120), ("-5", 1)],
)
def test_a_server_says_itself_when_to_come_back(asked: str, pause: float) -> None:
    """In seconds or as a date, five minutes at most."""
    assert judge(Answer(429, "", asked), 0, 0.0, lambda least, most: 0.5).pause == pause


@pytest.mark.parametrize("asked", ["soon", "", "nan", "Thu, 99 Jan"])
def test_what_a_server_says_without_sense_is_passed_over(asked: str) -> None:
    """The usual pause then."""
    assert judge(Answer(503, "", asked), 0, 0.0, lambda least, most: 1.5).pause == 1.5


# ---- one request


def ask(url: str) -> Answer:
    """Post nothing much to this address."""
    with contextlib.closing(Post(url, {})) as post:
        return post.send(b"{}\n", {})


def test_a_redirect_is_not_followed() -> None:
    """The key goes to the address that it was given for, and nowhere else."""
    with Server() as elsewhere, Server(lambda _: (308, {"Location": elsewhere.url}, b"")) as server:
        answer = ask(f"{server.url}/api/v3/events")
        assert (answer.status, answer.location) == (308, elsewhere.url)
        assert elsewhere.requests == []


def test_the_connection_is_kept_and_made_anew_when_the_server_let_it_go() -> None:
    """Which is no failure: the request goes out a second time over a fresh one."""
    with Server() as server, contextlib.closing(Post(f"{server.url}/x", {})) as post:
        assert [post.send(b"{}\n", {}).status for _ in range(3)] == [200] * 3
        assert len(server.connections) == 1
        assert post._connection is not None
        limited: Any = post._connection.sock
        limited._inner.shutdown(socket.SHUT_RDWR)
        assert post.send(b"{}\n", {}).status == 200
        assert len(server.connections) == 2


def test_an_answer_is_read_to_its_end_where_the_server_closes_after_it() -> None:
    """However late its body comes: what has arrived must not be sent for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer_slowly, args=(listener,), daemon=True).start()
        assert ask(f"http://127.0.0.1:{listener.getsockname()[1]}/") == Answer(200, "{}")


def answer_slowly(listener: socket.socket) -> None:
    peer, _ = listener.accept()
    with peer:
        peer.recv(65536)
        peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n")
        threading.Event().wait(0.2)
        peer.sendall(b"{}")


@pytest.mark.parametrize("drips", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
def test_a_server_that_drips_does_not_hold_us(drips: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole exchange has one end, however steadily bytes come."""
    monkeypatch.setattr(posting, "WHOLE", 0.6)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=(listener, drips), daemon=True).start()
        answer = ask(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    assert answer.status == 0
    assert "Timeout" in answer.said


def drip(listener: socket.socket, first: bytes) -> None:
    peer, _ = listener.accept()
    with peer, contextlib.suppress(OSError):
        peer.sendall(first)
        while True:
            peer.sendall(b"x")
            threading.Event().wait(0.05)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://nowhere.invalid/", "https://127.0.0.1:1/"])
def test_a_server_that_is_not_there_is_an_answer_too(url: str) -> None:
    """It does not raise."""
    answer = ask(url)
    assert answer.status == 0
    assert answer.said


def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own password; what `no_proxy` names is asked directly."""
    with Server() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//me:pass@"))
        assert ask("http://missedbeat.example/api").status == 200
        ((target, headers, _),) = proxy.requests
        assert target == "http://missedbeat.example/api"
        assert headers["Proxy-Authorization"] == "Basic bWU6cGFzcw=="
        monkeypatch.setenv("no_proxy", "nowhere.invalid")
        assert ask("http://nowhere.invalid/").status == 0


# ---- the thread


def test_a_batch_says_who_speaks_and_what_happened(reporting: Callable[..., Reporter]) -> None:
    """One request for all that waited; a long one is packed."""
    with Server() as server:
        reporter = reporting(server.url, environment="production")
        for number in range(50):
            reporter.record("run.started", "entry:nightly", f"r{number}", 1, "x", ("wait_ms", 5))
        reporter.beat("worker.beat", [("active", [])])
        assert reporter.flush(PATIENCE)
        ((path, headers, (envelope, first, *_, last)),) = server.requests
    assert (path, headers["Authorization"]) == ("/api/v3/events", "Bearer a-key")
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Type"] == "application/x-ndjson"
    assert envelope.items() >= {"v": 1, "app": "shop", "environment": "production", "boot": reporter.boot, "dropped": {}}.items()
    assert first.items() >= {"type": "run.started", "monitor": "entry:nightly", "run": "r0", "att": 1, "wait_ms": 5}.items()
    assert first["id"].startswith(f"{reporter.boot}:")
    assert last["type"] == "worker.beat"
    assert reporter.stats() == {"queued": 0, "sent": 50, "dropped": {}}


def test_what_did_not_arrive_is_sent_again_as_it_was(reporting: Callable[..., Reporter]) -> None:
    """With its id and its time; only the envelope says when it was sent."""
    answers = iter([(500, {}, b""), (429, {"Retry-After": "0"}, b"")])
    seen: list[list[Said]] = []

    def decide(lines: list[Said]) -> tuple[int, dict[str, str], bytes]:
        seen.append(lines)
        return next(answers, (200, {}, b"{}"))

    with Server(decide) as server:
        reporter = reporting(server.url)
        reporter.record("run.failed", "entry:n", "r", more=("error", "x"))
        for _ in range(20):
            if reporter.flush(PATIENCE):
                break
    assert len(seen) == 3
    assert seen[0][1:] == seen[1][1:] == seen[2][1:]
    assert seen[0][0]["sent_at"] < seen[2][0]["sent_at"]


def test_a_batch_that_is_too_large_is_halved_until_it_fits(reporting: Callable[..., Reporter]) -> None:
    """What is too large alone is dropped, and the server told so."""

    def decide(lines: list[Said]) -> tuple[int, dict[str, str], bytes]:
        too_large = len(lines) > 4 or any(said.get("run") == "r7" for said in lines)
        return (413, {}, b"") if too_large else (200, {}, b"{}")

    with Server(decide) as server:
        reporter = reporting(server.url)
        for number in range(10):
            reporter.record("run.started", "entry:n", f"r{number}")
        assert reporter.flush(PATIENCE)
        assert sorted(said["run"] for said in server.events) == sorted(f"r{number}" for number in range(10) if number != 7)
        reporter.record("run.succeeded", "entry:n", "r0")
        assert reporter.flush(PATIENCE)
        assert {"run.started": 1} in [lines[0]["dropped"] for _, _, lines in server.requests]
        assert reporter.stats()["dropped"] == {}


def test_a_broken_line_is_not_sent_for_ever(reporting: Callable[..., Reporter], caplog: pytest.LogCaptureFixture) -> None:
    """400: the server kept what was good; its words are in the log, of each error, and of what else it has to say."""
    asked = []
    answer = {
        "error": "line 2: no such thing", "warnings": ["two programs"],
        "errors": [{"line": 2, "error": "no such thing"}, {"line": 3, "error": "nor that"}, "nonsense"],
    }  # fmt: skip

    def decide(lines: list[Said]) -> tuple[int, dict[str, str], bytes]:
        asked.append(lines)
        return (400, {}, json.dumps(answer).encode()) if len(asked) == 1 else (200, {}, b"{}")

    with Server(decide) as server:
        reporter = reporting(server.url)
        reporter.record("run.odd")
        assert reporter.flush(PATIENCE)
        reporter.record("run.failed", "entry:n", "r")
        assert reporter.flush(PATIENCE)
    assert [lines[1]["type"] for lines in asked] == ["run.odd", "run.failed"]
    for words in ("left it out: no such thing", "left it out: nor that", "two programs"):
        assert caplog.text.count(words) == 1


def test_a_refused_key_is_said_once_and_nobody_waits_for_it(
    reporting: Callable[..., Reporter], caplog: pytest.LogCaptureFixture
) -> None:
    """Three refusals, and one without any event that could be the cause: then there is silence. What is seen meanwhile waits; the
    end of the process does not."""
    asked: list[int] = []

    def decide(lines: list[Said]) -> tuple[int, dict[str, str], bytes]:
        asked.append(len(lines) - 1)
        return 401, {}, b""

    with Server(decide) as server:
        reporter = reporting(server.url)
        for number in range(6):
            reporter.record("run.started", "entry:n", f"r{number}")
            assert not reporter.flush(PATIENCE)
    assert asked == [1, 1, 1, 0]
    assert reporter.stats()["queued"] == 6
    assert [record.levelno for record in caplog.records if "MISSEDBEAT_KEY" in record.message] == [logging.WARNING]


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_event_that_is_refused_holds_nothing_else_up(
    status: int, reporting: Callable[..., Reporter], caplog: pytest.LogCaptureFixture
) -> None:
    """By a filter, or by a fault of the server: heartbeats go on, all others arrive, and it alone is dropped, told and logged."""

    def decide(lines: list[Said]) -> tuple[int, dict[str, str], bytes]:
        return (status, {}, b"") if "UNION SELECT" in str(lines) else (200, {}, b"{}")

    with Server(decide) as server:
        reporter = reporting(server.url)
        for number in range(20):
            reporter.record("run.failed", "entry:n", f"r{number}", more=("error", "near UNION SELECT" if number == 7 else ""))
        for number in range(100):
            reporter.beat("worker.beat", [("active", [], "number", number)])
            if reporter.flush(PATIENCE):
                break
        reporter.beat("worker.beat", [("active", [])])
        assert reporter.flush(PATIENCE)
        arrived = [said["run"] for said in server.events if said["type"] == "run.failed"]
        beats = [said["number"] for said in server.events if "number" in said]
        dropped = [lines[0]["dropped"].get("run.failed") for _, _, lines in server.requests]
    assert sorted(arrived) == sorted(f"r{number}" for number in range(20) if number != 7)
    assert 1 in dropped
    assert max(after - before for before, after in zip([0, *beats], beats, strict=False)) <= 4
    assert ["run.failed is refused even alone" in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize("status", [403, 404, 500, 502])
def test_nothing_is_dropped_where_everything_is_refused(status: int, reporting: Callable[..., Reporter]) -> None:
    """An address that answers so to heartbeats too is out of order, and no event is to blame."""
    is_out_of_order = True

    def decide(lines: list[Said]) -> tuple[int, dict[str, str], bytes]:
        return (status, {}, b"") if is_out_of_order else (200, {}, b"{}")

    with Server(decide) as server:
        reporter = reporting(server.url)
        for number in range(5):
            reporter.record("run.failed", "entry:n", f"r{number}")
        for _ in range(30):
            assert not reporter.flush(PATIENCE)
        is_out_of_order = False
        reporter._sender._next_at = 0.0  # its ten minutes are over, where it waits for so long
        assert reporter.flush(PATIENCE)
        assert [said["run"] for said in server.events] == [f"r{number}" for number in range(5)]
        assert reporter.stats()["dropped"] == {}


def test_a_server_that_is_away_is_said_once_and_its_return_too(
    reporting: Callable[..., Reporter], caplog: pytest.LogCaptureFixture
) -> None:
    """After three failures: what failed, and which setting says where it is."""
    answers = iter([503, 200, 503, 503, 503, 503, 503])
    with Server(lambda _: (next(answers, 200), {}, b"{}")) as server:
        reporter = reporting(server.url)
        reporter.record("run.started", "entry:n", "r")
        said = []
        for _ in range(7):
            reporter.flush(PATIENCE)
            reporter.record("run.started", "entry:n", "r")
            said.append(len(caplog.records))
        assert reporter.flush(PATIENCE)
    away, back = [record.message for record in caplog.records]
    assert said[:4] == [0, 0, 0, 1]  # the second attempt arrived, and a third was made at once
    assert "503" in away
    assert "MISSEDBEAT_URL" in away
    assert "again" in back


def test_a_server_that_cannot_be_reached_is_said_once(
    reporting: Callable[..., Reporter], caplog: pytest.LogCaptureFixture
) -> None:
    """With the reason, and the name of the setting."""
    reporter = reporting("http://127.0.0.1:9")
    reporter.record("run.started", "entry:n", "r")
    for _ in range(5):
        assert not reporter.flush(PATIENCE)
    (line,) = [record.message for record in caplog.records]
    assert "ConnectionRefusedError" in line
    assert "MISSEDBEAT_URL" in line


def test_a_burst_goes_in_a_few_large_batches(reporting: Callable[..., Reporter]) -> None:
    """Of 3,000 events and half a megabyte at most, for there is one request a second."""
    with Server() as server:
        reporter = reporting(server.url)
        for number in range(7_000):
            reporter.record("run.started", run=f"r{number}")
        assert reporter.flush(PATIENCE)
        sizes = [len(lines) - 1 for _, _, lines in server.requests]
    assert sum(sizes) == 7_000
    assert len(sizes) <= 4
    assert max(sizes) <= 3_000


def test_an_event_that_is_no_json_is_dropped_alone(reporting: Callable[..., Reporter], caplog: pytest.LogCaptureFixture) -> None:
    """As `before_send` may make it; it is counted, and logged once."""
    with Server() as server:
        reporter = reporting(server.url, before_send=lambda said: {("a", "b"): 1} if said["run"] in ("r1", "r2") else said)
        for number in range(4):
            reporter.record("run.started", "entry:n", f"r{number}")
        assert reporter.flush(PATIENCE)
        assert [said["run"] for said in server.events] == ["r0", "r3"]
        assert server.requests[0][2][0]["dropped"] == {"run.started": 2}
    assert len(caplog.records) == 1


def test_names_that_are_too_long_or_broken_are_the_same_everywhere(reporting: Callable[..., Reporter]) -> None:
    """In the events of a run and in the list of those that are alive: else each heartbeat would say that it is lost."""
    runs = ["r" * 101, "r" * 101 + "\udcff", "half \udcff of a pair", "nul \0", "größe"]
    monitor = "task:" + "t" * 201
    with Server() as server:
        reporter = reporting(server.url)
        for run in runs:
            reporter.record("run.started", monitor, run, 1, "x")
            assert reporter.runs.is_underway(run)
            assert reporter.runs.monitor_of(run)
        reporter.beat("worker.beat", [("active", [[monitor, run, "x", 1.0] for run in runs])])
        assert reporter.flush(PATIENCE)
        for run in runs:
            reporter.record("run.succeeded", monitor, run, 1, "x")
            assert reporter.runs.has_ended(run)
        assert reporter.flush(PATIENCE)
    told: dict[str, list[tuple[str, str]]] = {"run.started": [], "run.succeeded": []}
    for said in server.events:
        if "run" in said:
            told[said["type"]].append((said["monitor"], said["run"]))
    (listed,) = [said["active"] for said in server.events if said["type"] == "worker.beat"]
    assert told["run.started"] == told["run.succeeded"] == [(monitor, run) for monitor, run, _, _ in listed]
    assert len({run for _, run in told["run.started"]}) == len(runs)
    assert {len(monitor) for monitor, _ in told["run.started"]} == {len("task:") + 200}
    assert max(len(run) for _, run in told["run.started"]) == 100
    "".join(run for _, run in told["run.started"]).encode()  # what the service could not store
    assert told["run.started"][-1][1] == "größe"


def test_what_the_server_warns_of_is_said_once(reporting: Callable[..., Reporter], caplog: pytest.LogCaptureFixture) -> None:
    """For example that the key registers nothing."""
    with Server(lambda _: (200, {}, b'{"warnings": ["this key registers nothing"]}')) as server:
        reporter = reporting(server.url)
        for number in range(2):
            reporter.record("run.started", "entry:n", f"r{number}")
            assert reporter.flush(PATIENCE)
    assert caplog.text.count("this key registers nothing") == 1


def test_an_end_does_not_wait_for_a_server_that_hangs(reporting: Callable[..., Reporter]) -> None:
    """Neither after its time, nor after a second signal to stop."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reporter = reporting(f"http://127.0.0.1:{silent.getsockname()[1]}")
        reporter.record("run.started", "entry:n", "r")
        assert not reporter.flush(0.3)
        answers = iter([False, True])
        assert not reporter.flush(3600, give_up=lambda: next(answers))
    assert reporter.stats()["queued"] == 1


def test_the_last_heartbeat_and_the_last_words_share_one_time(reporters: list[Reporter]) -> None:
    """Of which a hanging heart leaves nothing here: the process ends when `flush_timeout` says so, and not later."""
    app, hang = Celery("shop"), threading.Event()

    def hanging() -> None:
        hang.wait(PATIENCE)

    with Server() as server:
        settings = Settings(url=server.url, key="a-key", app="shop", flush_timeout=0.3)
        reporters.append(Reporter(settings))
        watch = Watch(Handle(app, settings, reporters[0]), reporters[0], Scheduler(app, lazy=True))
        watch.heart = Heart(15.0, hanging)
        watch.heart.start()
        watch.goodbye()
        assert reporters[0].stats()["queued"] == 1
        hang.set()


def test_offline_everything_runs_and_nothing_is_sent(reporting: Callable[..., Reporter]) -> None:
    """MISSEDBEAT_OFFLINE: for a laptop, or a test stage."""
    with Server() as server:
        reporter = reporting(server.url, offline=True)
        reporter.record("run.started", "entry:n", "r")
        assert reporter.flush(PATIENCE)
        assert server.requests == []
    assert reporter.stats()["sent"] == 1


def test_before_send_may_change_and_take_back(reporting: Callable[..., Reporter]) -> None:
    """It gets each event as it would go out. Where it fails nothing goes out, for it would have hidden something, and that is
    counted."""

    def change(said: Said) -> Said | None:
        if said["run"] == "broken":
            raise KeyError("me")
        return None if said["run"] == "secret" else {**said, "run": said["run"].upper()}

    with Server() as server:
        reporter = reporting(server.url, before_send=change)
        for run in ("plain", "secret", "broken"):
            reporter.record("run.started", "entry:n", run)
        assert reporter.flush(PATIENCE)
        assert [said["run"] for said in server.events] == ["PLAIN"]
        assert reporter.stats()["dropped"] in ({"run.started": 1}, {})


FORKING = """
import os, sys
from missedbeat.reporter import Reporter
from missedbeat.settings import Settings

reporter = Reporter(Settings(url=sys.argv[1], key="k", app="shop"))
reporter.record("run.started", "entry:n", "of the parent")
before = reporter.flush(10)
reporter.record("run.succeeded", "entry:n", "of the parent")
if (child := os.fork()) == 0:
    assert reporter.stats()["queued"] == 0
    reporter.record("run.started", "entry:n", "of the child")
    os._exit(0 if reporter.flush(10) else 1)
assert os.waitpid(child, 0)[1] == 0
assert reporter.flush(10)
"""


FORKING_MEANWHILE = """
import os, sys, time
from missedbeat.reporter import Reporter
from missedbeat.settings import Settings

reporter = Reporter(Settings(url=sys.argv[1], key="k", app="shop"))
reporter.record("run.started", "entry:n", "of the parent")
while not reporter._sender._busy:
    time.sleep(0.01)
time.sleep(0.5)
if (child := os.fork()) == 0:
    reporter.record("run.started", "entry:n", "of the child")
    sys.exit(0 if reporter.flush(10) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_while_the_server_hangs_in_its_answer_hurts_no_child() -> None:
    """The thread that reads holds a lock at that moment, and is not there in the child: the child runs, sends and ends."""
    asked: list[int] = []

    def decide(lines: list[Said]) -> tuple[int, dict[str, str], bytes]:
        asked.append(1)
        return (202, {"Content-Length": "50"}, b"{") if len(asked) == 1 else (200, {}, b"{}")

    with Server(decide) as server:
        subprocess.run([sys.executable, "-W", "ignore", "-c", FORKING_MEANWHILE, server.url], check=True, timeout=20)
        assert [each["run"] for each in server.events] == ["of the child"]


def test_the_thread_imports_nothing() -> None:
    """What it imported while a process is forked, that process could never import."""
    script = """
import sys
from missedbeat.reporter import Reporter
from missedbeat.settings import Settings

reporter = Reporter(Settings(url="http://localhost:9", key="k"))
before = set(sys.modules)
reporter.record("run.started", "entry:n", "r")
reporter.flush(10)
assert set(sys.modules) == before, set(sys.modules) - before
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)


def test_a_forked_process_says_what_is_its_own_and_nothing_twice() -> None:
    """As the children of a web server that loads the app before it forks: no thread survives that, no connection is shared."""
    with Server() as server:
        subprocess.run([sys.executable, "-W", "ignore", "-c", FORKING, server.url], check=True, timeout=60)
        said = [(each["type"], each["run"]) for each in server.events]
        ids = [each["id"] for each in server.events]
    assert sorted(said) == [
        ("run.started", "of the child"), ("run.started", "of the parent"), ("run.succeeded", "of the parent"),
    ]  # fmt: skip
    assert len(set(ids)) == 3


# ---- what it is told


@pytest.mark.parametrize("key", ["mb_secret\nX-Evil: 1", "mb_secret mb_secret", "mb_secretä", "mb_\x00secret", "mb_secret\u200b"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(key: str, caplog: pytest.LogCaptureFixture) -> None:
    """In one line that names the setting."""
    assert read("shop", {"url": "https://missedbeat.example.com", "key": key}).key == ""
    (line,) = [record.message for record in caplog.records]
    assert "MISSEDBEAT_KEY" in line
    assert "secret" not in line
    assert read("shop", {"key": " mb_secret\n"}).key == "mb_secret"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mb_secret", ""), ("ftp://me:secret@files.example.com:21/secret?key=secret", "ftp://files.example.com:21"),
        ("https:mb_secret", ""), ("https://missedbeat.example.com:port/secret", ""), ("missedbeat.example.com/secret", ""),
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_and_its_secrets_not_shown(
    url: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A key in the wrong place is one of them."""
    assert read("shop", {"url": url}).url == ""
    (line,) = [record.message for record in caplog.records]
    assert "MISSEDBEAT_URL" in line
    assert "secret" not in line
    assert shown in line


def test_of_an_address_only_what_is_used_is_kept() -> None:
    """No message can show the rest."""
    settings = read("shop", {"url": "https://me:secret@missedbeat.example.com:8443/prefix/?key=secret#secret"})
    assert settings.address == "https://missedbeat.example.com:8443/prefix/api/v3/events"
