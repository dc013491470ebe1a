"""The Python package healthchecks-io, unchanged: only its two URLs point here, which are options of its own."""

from typing import Any

import pytest

from tests.clients.driving import Project, drive

pytestmark = pytest.mark.prove

EVERY_CLIENT = pytest.mark.parametrize(("kind", "version"), [("sync", 1), ("async", 3)])


def call(project: Project, kind: str, version: int, *steps: str) -> Any:
    """Let its client do these steps."""
    return drive("call_healthchecks_io.py", "healthchecks-io", project, kind=kind, version=version, steps=steps)


@EVERY_CLIENT
def test_its_clients_manage_checks(project: Project, kind: str, version: int) -> None:
    """Made, upserted, listed by tags, changed, paused, resumed by a ping, deleted; and it knows our refusals by name."""
    channel = project.api("POST", "channels/", {"kind": "email", "name": "ops", "address": "ops@example.com"})
    said = call(project, kind, version, "manage")
    assert said["made"] | {"timeout": 600, "grace": 60, "tags": "prod db", "channels": channel["id"]} == said["made"]
    assert said["cron"]["timeout"] is None
    assert said["same"]
    assert sorted(said["listed"]) == ["Nightly backup", "Weekly"]
    assert said["tagged"] == ["Nightly backup"]
    assert said["updated"] | {"name": "Nightly dump", "timeout": 700, "grace": 120, "methods": "POST"} == said["updated"]
    assert said["found"] == said["updated"]
    assert (said["paused"], said["pinged"], said["deleted"]) == ("paused", "up", "Weekly")
    assert said["refused"] == {
        "deleted": "CheckNotFoundError", "pinged": "CheckNotFoundError", "timeout": "BadAPIRequestError",
        "exit code": "BadAPIRequestError",
    }  # fmt: skip
    assert said["integrations"] == [{"id": channel["id"], "name": "ops", "kind": "email"}]
    (check,) = project.checks()
    assert (check["name"], check["timeout"], check["n_pings"], check["status"]) == ("Nightly dump", 700, 1, "up")


@EVERY_CLIENT
def test_its_clients_ping_by_id_and_by_slug(project: Project, kind: str, version: int) -> None:
    """Start, success, fail and exit codes with their bodies, a trap around good and bad work, and what was heard, read back.

    It reads flips as a bare list; Healthchecks answers `{"flips": […]}` in all its versions, and so do we."""
    check = project.new_check(name="by id", slug="by-id")
    said = call(project, kind, version, "ping")
    assert said["answers"] == [[True, "OK"]] * 7
    heard = project.pings(check)
    assert [(ping["type"], ping["exitstatus"]) for ping in heard] == [
        ("start", None), ("success", None), ("fail", None), ("success", 0), ("fail", 3), ("start", None), ("success", None),
        ("start", None), ("success", None), ("start", None), ("fail", None),
    ]  # fmt: skip
    assert [ping["body"] for ping in heard[1:7]] == ["went well: 12 Dateien größer", "disk full", "", "exit three", "", "by slug"]
    assert heard[8]["body"] == "one line of log"
    assert heard[10]["body"].startswith("one line of log\nthe job broke\n")
    assert all(ping["ua"].startswith("py-healthchecks.io") for ping in heard)
    assert [ping["number_of_pings"] for ping in said["pings"]] == list(range(11, 0, -1))
    assert [ping["duration"] is not None for ping in reversed(said["pings"])] == [
        False, True, False, False, False, False, True, False, True, False, True
    ]  # fmt: skip
    assert said["flips refused"] == "TypeError"
    assert [flip["up"] for flip in said["flips"]["flips"]] == [0, 1, 0, 1, 0, 1]


@EVERY_CLIENT
def test_its_clients_see_no_ids_through_a_read_only_key(project: Project, kind: str, version: int) -> None:
    """They find a check by its unique key and may change nothing; a wrong key is an error of its own."""
    uuid = project.new_check(name="seen")["uuid"]
    said = call(project, kind, version, "look")
    (seen,) = said["read-only"]
    assert (seen["name"], seen["uuid"], seen["ping_url"], seen["channels"]) == ("seen", None, None, None)
    assert uuid not in str(said)
    assert (said["by unique key"], said["read-only writes"], said["wrong key"]) == ("seen", "HCAPIAuthError", "HCAPIAuthError")


@EVERY_CLIENT
def test_its_clients_find_a_badge_for_every_tag(project: Project, kind: str, version: int) -> None:
    """Each of the six URLs of a tag leads somewhere."""
    project.new_check(name="one", tags="prod db")
    badges = call(project, kind, version, "badges")["badges"]
    assert set(badges) == {"*", "db", "prod"}
    urls = [url for badge in badges.values() for url in badge.values()]
    assert len(set(urls)) == 18
    assert [project.get(url).status_code for url in urls] == [200] * 18
