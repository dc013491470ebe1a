"""A server, or a way to it, that refuses, hangs, drips, breaks off: the tasks do not notice, and what happened meanwhile is told
afterwards, each thing once and with its own time."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.clients.driving import started
from tests.journeys.running import Service
from tests.sdk.brokers import Redis
from tests.sdk.celery_processes import client, wait_until, worker
from tests.sdk.collector import Collector, Event
from tests.sdk.gate import DRIP, HANG, REFUSE, TORN, UNANSWERED, Answer, Gate
from tests.sdk.watching import watch

FAULTS: dict[str, str | Answer] = {
    "refuses": REFUSE,
    "hangs": HANG,
    "answers 500": Answer(500),
    "answers 429": Answer(429, "retry-after: 3\r\n"),
    "drips": DRIP,
    "dies in the middle of a batch": TORN,
    "dies before it answers": UNANSWERED,
}
OUTAGE = 12.0
TASKS = 20


@pytest.mark.parametrize("mood", [Answer(500), UNANSWERED], ids=["answers 500", "dies before it answers"])
def test_what_could_not_be_sent_is_sent_again_as_it_was(redis_url: str, tmp_path: Path, mood: str | Answer) -> None:
    """The same ids, so that the server knows what it has heard, and the times at which things happened."""
    with (
        Collector() as collector,
        Gate(collector.port) as gate,
        worker(tmp_path, broker=redis_url, url=gate.url) as process,
        client(redis_url) as app,
    ):
        gate.now(mood)
        before = time.time() * 1000
        runs = {app.send_task("succeeds").id for _ in range(TASKS)}
        wait_until(lambda: gate.calls and all(f"{run}] succeeded" in process.words() for run in runs))
        after = time.time() * 1000
        gate.now()
        collector.wait_for(lambda events: all_told(events, runs))
        sent = Counter((e["id"], e["type"], e.get("run"), e["ts"]) for _, events in collector.batches for e in events)
        assert len({id_ for id_, *_ in sent}) == len(sent), "an event that comes again is the same event"
        assert all(before - 1 <= e["ts"] <= after + 1 for e in collector.of("run"))


@pytest.mark.prove
def test_after_each_fault_everything_is_told_once_and_no_false_alert_stands(redis_server: Redis, tmp_path: Path) -> None:
    """The real service behind each fault at once: tasks end as they would have, and the service knows it all afterwards."""
    with started(tmp_path / "data") as service, ThreadPoolExecutor(len(FAULTS)) as pool:
        suffering = [
            pool.submit(suffer, service, name, mood, redis_server, tmp_path / f"{number}")
            for number, (name, mood) in enumerate(FAULTS.items())
        ]
        for each in suffering:
            each.result()


def suffer(service: Service, name: str, mood: str | Answer, server: Redis, folder: Path) -> None:
    """One worker behind one fault."""
    folder.mkdir()
    broker, backend = server.fresh(), server.fresh()
    results = Results(server, backend)
    told_how: dict[str, Any] = {"instrument": {"heartbeat": 2}, "conf": {"task_ignore_result": False}, "TEST_BACKEND": backend}
    with (
        watch(service, name) as told,
        Gate(service.port) as gate,
        worker(folder, broker=broker, url=gate.url, key=told.key, concurrency=1, **told_how),
        worker(folder, broker=broker, url=gate.url, key=told.key, concurrency=1, queue="long", **told_how),
        client(broker) as app,
    ):
        long = app.send_task("sleeps", [OUTAGE / 2], queue="long").id
        wait_until(lambda: (told.check("sleeps") or {}).get("started"))
        gate.now(mood)
        began, before = time.monotonic(), time.time()
        good = [app.send_task("adds", [n, n]) for n in range(TASKS)]
        bad = [app.send_task("raises") for _ in range(TASKS)]
        assert [results.of(each.id)["result"] for each in good] == [n + n for n in range(TASKS)]
        assert [results.of(each.id)["result"]["exc_type"] for each in bad] == ["Boom"] * TASKS
        assert results.of(long)["status"] == "SUCCESS"
        time.sleep(max(0.0, OUTAGE - (time.monotonic() - began)))
        after = time.time()
        gate.now()

        runs = {"adds": [each.id for each in good], "raises": [each.id for each in bad], "sleeps": [long]}
        for task, ids in runs.items():
            end = "fail" if task == "raises" else "success"
            expected = Counter((run, word) for run in ids for word in ("start", end))
            wait_until(lambda: heard(told.project, told.check(task)) == expected, within=150, why=lambda: f"{name}: {task}")  # noqa: B023
        for ping in told.project.pings(told.check("adds") or {}):
            assert before - 2.1 <= datetime.fromisoformat(ping["reported_at"]).timestamp() <= after + 2.1
        for monitor, status in {"adds": "up", "sleeps": "up", "Workers of shop": "up", "raises": "down"}.items():
            told.wait_status(monitor, status, 60)


def heard(project: Any, check: dict[str, Any] | None) -> Counter[tuple[str, str]]:
    """How often what was heard of which run."""
    return Counter((ping["rid"], ping["type"]) for ping in project.pings(check)) if check is not None else Counter()


class Results:
    """What Celery's workers stored. Read as it is: Celery's own reader leaves sockets open behind it."""

    def __init__(self, server: Redis, url: str) -> None:
        self._socket, self._database = str(server.socket), int(url.rpartition("=")[2])

    def of(self, run: str) -> dict[str, Any]:
        """The result of a task, as soon as it is there."""
        with redis.Redis(unix_socket_path=self._socket, db=self._database) as client:
            return dict(json.loads(wait_until(lambda: client.get(f"celery-task-meta-{run}"))))


def all_told(events: list[Event], runs: set[str]) -> bool:
    """Whether every run was begun and ended."""
    return {(e["run"], e["type"]) for e in events if "run" in e} >= {
        (r, w) for r in runs for w in ("run.started", "run.succeeded")
    }
