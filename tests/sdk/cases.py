"""The cases of the truth table: how each is brought about. What the SDK says of it stands in golden.txt under the same number.

`QUIET` need one worker between them, which lives through it all; each of `ENDINGS` ends a worker of its own.
"""

import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from celery import Celery

from tests.sdk.celery_processes import PATIENCE, CeleryProcess, wait_until
from tests.sdk.collector import Collector


@dataclass
class Stage:
    """Where cases are played: a worker that is told of, the program that sends, and who hears what the SDK says."""

    app: Celery
    worker: CeleryProcess
    collector: Collector
    folder: Path
    queue: str
    pool: str = "prefork"
    runs: list[str] = field(default_factory=list)

    def send(self, task: str, *args: Any, **options: Any) -> str:
        """Send a task; its id."""
        given = options.pop("task_id", None) or str(uuid.uuid4())
        self.app.send_task(task, args, task_id=given, queue=self.queue, **options)
        self.runs.append(given)
        return str(given)

    def began(self, task: str, *args: Any, **options: Any) -> str:
        """Send a task that notes its beginning in a file, its last argument; return when it did. Its id."""
        path = self.folder / f"{uuid.uuid4()}.began"
        run = self.send(task, *args, str(path), **options)
        wait_until(path.exists, why=self.worker.words)
        return run

    def lasting(self, end: str) -> float:
        """Seconds that a task goes on by itself which this end is to come before; few in a pool where it does not come."""
        return 30 if end in ENFORCED[self.pool] else 2

    def revoke(self, run: str, *, number: str | None = None) -> None:
        """Cancel it; with `number`, by sending that signal to who executes it."""
        self.app.control.revoke(run, terminate=number is not None, signal=number)


Play = Callable[[Stage], object]
SHORT = 10.0

ENFORCED = {
    "prefork": {"soft limit", "hard limit", "terminate", "cold", "soft"},
    "threads": set(),
    "solo": {"cold", "soft"},
    "gevent": {"hard limit", "terminate", "cold"},
    "eventlet": {"terminate", "cold"},
}
"""What a pool can do to a running task: limits, a revocation, a cold or soft shutdown. The others leave it alone."""
PREFORK = ("prefork",)
# There `sys.exit` ends the worker, and up to Celery 5.5 a result backend that is away, where the broker is RabbitMQ; and whether
# a revocation is heard in time depends on what runs before it.
NOT_SOLO = tuple(pool for pool in ENFORCED if pool != "solo")


@dataclass(frozen=True)
class Case:
    """One case. `options` and `conf` are those of a worker of its own."""

    number: str
    title: str
    play: Play
    options: tuple[str, ...] = ()
    conf: dict[str, Any] = field(default_factory=dict)
    pools: tuple[str, ...] = tuple(ENFORCED)

    @property
    def queue(self) -> str:
        """The queue of its worker, if it has one of its own."""
        return self.number.replace(" ", "-").replace("^", "")

    @property
    def head(self) -> str:
        """How its block in golden.txt begins."""
        return f"{self.number} {self.title}"


def sends(task: str, *args: Any, **options: Any) -> Play:
    """A case that is one message."""
    return lambda stage: stage.send(task, *args, **options)


def revokes(number: str | None) -> Play:
    """A case in which a running task is cancelled."""
    return lambda stage: stage.revoke(stage.began("sleeps", stage.lasting("terminate") if number else 2), number=number)


def limited(task: str, *args: Any) -> Play:
    """A task that runs into its limit, where there is any."""
    return lambda stage: stage.send(task, *args, stage.lasting(f"{task} limit"))


def expires(seconds: float, **options: Any) -> Play:
    """A message that is too old after so many seconds; without the expiry of RabbitMQ itself, which may take it away first."""

    def play(stage: Stage) -> None:
        run = str(uuid.uuid4())
        stage.runs.append(run)
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        message = stage.app.amqp.as_task_v2(run, "succeeds", expires=until, **options)
        with stage.app.producer_pool.acquire() as producer:
            stage.app.amqp.send_task_message(producer, "succeeds", message, queue=stage.queue)

    return play


def twice(stage: Stage) -> None:
    """The message comes again while its first execution goes on, as after Redis' visibility timeout."""
    run = stage.began("sleeps", 1)
    stage.app.send_task("sleeps", (1,), task_id=run, queue=stage.queue)


def garbage(stage: Stage) -> None:
    """A message that is no task."""
    with stage.app.producer_pool.acquire() as producer:
        producer.publish({"not": "a task"}, routing_key=stage.queue, serializer="json")


def composes(what: str, *heads: str) -> Play:
    """A task has these begin in that form; it is itself not looked at. The last is the chain's end, the chord's body."""

    def play(stage: Stage) -> None:
        runs = [str(uuid.uuid4()) for _ in heads]
        stage.app.send_task("composes", (what, list(zip(heads, runs, strict=True))), queue=stage.queue)
        stage.runs.extend(runs)

    return play


def later_revoked(stage: Stage) -> None:
    """Cancelled while it waits in the worker for its time; said when that has come."""
    run = stage.send("succeeds", countdown=5)
    wait_until(lambda: run in stage.worker.words())
    stage.revoke(run)


def reserved_revoked(stage: Stage) -> None:
    """Cancelled while it waits in the worker for a free process."""
    stage.began("sleeps", 2)
    run = stage.send("succeeds")
    wait_until(lambda: run in stage.worker.words())
    stage.revoke(run)


def spared_and_killed(stage: Stage) -> None:
    """Of a process that was sent a signal for one task, billiard takes every later death for one on purpose."""
    stage.revoke(stage.began("sleeps", 30), number="SIGUSR1")
    stage.send("killed", 0.2)


def idle_child_killed(stage: Stage) -> None:
    """A process of the pool dies while it has nothing to do."""
    before = {child.pid for child in stage.worker.children()}
    for child in stage.worker.children():
        child.kill()
    wait_until(lambda: len({child.pid for child in stage.worker.children()} - before) == len(before))
    stage.send("succeeds")


def stopped(*numbers: int, end: str = "", seconds: float = 1.5, between: float = 0.0) -> Play:
    """A running task's worker is sent these signals; `end` is what they are to bring about before the task is through."""

    def play(stage: Stage) -> None:
        stage.began("sleeps", stage.lasting(end) if end else seconds)
        time.sleep(0.5)  # by now the main process knows as well
        for number in numbers:
            stage.worker.send(number)
            time.sleep(between)
        stage.worker.process.wait(PATIENCE)

    return play


def ends_by_itself(stage: Stage) -> None:
    """Celery takes a MemoryError for the end of the world; only the newest gets there."""
    stage.send("no-memory")
    with suppress(subprocess.TimeoutExpired):
        stage.worker.process.wait(SHORT)


def relayed_first(stage: Stage) -> None:
    """The host is gone: nobody says anything any more. What was relayed before has been sent."""
    run = stage.began("sleeps", 30)
    stage.collector.wait_for(lambda events: any(run in str(e.get("active")) for e in events if e["type"] == "worker.beat"))
    stage.worker.kill()


QUIET = [
    Case("1", "success", sends("succeeds")),
    Case("2", "exception", sends("raises", "secret")),
    Case("3", "autoretry, then success", sends("retries", 1)),
    Case("4", "retries exhausted", sends("retries", 9)),
    Case("5", "Ignore", sends("ignores")),
    Case("6", "Reject(requeue=False)", sends("rejects")),
    Case("7", "Reject(requeue=True), then success", sends("requeues")),
    Case("8", "replaced by another task", sends("replaces")),
    Case("9", "expired on arrival", expires(-60)),
    Case("10", "expires while it waits for its time", expires(1, countdown=1.5)),
    Case("11", "waits for its time", sends("succeeds", countdown=1)),
    Case("13", "revoked before its time", later_revoked, pools=NOT_SOLO),
    Case("14", "revoked while it runs, not terminated", revokes(None)),
    Case("15", "terminated by SIGTERM", revokes("SIGTERM")),
    Case("16", "terminated by SIGKILL", revokes("SIGKILL")),
    Case("18", "soft limit", limited("soft", False)),
    Case("19", "soft limit, caught", limited("soft", True)),
    Case("20", "hard limit", limited("hard")),
    Case("21", "child killed", sends("killed", 0.2), pools=PREFORK),
    Case("21 late", "child killed, acks_late", sends("killed-late"), pools=PREFORK),
    Case("21 segv", "child broken", sends("killed", 0.2, int(signal.SIGSEGV)), pools=PREFORK),
    Case("22", "child killed, reject_on_worker_lost: the message comes again", sends("killed-once"), pools=PREFORK),
    Case("23", "os._exit(7)", sends("exits", 7), pools=PREFORK),
    Case("24", "sys.exit(3)", sends("sys-exits", 3), pools=NOT_SOLO),
    Case("24 ^C", "KeyboardInterrupt", sends("interrupts"), pools=NOT_SOLO),
    Case("34", "result backend away, success", sends("succeeds-away"), pools=NOT_SOLO),
    Case("35", "result backend away, exception", sends("raises-away"), pools=NOT_SOLO),
    Case("36", "a result that no serializer takes", sends("unserialisable")),
    Case("37", "a task that the worker does not know", sends("unheard-of", headers={"missedbeat": {"e": "nightly"}})),
    Case("38", "a message that is no task", garbage),
    Case("39", "arguments that do not fit", sends("adds", 1, 2, 3)),
    Case("45 chain", "chain", composes("chain", "adds", "succeeds")),
    Case("45 chord", "group and chord", composes("chord", "adds", "adds", "succeeds")),
    Case("46", "chord whose header fails", composes("chord", "adds", "raises", "succeeds")),
    Case("48", "the message comes twice", twice),
]

ENDINGS = [
    Case("12", "revoked while it waits for a free process", reserved_revoked, ("-c", "1")),
    Case(
        "17", "terminated by SIGUSR1; the child lives on and is killed under its next task", spared_and_killed, ("-c", "1"),
        pools=PREFORK,
    ),
    Case("25", "MemoryError: the whole worker ends", ends_by_itself, pools=PREFORK),
    Case("26", "main process killed", relayed_first),
    Case("27", "warm shutdown", stopped(signal.SIGTERM)),
    Case("28", "warm shutdown, then killed", stopped(signal.SIGTERM, signal.SIGKILL, seconds=30, between=2)),
    Case("29", "cold shutdown", stopped(signal.SIGQUIT, end="cold")),
    Case("30", "Ctrl-C twice", stopped(signal.SIGINT, signal.SIGINT, end="cold", between=0.5)),
    Case("31", "soft shutdown, the task ends in time", stopped(signal.SIGQUIT), conf={"worker_soft_shutdown_timeout": 10}),
    Case(
        "31 long", "soft shutdown, the task takes longer", stopped(signal.SIGQUIT, end="soft"),
        conf={"worker_soft_shutdown_timeout": 2},
    ),
    Case(
        "32", "max-tasks-per-child", lambda stage: [stage.send("succeeds") for _ in range(3)], ("--max-tasks-per-child", "1"),
        pools=PREFORK,
    ),
    Case("33", "idle children killed", idle_child_killed, pools=PREFORK),
]  # fmt: skip


def played(cases: list[Case], pool: str) -> list[Case]:
    """Those that a worker with this pool lives to tell of."""
    return [case for case in cases if pool in case.pools]
