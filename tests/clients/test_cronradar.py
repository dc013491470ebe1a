"""The Python packages cronradar and cronradar-celery with their host pointed here; keys and monitor keys stay."""

import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.driving import HERE, Project, drive, python, run, surroundings

pytestmark = pytest.mark.prove


def own_key(project: Project) -> str:
    """The key somebody has at CronRadar, taken over by the project."""
    key = f"ck_app_{secrets.token_hex(16)}"
    project.api("POST", "keys/", {"name": "from CronRadar", "service": "cronradar", "key": key})
    return key


@pytest.mark.parametrize("ours", [True, False], ids=["with a key of ours", "with the key they had"])
def test_a_ping_registers_its_monitor_and_a_job_tells_its_life(project: Project, ours: bool) -> None:
    """404 makes the client sync and ping again; start, complete and fail with the error's words, keys of any case and signs."""
    key = project.keys["api_key"] if ours else own_key(project)
    drive("call_cronradar.py", "cronradar", project, key=key, step="ping")
    assert sorted(check["name"] for check in project.checks()) == ["Nightly Backup", "Reports.EU daily"]

    backup = project.check("Nightly Backup")
    assert (backup["schedule"], backup["grace"], backup["status"]) == ("0 2 * * *", 60, "up")
    assert project.types(backup) == ["success", "success"]

    daily = project.check("Reports.EU daily")
    assert (daily["schedule"], daily["status"]) == ("15 4 * * *", "down")
    assert project.types(daily) == ["start", "success", "start", "fail"]
    assert project.pings(daily)[3]["body"] == "disk full: 100 %"
    assert project.pings(daily)[1]["duration"] >= 0


def test_a_sync_declares_all_jobs_and_retires_those_that_are_gone(project: Project) -> None:
    """Before any of them ran they are expected; one that is no longer declared is paused, not missed, and comes back."""
    key = own_key(project)
    states = []
    for jobs in (["one", "two", "three"], ["one", "three"], ["one", "three"], ["one", "two", "three"]):
        drive("call_cronradar.py", "cronradar", project, key=key, step="sync", jobs=jobs)
        states.append({check["name"]: (check["status"], check["next_ping"]) for check in project.checks()})
    assert [state["Two"][0] for state in states] == ["new", "paused", "paused", "new"]
    assert all(state[name] == states[0][name] for state in states for name in ("One", "Three"))
    assert all(due is not None for state, due in states[3].values() if state != "paused")
    three = project.check("Three")
    assert (three["schedule"], three["grace"], three["n_pings"]) == ("*/5 * * * *", 120, 0)


def test_a_celery_worker_tells_its_tasks(project: Project, tmp_path: Path) -> None:
    """The beat schedule is declared when the app is loaded; each task of a real worker tells start and how it ended."""
    given = {"CRONRADAR_API_KEY": own_key(project), "CRONRADAR_URL": project.url, "BROKER_FOLDER": str(tmp_path / "broker")}
    (tmp_path / "broker" / "control").mkdir(parents=True)
    celery = (python("cronradar"), "-m", "celery", "--app", "nightly", "--workdir", str(HERE / "drivers"))
    with working(*celery, "worker", "--pool", "solo", "--without-gossip", "--without-mingle", given=given):
        for task in ("back_up", "report", "tidy"):
            run(*celery, "call", f"nightly.{task}", given=given)
        backup, report = ended(project, "Back Up", 2), ended(project, "Report", 2)
    assert {check["name"]: check["schedule"] for check in project.checks()} == {"Back Up": "0 2 * * *", "Report": "0,30 * * * *"}
    assert project.types(backup) == ["start", "success"]
    assert project.types(report) == ["start", "fail"]
    assert project.pings(report)[1]["body"] == "the report broke"


@contextmanager
def working(*command: str, given: dict[str, str]) -> Iterator[None]:
    """A program at work beside the test, stopped as its init system would."""
    environment, nowhere = surroundings(given), subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=nowhere, stderr=nowhere) as worker:
        try:
            yield
        finally:
            worker.terminate()


def ended(project: Project, name: str, pings: int) -> dict[str, object]:
    """The check once it has heard so many pings."""
    for _ in range(300):
        found = [check for check in project.checks() if check["name"] == name and check["n_pings"] >= pings]
        if found:
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"{name}: {project.checks()}")
