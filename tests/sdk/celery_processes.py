"""Celery as its users run it: workers and Beat as processes of their own, with the application of tests/sdk/truth_app.py."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil
from celery import Celery

from tests.sdk.brokers import ROOT, tied

PATIENCE = 60.0
KEY = "mb_rw_a_key_for_tests"


def wait_until(true: Callable[[], Any], within: float = PATIENCE, why: Callable[[], str] = str) -> Any:
    """What `true` says, as soon as it is something; else the test fails with `why`."""
    until = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < until, why() or "waited in vain"
        time.sleep(0.02)
    return found


class CeleryProcess:
    """A `celery worker` or `celery beat`; its words are in `log`. Ends with the block."""

    def __init__(self, folder: Path, role: str, *options: str, broker: str, url: str | None, ready: str, **told: Any) -> None:
        self.number = len(list(folder.glob(f"{role}*.log")))
        self.log = folder / f"{role}{self.number}.log"
        self._ready = ready
        python, module = told.pop("python", sys.executable), told.pop("module", "tests.sdk.truth_app")
        program = told.pop("program", ["celery", "-A", module])
        self._command = [python, "-m", *program, role, "--loglevel=INFO", *options]
        self._environment = environment(broker, url, **told)

    def start(self) -> Self:
        """Start it, without waiting for it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                tied(*self._command), cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def ready(self) -> Self:
        """Return when it says that it is."""
        wait_until(lambda: self._ready in self.words() or self.process.poll() is not None, why=self.words)
        assert self.process.poll() is None, self.words()
        return self

    def words(self) -> str:
        """All that it said."""
        return self.log.read_text(errors="replace")

    def send(self, number: int) -> None:
        """A signal to the main process."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9 the main process; return when it is gone."""
        self.process.kill()
        self.process.wait()

    def stop(self, within: float = PATIENCE) -> int:
        """As a deploy does: SIGTERM, and wait. Returns the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(within)

    def children(self) -> list[psutil.Process]:
        """The processes of its pool."""
        return psutil.Process(self.process.pid).children()

    def __enter__(self) -> Self:
        return self.start().ready()

    def __exit__(self, *_: object) -> None:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children():
                child.kill()  # a pool goes with its main process, an embedded Beat lives on
        self.process.kill()
        self.process.wait()


def environment(broker: str, url: str | None, *, key: str = KEY, conf: Any = None, schedule: Any = None, instrument: Any = None,
                **more: str) -> dict[str, str]:  # fmt: skip
    """The environment of an instrumented program; without a `url` it is not instrumented at all."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MISSEDBEAT_", "CELERY_", "PYTEST_"))}
    return {
        **kept,
        "PYTHONDONTWRITEBYTECODE": "1",
        "TEST_BROKER": broker,
        "TEST_CONF": json.dumps(conf or {}),
        "TEST_SCHEDULE": json.dumps(schedule or {}),
        "TEST_INSTRUMENT": json.dumps(None if url is None else {"scope": "all", **(instrument or {})}),
        "MISSEDBEAT_URL": url or "",
        "MISSEDBEAT_KEY": key,
        **more,
    }


def worker(folder: Path, *options: str, broker: str, url: str | None, concurrency: int = 2, queue: str = "celery",
           **told: Any) -> CeleryProcess:  # fmt: skip
    """A prefork worker; `with` starts it and waits until it takes tasks."""
    number = len(list(folder.glob("worker*.log")))
    named = ["-n", f"{queue}{number}@test", "-c", str(concurrency), "--without-gossip", "--without-mingle"]
    told = {"ready": " ready.", **told, "conf": {"task_default_queue": queue, **(told.get("conf") or {})}}
    return CeleryProcess(folder, "worker", *named, *options, broker=broker, url=url, **told)


def beat(folder: Path, *options: str, broker: str, url: str | None, **told: Any) -> CeleryProcess:
    """A Beat with a schedule file of its own; `with` starts it and waits until it began."""
    return CeleryProcess(
        folder,
        "beat",
        "-s",
        str(folder / "celerybeat-schedule"),
        *options,
        broker=broker,
        url=url,
        ready="beat: Starting...",
        **told,
    )


@contextmanager
def client(broker: str) -> Iterator[Celery]:
    """A program that sends tasks and is not instrumented."""
    with Celery("client", broker=broker, set_as_current=False) as app:
        app.conf.update(task_ignore_result=True, broker_transport_options={"polling_interval": 0.05})
        yield app
