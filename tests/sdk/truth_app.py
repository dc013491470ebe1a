"""The Celery application of the tests: a task for each thing that can happen to one. It is configured by its environment:
TEST_BROKER, TEST_BACKEND, TEST_CONF (JSON, over the defaults below), TEST_SCHEDULE (JSON: entry -> [task, seconds, arguments,
options]) and TEST_INSTRUMENT (JSON arguments of `instrument`, or `null` for none at all), which is called TEST_TIMES times."""

from __future__ import annotations  # it runs on every Python and Celery that the SDK is for

import gc
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import missedbeat
from celery import Celery, chain, chord, group
from celery.backends.redis import RedisBackend
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.worker.control import control_command

app = Celery("shop", broker=os.environ["TEST_BROKER"], backend=os.environ.get("TEST_BACKEND"))
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"polling_interval": 0.05},
    result_backend_transport_options={"retry_policy": {"max_retries": 1, "interval_start": 0}},
    worker_cancel_long_running_tasks_on_connection_loss=False,
)
app.conf.update(json.loads(os.environ.get("TEST_CONF", "{}")))
app.conf.beat_schedule = {
    name: {"task": task, "schedule": seconds, "args": args, "options": dict(*options)}
    for name, (task, seconds, args, *options) in json.loads(os.environ.get("TEST_SCHEDULE", "{}")).items()
}

NOWHERE = "redis://127.0.0.1:1/0"  # nobody listens there


class Boom(Exception):
    """What the tasks raise."""


def note(path: str | None, words: str = "began") -> None:
    """Tell the test that this point was reached."""
    if path:
        with Path(path).open("a") as file:
            file.write(f"{words} {os.getpid()}\n")


@control_command()
def stands_still(state: Any, seconds: float) -> None:
    """The main loop of the worker waits."""
    time.sleep(seconds)


@control_command()
def takes_nothing(state: Any) -> None:
    """It turns, and no longer consumes, as after some reconnections."""
    state.consumer.task_consumer.cancel()


@app.task(name="succeeds")
def succeeds(path: str | None = None) -> str:
    """Nothing happens."""
    note(path)
    return "a result that is nobody's business"


@app.task(name="runs_a_job")
def runs_a_job() -> None:
    """A job of a plain program, inside of a task."""
    with missedbeat.run("inner") as run:
        run.log("from inside")
        missedbeat.current_run().metric(rows=1)
    missedbeat.current_run().log("of the task")


@app.task(name="adds")
def adds(x: int = 0, y: int = 0) -> int:
    """Something with a result."""
    return x + y


@app.task(name="raises")
def raises(*_: object) -> None:
    """An exception."""
    raise Boom("the disk is full")


@app.task(name="retries", bind=True, autoretry_for=(Boom,), retry_backoff=False, default_retry_delay=0, max_retries=2)
def retries(self: Any, until: int) -> int:
    """Fails until it has been tried so often."""
    if self.request.retries < until:
        raise Boom(f"try {self.request.retries}")
    return int(self.request.retries)


@app.task(name="ignores")
def ignores() -> None:
    """Says that there was nothing to do."""
    raise Ignore


@app.task(name="rejects")
def rejects() -> None:
    """Will have none of it."""
    raise Reject("not mine", requeue=False)


@app.task(name="requeues", bind=True, acks_late=True)
def requeues(self: Any) -> None:
    """Puts itself back once."""
    if not self.request.delivery_info.get("redelivered"):
        raise Reject("later", requeue=True)


@app.task(name="replaces", bind=True)
def replaces(self: Any) -> None:
    """Another task goes on in its place, under its id."""
    raise self.replace(succeeds.s())


@app.task(name="sleeps")
def sleeps(seconds: float, path: str | None = None) -> None:
    """Takes its time; notes its end too."""
    note(path)
    time.sleep(seconds)
    note(path, "ended")


@app.task(name="soft", soft_time_limit=1)
def soft(catch: bool = False, seconds: float = 30) -> None:
    """Runs into its soft limit."""
    try:
        time.sleep(seconds)
    except SoftTimeLimitExceeded:
        if not catch:
            raise


@app.task(name="hard", time_limit=1)
def hard(seconds: float = 30) -> None:
    """Runs into its hard limit."""
    time.sleep(seconds)


@app.task(name="killed")
def killed(after: float = 0, number: int = signal.SIGKILL, path: str | None = None) -> None:
    """Its process is killed under it, as the kernel does to who takes too much memory."""
    note(path)
    time.sleep(after)
    os.kill(os.getpid(), number)
    time.sleep(30)


@app.task(name="killed-late", acks_late=True)
def killed_late() -> None:
    """The same, where the message is kept until the end."""
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(30)


@app.task(name="killed-once", bind=True, acks_late=True, reject_on_worker_lost=True)
def killed_once(self: Any) -> None:
    """The same, where the message then comes back: the second time it lives."""
    if not self.request.delivery_info.get("redelivered"):
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(30)


@app.task(name="exits")
def exits(code: int, after: float = 0) -> None:
    """Ends its process without a word."""
    time.sleep(after)
    os._exit(code)


@app.task(name="sys-exits")
def sys_exits(code: int) -> None:
    """A script's habit."""
    sys.exit(code)


@app.task(name="interrupts")
def interrupts() -> None:
    """As Ctrl-C would."""
    raise KeyboardInterrupt


@app.task(name="no-memory")
def no_memory() -> None:
    """Celery ends the whole worker after this one."""
    raise MemoryError


@app.task(name="calls")
def calls() -> int:
    """Calls another task as the function that it is."""
    return int(adds(1, 1))


@app.task(name="composes")
def composes(what: str, parts: list[list[str]]) -> None:
    """Has a chain or a chord begin, of (task, id)."""
    *head, last = [app.signature(task, immutable=True, task_id=run) for task, run in parts]
    if what == "chain":
        chain(*head, last).apply_async()
    else:
        chord(group(head), last).apply_async()


@app.task(name="unserialisable", ignore_result=False)
def unserialisable() -> object:
    """A result that no serializer takes."""
    return object()


away = RedisBackend(app=app, url=NOWHERE)


@app.task(name="succeeds-away", backend=away, ignore_result=False)
def succeeds_away() -> None:
    """Nobody can be told that it did."""


@app.task(name="raises-away", backend=away, ignore_result=False)
def raises_away() -> None:
    """Nobody can be told that it did."""
    raise Boom("the disk is full")


if os.environ.get("TEST_INSTRUMENT", "{}") != "null":
    from missedbeat.celery import instrument

    for _ in range(int(os.environ.get("TEST_TIMES", "1"))):
        instrument(app, **json.loads(os.environ.get("TEST_INSTRUMENT", "{}")))
    gc.collect()  # nobody but Celery holds what listens now
