"""The application that `bench.sdk` runs in a worker, watched as BENCH_VARIANT says: `none`, `sdk`, or `naive`, which is what is
written first by hand: a request before a task and one after it."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from celery import Celery, signals

app = Celery("shop", broker=os.environ["BENCH_BROKER"])
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)

URL = os.environ["BENCH_URL"]
VARIANT = os.environ["BENCH_VARIANT"]


@app.task(name="nothing")
def nothing() -> None:
    """Costs nothing but what surrounds it."""


@app.task(name="ten")
def ten() -> None:
    """Takes 10 ms of a processor."""
    until = time.thread_time() + 0.01
    while time.thread_time() < until:
        pass


@app.task(name="mark")
def mark(path: str) -> None:
    """Note when this was executed: the first and the last message of a measurement."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{time.monotonic()}\n")


def ask_before(**_: Any) -> None:
    """The naive way, first half."""
    requests.get(f"{URL}/start", timeout=2)


def ask_after(**_: Any) -> None:
    """The naive way, second half."""
    requests.get(f"{URL}/success", timeout=2)


def timed(send: Callable[..., Any], taken: list[int]) -> Callable[..., Any]:
    """A signal's `send`, with what it took noted in nanoseconds."""

    def sending(*args: Any, **named: Any) -> Any:
        began = time.perf_counter_ns()
        try:
            return send(*args, **named)
        finally:
            taken.append(time.perf_counter_ns() - began)

    return sending


if VARIANT == "sdk":
    from missedbeat.celery import instrument

    HANDLE = instrument(app, scope="all", eager=True)
elif VARIANT == "naive":
    signals.task_prerun.connect(ask_before, weak=False)
    signals.task_success.connect(ask_after, weak=False)
