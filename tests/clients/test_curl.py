"""curl and wget as they stand in a hundred crontabs: the options that Healthchecks' pages recommend, and a service that goes away
just when they call."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.driving import Project, run, started, surroundings
from tests.journeys.running import Service

pytestmark = pytest.mark.prove

CURL = ("curl", "-fsS", "-m", "10", "--retry", "5", "-o", "/dev/null")
WGET = ("wget", "-T", "10", "-t", "5", "-O", "/dev/null", "-q")
ANY_TROUBLE = ("--retry", "60", "--retry-delay", "1", "--retry-connrefused", "--retry-all-errors")


def test_the_lines_of_a_crontab_are_heard_as_they_stand(project: Project, tmp_path: Path) -> None:
    """Every method, suffix and way to give a body that curl and wget have: each is one ping with what was sent."""
    check = project.new_check(name="crontab", slug="crontab")
    url, by_slug = check["ping_url"], f"{project.url}/ping/{project.keys['ping_key']}/crontab"
    log = tmp_path / "backup.log"
    log.write_bytes(b"line\n" * 600_000)  # 3 MB: more than is kept
    run(*CURL, f"{url}/start")
    run(*CURL, "--data-raw", "went well: größer", url)
    run(*CURL, "--data-binary", f"@{log}", f"{url}/0")
    run(*CURL, "-T", str(log), f"{by_slug}/log")
    run(*CURL, "--head", f"{url}/")
    run(*CURL, "-X", "POST", "-H", "Content-Type: application/json", "-d", "not JSON at all", f"{by_slug}/7")
    run(*WGET, url)
    run(*WGET, "--post-data=from wget", by_slug)
    run(*WGET, "--spider", f"{url}/fail")
    run("curl", "-fsS", "--limit-rate", "500k", "--data-binary", f"@{log}", url)  # once, for six seconds

    heard = project.pings(check)
    assert [(ping["type"], ping["method"], ping["exitstatus"], ping["body"][:20]) for ping in heard] == [
        ("start", "GET", None, ""), ("success", "POST", None, "went well: größer"), ("success", "POST", 0, "line\n" * 4),
        ("log", "PUT", None, "line\n" * 4), ("success", "HEAD", None, ""), ("fail", "POST", 7, "not JSON at all"),
        ("success", "GET", None, ""), ("success", "POST", None, "from wget"), ("fail", "HEAD", None, ""),
        ("success", "POST", None, "line\n" * 4),
    ]  # fmt: skip
    assert [len(ping["body"]) for ping in heard if ping["body_truncated"]] == [100_000] * 3
    assert run("curl", "-fsS", f"{url}/256", code=22).stderr.strip().endswith("400")
    assert len(project.pings(check)) == len(heard)


def test_curl_with_retry_is_counted_once_when_the_service_was_away(tmp_path: Path) -> None:
    """Refused connections while it is restarted, a process killed in the middle of a body, a database that is gone for the
    moment: curl --retry gets through, and each ping is there once."""
    with started(tmp_path / "data") as service:
        port, keys, url = service.port, service.keys, service.base_url
        with Project(url, keys) as project:
            check = project.new_check(name="patient")
    with calling(*ANY_TROUBLE, check["ping_url"]) as curl:
        wait_for("Will retry", curl)
        with started(tmp_path / "data", "--port", str(port)) as service, Project(url, keys) as project:
            assert curl.wait(30) == 0
            assert project.types(check) == ["success"]
            cut_off(service, check, tmp_path / "body")
            assert project.types(check) == ["success", "success"]
            service.kill("postgres")
            run("curl", "-fsS", "--retry", "20", f"{check['ping_url']}/fail")
            assert project.types(check) == ["success", "success", "fail"]


def wait_for(words: str, curl: "subprocess.Popen[str]") -> None:
    """Return once curl has complained of this."""
    assert curl.stderr is not None
    while words not in (line := curl.stderr.readline()):
        assert line, curl.wait()


def cut_off(service: Service, check: dict[str, Any], body: Path) -> None:
    """A body that takes three seconds, and nobody there any more after one; the client tries again, and later once more."""
    body.write_bytes(b"x" * 300_000)
    keyed = (*ANY_TROUBLE, "-H", "Idempotency-Key: backup of the night", "--data-binary", f"@{body}", check["ping_url"])
    with calling("--limit-rate", "100k", *keyed) as slow:
        time.sleep(1)
        service.kill("web")
        assert slow.wait(30) == 0
    run("curl", "-fsS", *keyed)


@contextmanager
def calling(*words: str) -> Iterator["subprocess.Popen[str]"]:
    """curl at work beside the test; what it complains of is in its stderr."""
    command = ["curl", "-f", "-o", "/dev/null", "--no-progress-meter", *words]
    with subprocess.Popen(command, env=surroundings(), stderr=subprocess.PIPE, text=True) as curl:
        try:
            yield curl
        finally:
            curl.kill()
