"""From a script or a command to the message: the service as it is run, and real processes that die."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.driving import started
from tests.journeys.running import Service
from tests.sdk.celery_processes import wait_until
from tests.sdk.scripts import begun, ran
from tests.sdk.test_run_command import wrapped
from tests.sdk.watching import watch

PROMISED = 45.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`serve` in processes of its own."""
    with started(tmp_path_factory.mktemp("plain told") / "data") as service:
        yield service


def test_a_script_makes_its_check_and_its_death_is_told(service: Service, tmp_path: Path) -> None:
    """One run makes it; a long one is alive for as long as it says so; killed, it is lost long before it would be late."""
    text = """
        import time
        missedbeat.configure(heartbeat=1)
        with missedbeat.run("nightly", schedule="0 3 * * *", tz="Europe/Berlin", tags=["db"]) as r:
            r.metric(rows=10)
            time.sleep(SECONDS)
    """
    with watch(service, "script") as told:
        key = {"MISSEDBEAT_KEY": told.key}
        assert ran(tmp_path, text.replace("SECONDS", "0"), service.base_url, **key) == (0, "", "")
        check = told.wait_status("nightly", "up", 20)
        assert (check["schedule"], check["tz"], check["tags"]) == ("0 3 * * *", "Europe/Berlin", "db")
        process = begun(tmp_path, text.replace("SECONDS", "60"), service.base_url, **key)
        wait_until(lambda: (told.check("nightly") or {}).get("started"))
        time.sleep(4)
        assert told.told == [], "it lives, and says so"
        process.kill()
        why = told.wait_told("nightly", "down", 30)
        assert "lost" in why or "died" in why, why
        process.communicate()


def test_a_command_reports_by_key_by_slug_and_by_ping_url(service: Service) -> None:
    """As its exit code says; a check that a person made needs no schedule on the line."""
    with watch(service, "command") as told:
        made = told.project.new_check(name="By hand", slug="by-hand", channels="*")
        told_where = {"MISSEDBEAT_KEY": told.key}
        for options, command, code, name, status in (
            (("fresh", "--schedule", "3600"), "true", 0, "fresh", "up"),
            (("by-hand",), "exit 3", 3, "By hand", "down"),
            ((made["ping_url"],), "true", 0, "By hand", "up"),
        ):
            process = wrapped("sh", "-c", command, url=service.base_url, options=options, **told_where)
            assert (process.wait(30), process.communicate()[1]) == (code, b"")
            told.wait_status(name, status, 20)
            if status == "down":
                assert "exit code 3" in told.wait_told(name, status, 30)
        process = wrapped("true", url=service.base_url, options=("unknown",), **told_where)
        assert b"there is no check for job:unknown: make one with this slug" in process.communicate(timeout=30)[1]


@pytest.mark.prove
def test_a_command_whose_watcher_is_killed_is_told_within_45_s(service: Service) -> None:
    """kill -9 of `missedbeat run` itself: nobody is left to say a word."""
    with watch(service, "killed") as told:
        process = wrapped("sleep", "300", url=service.base_url, options=("job", "--schedule", "86400"), MISSEDBEAT_KEY=told.key)
        wait_until(lambda: (told.check("job") or {}).get("started"))
        time.sleep(40)
        assert told.told == [], "it lives, and says so"
        process.kill()
        began = time.monotonic()
        told.wait_told("job", "down", PROMISED)
        assert time.monotonic() - began <= PROMISED
        process.communicate()
