"""A program that reports with a spool, to be killed: `python -m tests.sdk.spooling URL FOLDER EVENTS`. It says "written" when all
of its events are in the folder, and then lives until it is ended, or until its input is."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from missedbeat.reporter import Reporter
from missedbeat.settings import Settings

from tests.sdk.brokers import ROOT, tied

KEY = "a-key"
NOBODY = "http://127.0.0.1:9"


def reporting(url: str, folder: Path, **given: object) -> Reporter:
    """As every process of the same program has it."""
    return Reporter(Settings(**{"url": url, "key": KEY, "app": "shop", "spool": str(folder), **given}))  # type: ignore[arg-type]


def waiting(folder: Path) -> int:
    """How many events the files of this folder hold."""
    return sum(file.read_bytes().count(b"\n") - 1 for file in folder.glob("*.spool"))


class Program:
    """That program, with so many events of its own. `runs` names them."""

    def __init__(self, url: str, folder: Path, events: int, name: str = "run") -> None:
        self.runs = [f"{name}-{number}" for number in range(events)]
        command = tied(sys.executable, "-m", "tests.sdk.spooling", url, str(folder), str(events), name)
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"written\n"

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def main(url: str, folder: str, events: int, name: str) -> None:
    """Report, wait until it is written, wait to be ended."""
    reporter = reporting(url, Path(folder))
    mine = f"*-{reporter.boot}-*.spool"
    reporter.beat("worker.beat", [()])
    for number in range(events):
        reporter.record("run.started", "entry:n", f"{name}-{number}")
    while sum(file.read_bytes().count(b"\n") - 1 for file in Path(folder).glob(mine)) < events:
        time.sleep(0.01)
    sys.stdout.write("written\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
