"""The Python package cronitor with its host pointed here; keys and monitor keys stay."""

import secrets

import pytest

from tests.clients.driving import Project, drive

pytestmark = pytest.mark.prove


@pytest.mark.parametrize("ours", [True, False], ids=["with a key of ours", "with the key they had"])
def test_cronitors_decorator_and_telemetry_tell_their_runs(project: Project, ours: bool) -> None:
    """Run and complete or fail with one series, the message and the metrics kept for people; keys never heard of make a monitor;
    `ok` is all well again."""
    key = project.keys["api_key"] if ours else secrets.token_hex(16)
    if not ours:
        project.api("POST", "keys/", {"name": "from Cronitor", "service": "cronitor", "key": key})
    said = drive("call_cronitor.py", "cronitor", project, key=key)
    assert [status for status, _ in said["answers"]] == [200, 200, 200, 400, 403]

    assert sorted(check["name"] for check in project.checks()) == ["Import EU", "nightly-report"]
    job = project.pings(project.check("nightly-report"))
    assert [ping["type"] for ping in job] == ["start", "success", "start", "fail"]
    assert (job[0]["rid"], job[2]["rid"]) == (job[1]["rid"], job[3]["rid"])
    assert job[0]["rid"] != job[2]["rid"]
    assert job[1]["body"].startswith("12 rows\nmetric: duration:0.1")
    assert job[3]["body"].startswith("no rows: größe 0\nmetric: duration:0.1")
    assert 0.05 < job[1]["duration"] < 5
    assert {ping["ua"] for ping in job} == {"cronitor-python"}
    assert project.check("nightly-report")["status"] == "down"

    telemetry = project.pings(project.check("Import EU"))
    assert [(ping["type"], ping["rid"]) for ping in telemetry] == [
        ("success", None), ("start", "batch 7"), ("fail", "batch 7"), ("success", None)
    ]  # fmt: skip
    failed = telemetry[2]["body"].splitlines()
    assert failed[0] == "3 rows broke"
    assert set(failed[1:]) >= {"metric: count:12", "metric: error_count:3", "host: db-1", "env: staging"}
    assert project.check("Import EU")["status"] == "up"
