"""The npm package healthchecks-io-client, unchanged: only its option `baseUrl` points here."""

import pytest

from tests.clients.driving import Project, drive

pytestmark = pytest.mark.prove


@pytest.mark.parametrize("version", [1, 3])
def test_its_clients_manage_checks_and_ping_them(project: Project, version: int) -> None:
    """Everything its two classes have: checks, pings, flips, integrations; refusals with the status it looks for."""
    channel = project.api("POST", "channels/", {"kind": "email", "name": "ops", "address": "ops@example.com"})
    said = drive("call_healthchecks_io_client.mjs", "node", project, version=version)
    assert said["made"] | {"name": "Nightly", "tags": "prod db", "timeout": 600, "channels": channel["id"]} == said["made"]
    assert said["cron"] | {"schedule": "15 4 * * 1", "tz": "Europe/Berlin"} == said["cron"]
    assert said["same"]
    assert (said["listed"], said["tagged"]) == (["Nightly", "Weekly"], ["Nightly"])
    assert said["answers"] == ["OK"] * 6
    assert (said["updated"]["name"], said["found"]["grace"], said["found"]["n_pings"]) == ("Nightly dump", 120, 6)
    assert [ping["type"] for ping in said["pings"]] == ["fail", "fail", "success", "start", "success", "start"]
    assert [flip["up"] for flip in said["flips"]] == [0, 1]
    assert [channel["name"] for channel in said["integrations"]] == ["ops"]
    assert (said["paused"], said["deleted"], said["gone"], said["wrongKey"]) == ("paused", "Weekly", 404, 401)
    assert "ping_url" not in said["readOnly"][0]

    heard = project.pings(project.check("Nightly dump"))
    assert [(ping["method"], ping["body"]) for ping in heard] == [
        ("GET", ""), ("GET", ""), ("GET", ""), ("POST", "12 Dateien größer"), ("POST", "disk full"), ("GET", ""),
    ]  # fmt: skip
    assert all(ping["ua"] == "HealthChecks-IO-Client-JS/1.0.4" for ping in heard)
