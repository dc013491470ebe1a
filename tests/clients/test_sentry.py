"""The Python package sentry-sdk with a DSN that points here, and Sentry's check-in URLs for curl."""

import json
import secrets

import pytest

from tests.clients.driving import Project, drive, run

pytestmark = pytest.mark.prove


def public_key(project: Project) -> str:
    """The key in somebody's DSN, taken over by the project."""
    key = secrets.token_hex(16)
    project.api("POST", "keys/", {"name": "from Sentry", "service": "sentry", "key": key})
    return key


@pytest.mark.parametrize("ours", [True, False], ids=["with a key of ours", "with the key they had"])
def test_the_monitor_decorator_tells_its_runs_and_its_schedule(project: Project, ours: bool) -> None:
    """Envelopes with check-ins make and feed a monitor as its monitor_config says; errors and traces beside them are let through,
    so that the SDK stays healthy; a slug nobody knows makes nothing."""
    key = project.keys["api_key"] if ours else public_key(project)
    host = project.url.partition("://")[2]
    said = drive("call_sentry.py", "sentry", project, dsn=f"http://{key}@{host}/4501")
    assert said["healthy"]

    assert {check["slug"] or check["name"] for check in project.checks()} == {"nightly-backup", "hourly-sync"}
    nightly = project.check("nightly-backup")
    assert nightly | {"schedule": "0 2 * * *", "tz": "Europe/Berlin", "grace": 300} == nightly
    assert (nightly["max_runtime"], nightly["failures_to_alert"]) == (1800, 2)
    heard = project.pings(nightly)
    assert [ping["type"] for ping in heard] == ["start", "success", "start", "fail"]
    assert heard[0]["rid"] == heard[1]["rid"] != heard[2]["rid"] == heard[3]["rid"]
    assert set(heard[1]["body"].splitlines()) >= {"environment: staging", "release: 1.2.3"}

    hourly = project.check("hourly-sync")
    assert (hourly["timeout"], hourly["grace"]) == (7200, 600)
    heard = project.pings(hourly)
    assert [ping["type"] for ping in heard] == ["start", "success", "start", "fail"]
    assert heard[3]["rid"] == said["check_in"]
    assert "duration: 1.5" in heard[3]["body"].splitlines()


def test_curl_checks_in_by_sentrys_urls(project: Project) -> None:
    """GET with a status, POST with JSON that carries the schedule, and an end without an id, which closes the newest open run."""
    url = f"{project.url}/api/4501/cron/by-curl/{public_key(project)}/"
    config = {"schedule": {"type": "crontab", "value": "*/10 * * * *"}}
    body = json.dumps({"monitor_config": config, "status": "in_progress"})
    curl = ("curl", "-fsS", "-o", "/dev/null", "-w", "%{http_code}")
    assert run("curl", "-fsS", f"{url}?status=ok", code=22).stderr.strip().endswith("404")
    assert run(*curl, "-X", "POST", url, "-H", "Content-Type: application/json", "-d", body).stdout == "202"
    assert run(*curl, f"{url}?status=ok&environment=production").stdout == "202"
    assert run(*curl, f"{url}?status=in_progress&check_in_id=8f57b84b-86c2-4546-8923-03f83d27604a").stdout == "202"
    assert run(*curl, f"{url}?status=error&check_in_id=8f57b84b86c24546892303f83d27604a&duration=2").stdout == "202"
    check = project.check("by-curl")
    assert check["schedule"] == "*/10 * * * *"
    heard = project.pings(check)
    assert [ping["type"] for ping in heard] == ["start", "success", "start", "fail"]
    assert heard[1]["duration"] >= 0
    assert heard[2]["rid"] == heard[3]["rid"]
