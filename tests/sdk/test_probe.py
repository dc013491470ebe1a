"""`missedbeat probe`: real workers and Beats in each state that orchestrators get wrong, asked by the program that these run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from missedbeat.celery.vital import Facts, File, Verdict, judge_beat, judge_worker

from tests.sdk.brokers import Redis
from tests.sdk.celery_processes import CeleryProcess, beat, client, wait_until, worker
from tests.sdk.collector import Collector
from tests.sdk.scripts import environment

POOLS = (("-P", "threads"), ("-P", "solo"), ("-P", "gevent"), ("-P", "eventlet"))
OFFLINE = {"MISSEDBEAT_OFFLINE": "1", "MISSEDBEAT_PROBE_PATIENCE": "3"}
Answer = tuple[int, str]


def probe(path: Path, *options: str) -> Answer:
    """What it says, and with which exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "missedbeat.probe", *options, str(path)], env=environment(None), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1, "one line"
    return done.returncode, done.stdout


def says(path: Path, *options: str, code: int, words: str) -> Answer:
    """Return when it says so."""
    last: list[Answer] = []

    def said() -> bool:
        last[:] = [probe(path, *options)]
        return last[0][0] == code and words in last[0][1]

    wait_until(said, why=lambda: str(last))
    return last[0]


def stays(path: Path, *options: str, code: int, seconds: float = 5.0) -> None:
    """It says so again and again, for longer than patience lasts."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = probe(path, *options)
        assert answer[0] == code, answer
        time.sleep(0.3)


def watched(start: Callable[..., CeleryProcess], folder: Path, *options: str, broker: str, **told: Any) -> CeleryProcess:
    """A worker or Beat that writes the file `probe` in its folder."""
    told = {**OFFLINE, **told, "MISSEDBEAT_PROBE": str(folder / "probe")}
    return start(folder, *options, broker=broker, url="http://127.0.0.1:9", **told)


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.prove)])
def any_broker(request: pytest.FixtureRequest) -> str:
    """A fresh place on a broker; on RabbitMQ with `make prove`."""
    return str(request.getfixturevalue(f"{request.param}_server").fresh())


@pytest.mark.parametrize("options", [
    ("--without-heartbeat",), *(pytest.param(more, marks=pytest.mark.prove) for more in ((), *POOLS)),
])  # fmt: skip
def test_a_worker_that_waits_for_tasks_is_alive_and_ready(any_broker: str, tmp_path: Path, options: tuple[str, ...]) -> None:
    """With or without Celery's own heartbeats, which say nothing of it; before it begins and after its end it is not."""
    (tmp_path / "probe.worker").write_text("of another process")
    process = watched(worker, tmp_path, *options, broker=any_broker)
    with process, client(any_broker) as app:
        says(tmp_path / "probe", code=0, words="takes tasks")
        stays(tmp_path / "probe", "--ready", code=0, seconds=4)
        app.send_task("succeeds")
        wait_until(lambda: "] succeeded" in process.words())
        assert probe(tmp_path / "probe")[0] == 0
        assert process.stop() == 0
        assert probe(tmp_path / "probe") == (1, f"nothing has written {tmp_path}/probe.worker or {tmp_path}/probe.beat: none has "
                                                "begun, or MISSEDBEAT_PROBE is not set for it\n")  # fmt: skip


def test_a_solo_worker_in_a_long_task_is_alive(redis_url: str, tmp_path: Path) -> None:
    """Its loop does not turn meanwhile, messages wait, and `celery inspect ping` would have it killed."""
    with watched(worker, tmp_path, "-P", "solo", broker=redis_url) as process, client(redis_url) as app:
        app.send_task("sleeps", [9])
        app.send_task("succeeds")
        says(tmp_path / "probe", code=0, words="runs a task in its only thread")
        stays(tmp_path / "probe", "--ready", code=0)
        wait_until(lambda: process.words().count("] succeeded") == 2, why=process.words)
        assert probe(tmp_path / "probe")[0] == 0


def test_a_worker_whose_loop_stands_still_is_dead(any_broker: str, tmp_path: Path) -> None:
    """Its thread goes on writing all the same: a file that is fresh says nothing."""
    with watched(worker, tmp_path, broker=any_broker), client(any_broker) as app:
        says(tmp_path / "probe", code=0, words="takes tasks")
        app.control.broadcast("stands_still", arguments={"seconds": 8})
        says(tmp_path / "probe", code=1, words="its loop has not turned for")
        says(tmp_path / "probe", code=0, words="takes tasks")


@pytest.mark.parametrize("options", [
    (), *(pytest.param(("-P", pool), marks=pytest.mark.prove) for pool in ("threads", "gevent", "eventlet")),
])  # fmt: skip
def test_a_worker_that_takes_nothing_while_messages_wait_is_dead(
    any_broker: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Connected, with a loop that turns. As long as nothing waits nobody can tell, and nothing is lost."""
    with watched(worker, tmp_path, *options, broker=any_broker), client(any_broker) as app:
        says(tmp_path / "probe", code=0, words="takes tasks")
        app.control.broadcast("takes_nothing")
        stays(tmp_path / "probe", code=0, seconds=5)
        app.send_task("succeeds")
        says(tmp_path / "probe", code=1, words="messages wait in celery, and it has taken none for")


@pytest.mark.prove
def test_a_busy_worker_is_alive_whatever_waits(redis_url: str, tmp_path: Path) -> None:
    """Both of its children work; the queue is long."""
    with watched(worker, tmp_path, broker=redis_url), client(redis_url) as app:
        for _ in range(9):
            app.send_task("sleeps", [2])
        says(tmp_path / "probe", code=0, words="takes tasks")
        stays(tmp_path / "probe", "--ready", code=0)


@pytest.mark.prove
def test_while_the_broker_is_away_a_worker_is_alive_and_not_ready(own_redis: Redis, tmp_path: Path) -> None:
    """A restart would mend nothing, and end what its children still run."""
    with watched(worker, tmp_path, broker=own_redis.url()):
        says(tmp_path / "probe", "--ready", code=0, words="takes tasks")
        own_redis.stop()
        says(tmp_path / "probe", "--ready", code=1, words="waits for its broker")
        stays(tmp_path / "probe", code=0)
        own_redis.start()
        says(tmp_path / "probe", "--ready", code=0, words="takes tasks")


@pytest.mark.prove
def test_a_worker_that_waits_in_the_middle_of_a_word_to_its_broker_is_alive(own_redis: Redis, tmp_path: Path) -> None:
    """Its loop stands still, and a restart would mend nothing: the broker answers nobody."""
    told = {"conf": {"task_acks_late": True}}
    with watched(worker, tmp_path, broker=own_redis.url(), **told) as process, client(own_redis.url()) as app:
        says(tmp_path / "probe", code=0, words="takes tasks")
        done = tmp_path / "done"
        app.send_task("sleeps", [1, str(done)])
        wait_until(done.exists)
        own_redis.freeze()
        says(tmp_path / "probe", "--ready", code=1, words="its broker cannot be reached")
        stays(tmp_path / "probe", code=0)
        own_redis.thaw()
        says(tmp_path / "probe", "--ready", code=0, words="takes tasks")
        wait_until(lambda: "] succeeded" in process.words())


def test_a_worker_that_may_not_begin_what_it_has_taken_is_alive(redis_url: str, tmp_path: Path) -> None:
    """One task an hour, says its rate limit: what waits then, in the worker and behind that in the queue, waits as it should."""
    conf = {"task_annotations": {"succeeds": {"rate_limit": "1/h"}}, "worker_concurrency": 1}
    with watched(worker, tmp_path, broker=redis_url, conf=conf) as process, client(redis_url) as app:
        for _ in range(20):
            app.send_task("succeeds")
        wait_until(lambda: "] succeeded" in process.words())
        stays(tmp_path / "probe", "--ready", code=0, seconds=8)


def test_a_worker_that_throws_away_what_came_too_late_is_alive(redis_url: str, tmp_path: Path) -> None:
    """Thousands of messages that have expired, as after a night without workers: it begins none, and is busy with them."""
    told = {"MISSEDBEAT_PROBE_PATIENCE": "1"}
    url = redis_url.replace("redis+socket", "unix").replace("virtual_host", "db")
    with client(redis_url) as app, redis.from_url(url) as queue:
        app.send_task("succeeds", expires=0.001)
        message = queue.lindex("celery", 0)
        queue.lpush("celery", *[message] * 4000)
        with watched(worker, tmp_path, "--loglevel=CRITICAL", broker=redis_url, ready="", **told):
            says(tmp_path / "probe", code=0, words="takes tasks")
            while queue.llen("celery"):
                answer = probe(tmp_path / "probe")
                assert answer[0] == 0, answer


@pytest.mark.prove
def test_a_worker_that_ends_its_last_tasks_is_alive_and_not_ready(redis_url: str, tmp_path: Path) -> None:
    """Nothing must kill it now."""
    with watched(worker, tmp_path, broker=redis_url) as process, client(redis_url) as app:
        app.send_task("sleeps", [8])
        wait_until(lambda: "received" in process.words())
        process.process.terminate()
        says(tmp_path / "probe", "--ready", code=1, words="is stopping")
        stays(tmp_path / "probe", code=0, seconds=4)


def test_a_process_that_is_frozen_or_gone_is_dead(redis_url: str, tmp_path: Path) -> None:
    """Nobody writes any more; how long that may be is said on the line."""
    with watched(worker, tmp_path, broker=redis_url) as process:
        says(tmp_path / "probe", code=0, words="takes tasks")
        process.kill()
        assert probe(tmp_path / "probe")[0] == 0
        says(tmp_path / "probe", "--stale", "2", code=1, words="nothing heard of it for")


@pytest.mark.prove
def test_a_worker_and_the_beat_that_it_embeds_are_well_together_and_end_together(redis_url: str, tmp_path: Path) -> None:
    """Beat alone may be dead, and then the container is: nothing is dispatched. After an orderly end neither is spoken of: the
    next worker need not have a Beat."""
    options = ("-B", "-s", str(tmp_path / "schedule"))
    told: dict[str, Any] = {"schedule": {"often": ["succeeds", 1, []]}, "conf": {"beat_max_loop_interval": 1}}
    with watched(worker, tmp_path, *options, broker=redis_url, **told) as process:
        says(tmp_path / "probe", "--ready", code=0, words="beat")
        assert process.stop() == 0
        assert [path.name for path in tmp_path.glob("probe*")] == []
    with watched(worker, tmp_path, *options, broker=redis_url, **told):
        _, words = says(tmp_path / "probe", "--ready", code=0, words="beat")
        os.kill(int(words.partition("beat ")[2].partition(":")[0]), signal.SIGKILL)
        says(tmp_path / "probe", "--stale", "2", code=1, words="nothing heard of it for")


@pytest.mark.prove
def test_beat_is_alive_as_long_as_it_looks_for_what_is_due(own_redis: Redis, tmp_path: Path) -> None:
    """While its broker is away it is alive, and not ready; where both are in one container both must be well."""
    schedule = {"often": ["succeeds", 1, []]}
    conf = {"beat_max_loop_interval": 1}
    with watched(beat, tmp_path, broker=own_redis.url(), schedule=schedule, conf=conf):
        says(tmp_path / "probe", "--ready", code=0, words="looks for what is due")
        own_redis.stop()
        says(tmp_path / "probe", "--ready", code=1, words="broker")
        stays(tmp_path / "probe", code=0)
        own_redis.start()
        says(tmp_path / "probe", "--ready", code=0, words="looks for what is due")
        (tmp_path / "probe.worker").write_text(f"{time.monotonic()} 7 0 0 its loop has not turned for 99 s\n")
        assert probe(tmp_path / "probe")[0] == 1


def test_verdicts() -> None:
    """Those that take too long to be waited for."""
    fine = Facts(0.0, True)
    for facts, live, ready in (
        (fine, True, True),
        (fine._replace(stands=59), True, True),
        (fine._replace(stands=61, reachable=9), False, False),
        (fine._replace(stands=7200), True, False),
        (fine._replace(stands=7200, is_busy=True), True, True),
        (fine._replace(stands=7200, is_connected=False), True, False),
        (fine._replace(stands=7200, is_connected=False, reachable=119), True, False),
        (fine._replace(stands=7200, is_connected=False, reachable=121), False, False),
        (fine._replace(waits="q", waits_for=59), True, True),
        (fine._replace(waits="q", waits_for=61), False, False),
        (fine._replace(stands=7200, is_stopping=True, is_connected=False), True, False),
    ):
        assert judge_worker(facts, 60.0)[:2] == (live, ready), facts
    for stalled, error, can_reach, live, ready in (
        (0, "", None, True, True), (0, "refused", None, True, False), (30, "", True, True, False), (61, "", True, False, False),
        (7200, "", False, True, False), (7200, "", None, True, False),
    ):  # fmt: skip
        assert judge_beat(stalled, True, error, can_reach, 60.0)[:2] == (live, ready), (stalled, error, can_reach)


def test_a_fault_of_our_own_kills_nobody(tmp_path: Path) -> None:
    """The thread lives, and the process with it: more cannot be said, and a restart would mend nothing."""

    def judge() -> Verdict:
        raise AttributeError("a consumer that is not as Celery's")

    file = File(str(tmp_path / "probe"), "worker", 1.0, judge)
    file.start()
    says(tmp_path / "probe", code=0, words="how it is cannot be said")
    file.close()


def test_nonsense_is_no_life(tmp_path: Path) -> None:
    """A broken file, one of before the machine was started, options that are none, no path: 1, and why."""
    path = tmp_path / "probe"
    for words, why in (
        ("nonsense\n", "makes no sense"),
        (f"{time.monotonic() + 1e6} 7 1 1 fine\n", "since this machine was started"),
    ):
        (tmp_path / "probe.worker").write_text(words)
        code, said = probe(path)
        assert (code, why in said) == (1, True), said
    for options in (["--no-such-option"], ["--stale", "soon"], []):
        command = [sys.executable, "-m", "missedbeat.cli", "probe", *options]
        assert subprocess.run(command, env=environment(None), capture_output=True, check=False).returncode == 1
    command = [sys.executable, "-m", "missedbeat.cli", "probe", "--help"]
    assert subprocess.run(command, env=environment(None), capture_output=True, check=False).returncode == 0


def test_it_imports_next_to_nothing() -> None:
    """It is run every few seconds, in a container with half a processor."""
    script = "import sys; before = set(sys.modules)\nimport missedbeat.cli, missedbeat.probe\nprint(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], env=environment(None), capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"__future__", "missedbeat", "missedbeat.cli", "missedbeat.probe"}


def test_a_path_that_cannot_be_written_is_named_once_and_hurts_nothing(redis_url: str, tmp_path: Path) -> None:
    """The worker works; the log says why the probe will not."""
    with Collector() as collector:
        told: dict[str, Any] = {"MISSEDBEAT_PROBE": str(tmp_path / "no such folder" / "probe"), "MISSEDBEAT_PROBE_PATIENCE": "1"}
        with worker(tmp_path, broker=redis_url, url=collector.url, **told) as process, client(redis_url) as app:
            wait_until(lambda: "cannot be written" in process.words())
            app.send_task("succeeds")
            collector.wait_for(lambda events: [e for e in events if e["type"] == "run.succeeded"])
            assert process.words().count("cannot be written") == 1
