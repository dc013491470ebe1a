"""`missedbeat check`, run as people run it, on apps that are modules of their own."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.sdk.collector import Collector

SOUND = """
    app = Celery("shop", broker="memory://", timezone="Europe/Berlin")
    app.conf.task_time_limit = 600

    @app.task(name="backup")
    def backup(path="/"): ...

    app.conf.beat_schedule = {"nightly": {"task": "backup", "schedule": crontab(0, 3)}}
    instrument(app)
"""
Answer = tuple[int, str]


def check(folder: Path, app: str, *options: str, **environment: str) -> Answer:
    """The exit code and the words of the command, for an app of this source."""
    imports = "from celery import Celery, chord, group", "from celery.schedules import crontab"
    source = "\n".join([*imports, "from missedbeat.celery import instrument", ""])
    (folder / "proj.py").write_text(source + dedent(app))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MISSEDBEAT_")}
    done = subprocess.run(
        [sys.executable, "-m", "missedbeat.cli", "check", "-A", "proj", *options],
        cwd=folder, env={**clean, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout


def test_a_sound_app_is_shown_as_it_will_be_watched(tmp_path: Path) -> None:
    """Entry, times, zone, grace and task; and the server answers."""
    with Collector() as collector:
        code, words = check(tmp_path, SOUND, MISSEDBEAT_URL=collector.url, MISSEDBEAT_KEY="a_key")
        assert "nightly: crontab 0 3 * * * (Europe/Berlin), grace 3600 s (by rule), task backup" in words
        assert f"{collector.url} answers and takes the key" in words
        assert (code, "Nothing to complain about" in words) == (0, True)
        ((envelope, events),) = collector.batches
        assert envelope["app"] == "shop"
        assert events == []


def test_a_server_that_is_not_there_is_a_problem_unless_offline(tmp_path: Path) -> None:
    """CI has no server, and asks for the rest."""
    away = {"MISSEDBEAT_URL": "http://127.0.0.1:1", "MISSEDBEAT_KEY": "a_key"}
    code, words = check(tmp_path, SOUND, **away)
    assert (code, "http://127.0.0.1:1 cannot be reached" in words) == (1, True)
    assert check(tmp_path, SOUND, "--offline", **away)[0] == 0
    code, words = check(tmp_path, SOUND)
    assert (code, "MISSEDBEAT_URL and MISSEDBEAT_KEY are not both set" in words) == (1, True)


def test_a_spool_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    """It is looked at and not made: who checks need not be who runs the worker."""
    (tmp_path / "file").touch()
    code, words = check(tmp_path, SOUND, "--offline", MISSEDBEAT_SPOOL=str(tmp_path / "file" / "spool"))
    assert (code, "file/spool cannot be written by this user" in words) == (1, True)
    code, words = check(tmp_path, SOUND, "--offline", MISSEDBEAT_SPOOL=str(tmp_path / "new" / "spool"))
    assert (code, "new/spool: nothing waits in it" in words) == (0, True)
    assert not (tmp_path / "new").exists()


def test_a_schedule_that_is_kept_elsewhere_and_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    """But for CI, which has no database: then nobody knows which names there are."""
    named = "from missedbeat import Monitor; instrument(app, monitors={'its own': Monitor(grace=60)})"
    app = SOUND.replace("instrument(app)", named)
    app += "    app.conf.update(beat_scheduler='redbeat.RedBeatScheduler', redbeat_redis_url='unix:///nowhere/redis.sock')\n"
    code, words = check(tmp_path, app)
    assert (code, "The entries that Beat keeps elsewhere cannot be read here: ConnectionError" in words) == (1, True)
    code, words = check(tmp_path, app, "--offline")
    assert (code, "and what Beat keeps elsewhere, which was not read" in words) == (0, True)
    assert "its own" not in words


@pytest.mark.parametrize(
    "app",
    [
        "import nothing_of_that_name", "app = 7", "def app(:", "", "raise RuntimeError('no\\nsettings')", "{}['SECRET']",
        "raise SystemExit('no settings')",
    ],
)  # fmt: skip
def test_an_app_that_cannot_be_loaded_is_told_so(tmp_path: Path, app: str) -> None:
    """In one line, with a code of its own."""
    code, words = check(tmp_path, app, "--offline")
    assert (code, "Cannot load the app 'proj'" in words) == (2, True)
    assert words.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "words", "code"),
    [
        ("app.conf.task_always_eager = True", "task_always_eager is on", 1),
        ("backup.time_limit = None", "backup may run for ever", 0),
        ("app.tasks['backup'].acks_late = True", "backup: acks_late alone does not bring back", 0),
        ("backup.reject_on_worker_lost = True", "backup: reject_on_worker_lost has no effect", 0),
        ("app.conf.broker_url = 'redis://h'; backup.acks_late = True; backup.time_limit = 9999", "begin a second time", 0),
        ("app.conf.update(result_backend='cache+memory://'); backup.ignore_result = True", "results are ignored, and errors", 0),
        ("app.conf.beat_schedule['x'] = {'task': 'unknown', 'schedule': 60}", "which this app does not know", 0),
        ("app.conf.beat_schedule['x'] = {'task': 'backup', 'schedule': 7200}", "an interval begins anew", 0),
        ("app.add_periodic_task(60, backup.s('/etc'))", "give add_periodic_task a name=", 0),
        ("app.conf.missedbeat_monitors = {'bakcup': 'daily'}", "missedbeat_monitors names 'bakcup'", 1),
        ("app.conf.missedbeat_monitors = {'backup': 'daily'}", "task backup: reports to check:daily", 0),
        ("app.conf.beat_schedule['x'] = {'task': 'celery.backend_cleanup', 'schedule': crontab()}", "x: not watched", 0),
        ("app.add_periodic_task(60, backup.si() | backup.si(), name='x')", "'x' is a chain, and Beat cannot send one", 1),
        ("app.add_periodic_task(60, group(backup.si(), backup.si()), name='x')", "'x' is a group, and Beat cannot send one", 1),
        ("app.add_periodic_task(60, chord([backup.si()], backup.si()), name='x')", "watched until its chord is sent", 0),
        ("app.conf.beat_schedule['x'] = 5", "beat_schedule: the entry 'x' cannot be read: TypeError", 1),
        ("app.conf.update(broker_url='redis://h', broker_transport_options={'visibility_timeout': None})", "Nothing to", 0),
        ("app.conf.broker_url = 'nowhere://h'", "broker_url cannot be used here: KeyError: 'No such transport: nowhere'", 1),
        (
            "app.conf.broker_url = ['redis://h', 'redis://i']; backup.acks_late, backup.time_limit = True, 9999",
            "begin a second time",
            0,
        ),
        ("app.conf.missedbeat_monitors = ['backup']", "missedbeat_monitors is ['backup']; it must be a dict", 1),
        (
            "app.conf.beat_schedule['x'] = {'task': ['backup'], 'schedule': 60}",
            "Unknown tasks could not be checked: TypeError",
            0,
        ),
    ],
)
def test_each_trap_is_named_with_what_to_do(tmp_path: Path, change: str, words: str, code: int) -> None:
    """Problems fail the command, advice only with --strict."""
    app = dedent(SOUND) + change
    assert check(tmp_path, app, "--offline")[0] == code
    strict, said = check(tmp_path, app, "--offline", "--strict")
    assert words in said
    assert "/etc" not in said
    assert strict == int("Nothing to complain about" not in said)


def test_a_name_that_no_entry_has_is_a_problem(tmp_path: Path) -> None:
    """Its limits would never hold."""
    app = SOUND.replace(
        "instrument(app)", "from missedbeat import Monitor; instrument(app, monitors={'nigthly': Monitor(grace=60)})"
    )
    code, words = check(tmp_path, app, "--offline")
    assert (code, "monitors= names 'nigthly'" in words) == (1, True)


def test_an_app_that_nobody_instrumented_is_a_problem(tmp_path: Path) -> None:
    """The most common mistake of all."""
    code, words = check(tmp_path, SOUND.replace("instrument(app)", ""), "--offline")
    assert (code, "call instrument(app)" in words) == (1, True)
