"""The whole straight line on real parts: a job lives, falls silent, people are told, it comes back, they are told again."""

from pathlib import Path

import pytest

from tests.journeys.running import serving, until
from tests.receivers import HttpReceiver, MailReceiver

pytestmark = pytest.mark.anyio


async def test_a_job_that_falls_silent_is_announced_once_and_its_return_too(tmp_path: Path) -> None:
    """Slack, a webhook and mail each hear once that the job is down, since its deadline, and once that it is back."""
    async with HttpReceiver() as slack, HttpReceiver() as hook, MailReceiver() as mail:
        smtp = {"MISSEDBEAT_SMTP_HOST": "127.0.0.1", "MISSEDBEAT_SMTP_PORT": str(mail.port), "MISSEDBEAT_SMTP_TLS": "none"}
        async with serving(tmp_path / "data", **smtp) as service:
            await service.api("POST", "channels/", {"kind": "slack", "name": "ops", "url": slack.url("/services/T/B/x")})
            await service.api("POST", "channels/", {"kind": "webhook", "name": "hook", "url": hook.url()})
            await service.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "oncall@example.org"})
            fields = {"name": "nightly <backup>", "slug": "nightly", "timeout": 1, "grace": 1, "channels": "*"}
            check = await service.api("POST", "checks/", fields)
            ping = check["ping_url"].removeprefix(service.base_url)

            assert (await service.client.get(ping)).text == "OK"
            await slack.heard(1, within=12)
            await hook.heard(1, within=5)
            await mail.heard(1, within=5)
            down = hook.requests[0].json()
            assert down["type"] == "monitor.down"
            assert "nightly <backup>" in mail.mails[0]["subject"]
            assert "DOWN" in slack.requests[0].json()["text"]
            pings = await service.api("GET", f"checks/{check['uuid']}/transitions/")
            assert [t["to"] for t in pings["transitions"]] == ["down", "up"]

            await service.client.get(ping)
            await slack.heard(2, within=12)
            await hook.heard(2, within=5)
            await mail.heard(2, within=5)
            up = hook.requests[1].json()
            assert up["type"] == "monitor.up"
            assert up["data"]["since"] == down["data"]["since"]
            assert check["uuid"] not in "".join(str(r.body) + str(r.headers) for r in [*slack.requests, *hook.requests])

            async def all_settled() -> bool:
                incidents = (await service.api("GET", "incidents/"))["incidents"]
                found = await service.api("GET", f"incidents/{incidents[0]['id']}/deliveries/")
                return len(found["deliveries"]) == 6 and all(d["state"] == "delivered" for d in found["deliveries"])

            await until(all_settled, 5)
