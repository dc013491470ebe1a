"""From a death to the message: the service as it is run, real Celery processes, the SDK between them with the heartbeat it has
from the start. The deaths take their time, so all of them happen at once."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients.driving import started
from tests.journeys.running import Service
from tests.sdk.brokers import Redis
from tests.sdk.celery_processes import CeleryProcess, beat, client, wait_until, worker
from tests.sdk.watching import Watch, watch

pytestmark = pytest.mark.prove

PROMISED = 45.0
CONF = {"beat_max_loop_interval": 5}
SCHEDULE = {"count": ["succeeds", 10, []]}
BEAT, WORKERS = "Beat of shop", "Workers of shop"
OUTLASTED = 85.0  # by when an entry every 10 s with a grace of 60 s would be told of, were it not held back


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`serve` in processes of its own."""
    with started(tmp_path_factory.mktemp("told") / "data") as service:
        yield service


def test_each_death_is_told_within_45_s_and_once(service: Service, tmp_path: Path) -> None:
    """Nobody waits for an hour to hear that a worker is gone, and nobody is told of ten schedules where one Beat is dead."""
    deaths: list[Callable[[Service, Path], None]] = [worker_killed, beat_killed, beat_frozen, broker_gone]
    with ThreadPoolExecutor(len(deaths)) as pool:
        for death in [pool.submit(death, service, tmp_path / death.__name__) for death in deaths]:
            death.result()


def worker_killed(service: Service, folder: Path) -> None:
    """SIGKILL of the main process takes its pool along, and nothing more is said: its runs are lost before they are late."""
    with Redis(folder) as broker, watch(service, "worker killed") as told, client(broker.url()) as app:
        with worker(folder, broker=broker.url(), url=service.base_url, key=told.key) as process:
            app.send_task("sleeps", [600])
            wait_until(lambda: (told.check("sleeps") or {}).get("started"))
            time.sleep(16)  # a heartbeat has listed it by now
            process.kill()
            killed = time.monotonic()
        told.wait_told("sleeps", "down", PROMISED)
        assert time.monotonic() - killed <= PROMISED
        told.wait_told(WORKERS, "down", 60)
        assert sorted(name for _, name, _ in told.told) == sorted(["sleeps", WORKERS])


def beat_killed(service: Service, folder: Path) -> None:
    """kill -9, and nobody starts it again for a while."""
    with (
        Redis(folder) as broker,
        watch(service, "Beat killed") as told,
        worker(folder, broker=broker.url(), url=service.base_url, key=told.key),
    ):
        with running(service, told, broker, folder) as process:
            known(told)
            process.kill()
            silent(told)
        with running(service, told, broker, folder):
            back(told)


def beat_frozen(service: Service, folder: Path) -> None:
    """SIGSTOP: the process is there, and does nothing."""
    with (
        Redis(folder) as broker,
        watch(service, "Beat frozen") as told,
        worker(folder, broker=broker.url(), url=service.base_url, key=told.key),
        running(service, told, broker, folder) as process,
    ):
        known(told)
        process.send(signal.SIGSTOP)
        silent(told)
        process.send(signal.SIGCONT)
        back(told)


def broker_gone(service: Service, folder: Path) -> None:
    """Beat lives, and says itself that it can send nothing."""
    with (
        Redis(folder) as broker,
        watch(service, "broker gone") as told,
        worker(folder, broker=broker.url(), url=service.base_url, key=told.key),
        running(service, told, broker, folder),
    ):
        known(told)
        broker.stop()
        silent(told)
        broker.start()
        back(told)


def running(service: Service, told: Watch, broker: Redis, folder: Path) -> CeleryProcess:
    """A Beat with a schedule."""
    return beat(folder, broker=broker.url(), url=service.base_url, key=told.key, conf=CONF, schedule=SCHEDULE)


def known(told: Watch) -> None:
    """Return when the service has heard of Beat, and of a run that it sent."""
    told.wait_status(BEAT, "up", 60)
    told.wait_status("count", "up", 60)


def silent(told: Watch) -> None:
    """It is told in time, and then nothing else is for as long as it takes the entries to be overdue."""
    began = time.monotonic()
    why = told.wait_told(BEAT, "down", PROMISED)
    assert time.monotonic() - began <= PROMISED
    assert "count" in why, "the message names what waits"
    time.sleep(max(0.0, OUTLASTED - (time.monotonic() - began)))
    assert [(kind, name) for kind, name, _ in told.told] == [("down", BEAT)]


def back(told: Watch) -> None:
    """Its return is told, and the schedule goes on: nothing else was ever told."""
    told.wait_told(BEAT, "up", 60)
    told.wait_status("count", "up", 60)
    assert [(kind, name) for kind, name, _ in told.told] == [("down", BEAT), ("up", BEAT)]
