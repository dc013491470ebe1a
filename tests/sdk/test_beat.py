"""A real Beat, and what the SDK says of it: its schedule, what it puts on its way, and when it cannot."""

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.sdk.brokers import Redis
from tests.sdk.celery_processes import beat, worker
from tests.sdk.collector import Collector, Event

FAST = {"heartbeat": 1}
CONF = {"beat_max_loop_interval": 1}
SCHEDULE = {"add one": ["adds", 1, [1, 1]], "add two": ["adds", 1, [2, 2]], "fails": ["retries", 1, [1]]}


def named(*types: str, monitor: str = "") -> Callable[[list[Event]], list[Event]]:
    """The events of these types (of this monitor) among all."""
    return lambda events: [e for e in events if e["type"] in types and e.get("monitor", "").startswith(monitor)]


def test_two_entries_of_one_task_are_two_monitors_from_dispatch_to_end(redis_url: str, tmp_path: Path) -> None:
    """Who executes a task knows which entry sent it, over a retry too; the schedule is told whole."""
    with (
        Collector() as collector,
        worker(tmp_path, broker=redis_url, url=collector.url, instrument={"scope": "beat"}),
        beat(tmp_path, broker=redis_url, url=collector.url, conf=CONF, schedule=SCHEDULE, instrument={"scope": "beat"}),
    ):
        for name in SCHEDULE:
            ends = collector.wait_for(named("run.succeeded", monitor=f"entry:{name}"))
            run = ends[0]["run"]
            story = [e["type"] for e in collector.of("run") if e["run"] == run]
            again = ["run.retry", "run.started"] if name == "fails" else []
            assert sorted(story) == sorted(["run.dispatched", "run.started", *again, "run.succeeded"])
            assert {e["monitor"] for e in collector.of("run") if e["run"] == run} == {f"entry:{name}"}
        sync = next(e for e in collector.of("schedule.sync") if e["reconcile"])
        kept = {entry["name"]: entry["schedule"] for entry in sync["entries"] if entry["name"] in SCHEDULE}
        assert all(schedule.pop("next_due") for schedule in kept.values())
        assert kept == {name: {"kind": "every", "seconds": 1} for name in SCHEDULE}


def test_runs_are_told_apart_where_a_program_gives_all_of_them_one_id(redis_url: str, tmp_path: Path) -> None:
    """As people do who want one result for ever. Each is a run of its own, over a retry too, whatever becomes of it."""
    schedule = {
        "adds": ["adds", 1, [1, 1], {"task_id": "the sum"}], "retries": ["retries", 1, [1], {"task_id": "the try"}],
        "dies": ["killed", 1, [0.1], {"task_id": "the death"}],
        "late": ["adds", 1, [1, 1], {"task_id": "too late", "expires": 0}],
    }  # fmt: skip
    told: dict[str, Any] = {"conf": CONF, "schedule": schedule, "instrument": {**FAST, "scope": "beat"}}
    stories = {
        "adds": {"run.dispatched", "run.started", "run.succeeded"},
        "retries": {"run.dispatched", "run.started", "run.retry", "run.succeeded"},
        "dies": {"run.dispatched", "run.started", "run.lost"}, "late": {"run.dispatched", "run.expired"},
    }  # fmt: skip
    with (
        Collector() as collector,
        worker(tmp_path, broker=redis_url, url=collector.url, concurrency=4, **told),
        beat(tmp_path, broker=redis_url, url=collector.url, **told),
    ):
        for name, story in stories.items():
            collector.wait_for(partial(three_runs, entry=name, story=story))
        assert {e["run"].partition("~")[0] for e in collector.of("run")} == {"the sum", "the try", "the death", "too late"}


def three_runs(events: list[Event], entry: str, story: set[str]) -> bool:
    """Whether three runs of it had just this story, each event of it once for each try."""
    runs: dict[str, list[tuple[str, int]]] = {}
    for event in events:
        if event.get("monitor") == f"entry:{entry}" and "run" in event:
            runs.setdefault(event["run"], []).append((event["type"], event["att"]))
    whole = [told for told in runs.values() if {kind for kind, _ in told} == story]
    return len(whole) >= 3 and all(len(told) == len(set(told)) for told in whole)


def test_a_beat_that_is_stopped_says_goodbye(redis_url: str, tmp_path: Path) -> None:
    """A deploy is not a death."""
    with (
        Collector() as collector,
        beat(tmp_path, broker=redis_url, url=collector.url, schedule=SCHEDULE, instrument=FAST) as process,
    ):
        collector.wait_for(named("beat.up"))
        assert process.stop() == 0
        assert named("beat.down")(collector.events)


def test_a_beat_that_is_killed_says_nothing(redis_url: str, tmp_path: Path) -> None:
    """Its silence is what the server hears."""
    with (
        Collector() as collector,
        beat(tmp_path, broker=redis_url, url=collector.url, schedule=SCHEDULE, instrument=FAST) as process,
    ):
        collector.wait_for(named("beat.beat"))
        process.kill()
        assert not named("beat.down")(collector.events)


def test_an_embedded_beat_is_watched_as_well(redis_url: str, tmp_path: Path) -> None:
    """`worker -B`: Beat is a child that closes every inherited file; it has a line of its own."""
    with Collector() as collector, worker(
        tmp_path, "-B", "-s", str(tmp_path / "schedule"), broker=redis_url, url=collector.url, schedule=SCHEDULE, conf=CONF,
        instrument={"scope": "beat", **FAST},
    ):  # fmt: skip
        collector.wait_for(named("beat.beat"))
        collector.wait_for(named("worker.beat"))
        run = collector.wait_for(named("run.succeeded", monitor="entry:add one"))[0]["run"]
        assert sorted(e["type"] for e in collector.of("run") if e["run"] == run) == [
            "run.dispatched", "run.started", "run.succeeded"
        ]  # fmt: skip


def test_a_broker_that_goes_away_and_comes_back_is_told(own_redis: Redis, tmp_path: Path) -> None:
    """Beat lives and dispatches nothing: each run that it could not send is told, and its heartbeat says so until it can."""
    with Collector() as collector, beat(
        tmp_path, broker=own_redis.url(), url=collector.url, schedule=SCHEDULE, conf=CONF, instrument=FAST
    ):  # fmt: skip
        collector.wait_for(named("run.dispatched"))
        own_redis.stop()
        failed = collector.wait_for(named("run.dispatch_failed"))[0]
        assert failed["broker"] is True
        assert failed["error"]
        assert "run" not in failed
        collector.wait_for(lambda events: [e for e in named("beat.beat")(events) if e["publish_error"]])
        own_redis.start()
        collector.wait_for(lambda events: named("run.dispatched")(events)[-1]["ts"] > failed["ts"])
        collector.wait_for(lambda events: not named("beat.beat")(events)[-1]["publish_error"])


def test_a_beat_that_cannot_reach_its_broker_from_the_start_is_stalled(own_redis: Redis, tmp_path: Path) -> None:
    """Celery then waits in its first tick without a signal; the heartbeat goes on and says so."""
    own_redis.stop()
    with Collector() as collector, beat(
        tmp_path, broker=own_redis.url(), url=collector.url, schedule=SCHEDULE, conf=CONF, instrument=FAST
    ):  # fmt: skip
        collector.wait_for(lambda events: [e for e in named("beat.beat")(events) if e["stalled"]])
        assert not named("run.dispatched")(collector.events)
        own_redis.start()
        collector.wait_for(named("run.dispatched"))
        collector.wait_for(lambda events: not named("beat.beat")(events)[-1]["stalled"])


def test_a_frozen_beat_is_silent_and_goes_on_afterwards(redis_url: str, tmp_path: Path) -> None:
    """SIGSTOP, as a paused container: not a word. Thawed it goes on under the same name."""
    with (
        Collector() as collector,
        beat(tmp_path, broker=redis_url, url=collector.url, schedule=SCHEDULE, instrument=FAST) as process,
    ):
        collector.wait_for(named("beat.beat"))
        process.send(signal.SIGSTOP)
        frozen = len(named("beat.beat")(collector.events))
        process.send(signal.SIGCONT)
        collector.wait_for(lambda events: len(named("beat.beat")(events)) > frozen + 1)


def test_an_entry_whose_arguments_do_not_fit_is_told(redis_url: str, tmp_path: Path) -> None:
    """Case 39: Beat checks them, logs a line, and nothing is ever sent. The broker is not to blame."""
    with Collector() as collector, beat(
        tmp_path, broker=redis_url, url=collector.url, schedule={"broken": ["adds", 1, [1, 2, 3]]}, conf=CONF, instrument=FAST
    ):  # fmt: skip
        failed = collector.wait_for(named("run.dispatch_failed"))[0]
        assert failed["monitor"] == "entry:broken"
        assert not failed.get("broker")
