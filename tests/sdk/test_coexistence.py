"""Others who listen to the same signals, wrap the same methods or fork the same process: nobody is in anybody's way."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.sdk import golden
from tests.sdk.brokers import ROOT, tied
from tests.sdk.celery_processes import beat, client, environment, wait_until, worker
from tests.sdk.collector import Collector, Event

SCHEDULE = {"add": ["adds", 1, [1, 1]], "only once": ["once", 1, []]}


@pytest.mark.parametrize("first", ["others", pytest.param("us", marks=pytest.mark.prove)])
def test_sentry_opentelemetry_and_celery_once_in_one_worker(redis_url: str, tmp_path: Path, first: str) -> None:
    """Whoever is set up first: we say what we say without them, and they hear what they hear without us."""
    spans = tmp_path / "spans"
    with Collector() as collector, Collector() as sentry:
        told: dict[str, Any] = {
            "broker": redis_url, "url": collector.url, "module": "tests.sdk.crowded_app", "schedule": SCHEDULE,
            "conf": {"beat_max_loop_interval": 1}, "TEST_SENTRY": f"http://key@127.0.0.1:{sentry.port}/1",
            "TEST_SPANS": str(spans), "TEST_FIRST": first,
        }  # fmt: skip
        with worker(tmp_path, **told), client(redis_url) as app:
            tasks: dict[str, tuple[Any, ...]] = {
                "1 success": ("succeeds",),
                "2 exception": ("raises", "x"),
                "3 autoretry, then success": ("retries", 1),
            }
            tasks |= {"5 Ignore": ("ignores",), "23 os._exit(7)": ("exits", 7, 0.2)}
            runs = {head: app.send_task(name, args).id for head, (name, *args) in tasks.items()}
            known = golden.known(golden.Where("redis"))

            def said(_: object = None) -> dict[str, str]:
                return {head: golden.block(collector.of("run"), [run]) for head, run in runs.items()}

            with suppress(TimeoutError):
                collector.wait_for(lambda events: said() == {head: known[head] for head in runs})
            assert said() == {head: known[head] for head in runs}
            wait_until(lambda: "the disk is full" in str(sentry.batches), why=lambda: str(sentry.requests))
            assert {"run/succeeds", "run/raises", "run/retries"} <= set(spans.read_text().splitlines())
            with beat(tmp_path, **told):
                collector.wait_for(lambda events: of_entry(events, "add") > {"run.dispatched", "run.started"})
                collector.wait_for(lambda events: "run.ignored" in of_entry(events, "only once"))
                wait_until(lambda: {"in_progress", "ok"} <= set(check_ins(sentry)), why=lambda: str(sentry.batches)[-3000:])
            assert of_entry(collector.events, "add") == {"run.dispatched", "run.started", "run.succeeded"}
            assert of_entry(collector.events, "overdue") == {"run.dispatched", "run.started", "run.succeeded"}


def check_ins(sentry: Collector) -> list[str]:
    """What Sentry heard of the first run of the entry that it watches too: that Beat sends it, and how it ended."""
    heard = [line for _, lines in sentry.batches for line in lines if line.get("monitor_slug") == "overdue"]
    return [one["status"] for one in heard if one["check_in_id"] == heard[0]["check_in_id"]]


def of_entry(events: list[Event], name: str) -> set[str]:
    """What was said of the runs of an entry."""
    return {event["type"] for event in events if event.get("monitor") == f"entry:{name}"}


@contextmanager
def gunicorn(folder: Path, broker: str, url: str) -> Iterator[Path]:
    """Two processes forked from one that has loaded the application; the socket that they listen on."""
    listens, log = folder / "web.sock", folder / "web.log"
    command = [sys.executable, "-m", "gunicorn", "--preload", "-w", "2", "-b", f"unix:{listens}", "tests.sdk.web_app"]
    env = environment(broker, url, instrument={"eager": True}, HOME=str(folder))  # where it keeps a socket of its own
    with log.open("ab") as output:
        process = subprocess.Popen(tied(*command), cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        wait_until(lambda: log.read_text().count("Booting worker") == 2, why=log.read_text)
        yield listens
        process.terminate()
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def get(listens: Path) -> list[str]:
    """The words of an answer."""
    connection = HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(listens))
    connection.request("GET", "/")
    words = connection.getresponse().read().decode().split()
    connection.close()
    return words


def test_a_web_server_that_forks_after_loading_reports_from_each_process(redis_url: str, tmp_path: Path) -> None:
    """gunicorn --preload: no process sends again what another has seen, none is without a thread, and what they send to workers
    says when it was sent."""
    with Collector() as collector, worker(tmp_path, broker=redis_url, url=collector.url):
        with gunicorn(tmp_path, redis_url, collector.url) as listens:
            answers: list[list[str]] = []

            def both_answered() -> bool:
                answers.append(get(listens))
                return len({pid for *_, pid in answers}) == 2

            wait_until(both_answered)
            here, there = {run for run, *_ in answers}, {run for _, run, _ in answers}
            collector.wait_for(lambda events: ended(events) == here | there | {"before-the-fork"})
        lines = [
            event["id"] for _, events in collector.batches for event in events if event.get("run") in {*here, "before-the-fork"}
        ]
        assert len(lines) == len(set(lines)) == 2 * (len(here) + 1)
        assert all("wait_ms" in event for event in collector.of("run.started") if event["run"] in there)


def ended(events: list[Event]) -> set[str]:
    """The runs that ended well."""
    return {event["run"] for event in events if event["type"] == "run.succeeded"}
