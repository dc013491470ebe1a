"""RQ: a worker that tells of its work-horses, those that are killed too; the cron of RQ, and when its jobs are due."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from missedbeat.rq_cron import describe
from rq.cron import CronJob

from app.domain.schedule import next_after, parse, parse_crontab
from tests.sdk.brokers import tied
from tests.sdk.collector import Collector
from tests.sdk.scripts import begun, environment, ran

TASKS = """
    import missedbeat, os, pathlib, time
    from rq import Retry
    def fine():
        missedbeat.current_run().log("half of it")
        missedbeat.current_run().metric(rows=10)
    def fails():
        raise ValueError("no disk")
    def killed():
        os.kill(os.getpid(), 9)
    def leaves():
        os._exit(3)
    def hangs(until=""):
        worker = os.getppid()
        while not (pathlib.Path(until).exists() if until else os.getppid() != worker): time.sleep(0.02)
    def second_time(name, how):
        if not pathlib.Path(name).exists():
            pathlib.Path(name).touch()
            return how()
    def wants_more():
        return Retry(max=1)
    @missedbeat.monitor("decorated")
    def decorated():
        pass
"""
PROGRAM = """
    import sys, time
    sys.path.insert(0, ".")
    import missedbeat, tasks
    from redis import Redis
    from rq import Queue, Repeat, Retry
    from missedbeat.rq import SimpleWorker, Worker
    missedbeat.configure(heartbeat=1)
    redis = Redis.from_url("URL")
    queue = Queue(connection=redis)
    def add(name, function, *args, **more):
        queue.enqueue(function, *args, job_id=f"{name}-1", meta={"missedbeat": name}, **more)
"""


def program(folder: Path, text: str, url: str) -> str:
    """A program with the tasks beside it, and the broker as RQ is told of it."""
    (folder / "tasks.py").write_text(dedent(TASKS))
    return dedent(PROGRAM).replace("URL", as_unix(url)) + dedent(text)


def as_unix(url: str) -> str:
    """Celery's way to name a socket, in that of redis-py."""
    return url.replace("redis+socket", "unix").replace("virtual_host", "db")


def stories(collector: Collector) -> dict[str, list[str]]:
    """Of each monitor, what was said of its runs, in order."""
    found: dict[str, list[str]] = {}
    for event in sorted(collector.of("run"), key=lambda event: int(event["id"].rpartition(":")[2])):
        found.setdefault(event["monitor"][4:], []).append(event["type"].removeprefix("run."))
    return found


def test_each_job_that_says_so_is_told_however_its_work_horse_ends(tmp_path: Path, redis_url: str) -> None:
    """As it is run by its users; what a job says meanwhile and what it reports by itself arrives though it ends by `os._exit`."""
    text = """
        queue.enqueue(tasks.fails)
        add("fine", tasks.fine); add("fails", tasks.fails); add("killed", tasks.killed); add("leaves", tasks.leaves)
        add("hangs", tasks.hangs, job_timeout=1); queue.enqueue(tasks.decorated)
        add("repeats", tasks.fine, repeat=Repeat(times=2, interval=0))
    """
    with Collector() as collector:
        assert ran(tmp_path, program(tmp_path, text, redis_url), collector.url) == (0, "", "")
        worker = [str(Path(sys.executable).with_name("rq")), "worker", "-u", as_unix(redis_url), "--burst", "--quiet"]
        process = subprocess.run(
            tied(*worker, "-w", "missedbeat.rq.Worker"), cwd=tmp_path, env=environment(collector.url), timeout=60, check=True,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert b"missedbeat" not in process.stderr.replace(b"missedbeat.rq.Worker", b"")
        assert stories(collector) == {
            "fine": ["started", "succeeded"], "fails": ["started", "failed"], "killed": ["started", "lost"],
            "repeats": ["started", "succeeded"] * 3,
            "leaves": ["started", "lost"], "hangs": ["started", "failed"], "decorated": ["started", "succeeded"],
        }  # fmt: skip
        ends = {event["monitor"][4:]: event for event in collector.of("run") if event["type"] != "run.started"}
        assert len({event["run"] for event in collector.of("run") if event["monitor"] == "job:repeats"}) == 3
        assert (ends["fine"]["run"].partition("@")[0], ends["fine"]["log"], ends["fine"]["metrics"]) == (
            "fine-1",
            "half of it",
            {"rows": 10},
        )
        assert ends["fails"]["error"] == "ValueError: no disk"
        assert ends["killed"]["error"] == "its work-horse was killed by signal 9"
        assert ends["leaves"]["error"] == "its work-horse ended in the middle, with exit code 3"
        assert ends["hangs"]["error"].startswith("JobTimeoutException")
        start = next(event for event in collector.of("run.started") if event["run"].startswith("fine-1@"))
        assert start["queue"] == "default"
        assert start["wait_ms"] >= 0


@pytest.mark.parametrize("worker", ["Worker", pytest.param("SimpleWorker", marks=pytest.mark.prove)])
def test_a_job_that_is_tried_again_is_no_failure_before_its_last_try(tmp_path: Path, redis_url: str, worker: str) -> None:
    """By RQ's own `Retry`, of a job that raises, returns it, or is killed."""
    text = """
        add("again", tasks.second_time, "again", tasks.fails, retry=Retry(max=2))
        add("later", tasks.fails, retry=Retry(max=2, interval=[300, 600]))
        add("returned", tasks.second_time, "returned", tasks.wants_more)
        add("never", tasks.fails, retry=Retry(max=1))
        add("forever", tasks.wants_more)
        if "WORKER" == "Worker":
            add("killed", tasks.second_time, "killed", tasks.killed, retry=Retry(max=1))
        WORKER([queue], connection=redis).work(burst=True, logging_level="CRITICAL")
    """
    with Collector() as collector:
        assert ran(tmp_path, program(tmp_path, text.replace("WORKER", worker), redis_url), collector.url)[:2] == (0, "")
        killed = {"killed": ["started", "retry", "started", "succeeded"]} if worker == "Worker" else {}
        assert stories(collector) == {
            "again": ["started", "retry", "started", "succeeded"], "later": ["started", "retry"],
            "returned": ["started", "retry", "started", "succeeded"], "never": ["started", "retry", "started", "failed"],
            "forever": ["started", "retry", "started", "failed"],
        } | killed  # fmt: skip
        assert len({event["x"] for event in collector.of("run") if event["run"].startswith("again-1@")}) == 2
        later = next(event for event in collector.of("run.retry") if event["run"].startswith("later-1@"))
        assert 250_000 < later["eta"] - later["ts"] < 350_000
        assert later["error"] == "ValueError: no disk"


def test_a_run_lives_with_its_worker_and_one_that_is_stopped_on_request_is_no_failure(tmp_path: Path, redis_url: str) -> None:
    """A worker that is killed has said which runs were alive with it. A work-horse that outlives it tells its end by itself."""
    text = """
        for _ in range(2):
            add("long", tasks.hangs, "go")
            Worker([queue], connection=redis).work(burst=True, logging_level="CRITICAL")
    """
    stop = """
        from rq.command import send_stop_job_command
        send_stop_job_command(redis, "long-1")
    """

    def alive(events: list[dict[str, Any]], runs: int) -> bool:
        begun = [event["x"] for event in events if event["type"] == "run.started"]
        listed = [x for event in events if event["type"] == "runs.alive" for _, _, x, _ in event["active"]]
        return len(begun) == runs and begun[-1] in listed

    with Collector() as collector:
        process = begun(tmp_path, program(tmp_path, text, redis_url), collector.url)
        collector.wait_for(lambda events: alive(events, 1))
        assert ran(tmp_path, program(tmp_path, stop, redis_url), collector.url)[0] == 0
        collector.wait_for(lambda events: alive(events, 2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert stories(collector) == {"long": ["started", "revoked", "started"]}
        assert collector.batches[0][0]["heartbeat"] == 1
        (tmp_path / "go").touch()
        process.communicate(timeout=30)
        end = collector.of("run.succeeded")[0]
        start = collector.of("run.started")[1]
        assert (end["run"], end["x"]) == (start["run"], start["x"])
        assert end["run"] != collector.of("run.started")[0]["run"], "the same id, enqueued anew"


def test_the_jobs_of_its_cron_are_checks(tmp_path: Path, redis_url: str) -> None:
    """By `register` in its file, or `watch` of a scheduler; the worker knows them by a mark. They are called by their names."""
    (tmp_path / "cron_config.py").write_text(
        "import tasks\nfrom missedbeat import Monitor\nfrom missedbeat.rq import register\n"
        "register(tasks.fine, 'default', interval=60, key='every minute', monitor=Monitor(grace=30, tags=['db']))\n"
        "register(tasks.fine, 'default', (), {}, None, '0 3 * * 1-5', meta={'own': 1})\n"
    )
    text = """
        import logging
        from rq.cron import CronScheduler
        from missedbeat import Monitor
        from missedbeat.rq import watch
        files, own = CronScheduler(redis, logging_level="CRITICAL"), CronScheduler(redis, logging_level="CRITICAL")
        logging.disable()
        files.load_config_from_file("cron_config.py")
        own.register(tasks.fails, "default", interval=90, name="own")
        own.register(tasks.fails, "default", cron="@yearly")
        own.register(tasks.fails, "default", interval=300, name="own")
        own.register(tasks.hangs, "default", cron="0 3 l * *")
        logging.disable(0)
        watch(own, {"own": Monitor(max_runtime=5)})
        watch(files)
        files.enqueue_jobs(), own.enqueue_jobs()
        assert {"own": 1, "missedbeat": "tasks.fine"} in [job.job_options["meta"] for job in files.get_jobs()]
        Worker([queue], connection=redis).work(burst=True, logging_level="CRITICAL")
    """
    with Collector() as collector:
        code, _, errors = ran(tmp_path, program(tmp_path, text, redis_url), collector.url, TZ="Europe/Berlin")
        assert code == 0
        assert errors.count("share one check") == errors.count("Two jobs are called 'own'") == 1
        assert "'tasks.hangs' is due at '0 3 l * *', which only RQ can read" in errors
        declared = {event["name"]: event for event in collector.of("job.declared")}
        assert {name: event["schedule"] for name, event in declared.items()} == {
            "every minute": {"kind": "every", "seconds": 60}, "own": {"kind": "every", "seconds": 300},
            "tasks.fine": {"kind": "crontab", "expression": "0 3 * * 1-5", "zone": "Europe/Berlin"},
            "tasks.fails": {"kind": "crontab", "expression": "0 0 1 1 *", "zone": "Europe/Berlin"},
        }  # fmt: skip
        assert (declared["every minute"]["grace"], declared["own"]["max_runtime"]) == (30, 5)
        assert stories(collector) == {"every minute": ["started", "succeeded"], "own": ["started", "failed"] * 2}


@pytest.fixture
def in_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A machine somewhere else."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield "Asia/Tokyo"
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "expression",
    ["0 3 * * *", "*/7 8-18/2 * * mon-fri", "30 1 */5 feb,3 *", "0 0 * * 7", "0 12 13 * 5", "5,10 4 1-7 * 0,1", "@hourly"],
)
def test_a_cron_is_due_when_rq_enqueues_it(expression: str, in_zone: str) -> None:
    """In the zone of the machine, of two restricted days either: the next times are the same by both reckonings."""
    job = CronJob("default", func_name="f", cron=expression)
    said, now = describe(job), datetime.now(UTC)
    assert said is not None
    assert said["zone"] == in_zone
    schedule = (parse_crontab if said["kind"] == "crontab" else parse)(said["expression"], in_zone, now)
    at = now
    for _ in range(40):
        slot = next_after(schedule, at)
        assert slot == job.next_enqueue_time
        assert slot is not None
        at = slot
        job.set_enqueue_time(at)
