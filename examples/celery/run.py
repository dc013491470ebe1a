"""`make example`: a Redis, a worker and a Beat of examples/celery on this machine, watched by a Missedbeat that runs already.

MISSEDBEAT_KEY is a read-write key; MISSEDBEAT_URL is the service of `make run` where it is not set. Ctrl-C stops all three.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEYLESS = """Which project? Start the service with `make run` in another terminal; its first start prints a read-write key. Then:

  MISSEDBEAT_KEY=<the read-write key> make example"""
THINGS_TO_TRY = """
Watched by {url}. In a few seconds there is a check for each entry of the schedule, one for Beat and one for the workers:

  curl -fsS {url}/api/v3/checks/ -H "X-Api-Key: $MISSEDBEAT_KEY"

To see alerts, first say where to (docs/channels.md), then break something:

  kill -9 {worker:<8}  the worker: its runs are lost, told within 45 s
  kill -STOP {beat:<5}  Beat is frozen: one message, which names the schedules that wait; kill -CONT ends it
  kill -9 {beat:<8}  Beat is dead: the same
  kill -9 {redis:<8}  the broker is gone: Beat lives and can send nothing

Their words are in {folder}. Ctrl-C stops everything.
"""


def main() -> int:
    """Run until Ctrl-C, or say what is missing."""
    url = os.environ.get("MISSEDBEAT_URL") or "http://127.0.0.1:8000"
    if not os.environ.get("MISSEDBEAT_KEY"):
        return complain(KEYLESS)
    if complaint := trouble(url):
        return complain(complaint)
    redis = shutil.which("redis-server", path=os.environ["PATH"] + os.pathsep + "/usr/sbin") or "redis-server"
    with tempfile.TemporaryDirectory(prefix="missedbeat-example-") as name, ExitStack() as running:
        folder = Path(name)
        broker = f"redis+socket://{folder}/redis.sock"
        environment = {**os.environ, "MISSEDBEAT_URL": url, "BROKER_URL": broker}
        celery = [sys.executable, "-m", "celery", "-A", "shop"]
        commands = {
            "redis": [redis, "--port", "0", "--unixsocket", f"{folder}/redis.sock", "--dir", name, "--save", ""],
            "worker": [*celery, "worker", "--concurrency", "2", "--loglevel", "INFO"],
            "beat": [*celery, "beat", "--schedule", f"{folder}/schedule", "--loglevel", "INFO"],
        }
        pids = {
            what: running.enter_context(process(command, folder / f"{what}.log", environment))
            for what, command in commands.items()
        }
        print(THINGS_TO_TRY.format(url=url, folder=folder, **pids), flush=True)
        while True:
            time.sleep(60)


def trouble(url: str) -> str:
    """Why nothing can be told to that service; empty when it can."""
    try:
        with urllib.request.urlopen(f"{url}/livez", timeout=5):
            return ""
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        return f"Nobody answers at {url} ({error}). Start the service with `make run` in another terminal, or set MISSEDBEAT_URL."


@contextmanager
def process(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[int]:
    """One of the three; its pid. Ends with the block, as a deploy would end it."""
    with log.open("wb") as words:
        started = subprocess.Popen(command, cwd=HERE, env=environment, stdin=subprocess.DEVNULL, stdout=words, stderr=words)
    try:
        yield started.pid
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:  # frozen, or in the middle of something long
            started.kill()
            started.wait()


def complain(words: str) -> int:
    """Say it where errors are read; 1."""
    print(words, file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
