"""Plays cases with a real worker, and compares what the SDK said of them with golden.txt."""

import difflib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.sdk import golden
from tests.sdk.cases import Case, Stage
from tests.sdk.celery_processes import client, wait_until, worker
from tests.sdk.collector import Collector
from tests.sdk.golden import Where

SETTLED = 15.0
GREEN = ("gevent", "eventlet")  # they hear no revocation yet when they say that they are ready
Blocks = dict[str, str]


def play(cases: list[Case], where: Where, broker: str, backend: str, folder: Path, *options: str, **told: Any) -> Blocks:
    """Play these cases with one worker; the block of each. `told` is for the worker: its `python`, for example."""
    folder.mkdir(exist_ok=True, parents=True)
    queue = cases[0].queue
    with Collector() as collector, client(broker) as app:
        process = worker(
            folder, "-P", where.pool, *options, broker=broker, url=collector.url, queue=queue, conf=cases[0].conf,
            TEST_BACKEND=backend, **told,
        )  # fmt: skip
        with process:
            if where.pool in GREEN:
                wait_until(lambda: app.control.ping(timeout=0.5), why=process.words)
            stages = [(case, Stage(app, process, collector, folder, queue, where.pool)) for case in cases]
            with ThreadPoolExecutor(4) as pool:
                for played in [pool.submit(case.play, stage) for case, stage in stages]:
                    played.result()
            settle(stages, golden.known(where))
            process.stop()
        return {case.head: golden.block(collector.of("run"), stage.runs) for case, stage in stages}


def play_endings(cases: list[Case], where: Where, broker: str, backend: str, folder: Path, **told: Any) -> Blocks:
    """A worker for each of them, for it does not survive it; three at a time."""

    def alone(case: Case) -> Blocks:
        return play([case], where, broker, backend, folder / case.queue, *case.options, **told)

    with ThreadPoolExecutor(3) as pool:
        return {head: body for block in pool.map(alone, cases) for head, body in block.items()}


def settle(stages: list[tuple[Case, Stage]], expected: Blocks) -> None:
    """Wait for what is expected; what is not expected has until the worker's end."""
    (_, stage), *_ = stages

    def all_there(_: object) -> bool:
        told = stage.collector.of("run")
        return all(golden.block(told, each.runs) == expected.get(case.head) for case, each in stages)

    if stage.worker.process.poll() is None:
        with suppress(TimeoutError):
            stage.collector.wait_for(all_there, within=SETTLED)


def difference(cases: Iterable[Case], blocks: Blocks, where: Where) -> str:
    """What is not as golden.txt has it, as a diff."""
    known = golden.known(where)
    expected = {case.head: known.get(case.head, "") for case in cases}
    lines = difflib.unified_diff(
        golden.text(expected).splitlines(), golden.text(blocks).splitlines(), "golden.txt", " ".join(where), lineterm="", n=2
    )
    return "\n".join(lines)
