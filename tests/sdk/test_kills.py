"""Processes that die under their tasks. What they said before must arrive; what they can no longer say must be said by others."""

import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.sdk.brokers import Redis
from tests.sdk.celery_processes import client, worker
from tests.sdk.collector import Collector, Event

LONG = 240.0


def ended(events: list[Event], end: str, count: int) -> bool:
    """Whether so many runs were begun and so ended."""
    return Counter(e["type"] for e in events)[end] >= count <= Counter(e["type"] for e in events)["run.started"]


@pytest.mark.parametrize("count", [10, pytest.param(200, marks=pytest.mark.prove)])
def test_children_killed_in_their_first_milliseconds(redis_url: str, tmp_path: Path, count: int) -> None:
    """Each task ends its process as soon as it begins: as many starts and as many losses arrive, each of the right run. Where the
    main process had not heard yet that the task began, Celery has it begin once more: that start arrives as well."""
    with Collector() as collector, worker(tmp_path, broker=redis_url, url=collector.url, concurrency=8), client(redis_url) as app:
        begun = tmp_path / "begun"
        runs = {app.send_task("killed", [0, signal.SIGKILL, str(begun)]).id for _ in range(count)}
        collector.wait_for(lambda events: ended(events, "run.lost", count), within=LONG)
        executions = {(e["run"], e["x"]) for e in collector.of("run.started")}
        assert len(executions) == len(collector.of("run.started")) == len(begun.read_text().splitlines())
        assert {run for run, _ in executions} == runs
        assert Counter(e["run"] for e in collector.of("run.lost")) == dict.fromkeys(runs, 1)
        assert {e["reason"] for e in collector.of("run.lost")} == {"signal"}


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.prove)])
def test_a_process_for_each_task_says_its_start_and_its_end(redis_url: str, tmp_path: Path, count: int) -> None:
    """max-tasks-per-child=1: the process is gone a millisecond after the end of its task, and the end has arrived."""
    with (
        Collector() as collector,
        worker(tmp_path, "--max-tasks-per-child", "1", broker=redis_url, url=collector.url, concurrency=8),
        client(redis_url) as app,
    ):
        runs = {app.send_task("succeeds").id for _ in range(count)}
        collector.wait_for(lambda events: ended(events, "run.succeeded", count), within=LONG)
        told = Counter((e["run"], e["type"]) for e in collector.of("run"))
        assert told == Counter({(run, word): 1 for run in runs for word in ("run.started", "run.succeeded")})


def test_a_worker_says_which_runs_are_alive_until_it_is_killed(redis_url: str, tmp_path: Path) -> None:
    """Each heartbeat lists every run under way, and no other; the main process killed, nothing more is said."""
    with (
        Collector() as collector,
        worker(tmp_path, broker=redis_url, url=collector.url, concurrency=3, instrument={"heartbeat": 1}) as process,
        client(redis_url) as app,
    ):
        short = app.send_task("sleeps", [0.5]).id
        long = {app.send_task("sleeps", [60]).id for _ in range(2)}
        collector.wait_for(lambda events: listed(events) == long and [e for e in events if e["type"] == "run.succeeded"])
        beat = [e for e in collector.of("worker.beat") if e["active"]][-1]
        started = {e["run"]: (e["monitor"], e["x"]) for e in collector.of("run.started")}
        assert {run: (monitor, x) for monitor, run, x, _ in beat["active"]} == {run: started[run] for run in long}
        process.kill()
        assert short not in listed(collector.events)
        assert {e["run"] for e in collector.of("run.lost", "run.aborted")} == set()


def test_a_worker_in_warm_shutdown_goes_on_saying_what_lives(redis_url: str, tmp_path: Path) -> None:
    """A deploy waits for a long task; meanwhile it is not lost, and it ends as it would have."""
    with (
        Collector() as collector,
        worker(tmp_path, broker=redis_url, url=collector.url, instrument={"heartbeat": 1}) as process,
        client(redis_url) as app,
    ):
        run = app.send_task("sleeps", [5]).id
        collector.wait_for(lambda events: listed(events) == {run})
        process.send(signal.SIGTERM)
        stopping = collector.wait_for(lambda events: [e for e in events if e["type"] == "worker.stopping"])[0]
        assert [line[1] for line in stopping["active"]] == [run]
        collector.wait_for(lambda events: [e for e in events if e["type"] == "worker.beat" and e["ts"] > stopping["ts"] + 2000])
        assert process.stop() == 0
        assert [e["type"] for e in collector.of("run")] == ["run.started", "run.succeeded"]
        assert collector.of("worker.down")


def test_a_frozen_worker_says_nothing(redis_url: str, tmp_path: Path) -> None:
    """SIGSTOP: its silence is heard by the server, and what it was doing goes on afterwards."""
    with (
        Collector() as collector,
        worker(tmp_path, broker=redis_url, url=collector.url, instrument={"heartbeat": 1}) as process,
        client(redis_url) as app,
    ):
        collector.wait_for(lambda events: [e for e in events if e["type"] == "worker.beat"])
        process.send(signal.SIGSTOP)
        time.sleep(0.2)
        before = len(collector.of("worker.beat"))
        time.sleep(2.5)
        assert len(collector.of("worker.beat")) == before
        process.send(signal.SIGCONT)
        run = app.send_task("succeeds").id
        collector.wait_for(lambda events: [e for e in events if e["type"] == "run.succeeded" and e["run"] == run])


def test_a_worker_whose_broker_goes_away_lives_on(own_redis: Redis, tmp_path: Path) -> None:
    """Case 41: Celery's own heartbeats stop then. Ours do not go through the broker; the task ends as ever, and is told."""
    with (
        Collector() as collector,
        worker(tmp_path, broker=own_redis.url(), url=collector.url, instrument={"heartbeat": 1}),
        client(own_redis.url()) as app,
    ):
        run = app.send_task("sleeps", [4]).id
        collector.wait_for(lambda events: listed(events) == {run})
        own_redis.stop()
        collector.wait_for(lambda events: [e for e in events if e["type"] == "worker.beat" and not e["broker_ok"]])
        collector.wait_for(lambda events: [e for e in events if e["type"] == "run.succeeded" and e["run"] == run])
        own_redis.start()
        collector.wait_for(lambda events: [e for e in events if e["type"] == "worker.beat"][-1]["broker_ok"])
        assert len(collector.of("worker.up")) == 1


def listed(events: list[Event]) -> set[str]:
    """The runs that the last heartbeat listed."""
    beats = [e for e in events if e["type"] == "worker.beat"]
    return {line[1] for line in beats[-1]["active"]} if beats else set()


LATE = {"task_acks_late": True, "worker_cancel_long_running_tasks_on_connection_loss": True}


def test_a_run_that_celery_gives_to_another_worker_goes_on(redis_url: str, tmp_path: Path) -> None:
    """A cold shutdown in the middle of a task with acks_late: its message was never acknowledged, and the next worker begins it
    anew. It was stopped, and nobody is to be told so."""
    with Collector() as collector, client(redis_url) as app:
        told: dict[str, Any] = {"broker": redis_url, "url": collector.url, "conf": LATE}
        with worker(tmp_path, **told) as process:
            run = app.send_task("sleeps", [3]).id
            collector.wait_for(lambda events: [e for e in events if e["type"] == "run.started"])
            process.send(signal.SIGQUIT)
            process.process.wait(60)
        with worker(tmp_path, **told):
            collector.wait_for(lambda events: ended(events, "run.succeeded", 1), within=LONG)
        assert_begun_twice(collector, run)


@pytest.mark.prove
def test_so_does_one_that_celery_ends_because_it_lost_its_broker(own_redis: Redis, tmp_path: Path) -> None:
    """It could not be acknowledged any more, and comes again at once. What is told of its end is not of the one that follows."""
    with Collector() as collector, client(own_redis.url()) as app:
        with worker(tmp_path, broker=own_redis.url(), url=collector.url, conf=LATE):
            run = app.send_task("sleeps", [3]).id
            collector.wait_for(lambda events: [e for e in events if e["type"] == "run.started"])
            with redis.Redis(unix_socket_path=str(own_redis.socket)) as admin:
                admin.client_kill_filter(_type="normal")
            collector.wait_for(lambda events: ended(events, "run.succeeded", 1), within=LONG)
        assert_begun_twice(collector, run)


def assert_begun_twice(collector: Collector, run: str) -> None:
    """What ended the first time is told by the word of others: it is nothing that this execution said of itself."""
    story = [(e["type"], e.get("x")) for e in collector.of("run") if e["run"] == run]
    first, second = (x for kind, x in story if kind == "run.started")
    assert {("run.started", first), ("run.retry", None), ("run.started", second), ("run.succeeded", second)} == set(story)
