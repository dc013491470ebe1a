"""Pools whose tasks run in the main process: what they do to the SDK's own threads, and what these may never do to them."""

from pathlib import Path
from typing import Any

import pytest

from tests.sdk.celery_processes import client, wait_until, worker
from tests.sdk.collector import Collector, Event
from tests.sdk.gate import HANG, Gate

GREEN = ["gevent", "eventlet"]
FAST = {"heartbeat": 1}


def ended(events: list[Event]) -> set[str]:
    """The runs that ended well."""
    return {e["run"] for e in events if e["type"] == "run.succeeded"}


@pytest.mark.parametrize("green", GREEN)
def test_a_worker_that_is_patched_after_the_sdk_was_imported_runs_as_ever(redis_url: str, tmp_path: Path, green: str) -> None:
    """What then sleeps as a thread does, in a greenlet, would hold up the whole worker."""
    told: dict[str, Any] = {
        "program": ["tests.sdk.patched_late", green],
        "instrument": {**FAST, "spool": str(tmp_path / "spool")},
    }
    with (
        Collector() as collector,
        worker(tmp_path, "-P", green, broker=redis_url, url=collector.url, **told) as process,
        client(redis_url) as app,
    ):
        runs = {app.send_task("sleeps", [0.2]).id for _ in range(5)}
        collector.wait_for(lambda events: ended(events) == runs)
        collector.wait_for(lambda events: len([e for e in events if e["type"] == "worker.beat"]) > 1)
        assert process.stop() == 0
        assert collector.of("worker.down")


@pytest.mark.parametrize("green", GREEN)
def test_greenlets_do_not_wait_for_a_server_that_hangs(redis_url: str, tmp_path: Path, green: str) -> None:
    """The request of ours that gets no answer holds up nobody; what waited meanwhile is sent when the server is back."""
    with (
        Collector() as collector,
        Gate(collector.port) as gate,
        worker(tmp_path, "-P", green, broker=redis_url, url=gate.url, concurrency=20, instrument=FAST),
        client(redis_url) as app,
    ):
        gate.now(HANG)
        done = tmp_path / "done"
        runs = {app.send_task("sleeps", [0.2, str(done)]).id for _ in range(50)}
        wait_until(lambda: done.exists() and done.read_text().count("ended") == len(runs))
        assert not ended(collector.events)
        gate.now()
        collector.wait_for(lambda events: ended(events) == runs)


@pytest.mark.parametrize("pool", ["threads", "solo", *GREEN])
def test_a_worker_lists_what_runs_and_says_goodbye(redis_url: str, tmp_path: Path, pool: str) -> None:
    """Heartbeats go on while a task runs, in solo too, where Celery's own stand still; nothing is lost at the end."""
    with (
        Collector() as collector,
        worker(tmp_path, "-P", pool, broker=redis_url, url=collector.url, instrument=FAST) as process,
        client(redis_url) as app,
    ):
        run = app.send_task("sleeps", [3]).id
        lists = collector.wait_for(lambda events: [e for e in events if run in str(e.get("active"))][1:])
        (listed,) = lists[0]["active"]
        started = collector.of("run.started")[0]
        assert listed[:3] == [started["monitor"], run, started["x"]]
        assert process.stop() == 0
        assert [e["type"] for e in collector.of("run")] == ["run.started", "run.succeeded"]
        assert collector.of("worker.down")
        assert collector.of("worker.up")[0]["pool"] == {"threads": "thread"}.get(pool, pool)
