"""APScheduler 3: its jobs become checks by one line, each run is told, and so is what APScheduler tells nobody."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from apscheduler.triggers.combining import AndTrigger, OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger
from missedbeat.apscheduler_trigger import describe

from app.domain.schedule import Crontab, next_after
from tests.clients.driving import started
from tests.journeys.running import Service
from tests.sdk.celery_processes import wait_until
from tests.sdk.collector import Collector
from tests.sdk.scripts import begun, ran
from tests.sdk.watching import watch

NOW = datetime(2027, 1, 5, 12, 0, 30, tzinfo=UTC)
EXACT = (
    ({"hour": 3}, "0 3 * * *"),
    ({"minute": "*/15"}, "*/15 * * * *"),
    ({"hour": "8-18/2", "minute": 30, "day_of_week": "mon-fri"}, "30 8,10,12,14,16,18 * * 1-5"),
    ({"day_of_week": 0, "hour": 1}, "0 1 * * 1"),
    ({"day_of_week": "6", "hour": 1}, "0 1 * * 0"),
    ({"day_of_week": "sat,sun"}, "0 0 * * 0,6"),
    ({"day": 13, "day_of_week": "fri", "hour": 0}, "0 0 13 * 5"),
    ({"month": "jan-mar,dec", "day": "1-7"}, "0 0 1-7 1-3,12 *"),
    ({"day": "*/10", "hour": "*/5", "minute": 7}, "7 */5 */10 * *"),
)
OPAQUE = (
    CronTrigger(second="*/10"), CronTrigger(day="last"), CronTrigger(day="2nd fri"), CronTrigger(week=20),
    CronTrigger(year="2027-2030", month=1), CronTrigger(hour=3, end_date="2030-01-01"),
    CronTrigger(hour=3, start_date=datetime.now(UTC) + timedelta(days=3)),
    CronTrigger(hour=3, timezone=datetime.strptime("+0530", "%z").tzinfo), IntervalTrigger(hours=1, end_date="2030-01-01"),
    AndTrigger([CronTrigger(hour=3), CronTrigger(day=5)]), OrTrigger([CronTrigger(hour=3)]), DateTrigger("2030-01-01"),
)  # fmt: skip


@pytest.mark.parametrize(("fields", "expression"), EXACT)
def test_a_cron_trigger_is_a_crontab_where_that_says_the_same(fields: dict[str, Any], expression: str) -> None:
    """The next times are the same by APScheduler's reckoning and by the service's; Monday is 0 there and 1 here."""
    for zone in ("UTC", "Asia/Tokyo"):
        trigger, at = CronTrigger(**fields, timezone=zone), NOW
        said = describe(trigger, trigger.get_next_fire_time(None, NOW))
        assert said == {"kind": "crontab", "expression": expression, "zone": zone}
        theirs = trigger.get_next_fire_time(None, NOW)
        for _ in range(40):
            slot = next_after(Crontab(expression, zone), at)
            assert slot == theirs
            assert slot is not None
            theirs, at = trigger.get_next_fire_time(theirs, theirs), slot


@pytest.mark.parametrize("trigger", OPAQUE, ids=str)
def test_what_a_crontab_cannot_say_is_told_by_its_next_time(trigger: Any) -> None:
    """Never something near to it."""
    due = datetime(2029, 1, 1, tzinfo=UTC)
    said = describe(trigger, due)
    assert (said["kind"], said["next_due"]) == ("declared", due.timestamp() * 1000)


def test_an_interval_says_when_it_begins(tmp_path: Path) -> None:
    """One that begins far in the future is told by its next time."""
    soon = datetime.now(UTC) + timedelta(minutes=5)
    due = round(soon.timestamp() * 1000)
    assert describe(IntervalTrigger(minutes=10), soon) == {"kind": "every", "seconds": 600, "next_due": due}
    assert describe(IntervalTrigger(minutes=1), soon)["kind"] == "declared"
    assert describe(IntervalTrigger(minutes=10), None)["next_due"] is None, "paused"


PROGRAM = dedent("""
    import logging, pathlib, sys, threading, time
    from datetime import datetime, timedelta, timezone
    from apscheduler import events
    from apscheduler.schedulers.background import BackgroundScheduler
    from missedbeat import Monitor
    from missedbeat.apscheduler import watch
    logging.getLogger("apscheduler").setLevel(100)
    missedbeat.configure(heartbeat=1)
    now = datetime.now(timezone.utc)
    heard = threading.Semaphore(0)
    def work(error=None, name=None):
        if name:
            wait_for(name)
        if error is not None:
            raise error
    def wait_for(name):
        while not pathlib.Path(name).exists(): time.sleep(0.02)
    def begin(scheduler, **more):
        watch(scheduler, **more)
        scheduler.add_listener(lambda event: heard.release(),
            events.EVENT_JOB_SUBMITTED | events.EVENT_JOB_EXECUTED | events.EVENT_JOB_ERROR | events.EVENT_JOB_MISSED)
        scheduler.start()
    def over(runs):
        for _ in range(2 * runs): assert heard.acquire(timeout=30)
""")


@pytest.mark.parametrize(
    "slow", ["", "s.add_listener(lambda event: time.sleep(0.3), events.EVENT_JOB_SUBMITTED)"], ids=["", "slow"]
)
def test_its_jobs_are_checks_and_each_run_is_told(tmp_path: Path, slow: str) -> None:
    """By their ids, or their names where APScheduler made these up; what runs once, and a twin without an id, is none. So it is
    where all runs have ended before their start is heard of."""
    text = """
        s = BackgroundScheduler(timezone="Europe/Berlin")
        s.add_job(work, "cron", id="good", hour=3, misfire_grace_time=600, next_run_time=now)
        SLOW
        begin(s, monitors={"good": Monitor(max_runtime=60, tags=["db"])})
        watch(s)
        s.add_job(work, "interval", id="late", hours=1, next_run_time=now - timedelta(minutes=10), misfire_grace_time=60)
        s.add_job(work, "interval", id="bad", hours=1, args=[ValueError("no disk")], next_run_time=now, misfire_grace_time=60)
        s.add_job(work, "cron", day="last", next_run_time=now, misfire_grace_time=60)
        s.add_job(work, "cron", hour=5)
        s.add_job(work, "date", id="once", misfire_grace_time=60)
        s.add_job(work, "interval", id="exits", hours=1, args=[SystemExit(3)], next_run_time=now, misfire_grace_time=60)
        over(5)
    """
    with Collector() as collector:
        code, _, errors = ran(tmp_path, PROGRAM + dedent(text).replace("SLOW", slow), collector.url)
        assert (code, errors.splitlines()) == (
            0, ["Two jobs are called 'work', and only the first is watched: give each an id of its own"],
        )  # fmt: skip
        said = {event["name"]: event for event in collector.of("job.declared")}
        assert {name: event["schedule"]["kind"] for name, event in said.items()} == {
            "good": "crontab", "bad": "every", "work": "declared", "late": "every", "exits": "every",
        }  # fmt: skip
        good = said["good"]
        assert (good["schedule"]["zone"], good["grace"], good["max_runtime"], good["tags"]) == (
            "Europe/Berlin", 3600.0, 60.0, ["db"],
        )  # fmt: skip
        ends = {event["monitor"][4:]: event for event in collector.of("run") if event["type"] != "run.started"}
        assert {name: (end["type"], end.get("error", "")[:19]) for name, end in ends.items()} == {
            "good": ("run.succeeded", ""), "work": ("run.succeeded", ""), "bad": ("run.failed", "ValueError: no disk"),
            "exits": ("run.failed", "SystemExit: 3"), "late": ("run.expired", f"it was due at {datetime.now(UTC):%Y}-"),
        }  # fmt: skip
        starts = {event["monitor"][4:]: event for event in collector.of("run.started")}
        assert starts.keys() == ends.keys()
        assert all(starts[name]["run"] == ends[name]["run"] for name in ends)
        dues = said["work"]["schedule"]["next_due"], starts["work"].get("next_due", 0)
        if not slow:  # else the program may be over before it hears of the start, with which that is said
            assert max(dues) > ends["work"]["ts"], "the time after it, which only APScheduler knows"
        assert len(collector.of("run")) == 10


def test_what_is_paused_or_removed_is_due_no_more(tmp_path: Path) -> None:
    """Until it is resumed, or added again; the last run of a schedule that is over is told nonetheless."""
    text = """
        s = BackgroundScheduler()
        begin(s)
        for name in ("paused", "resumed", "removed"):
            s.add_job(work, "interval", id=name, hours=1)
        s.pause_job("paused"), s.pause_job("resumed"), s.resume_job("resumed"), s.remove_job("removed")
        soon = now + timedelta(minutes=1)
        s.add_job(work, "interval", id="last", hours=1, end_date=soon, args=[LookupError("at last")], next_run_time=now,
            misfire_grace_time=60)
        over(1)
    """
    with Collector() as collector:
        assert ran(tmp_path, PROGRAM + dedent(text), collector.url)[::2] == (0, "")
        said = {event["name"]: event["schedule"] for event in collector.of("job.declared")}
        assert {name: (schedule["kind"], schedule["next_due"] is None) for name, schedule in said.items()} == {
            "paused": ("declared", True), "resumed": ("every", False), "removed": ("declared", True), "last": ("declared", True),
        }  # fmt: skip
        assert [event["error"] for event in collector.of("run.failed")] == ["LookupError: at last"]


def test_a_run_that_holds_up_the_next_ones_is_told_and_one_whose_process_dies(tmp_path: Path) -> None:
    """APScheduler only logs both."""
    text = """
        import os
        def hang():
            wait_for("go")
        def die():
            os.kill(os.getpid(), 9)
        if __name__ == "__main__":
            s = BackgroundScheduler(executors={"default": {"type": "threadpool"}, "processes": {"type": "processpool"}})
            watch(s)
            s.start()
            s.add_job(hang, "interval", id="hangs", seconds=0.2)
            s.add_job(die, "interval", id="dies", hours=1, next_run_time=now, misfire_grace_time=60, executor="processes")
            wait_for("go")
            s.shutdown()
    """
    with Collector() as collector:
        process = begun(tmp_path, PROGRAM + dedent(text), collector.url)
        collector.wait_for(
            lambda events: {e["type"] for e in events} >= {"run.rejected", "run.lost", "runs.alive"}
        )  # fmt: skip
        (tmp_path / "go").touch()
        assert process.communicate(timeout=30)[1] == ""
        lost, rejected = collector.of("run.lost")[0], collector.of("run.rejected")
        assert (lost["monitor"], lost["error"]) == ("job:dies", "its process was killed, or ended in the middle")
        assert [event["monitor"] for event in rejected] == ["job:hangs"]
        assert "max_instances" in rejected[0]["error"]
        hung = next(event for event in collector.of("run.succeeded") if event["monitor"] == "job:hangs")
        logs = "\n".join(event["log"] for event in [*collector.of("run.log"), hung] if event["run"] == hung["run"])
        assert "was skipped: max_instances" in logs


def test_coroutines_of_its_asyncio_scheduler_are_watched_too(tmp_path: Path) -> None:
    """In the same event loop."""
    text = """
        import asyncio
        from apscheduler.schedulers.asyncio import AsyncIOScheduler
        async def waits():
            await asyncio.sleep(0.01)
            done.set()
            raise KeyError("no key")
        async def main():
            global done
            done = asyncio.Event()
            s = AsyncIOScheduler()
            s.start()
            watch(s)
            s.add_job(waits, "interval", hours=1, next_run_time=now, misfire_grace_time=60)
            await done.wait()
            await asyncio.sleep(0.1)
        asyncio.run(main())
    """
    with Collector() as collector:
        assert ran(tmp_path, PROGRAM + dedent(text), collector.url)[::2] == (0, "")
        assert [(event["monitor"], event.get("error")) for event in collector.of("run")] == [
            ("job:waits", None), ("job:waits", "KeyError: 'no key'"),
        ]  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`serve` in processes of its own."""
    with started(tmp_path_factory.mktemp("apscheduler") / "data") as service:
        yield service


@pytest.mark.prove
def test_a_scheduler_that_is_killed_is_told_and_so_is_its_return(service: Service, tmp_path: Path) -> None:
    """Down for the run that died with it, up with the first run of the next process."""
    text = """
        s = BackgroundScheduler()
        begin(s)
        s.add_job(work, "interval", id="nightly", days=1, args=[None, "go"], next_run_time=now, misfire_grace_time=60)
        over(1)
    """
    with watch(service, "apscheduler") as told:
        key = {"MISSEDBEAT_KEY": told.key}
        process = begun(tmp_path, PROGRAM + dedent(text), service.base_url, **key)
        wait_until(lambda: (told.check("nightly") or {}).get("started"))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert "lost" in told.wait_told("nightly", "down", 30)
        (tmp_path / "go").touch()
        assert ran(tmp_path, PROGRAM + dedent(text), service.base_url, **key)[::2] == (0, "")
        told.wait_told("nightly", "up", 30)
