"""Signatures as entries of a real Beat: what Celery makes of a chain, a group and their like, and what their checks say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.sdk.celery_processes import beat, worker
from tests.sdk.collector import Collector, Event

APP = """
from celery import chain, chord, group
from tests.sdk.truth_app import adds, app, raises

app.conf.update(task_ignore_result=False, beat_max_loop_interval=1)
one = adds.si(1, 1)
for name, signature in {
    "chain": chain(one, one), "group": group(one, one), "chord": chord([one, one], raises.si()),
    "starmap": adds.starmap([(1, 1)]), "map": adds.map([1]), "chunks": adds.chunks([(1, 1), (2, 2)], 1),
    "broken starmap": raises.starmap([(1,)]),
}.items():
    app.add_periodic_task(1, signature, name=name)
"""
ENDS = {
    "chain": ("run.failed", "NotImplementedError: chain is not a real task"),
    "group": ("run.dispatch_failed", "TypeError: group() missing 3 required"),
    "chord": ("run.succeeded", ""),
    "starmap": ("run.succeeded", ""),
    "map": ("run.succeeded", ""),
    "chunks": ("run.succeeded", ""),
    "broken starmap": ("run.failed", "Boom: the disk is full"),
}


def ends(monitor: str) -> Callable[[list[Event]], list[Event]]:
    """What is told of the runs of this monitor but that they began."""
    begins = ("run.started", "run.dispatched")
    return lambda events: [event for event in events if event.get("monitor") == monitor and event["type"] not in begins]


def test_an_entry_that_is_a_signature_is_up_if_celery_runs_it_and_down_if_not(redis_url: str, tmp_path: Path) -> None:
    """Beat sends no chain and no group as a program does: nothing of these ever runs. The others are one task each, that does the
    work or sends it."""
    (tmp_path / "canvas.py").write_text(APP)
    told: dict[str, Any] = {
        "module": "canvas",
        "PYTHONPATH": str(tmp_path),
        "TEST_BACKEND": redis_url,
        "instrument": {"scope": "beat"},
    }
    with (
        Collector() as collector,
        worker(tmp_path, broker=redis_url, url=collector.url, **told),
        beat(tmp_path, broker=redis_url, url=collector.url, **told),
    ):
        for name, (kind, words) in ENDS.items():
            end, *_ = collector.wait_for(ends(f"entry:{name}"))
            assert (name, end["type"], end.get("error", "")[: len(words)]) == (name, kind, words)
        assert {entry["name"] for entry in collector.of("schedule.sync")[0]["entries"]} == set(ENDS)
