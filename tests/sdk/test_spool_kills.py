"""kill -9 of everything at once: worker, children and Beat. What their hooks had taken a second before arrives, once."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from app.store import embedded
from tests.clients.driving import started
from tests.journeys.running import Service
from tests.sdk.brokers import ROOT, tied
from tests.sdk.celery_processes import CeleryProcess, client, wait_until
from tests.sdk.gate import HANG, REFUSE, UNANSWERED, Gate
from tests.sdk.watching import watch

LONG = 240.0
MOODS = [None, None, REFUSE, REFUSE, HANG, UNANSWERED]
SCHEDULE = {"tick": ["sleeps", 0.5, [0.1]], "tock": ["succeeds", 0.7, []]}
Seen = tuple[str, str]  # run, what of it


class Group(CeleryProcess):
    """A worker with its children and its Beat, in a process group of their own."""

    def start(self) -> Self:
        """Start it, without waiting for it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                tied(*self._command), cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        return self

    def is_gone(self) -> bool:
        """Whether nobody of it is left."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, 0)
            return False
        return True

    def kill(self) -> None:
        """kill -9 all of them at once; return when they are gone."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        wait_until(self.is_gone)

    def __exit__(self, *_: object) -> None:
        self.kill()


def group(folder: Path, broker: str, url: str, key: str) -> Group:
    """All of them share one spool."""
    options = ["-B", "-s", str(folder / "beats"), "-n", "shop@test", "-c", "2", "--without-gossip", "--without-mingle"]
    return Group(
        folder, "worker", *options, broker=broker, url=url, ready=" ready.", module="tests.sdk.witness_app", schedule=SCHEDULE,
        key=key, instrument={"heartbeat": 1}, WITNESS=str(folder / "witness"), MISSEDBEAT_SPOOL=str(folder / "spool"),
    )  # fmt: skip


def witnessed(folder: Path, until: float, since: float) -> set[Seen]:
    """What hooks took in this time."""
    file = folder / "witness"
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return {(run, what) for at, what, run in lines if since <= float(at) <= until}


def asked(service: Service, query: str) -> list[tuple[Any, ...]]:
    """What the service's own database says."""
    with embedded.borrowed(service.data) as dsn, psycopg.connect(dsn.replace("+psycopg", "")) as connection:
        return connection.execute(query.encode()).fetchall()


def recorded(service: Service) -> Counter[Seen]:
    """How often the service has each in its log."""
    query = "SELECT run_id, signal, count(*) FROM check_ins WHERE run_id IS NOT NULL GROUP BY 1, 2"
    return Counter({(run, what): count for run, what, count in asked(service, query)})


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.prove)])
def test_everything_killed_at_random_loses_nothing_that_was_seen(redis_url: str, tmp_path: Path, kills: int) -> None:
    """At any moment, the server away, hanging or deaf half of the time: each start, success and dispatch of a second before is in
    the service's log, and nothing is in it twice; a run has one row."""
    chance, expected = random.Random(f"{kills}"), set[Seen]()
    with started(tmp_path / "data") as service, Gate(service.port) as gate, watch(service, "spool") as project:
        for _ in range(kills):
            gate.now(chance.choice(MOODS))
            began = time.time()
            with group(tmp_path, redis_url, gate.url, project.key) as everything, client(redis_url) as app:
                for _ in range(5):
                    app.send_task("succeeds")
                time.sleep(chance.uniform(0, 4))
                at = time.time()
                everything.kill()
            expected |= witnessed(tmp_path, at - 1, began)
        gate.now()
        with group(tmp_path, redis_url, gate.url, project.key):
            wait_until(lambda: not expected - set(recorded(service)), LONG, lambda: f"{expected - set(recorded(service))}")
        found = recorded(service)
        assert {seen: count for seen, count in found.items() if count > 1} == {}
        assert asked(service, "SELECT run_id FROM runs WHERE run_id IS NOT NULL GROUP BY run_id HAVING count(*) > 1") == []
        assert len(expected) > 5 * kills
