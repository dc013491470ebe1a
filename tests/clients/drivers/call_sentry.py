"""Drives the Python package sentry-sdk: its monitor decorator, its check-ins by hand, and an error beside them."""

import asyncio
import contextlib
import json
import sys

import sentry_sdk
from sentry_sdk.crons import capture_checkin, monitor

TOLD = json.loads(sys.argv[1])
CONFIG = {
    "schedule": {"type": "crontab", "value": "0 2 * * *"}, "timezone": "Europe/Berlin", "checkin_margin": 5, "max_runtime": 30,
    "failure_issue_threshold": 2, "recovery_threshold": 1,
}  # fmt: skip
INTERVAL = {"schedule": {"type": "interval", "value": 2, "unit": "hour"}, "checkin_margin": 10}


@monitor(monitor_slug="nightly-backup", monitor_config=CONFIG)
def back_up(goes_well):
    """A job that goes well or breaks."""
    if not goes_well:
        raise RuntimeError("the backup broke")


@monitor(monitor_slug="hourly-sync", monitor_config=INTERVAL)
async def synchronise():
    """An asynchronous job."""


sentry_sdk.init(dsn=TOLD["dsn"], environment="staging", release="1.2.3", traces_sample_rate=1.0)
back_up(goes_well=True)
with contextlib.suppress(RuntimeError):
    back_up(goes_well=False)
asyncio.run(synchronise())
check_in = capture_checkin(monitor_slug="hourly-sync", status="in_progress")
capture_checkin(monitor_slug="hourly-sync", check_in_id=check_in, status="error", duration=1.5)
capture_checkin(monitor_slug="unheard-of", status="ok")
with sentry_sdk.start_transaction(name="beside"):
    sentry_sdk.capture_exception(ValueError("an error that is none of our business"))
sentry_sdk.flush(10)
transport = sentry_sdk.get_client().transport
json.dump({"check_in": check_in, "healthy": transport.is_healthy()}, sys.stdout)
