"""Drives the Python package cronitor: its decorator and its telemetry. Its ping host stands in the code, so the one thing done to
it is a transport for that host, an adapter of `requests`, which sends what it wrote to our address instead."""

import contextlib
import json
import sys
import time

import cronitor
from cronitor import Monitor
from requests.adapters import HTTPAdapter

TOLD = json.loads(sys.argv[1])
THEIRS = "https://cronitor.link/"


class Here(HTTPAdapter):
    """Sends to our address what was meant for theirs; path and query stay as they were written."""

    def send(self, request, **named):
        """Change the host, and nothing else."""
        request.url = request.url.replace(THEIRS, f"{TOLD['url']}/", 1)
        return super().send(request, **named)


Monitor._req.mount(THEIRS, Here(max_retries=Monitor._req.get_adapter(THEIRS).max_retries))
cronitor.api_key = TOLD["key"]


@cronitor.job("nightly-report")
def report(rows):
    """A job that says what it did, or breaks."""
    time.sleep(0.1)
    if not rows:
        raise RuntimeError("no rows: größe 0")
    return f"{rows} rows"


report(12)
with contextlib.suppress(RuntimeError):
    report(0)

monitor = Monitor("Import/EU".replace("/", " "), env="staging")
answers = [
    monitor.ping(),
    monitor.ping(state="run", series="batch 7"),
    monitor.ping(state="fail", series="batch 7", message="3 rows broke", metrics={"count": 12, "error_count": 3}, host="db-1"),
    monitor.ping(state="nonsense"),
    Monitor("no-such-key", api_key="0123456789abcdef0123").ping(),
]
monitor.ok()
json.dump({"answers": [(answer.status_code, answer.text) for answer in answers]}, sys.stdout)
