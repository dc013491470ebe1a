"""`instrument` in the ways in which it is called by accident: twice, in every process, with a server that is not there."""

from pathlib import Path
from typing import Any

from tests.sdk.brokers import free_ports
from tests.sdk.celery_processes import beat, client, wait_until, worker
from tests.sdk.collector import Collector


def test_called_three_times_it_says_everything_once(redis_url: str, tmp_path: Path) -> None:
    """A settings module that is imported under two names must not double what is told."""
    schedule = {"often": ["succeeds", 1, []]}
    told: dict[str, Any] = {"conf": {"beat_max_loop_interval": 1}, "schedule": schedule, "TEST_TIMES": "3"}
    with (
        Collector() as collector,
        worker(tmp_path, broker=redis_url, url=collector.url, **told),
        beat(tmp_path, broker=redis_url, url=collector.url, **told),
    ):
        run = collector.wait_for(lambda events: [e for e in events if e["type"] == "run.succeeded"])[0]["run"]
        story = sorted(e["type"] for e in collector.of("run") if e["run"] == run)
        assert story == ["run.dispatched", "run.started", "run.succeeded"]
        assert len(collector.of("beat.up")) == 1


def test_called_by_the_children_of_a_pool_alone_it_loses_nothing(redis_url: str, tmp_path: Path) -> None:
    """Nobody relays then: each child sends by itself, and is heard out before its end. That the worker lives nobody can say."""
    told: dict[str, Any] = {"module": "tests.sdk.late_app", "conf": {"worker_max_tasks_per_child": 1}}
    with (
        Collector() as collector,
        worker(tmp_path, broker=redis_url, url=collector.url, **told) as process,
        client(redis_url) as app,
    ):
        runs = {app.send_task("succeeds").id for _ in range(4)}
        collector.wait_for(lambda events: {e["run"] for e in events if e["type"] == "run.succeeded"} == runs)
        assert "call it where the app is made" in process.words()


def test_with_no_server_and_no_key_tasks_run_as_ever(redis_url: str, tmp_path: Path) -> None:
    """Nobody listens, or nothing is set: one line in the log, and the tasks do not notice."""
    (port,) = free_ports(1)
    for number, (url, key) in enumerate([(f"http://127.0.0.1:{port}", "a key"), ("", ""), ("no url at all", "a key")]):
        queue = f"q{number}"
        with worker(tmp_path, broker=redis_url, url=url, key=key, queue=queue) as process, client(redis_url) as app:
            runs = [app.send_task("succeeds", queue=queue).id for _ in range(5)]
            wait_until(lambda: all(f"{run}] succeeded" in process.words() for run in runs), why=process.words)  # noqa: B023
            assert process.stop() == 0
            assert process.words().count("Missedbeat is not set up") <= 1
            assert "Traceback" not in process.words()


def test_a_task_that_is_called_as_a_function_is_not_watched(redis_url: str, tmp_path: Path) -> None:
    """Case 47: nothing was sent, so nothing is told; not even where it is called by a task that is watched."""
    with Collector() as collector, worker(tmp_path, broker=redis_url, url=collector.url), client(redis_url) as app:
        run = app.send_task("calls").id
        collector.wait_for(lambda events: [e for e in events if e["type"] == "run.succeeded"])
        assert [(e["run"], e["type"]) for e in collector.of("run")] == [(run, "run.started"), (run, "run.succeeded")]


def test_a_job_inside_a_task_is_told_by_the_child_itself(redis_url: str, tmp_path: Path) -> None:
    """Beside the task's own run, also where the child ends with it: what it said is out before that."""
    with (
        Collector() as collector,
        worker(tmp_path, "--max-tasks-per-child", "1", broker=redis_url, url=collector.url) as process,
        client(redis_url) as app,
    ):
        for _ in range(3):
            app.send_task("runs_a_job")
        collector.wait_for(lambda events: [e for e in events if e["type"] == "run.succeeded"][5:])
        inner = [e for e in collector.of("run") if e["monitor"] == "job:inner"]
        assert sorted(e["type"] for e in inner) == ["run.started"] * 3 + ["run.succeeded"] * 3
        assert [(e["log"], e["metrics"]) for e in inner if e["type"] == "run.succeeded"] == [("from inside", {"rows": 1})] * 3
        outer = [e for e in collector.of("run.succeeded") if e["monitor"] != "job:inner"]
        assert [e["log"] for e in outer] == ["of the task"] * 3
        assert "Traceback" not in process.words()
