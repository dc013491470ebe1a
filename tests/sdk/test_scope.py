"""A real worker that is told by a function which runs to watch."""

import os
import signal
from pathlib import Path

from tests.sdk.celery_processes import client, wait_until, worker
from tests.sdk.collector import Collector, Event

APP = """
from missedbeat.celery import instrument
from tests.sdk.truth_app import app


def is_chosen(task, request):
    return request.id.startswith("watched") or task.no_such_attribute


instrument(app, heartbeat=1, scope=is_chosen)
"""


def test_runs_that_a_function_chose_are_listed_as_alive_and_their_death_is_told(redis_url: str, tmp_path: Path) -> None:
    """It is asked once for each run, by the process that begins it. Where it raises that run is not watched, and everything else
    goes on: a worker whose heartbeats end is taken for dead."""
    (tmp_path / "chosen.py").write_text(APP)
    notes = {run: tmp_path / run for run in ("watched-1", "other-1")}

    def listed(events: list[Event]) -> list[tuple[str, str]]:
        beats = [event for event in events if event["type"] == "worker.beat"]
        return [(monitor, run) for beat in beats for monitor, run, *_ in beat["active"]]

    with (
        Collector() as collector,
        worker(
            tmp_path, broker=redis_url, url=collector.url, module="chosen", PYTHONPATH=str(tmp_path), TEST_INSTRUMENT="null"
        ) as process,
        client(redis_url) as app,
    ):
        for run, path in notes.items():
            app.send_task("sleeps", args=[60, str(path)], task_id=run)
        wait_until(lambda: all(path.exists() for path in notes.values()), why=process.words)
        collector.wait_for(lambda events: len(listed(events)) >= 2)
        assert set(listed(collector.events)) == {("task:sleeps", "watched-1")}
        os.kill(int(notes["watched-1"].read_text().split()[1]), signal.SIGKILL)
        lost = collector.wait_for(lambda events: [event for event in events if event["type"] == "run.lost"])[0]
        assert (lost["monitor"], lost["run"], lost["reason"]) == ("task:sleeps", "watched-1", "signal")
        assert lost["x"] == next(event["x"] for event in collector.of("run") if event["type"] == "run.started")
        assert "is_chosen failed; the job is not affected" in process.words()
