"""Every dangerous step of recording, sweeping and sending, stopped there: dead, standing still, or failing. Whatever is left is
sound, and nothing that was acknowledged or that happened is lost."""

import random
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import psutil
import pytest

from tests.faults.ending import hold, settle
from tests.faults.history import Crowd, History
from tests.faults.jobs import Hook, crowded
from tests.faults.rig import Rig, measured, rigged, seed
from tests.processes import over

POINTS = {
    "web": ("record.locked", "record.decided", "record.guarded", "record.committed"),
    "worker": ("sweep.locked", "sweep.judged", "deliver.claimed", "deliver.sending", "deliver.sent", "deliver.settled"),
}
ALL = [(part, point) for part, points in POINTS.items() for point in points]
FEW = [*product(("web",), POINTS["web"]), ("worker", "sweep.judged"), ("worker", "deliver.sent")]
PATIENCE = 90.0  # seconds
STANDS = (1.0, 2.5, 6.0)  # seconds; within the margin, beyond it, beyond what PostgreSQL waits for


def strike(rig: Rig, part: str, point: str, action: str) -> None:
    """Let that part come to that step, and wait until it did."""
    began = time.time()
    rig.kill(part, MISSEDBEAT_FAILPOINTS=f"{point}={action}")
    process = psutil.Process(rig.pids[part])
    if action == "kill":
        rig.until(lambda: over(process.pid), PATIENCE, f"{point} was not passed")
        rig.start(part)
    elif action == "stop":
        rig.until(lambda: process.status() == psutil.STATUS_STOPPED, PATIENCE, f"{point} was not passed")
        time.sleep(random.choice(STANDS))
        process.resume()
    else:
        log = rig.folder / "parts.log"
        seen = log.stat().st_size
        rig.until(lambda: f"Failed: {point}" in log.read_text()[seen:], PATIENCE, f"{point} was not passed")
    rig.note(action, f"{part} at {point}", began)
    rig.recovered(part)


def struck(folder: Path, strikes: Sequence[tuple[tuple[str, str], str]]) -> None:
    """All of these, under load, held against the history."""
    seed()
    history, hook = History(), Hook(slow=0.02)
    with rigged(folder) as rig:
        rig.receive(hook)
        crowd = Crowd(rig.port, history)
        rig.background.run(crowded(rig, crowd, hook, many=6, lasting=30))
        # First the worker: while a web process is gone silence is judged half a minute later, and its steps come later.
        for (part, point), action in sorted(random.sample(strikes, len(strikes)), key=lambda one: one[0][0] != "worker"):
            strike(rig, part, point, action)
        rig.background.run(crowd.stop())
        settle(rig)
        hold(rig, history, hook)
        measured(f"{len(strikes)} strikes")


@pytest.mark.timeout(300)
def test_a_process_that_dies_at_any_step_leaves_nothing_half_done(tmp_path: Path) -> None:
    """kill -9 after the lock, before the write, before COMMIT, before the answer; the worst steps of sweep and sending too."""
    struck(tmp_path, [(place, "kill") for place in FEW])


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_a_process_that_dies_stands_still_or_fails_at_any_step_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Each step with each of the three."""
    struck(tmp_path, list(product(ALL, ("kill", "stop", "raise"))))
