"""Huey: its periodic tasks are checks, with the times that `crontab()` keeps to itself; its signals tell of runs."""

import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from huey import MemoryHuey, crontab
from missedbeat.huey import schedule_of, watch

from app.domain.schedule import next_after, parse_crontab
from tests.sdk.brokers import tied
from tests.sdk.collector import Collector
from tests.sdk.scripts import environment, ran
from tests.sdk.test_dramatiq import ended

TASKS = """
    import datetime, os, pathlib, time
    import missedbeat
    from huey import CancelExecution, RedisHuey, crontab
    from huey.exceptions import RetryTask, TaskLockedException
    from missedbeat.huey import watch
    missedbeat.configure(heartbeat=1)
    huey = RedisHuey(url="URL")
    NAMED = ("fine", "fails", "again", "later", "asks", "locked", "cancels", "slow", "stale", "long")
    watch(huey, tasks={
        **{name: {} for name in NAMED}, "own": {"schedule": 86400, "key": "by hand"}, "left_out": None, "unknown": {},
    }, consumer="consumer")

    @huey.periodic_task(crontab())
    def tick():
        missedbeat.current_run().log("half of it")
    @huey.periodic_task(crontab())
    def left_out(): pass
    @huey.periodic_task(crontab(minute="*/10", hour="8-18/2", day_of_week="1-5", month=str(time.gmtime().tm_mon % 12 + 1)))
    def office(): pass
    @huey.periodic_task(lambda at: False)
    def own(): pass
    @huey.periodic_task(lambda at: False)
    def riddle(): pass

    @huey.task()
    def fine(): pass
    @huey.task()
    def other(): pass
    @huey.task()
    def fails(): raise ValueError("no disk")
    @huey.task(retries=1)
    def again():
        if not pathlib.Path("again").exists():
            pathlib.Path("again").touch()
            raise ValueError("no disk")
    @huey.task(retries=1, retry_delay=300)
    def later(): raise ValueError("no disk")
    @huey.task()
    def asks(): raise RetryTask(delay=600)
    @huey.task()
    def locked(): raise TaskLockedException("taken")
    @huey.task()
    def cancels(): raise CancelExecution(retry=False)
    @huey.task(timeout=0.3)
    def slow(): time.sleep(60)
    @huey.task(expires=datetime.timedelta(seconds=-1))
    def stale(): pass
    @huey.task()
    def long():
        while not pathlib.Path("go").exists(): time.sleep(0.02)
"""
SENT = """
    from tasks import *
    for task in (fine, other, fails, again, later, asks, locked, locked, locked, cancels, slow, stale): task()
    revoked = fine.s()
    huey.revoke(revoked)
    huey.enqueue(revoked)
"""


def put(folder: Path, text: str, url: str) -> None:
    """The tasks as a module, and something done with them."""
    tasks = dedent(TASKS).replace("URL", url.replace("redis+socket", "unix").replace("virtual_host", "db"))
    (folder / "tasks.py").write_text(tasks)
    (folder / "put.py").write_text(dedent(text))
    done = subprocess.run(
        [sys.executable, "put.py"], cwd=folder, env=environment(None), check=False, timeout=60, stderr=subprocess.PIPE
    )
    assert done.returncode == 0, done.stderr.decode()


def consumer(folder: Path, url: str, kind: str) -> subprocess.Popen[bytes]:
    """Huey as it is run."""
    program = str(Path(sys.executable).with_name("huey_consumer"))
    return subprocess.Popen(
        tied(program, "tasks.huey", "-k", kind, "-w", "1", "-q"),
        cwd=folder, env=environment(url), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["process", pytest.param("thread", marks=pytest.mark.prove)])
def test_each_run_is_told_as_huey_ends_it(tmp_path: Path, redis_url: str, kind: str) -> None:
    """Of periodic tasks, and those that are named; in threads, where a timeout ends nothing by itself, and in processes."""
    with Collector() as collector:
        put(tmp_path, SENT.replace("slow, ", "" if kind == "thread" else "slow, "), redis_url)
        process = consumer(tmp_path, collector.url, kind)
        awaited = {"fine", "fails", "again", "locked", "cancels", "stale", "tick", *({"slow"} if kind == "process" else ())}
        collector.wait_for(lambda events: awaited <= {name for name, _, _ in ended(events)})
        put(tmp_path, "from tasks import *\nlong()", redis_url)
        alive = collector.wait_for(lambda events: [e for e in events if e["type"] == "runs.alive" and e["active"]])[-1]
        ours = [envelope for envelope, events in collector.batches if any(e["type"] == "runs.alive" for e in events)][-1]
        (number,) = re.findall(r"^[0-9]+", ours["node"])
        if kind == "process":
            assert int(number) != process.pid
            subprocess.run(["kill", "-KILL", number], check=True)
        (tmp_path / "go").touch()
        if kind == "thread":
            collector.wait_for(lambda events: [e for e in events if e["type"] == "run.succeeded" and e["monitor"] == "job:long"])
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=30)[1].decode()
        told = {one for one in ended(collector.events) if one[:2] != ("tick", "started aborted")}
        assert told == {
            ("tick", "started succeeded", ""), ("fine", "started succeeded", ""),
            ("fails", "started failed", "ValueError: no disk"),
            ("again", "started retry started succeeded", ""), ("locked", "started revoked", "it was not run: its lock is taken"),
            ("locked", "started rejected", "it was not run 3 times in a row: its lock is taken"),
            ("cancels", "started revoked", "it was cancelled as it began, or cancelled itself"),
            ("stale", "expired", ""), ("fine", "revoked", "it is revoked"), ("consumer", "succeeded", ""),
        } | ({("slow", "started failed", "it ran over its timeout of 0.3 s")} if kind == "process" else {
            ("long", "started succeeded", "")})  # fmt: skip
        assert alive["active"][-1][0] == "job:long"
        check_retries(collector)
        check_schedules(collector)
        assert "'riddle' is due: its runs are watched" in errors
        assert "there is no task 'unknown'" in errors


def test_what_huey_has_no_signal_for_ends_a_run_too(tmp_path: Path) -> None:
    """`sys.exit()` ends a worker and not its program, a result may be one that cannot be stored: both runs lived on."""
    text = """
        import sys
        from huey import MemoryHuey
        from missedbeat.huey import watch
        huey = MemoryHuey(immediate=False)
        @huey.task()
        def exits(): sys.exit(3)
        @huey.task()
        def unstored(): return lambda: 1
        @huey.task()
        def fine(): return 1
        watch(huey, tasks={"exits": {}, "unstored": {}, "fine": {}})
        for task in (exits, unstored, fine):
            task()
            try:
                huey.execute(huey.dequeue())
            except BaseException as error:
                print(type(error).__name__)
        print(missedbeat.current_run().id == "")
    """
    with Collector() as collector:
        code, out, _ = ran(tmp_path, text, collector.url)
        assert (code, out.split()[0], out.split()[-1]) == (0, "SystemExit", "True")
        told = {key: (words, error) for key, words, error in ended(collector.events)}
        assert (told["exits"], told["fine"]) == (("started failed", "SystemExit: 3"), ("started succeeded", ""))
        assert told["unstored"][0] == "started failed"


def test_two_periodic_tasks_of_one_name_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """Of two modules: Huey can tell them apart, their check cannot."""
    huey = MemoryHuey()
    for module in ("billing", "stock"):

        def nightly() -> None: ...

        nightly.__module__ = module
        huey.periodic_task(crontab(hour="3", minute="0"))(nightly)
    watch(huey)
    huey._missedbeat.begin()
    assert caplog.text.count("2 periodic tasks are called 'nightly', and share one check") == 1


def check_retries(collector: Collector) -> None:
    """When the next try comes, as Huey has it."""
    etas = {e["monitor"]: (e["eta"] - e["ts"]) // 1000 for e in collector.of("run.retry") if "eta" in e}
    assert {key: round(seconds, -2) for key, seconds in etas.items()} == {"job:later": 300, "job:asks": 600}
    assert [e["att"] for e in collector.of("run") if e["monitor"] == "job:again"] == [0, 0, 1, 1]


def check_schedules(collector: Collector) -> None:
    """Of all periodic tasks but those of which only their own functions know."""
    next_month = datetime.now(UTC).month % 12 + 1
    declared = {e["name"]: e["schedule"] for e in collector.of("job.declared")}
    assert declared == {
        "tick": {"kind": "crontab", "expression": "* * * * *", "zone": "UTC"},
        "office": {"kind": "crontab", "expression": f"*/10 8,10,12,14,16,18 * {next_month} 1-5", "zone": "UTC"},
        "by hand": {"kind": "every", "seconds": 86400.0}, "consumer": {"kind": "every", "seconds": 60.0},
    }  # fmt: skip
    assert next(e for e in collector.of("run.succeeded") if e["monitor"] == "job:tick")["log"] == "half of it"


@pytest.mark.parametrize(
    "given",
    [
        {"minute": "0", "hour": "3"}, {"minute": "*/7"}, {"minute": "5,10-12", "hour": "*/6", "day": "13", "day_of_week": "5"},
        {"day_of_week": "7", "hour": "22-2", "minute": "30"}, {"month": "2,3", "day": "1-7", "minute": "0", "hour": "0"},
    ],
    ids=str,
)  # fmt: skip
def test_what_crontab_made_is_read_out_of_it(given: dict[str, Any]) -> None:
    """Every minute of forty days is due by both reckonings, or by none."""
    is_due, now = crontab(**given), datetime(2027, 1, 30, tzinfo=UTC)
    huey = MemoryHuey()

    @huey.periodic_task(is_due)  # type: ignore[untyped-decorator]
    def task() -> None: ...

    said = schedule_of(task.task_class, True)
    assert said is not None
    schedule, end = parse_crontab(said["expression"], "UTC", now), now + timedelta(days=40)
    minutes = (now + timedelta(minutes=n) for n in range(40 * 1440))
    theirs = [at for at in minutes if is_due(at)]
    ours, at = [], now - timedelta(seconds=1)
    while (slot := next_after(schedule, at)) is not None and slot < end:
        ours.append(slot)
        at = slot
    assert ours == theirs
