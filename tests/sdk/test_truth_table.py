"""What the SDK says of everything that can happen to a task, on both brokers, against golden.txt. A newer Celery shows here, as a
diff of sentences, what it does differently."""

import difflib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.sdk import golden
from tests.sdk.brokers import Broker
from tests.sdk.cases import ENDINGS, QUIET, Case, Stage
from tests.sdk.celery_processes import client, worker
from tests.sdk.collector import Collector

SETTLED = 15.0


def test_what_is_said_of_every_end_that_a_worker_survives(broker_url: str, redis_server: Broker, tmp_path: Path) -> None:
    """One worker, all cases at once: what each of them says, and nothing else."""
    blocks = play(QUIET, broker_url, redis_server.fresh(), tmp_path, "-c", "6")
    assert not difference(QUIET, blocks, broker_url), difference(QUIET, blocks, broker_url)


@pytest.mark.prove
def test_what_is_said_when_a_worker_ends(broker_url: str, redis_server: Broker, tmp_path: Path) -> None:
    """A worker for each case, for it does not survive it."""
    backend = redis_server.fresh()
    with ThreadPoolExecutor(3) as pool:
        played = pool.map(lambda case: play([case], broker_url, backend, tmp_path / case.queue, *case.options), ENDINGS)
        blocks = {head: body for block in played for head, body in block.items()}
    assert not difference(ENDINGS, blocks, broker_url), difference(ENDINGS, blocks, broker_url)


def play(cases: list[Case], broker: str, backend: str, folder: Path, *options: str) -> dict[str, str]:
    """Play these cases with one worker; the block of each."""
    folder.mkdir(exist_ok=True)
    queue = cases[0].queue
    with Collector() as collector, client(broker) as app:
        process = worker(
            folder, *options, broker=broker, url=collector.url, queue=queue, conf=cases[0].conf, TEST_BACKEND=backend
        )
        with process:
            stages = [(case, Stage(app, process, collector, folder, queue)) for case in cases]
            with ThreadPoolExecutor(4) as pool:
                for played in [pool.submit(case.play, stage) for case, stage in stages]:
                    played.result()
            settle(stages, golden.known(kind(broker)))
            process.stop()
        return {case.head: golden.block(collector.of("run"), stage.runs) for case, stage in stages}


def settle(stages: list[tuple[Case, Stage]], expected: dict[str, str]) -> None:
    """Wait for what is expected; what is not expected has until the worker's end."""
    (_, stage), *_ = stages

    def all_there(_: object) -> bool:
        told = stage.collector.of("run")
        return all(golden.block(told, each.runs) == expected.get(case.head) for case, each in stages)

    if stage.worker.process.poll() is None:
        with suppress(TimeoutError):
            stage.collector.wait_for(all_there, within=SETTLED)


def difference(cases: list[Case], blocks: dict[str, str], broker: str) -> str:
    """What is not as golden.txt has it, as a diff."""
    known = golden.known(kind(broker))
    expected = {case.head: known.get(case.head, "") for case in cases}
    lines = difflib.unified_diff(
        golden.text(expected).splitlines(), golden.text(blocks).splitlines(), "golden.txt", "this Celery", lineterm="", n=2
    )
    return "\n".join(lines)


def kind(url: str) -> str:
    """Of a broker."""
    return "rabbitmq" if url.startswith("amqp") else "redis"
