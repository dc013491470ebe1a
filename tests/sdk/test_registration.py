"""What is said of Beat's schedule, and of Beat: read from real schedulers that no process runs. Running ones: test_beat.py."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, chain, chord, group, signals
from celery.beat import PersistentScheduler, Scheduler, Service
from celery.schedules import crontab, schedule
from missedbeat import Monitor
from missedbeat.celery import MissedbeatMiddleware, instrument
from missedbeat.celery.beat import Watch
from missedbeat.celery.handle import Handle, handles
from missedbeat.celery.naming import public_name
from missedbeat.celery.registration import declared_by_settings
from missedbeat.reporter import now_ms
from missedbeat.testing import capture

Said = dict[str, Any]


@pytest.fixture(autouse=True)
def no_app_outlives_its_test(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nor does what it was instrumented for."""
    caplog.set_level(logging.WARNING)
    before = dict(handles)
    yield
    for handle in list(handles.values()):
        if id(handle.app) not in before:
            handle.close()


def shop(entries: Said, **given: Any) -> Celery:
    app = Celery("shop", broker="memory://", set_as_current=False, timezone="Europe/Berlin")
    app.conf.beat_schedule = entries
    instrument(app, **given)
    return app


def watch_of(app: Celery, kind: type[Scheduler] = Scheduler, **options: Any) -> Watch:
    handle = handles[id(app)]
    assert handle.reporter is not None
    return Watch(handle, handle.reporter, kind(app, **options))


def synced(app: Celery) -> list[Said]:
    """The entries as Beat says them."""
    with capture() as events:
        watch = watch_of(app)
        watch.look()
        watch.sync()
    (sync,) = events
    assert sync["type"] == "schedule.sync"
    return list(sync["entries"])


def test_each_entry_is_told_with_its_schedule_and_what_a_person_wants_of_it() -> None:
    """By its name; limits in seconds, and only those that were given."""
    app = shop(
        {
            "nightly": {"task": "backup", "schedule": crontab(0, 3)},
            "often": {"task": "poll", "schedule": 30.0},
            "rounded": {"task": "poll", "schedule": timedelta(hours=1), "relative": True},
        },
        monitors={"nightly": Monitor(grace=timedelta(minutes=5), max_runtime=3600, tags=["db"])},
    )
    nightly, often, rounded = synced(app)
    assert nightly == {
        "name": "nightly", "task": "backup", "grace": 300.0, "max_runtime": 3600.0, "tags": ["db"],
        "schedule": {"kind": "crontab", "expression": "0 3 * * *", "zone": "Europe/Berlin"},
    }  # fmt: skip
    assert often["schedule"].pop("next_due") > now_ms()  # a Beat that begins anew counts from its start
    assert often == {"name": "often", "task": "poll", "schedule": {"kind": "every", "seconds": 30}}
    assert rounded["schedule"]["kind"] == "declared"
    assert rounded["schedule"]["next_due"] > 1_700_000_000_000


def test_entries_of_celery_itself_and_of_checks_of_their_own_are_not_told() -> None:
    """Nor what a person leaves out."""
    app = shop(
        {
            "celery.backend_cleanup": {"task": "celery.backend_cleanup", "schedule": crontab(0, 4)},
            "own": {"task": "own", "schedule": 60},
            "chain": {"task": "celery.chain", "schedule": 60},
            "out": {"task": "out", "schedule": 60},
            "in": {"task": "in", "schedule": 60},
        },
    )
    app.conf.missedbeat_monitors = {"own": "a-check"}
    assert [said["name"] for said in synced(app)] == ["chain", "in", "out"]
    handles[id(app)].close()
    instrument(app, exclude=("celery.*", "out"))
    assert [said["name"] for said in synced(app)] == ["in"]


def test_an_entry_without_a_name_does_not_tell_its_arguments() -> None:
    """`add_periodic_task` calls it by the whole call; two such calls stay two entries."""
    app = shop({})

    @app.task(name="charge", shared=False)
    def charge(card: str) -> None: ...

    for card in ("4111-1111", "4222-2222"):
        app.add_periodic_task(60, charge.s(card))
    app.finalize()
    names = [said["name"] for said in synced(app)]
    assert len(set(names)) == 2
    assert all(name.startswith("charge#") and "-" not in name for name in names)
    one, other = charge.si("4111-1111"), charge.si("4222-2222")
    for signature in (
        one | other, group(one, other), chord([one, other], charge.s()), chord([one], one | other), charge.starmap([("4111",)]),
        charge.map(["4111"]), charge.chunks([("4111",)], 1), chain(group(one, other), other, group(one, other)),
    ):  # fmt: skip
        app.add_periodic_task(60, signature)
        (kind, given), *_ = reversed(app.conf.beat_schedule.items())
        assert "4111" in kind
        assert public_name(kind, given["task"]).startswith(f"{given['task']}#")
    assert "4111" not in str(synced(app))
    assert len(synced(app)) == 10


@pytest.mark.parametrize(
    ("entry", "task", "name"),
    [
        ("nightly", "backup", "nightly"),
        ("backup", "backup", "backup"),
        ("f(x)", "g", "f(x)"),
        ("all (weekly)", "celery.chain", "all (weekly)"),
        (7, "backup", "7"),
    ],
)
def test_names_are_kept_as_people_gave_them(entry: Any, task: str, name: str) -> None:
    """Only what holds arguments, or is too long, is changed."""
    assert public_name(entry, task) == name
    assert public_name("x" * 300, task).startswith("x" * 100)
    assert len(public_name("x" * 300, task)) == 200
    assert len(public_name("t" * 300 + "(1)", "t" * 300)) == 200


def test_a_name_that_another_beat_put_on_the_message_does_not_tell_arguments_either() -> None:
    """django-celery-beat keeps the entries of the settings under Celery's names for them."""
    names = handles[id(shop({}))].names
    assert names.monitor_of("charge", {"periodic_task_name": "charge('4111')"}).startswith("entry:charge#")
    assert names.monitor_of("charge", {"periodic_task_name": "by hand"}) == "entry:by hand"


def test_the_schedule_is_told_again_only_when_it_changed(tmp_path: Path) -> None:
    """At the start, and when an entry came, went, or got another time; not because the next time moved on."""
    app = shop({"rounded": {"task": "poll", "schedule": schedule(3600, relative=True)}})
    with capture() as events:
        watch = watch_of(app, PersistentScheduler, schedule_filename=str(tmp_path / "schedule"))
        for step in (
            lambda: None,
            lambda: None,
            lambda: watch.scheduler.add(name="new", task="poll", schedule=schedule(60), args=(), kwargs={}, options={}),
            lambda: setattr(watch.scheduler.schedule["new"], "schedule", schedule(90)),
            lambda: watch.scheduler.schedule.pop("new"),
            lambda: None,
        ):
            step()
            watch.look()
            watch.sync()
        watch.scheduler.close()
    told = [[(said["name"], said["schedule"].get("seconds")) for said in event["entries"]] for event in events]
    assert told == [
        [("rounded", None)], [("new", 60), ("rounded", None)], [("new", 90), ("rounded", None)], [("rounded", None)],
    ]  # fmt: skip
    assert all(event["reconcile"] for event in events)


class Odd(Scheduler):  # type: ignore[misc]
    """A scheduler of somebody's own, whose schedule is dear to read."""

    reads = 0

    @property
    def schedule(self) -> Said:
        type(self).reads += 1
        return self.data if self.reads == 1 else {}


def test_the_schedule_of_an_unknown_scheduler_is_read_once_and_learnt_by_the_way() -> None:
    """It may ask a database at each look, or know only what is due."""
    app = shop({})
    with capture() as events:
        scheduler = Odd(app, lazy=True)
        known, learnt = (scheduler.Entry(name=name, task="poll", schedule=60, app=app) for name in ("known", "learnt"))
        scheduler.data = {"known": known}
        handle = handles[id(app)]
        assert handle.reporter is not None
        watch = Watch(handle, handle.reporter, scheduler)
        watch.wrap()
        for _ in range(3):
            watch.look()
        assert Odd.reads == 1
        scheduler.apply_async(learnt, advance=False)
        watch.sync()
    assert [said["name"] for said in events[-1]["entries"]] == ["known", "learnt"]
    assert not events[-1]["reconcile"], "what it did not name need not be gone"


def test_what_cannot_be_dispatched_is_told_and_raised_as_ever() -> None:
    """Beat's own log keeps its error, of the very same kind; and the next good one says that the broker is back."""
    app = shop({})
    app.conf.broker_url = "redis://127.0.0.1:1/"
    app.conf.task_publish_retry = False
    app.conf.broker_transport_options = {"socket_connect_timeout": 0.2}
    with capture() as events:
        watch = watch_of(app)
        watch.wrap()
        entry = watch.scheduler.Entry(name="nightly", task="backup", schedule=60, app=app, args=(object(),))
        with pytest.raises(Exception, match="Couldn't apply scheduled task nightly"):
            watch.scheduler.apply_async(entry, advance=False)
        assert watch.publish_error is None
        entry.args = ()
        with pytest.raises(Exception, match="Couldn't apply scheduled task nightly"):
            watch.scheduler.apply_async(entry, advance=False)
        assert watch.publish_error is not None
        app.conf.broker_url = app.conf.broker_write_url = "memory://"
        app._pool = app.amqp._producer_pool = None
        watch._probe()
        assert watch.publish_error is None
        watch.publish_error = "as before"
        watch.scheduler.apply_async(entry, advance=False)
        assert watch.publish_error is None
    by_message, by_broker, _ = events
    assert by_message["type"] == by_broker["type"] == "run.dispatch_failed"
    assert (by_message["monitor"], by_message["broker"], by_broker["broker"]) == ("entry:nightly", False, True)


def test_what_cannot_be_dispatched_does_not_tell_its_arguments() -> None:
    """Celery's error says the entry's name, which is the call; what stood in the way is told, at the entry and at Beat."""
    app = shop({})
    app.conf.broker_url = "redis://127.0.0.1:1/"
    app.conf.update(task_publish_retry=False, broker_transport_options={"socket_connect_timeout": 0.2})
    with capture() as events:
        watch = watch_of(app)
        watch.wrap()
        for args in ((object(),), ()):
            entry = watch.scheduler.Entry(name="charge('4111')", task="charge", schedule=60, app=app, args=args)
            with pytest.raises(Exception, match="4111"):
                watch.scheduler.apply_async(entry, advance=False)
        watch.beat()
    assert "4111" not in str(events)
    by_message, by_broker = (event["error"] for event in events if event["type"] == "run.dispatch_failed")
    assert by_message == "EncodeError: Object of type object is not JSON serializable"
    assert by_broker.startswith("OperationalError: Error 111")
    assert events[-1]["publish_error"] == by_broker


def test_a_beat_that_does_not_come_back_from_its_tick_is_stalled() -> None:
    """By the time that it said itself it would sleep, and ten seconds more."""
    app = shop({})
    with capture() as events:
        watch = watch_of(app)
        watch.beat()
        watch.ticked(300.0)
        watch.last_tick -= 305
        watch.beat()
        watch.last_tick -= 10
        watch.beat()
    assert [event["stalled"] for event in events if event["type"] == "beat.beat"] == [False, False, True]


def test_a_worker_tells_what_its_settings_name_and_changes_nothing() -> None:
    """For the case that no Beat ever starts. What depends on a running Beat is left to that."""
    app = shop(
        {
            "nightly": {"task": "backup", "schedule": crontab(0, 3)},
            "rounded": {"task": "poll", "schedule": 60, "relative": True},
            "broken": {"schedule": object()},
            "nonsense": 7,
        }
    )
    handle = handles[id(app)]
    assert [said["name"] for said in declared_by_settings(handle)] == ["nightly"]
    assert isinstance(handle, Handle)


def test_the_other_form_watches_workers_and_beat_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only workers build `app.steps["worker"]`; a Beat of such an app is watched all the same, and one of any other is not."""
    monkeypatch.setenv("MISSEDBEAT_OFFLINE", "1")
    for is_wanted in (True, False):
        app = Celery("steps", broker="memory://", set_as_current=False)
        app.conf.beat_schedule = {"nightly": {"task": "backup", "schedule": 60}}
        if is_wanted:
            app.steps["worker"].add(MissedbeatMiddleware)
        service = Service(app, scheduler_cls=Scheduler)
        signals.beat_init.send(sender=service)
        assert (id(app) in handles) is is_wanted
        assert hasattr(service.scheduler, "_missedbeat") is is_wanted
    app = Celery("worker", broker="memory://", set_as_current=False)
    MissedbeatMiddleware(SimpleNamespace(app=app))
    assert id(app) in handles


def test_of_more_entries_than_the_service_takes_as_many_are_watched_as_it_does(caplog: pytest.LogCaptureFixture) -> None:
    """A schedule that is too long would be refused whole. One line says how many are left out."""
    app = shop({f"e{number:04}": {"task": "t", "schedule": 60} for number in range(5_003)})
    assert [entry["name"] for entry in synced(app)] == [f"e{number:04}" for number in range(5_000)]
    assert caplog.text.count("3 entries of the schedule are not watched") == 1
