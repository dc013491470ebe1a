"""Dramatiq: actors that say so are checks, retries are tries of one run, and a worker that is killed is found."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.sdk.brokers import tied
from tests.sdk.collector import Collector
from tests.sdk.scripts import environment

ACTORS = """
    import asyncio, os, pathlib, time
    import dramatiq, missedbeat
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.middleware import AsyncIO, Middleware, SkipMessage
    from missedbeat.dramatiq import watch
    import redis

    class Skips(Middleware):
        def before_process_message(self, broker, message):
            if message.options.get("skip"):
                raise SkipMessage("not today")

    missedbeat.configure(heartbeat=1)
    broker = RedisBroker(client=redis.Redis.from_url("URL"))
    broker.add_middleware(Skips())
    broker.add_middleware(AsyncIO())
    watch(broker, key=lambda message: message.options.get("key"))
    watch(broker)
    dramatiq.set_broker(broker)

    @dramatiq.actor(missedbeat={"key": "nightly", "schedule": "0 3 * * *", "tz": "Europe/Berlin", "color": "red"})
    def fine():
        missedbeat.current_run().log("half of it")

    @dramatiq.actor(missedbeat=True)
    async def awaits():
        await asyncio.sleep(0)
        missedbeat.current_run().log("in a coroutine")

    @dramatiq.actor(missedbeat="again", max_retries=1, min_backoff=10, max_backoff=10)
    def again(name):
        if not pathlib.Path(name).exists():
            pathlib.Path(name).touch()
            raise ValueError("no disk")

    @dramatiq.actor(missedbeat="never", max_retries=1, min_backoff=10, max_backoff=10)
    def never():
        raise ValueError("no disk")

    @dramatiq.actor(missedbeat="thrown", throws=KeyError)
    def thrown():
        raise KeyError("expected")

    @dramatiq.actor(missedbeat="slow", time_limit=500, max_retries=0)
    def slow():
        while True: time.sleep(0.01)

    @dramatiq.actor(max_retries=0)
    def other():
        raise ValueError("nobody asked")

    @dramatiq.actor(missedbeat="long", max_retries=0)
    def long():
        while not pathlib.Path("go").exists(): time.sleep(0.02)
"""
SENT = """
    from actors import *
    fine.send(); awaits.send(); again.send("again"); never.send(); thrown.send(); slow.send(); other.send()
    other.send_with_options(key="by message")
    fine.send_with_options(skip=True); fine.send_with_options(max_age=-1)
"""


def sent(folder: Path, text: str, url: str) -> None:
    """The actors as a module, and these messages for them."""
    actors = dedent(ACTORS).replace("URL", url.replace("redis+socket", "unix").replace("virtual_host", "db"))
    (folder / "actors.py").write_text(actors)
    (folder / "send.py").write_text(dedent(text))
    subprocess.run([sys.executable, "send.py"], cwd=folder, env=environment(None), check=True, timeout=60)


def worker(folder: Path, url: str) -> subprocess.Popen[bytes]:
    """Dramatiq as it is run."""
    command = [
        sys.executable,
        "-m",
        "dramatiq",
        "actors",
        "--processes",
        "1",
        "--threads",
        "2",
        "--worker-shutdown-timeout",
        "2000",
    ]
    return subprocess.Popen(
        tied(*command),
        cwd=folder,
        env=environment(url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_each_message_of_a_watched_actor_is_a_run_and_its_retries_are_tries(tmp_path: Path, redis_url: str) -> None:
    """By the option of the actor, or a function of the message; as Dramatiq's own middlewares decide what becomes of it."""
    with Collector() as collector:
        sent(tmp_path, SENT, redis_url)
        process = worker(tmp_path, collector.url)
        ends = collector.wait_for(lambda events: ended(events) if len(ended(events)) == 9 else None)
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=30)[1].decode()
        assert sorted((key, words, error) for (key, words, error) in ends) == [
            ("again", "started retry started succeeded", ""), ("awaits", "started succeeded", ""),
            ("by message", "started failed", "ValueError: nobody asked"),
            ("never", "started retry started failed", "ValueError: no disk"),
            ("nightly", "started expired", "it was skipped by a middleware, before it began"),
            ("nightly", "started ignored", "it was skipped by a middleware, before it began"),
            ("nightly", "started succeeded", ""), ("slow", "started failed", "TimeLimitExceeded"),
            ("thrown", "started failed", "KeyError: 'expected'"),
        ]  # fmt: skip
        assert [e["att"] for e in collector.of("run") if e["monitor"] == "job:again"] == [0, 0, 1, 1]
        assert sorted(e["log"] for e in collector.of("run.succeeded") if "log" in e) == ["half of it", "in a coroutine"]
        retry = next(e for e in collector.of("run.retry") if e["monitor"] == "job:again")
        assert (retry["error"], 0 <= retry["eta"] - retry["ts"] < 5000) == ("ValueError: no disk", True)
        assert [e["schedule"] for e in collector.of("job.declared")] == [
            {"kind": "cron", "expression": "0 3 * * *", "zone": "Europe/Berlin"}
        ]
        assert errors.count("missedbeat=… knows no color") == 1


@pytest.mark.prove
def test_a_worker_that_is_killed_has_said_what_lived_with_it(tmp_path: Path, redis_url: str) -> None:
    """Its heartbeats list the run, and end with it."""
    with Collector() as collector:
        sent(tmp_path, "from actors import *\nlong.send()", redis_url)
        process = worker(tmp_path, collector.url)
        alive = collector.wait_for(lambda events: [e for e in events if e["type"] == "runs.alive"])[0]
        ours = next(envelope for envelope, events in collector.batches if any(e["type"] == "run.started" for e in events))
        (number,) = re.findall(r"^[0-9]+", ours["node"])
        subprocess.run(["kill", "-KILL", number], check=True)
        (tmp_path / "go").touch()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        start = collector.of("run.started")[0]
        assert alive["active"][0][:3] == ["job:long", start["run"], start["x"]]
        assert [e["type"] for e in collector.of("run") if e["x"] == start["x"]] == ["run.started"]


def ended(events: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Of each run that is over: its monitor, what was said of it, and how it failed."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if "run" in event and event["type"] != "run.log":
            runs.setdefault(event["run"], []).append(event)
    return [
        (said[0]["monitor"][4:], " ".join(e["type"].removeprefix("run.") for e in said), said[-1].get("error", ""))
        for said in runs.values()
        if said[-1]["type"] not in ("run.started", "run.retry")
    ]
