"""Drives the Python package cronradar: pings that register themselves, life cycles, syncs. Its host is a constant."""

import contextlib
import json
import os
import sys

import cronradar

TOLD = json.loads(sys.argv[1])
os.environ["CRONRADAR_API_KEY"] = TOLD["key"]
cronradar.BASE_URL = TOLD["url"]


def work(goes_well):
    """A job with a life cycle, registered by its first start."""
    with cronradar.job("Reports.EU daily", schedule="15 4 * * *"):
        if not goes_well:
            raise RuntimeError("disk full: 100 %")


def ping():
    """A job that registers itself, and one nobody knows."""
    cronradar.monitor("nightly-backup", schedule="0 2 * * *")
    cronradar.monitor("nightly-backup", schedule="0 2 * * *")
    cronradar.monitor("unheard-of")
    work(goes_well=True)
    with contextlib.suppress(RuntimeError):
        work(goes_well=False)


def sync():
    """All the jobs of a program: so many now."""
    jobs = {"one": "0 1 * * *", "two": "0 2 * * *", "three": "*/5 * * * *"}
    found = [{"key": key, "schedule": jobs[key], "grace_period": 120} for key in TOLD["jobs"]]
    cronradar.sync_monitors(found, source="crontab of db-1", version="1.2.3")


{"ping": ping, "sync": sync}[TOLD["step"]]()
json.dump({}, sys.stdout)
