"""Schedulers that keep their entries elsewhere, with their real libraries: django-celery-beat and RedBeat."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from celery import Celery
from celery.schedules import crontab, schedule
from sqlalchemy import make_url

from tests.sdk.brokers import ROOT
from tests.sdk.celery_processes import CeleryProcess, environment, worker
from tests.sdk.collector import Collector, Event

FAST = {"heartbeat": 1, "scope": "beat"}
DJANGO = "tests.sdk.django_app"


def named(*types: str, monitor: str = "") -> Callable[[list[Event]], list[Event]]:
    """The events of these types (of this monitor) among all."""
    return lambda events: [e for e in events if e["type"] in types and e.get("monitor", "").startswith(monitor)]


def last_schedule(events: list[Event]) -> dict[str, Any]:
    """What Beat said last: name and schedule, None for what is paused."""
    syncs = [e for e in events if e["type"] == "schedule.sync" and not e.get("only_new")]
    return {entry["name"]: entry.get("schedule") for entry in syncs[-1]["entries"]} if syncs else {}


def beat(folder: Path, scheduler: str, broker: str, url: str, **told: Any) -> CeleryProcess:
    """A Beat with this scheduler."""
    told = {"instrument": FAST, **told, "conf": {"beat_max_loop_interval": 1, **told.get("conf", {})}}
    return CeleryProcess(
        folder, "beat", "-S", scheduler, "--pidfile=", broker=broker, url=url, ready="beat: Starting...", **told
    )  # fmt: skip


@dataclass
class Django:
    """A project with tables."""

    folder: Path
    broker: str
    database: str

    @property
    def told(self) -> dict[str, Any]:
        """For a process of it."""
        return {"module": DJANGO, "TEST_DATABASE": self.database}

    def run(self, code: str) -> None:
        """As an administrator would, in a process of its own: what people write in the admin."""
        env = environment(self.broker, None, TEST_DATABASE=self.told["TEST_DATABASE"])
        subprocess.run([sys.executable, "-m", DJANGO], input=code, env=env, cwd=ROOT, check=True, text=True, timeout=60)


@pytest.fixture
def database(dsn: str) -> str:
    """A database of its own on the PostgreSQL of the tests."""
    at, name = make_url(dsn).set(drivername="postgresql"), f"django_{uuid4().hex}"
    with psycopg.connect(at.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return at.set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def project(redis_url: str, tmp_path: Path, database: str) -> Django:
    """With entries of each kind."""
    project = Django(tmp_path, redis_url, database)
    project.run("""
call_command("migrate", verbosity=0)
second, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
far = CrontabSchedule.objects.create(minute="0", hour=str((now().hour + 12) % 24), timezone="Asia/Tokyo")
soon = ClockedSchedule.objects.create(clocked_time=now())
PeriodicTask.objects.create(name="each second", task="adds", interval=second)
PeriodicTask.objects.create(name="far", task="adds", crontab=far)
PeriodicTask.objects.create(name="off", task="adds", interval=second, enabled=False)
PeriodicTask.objects.create(name="not yet", task="adds", interval=second, start_time=now() + timedelta(days=9))
PeriodicTask.objects.create(name="over", task="adds", interval=second, expires=now() - timedelta(days=9))
PeriodicTask.objects.create(name="once", task="adds", clocked=soon, one_off=True)
""")
    return project


def test_all_that_is_in_the_tables_is_told_and_what_is_off_is_paused(project: Django) -> None:
    """Also what the scheduler itself does not look at for hours; and a change soon after. A task for one time is none."""
    with Collector() as collector, worker(
        project.folder, broker=project.broker, url=collector.url, instrument=FAST, **project.told
    ), beat(
        project.folder, "django_celery_beat.schedulers:DatabaseScheduler", project.broker, collector.url, **project.told
    ) as process:  # fmt: skip
        said = collector.wait_for(last_schedule)
        assert said["each second"]["seconds"] == 1
        assert (said["far"]["kind"], said["far"]["zone"]) == ("crontab", "Asia/Tokyo")
        assert {name for name, schedule in said.items() if schedule is None} == {"off", "not yet", "over"}
        assert "once" not in said
        run = collector.wait_for(named("run.succeeded", monitor="entry:each second"))[0]["run"]
        assert {e["type"] for e in collector.of("run") if e["run"] == run} == {"run.dispatched", "run.started", "run.succeeded"}
        project.run("""
PeriodicTask.objects.get(name="far").delete()
for name, enabled in (("each second", False), ("off", True)):
    task = PeriodicTask.objects.get(name=name)
    task.enabled = enabled
    task.save()
""")
        collector.wait_for(lambda events: "far" not in last_schedule(events))
        said = last_schedule(collector.events)
        assert said["each second"] is None
        assert said["off"]["seconds"] == 1
        assert all(e["reconcile"] for e in collector.of("schedule.sync") if not e.get("only_new"))
        assert {e["monitor"] for e in collector.of("run")} <= {"entry:each second", "entry:off"}
        assert "Sending due task once" in process.words()
        assert process.stop() == 0
        assert "missedbeat" not in process.words().lower().replace(str(ROOT).lower(), "").replace("missedbeat.", "")


@pytest.mark.prove
def test_what_runs_once_gets_a_check_where_somebody_wants_one(project: Django) -> None:
    """Expected at its time, watched like any other run, and expected no more when it is over. Others of its kind are none."""
    project.run("""
later = ClockedSchedule.objects.create(clocked_time=now() + timedelta(days=9))
PeriodicTask.objects.create(name="move house", task="adds", clocked=later, one_off=True)
PeriodicTask.objects.create(name="once more", task="adds", clocked=later, one_off=True)
PeriodicTask.objects.create(name="once by a crontab", task="adds", crontab=CrontabSchedule.objects.first(), one_off=True)
PeriodicTask.objects.create(name="once before", task="adds", clocked=later, one_off=True, enabled=False)
""")
    wanted = {**FAST, "once": ["once*"]}
    with Collector() as collector, worker(
        project.folder, broker=project.broker, url=collector.url, instrument=wanted, **project.told
    ), beat(
        project.folder, "django_celery_beat.schedulers:DatabaseScheduler", project.broker, collector.url, instrument=wanted,
        **project.told,
    ):  # fmt: skip
        said = collector.wait_for(last_schedule)
        assert (said["once more"]["kind"], said["once more"]["next_due"] > collector.events[0]["ts"]) == ("declared", True)
        assert (said["once by a crontab"]["kind"], "next_due" in said["once by a crontab"]) == ("declared", True)
        assert {"move house", "once before"} & said.keys() == set()
        story = {"run.dispatched", "run.started", "run.succeeded"}
        collector.wait_for(lambda events: {e["type"] for e in events if e.get("monitor") == "entry:once"} >= story)
        assert not [e for e in collector.of("run.dispatched") if e["monitor"] == "entry:once" and "next_due" in e]
        project.run('PeriodicTask.objects.get(name="off").save()')  # its library sees at each change what is over
        collector.wait_for(lambda events: "once" not in last_schedule(events))
        assert "once more" in last_schedule(collector.events)


def test_the_check_beforehand_shows_what_is_in_the_tables(project: Django) -> None:
    """With the scheduler that Beat is started with, as it names it."""
    env = environment(project.broker, None, TEST_DATABASE=project.database)
    command = [sys.executable, "-m", "missedbeat.cli", "check", "-A", DJANGO, "-S", "django"]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "  each second: every 1 s, grace 60 s (by rule), task adds\n" in done.stdout, done.stdout + done.stderr
    assert "  off: paused, task adds\n" in done.stdout
    assert "  far: crontab 0 " in done.stdout
    assert "once" not in done.stdout


def test_what_is_run_by_hand_from_the_admin_is_a_run_of_its_entry(project: Django) -> None:
    """Its action sends the task with the name of the entry, and no Beat is there."""
    with Collector() as collector, worker(
        project.folder, broker=project.broker, url=collector.url, instrument=FAST, **project.told
    ):  # fmt: skip
        project.run("""
app.send_task("adds", (1, 1), headers={"periodic_task_name": "far"})
""")
        ended = collector.wait_for(named("run.succeeded"))
        assert [e["monitor"] for e in ended] == ["entry:far"]


@pytest.fixture
def redbeat(redis_url: str) -> Iterator[Celery]:
    """An app that puts entries where RedBeat looks."""
    with Celery("admin", broker=redis_url, set_as_current=False) as app:
        app.conf.update(redbeat_redis_url=redis_url.replace("redis+socket", "unix").replace("virtual_host", "db"))
        yield app


def put(app: Celery, name: str, times: Any, **more: Any) -> Any:
    """An entry, kept."""
    from redbeat import RedBeatSchedulerEntry

    entry = RedBeatSchedulerEntry(name, "adds", times, app=app, **more)
    entry.save()
    return entry


def test_redbeat_is_read_whole_and_a_standby_says_nothing_until_it_takes_over(
    redbeat: Celery, redis_url: str, tmp_path: Path
) -> None:
    """Two Beats, of whom one holds the lock. The other lives, and stands by: what it knows of the schedule may be old. When the
    first is killed it takes over, with the entries as they are then."""
    from redbeat.schedules import rrule

    put(redbeat, "each second", schedule(1))
    put(redbeat, "far", crontab("0", "0", day_of_month="31", month_of_year="12"))
    put(redbeat, "off", schedule(1), enabled=False)
    put(redbeat, "thrice", rrule("SECONDLY", count=3))
    conf = {"redbeat_redis_url": redbeat.conf.redbeat_redis_url, "redbeat_lock_timeout": 5}
    told: dict[str, Any] = {"conf": conf, "broker": redis_url, "scheduler": "redbeat.RedBeatScheduler"}
    with Collector() as collector, Collector() as standing_by, beat(tmp_path, url=collector.url, **told) as first:
        said = collector.wait_for(last_schedule)
        assert {name: schedule and schedule["kind"] for name, schedule in said.items() if name != "thrice"} == {
            "each second": "every", "far": "crontab", "off": None,
        }  # fmt: skip
        collector.wait_for(named("run.dispatched", monitor="entry:each second"))
        with beat(tmp_path, url=standing_by.url, **told) as second:
            standing_by.wait_for(lambda events: len(named("beat.beat")(events)) > 2)
            assert all(e["standby"] and not e["stalled"] for e in standing_by.of("beat.beat"))
            assert not last_schedule(standing_by.events)
            collector.wait_for(lambda events: "thrice" in last_schedule(events) and last_schedule(events)["thrice"] is None)
            put(redbeat, "new", schedule(1))
            first.kill()
            standing_by.wait_for(named("run.dispatched", monitor="entry:new"))
            standing_by.wait_for(lambda events: last_schedule(events).get("new"))
            assert last_schedule(standing_by.events)["off"] is None
            standing_by.wait_for(lambda events: not named("beat.beat")(events)[-1]["standby"])
            assert second.stop() == 0
            assert standing_by.of("beat.down")
