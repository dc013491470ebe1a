"""A disk that hangs below the spool, as a network drive does whose server is gone: here a file system that the kernel freezes,
which needs root and a loop device."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.brokers import tied
from tests.sdk.collector import Collector
from tests.sdk.scripts import environment, script

TOOLS = ("mkfs.ext4", "fsfreeze", "mount", "umount")
RUNS = 50
WORKS = f"""
    import sys, time
    missedbeat.configure(heartbeat=1, flush_timeout=10)
    with missedbeat.run("before", schedule=3600): pass
    print("begun", flush=True)
    sys.stdin.readline()
    longest = 0.0
    with missedbeat.run("long"):
        for number in range({RUNS}):
            began = time.monotonic()
            with missedbeat.run("job"): pass
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.1)
    print("done", longest < 2, flush=True)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, thawed in the end whatever happened."""
    if os.geteuid() != 0 or not all(map(shutil.which, TOOLS)):
        pytest.skip("only root can make and freeze a file system")
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    image.write_bytes(bytes(16 << 20))
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=False, capture_output=True).returncode:
        pytest.skip("there is no loop device")
    try:
        yield folder
    finally:
        subprocess.run(["fsfreeze", "-u", str(folder)], check=False, capture_output=True)
        subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.mark.prove
def test_a_disk_that_hangs_holds_up_neither_a_job_nor_its_events(disk: Path, tmp_path: Path) -> None:
    """What was being written arrives from memory, heartbeats go on, and what comes out of the file once more is the same event.
    The end of the process alone waits for the disk: so the kernel has it."""
    with Collector() as collector:
        told = environment(collector.url, MISSEDBEAT_SPOOL=str(disk / "spool"))
        process = subprocess.Popen(
            tied(sys.executable, str(script(tmp_path, WORKS))), env=told, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        subprocess.run(["fsfreeze", "-f", str(disk)], check=True)
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done True\n", "no block took long"
        ends = collector.wait_for(lambda events: _complete([e for e in events if e["type"] == "run.succeeded"]), within=30)
        assert Counter(event["monitor"] for event in ends) == {"job:before": 1, "job:long": 1, "job:job": RUNS}
        assert len(collector.of("runs.alive")) >= 2
        time.sleep(0.5)
        subprocess.run(["fsfreeze", "-u", str(disk)], check=True)
        assert (process.wait(60), process.communicate()[1]) == (0, "")
        assert not list((disk / "spool").glob("*.spool"))


def _complete(ends: list[dict[str, str]]) -> list[dict[str, str]]:
    """Each event once, when all are there."""
    once = list({event["id"]: event for event in ends}.values())
    return once if len(once) >= RUNS + 2 else []
