"""What a worker's main process says of its own life: does its loop turn, is it connected, does it take what waits for it?"""

from __future__ import annotations

import time
from typing import Any

from celery.worker import state

from missedbeat.celery.vital import Broker, Facts, File, Verdict, judge_worker

NOT_FOR_ALL = ("x-single-active-consumer", "x-priority")
"""Of queues whose messages may wait while this worker is idle, and that is right."""
IN_ORDER = ".fifo"
"""So ends the name of a queue of SQS whose messages may wait for the one before them, which another worker has."""


class WorkerVital:
    """Asked by its thread every few seconds. Nothing waits for the loop: it is asked to make a mark when it comes by."""

    def __init__(self, app: Any, path: str, patience: float) -> None:
        self._app, self._patience = app, patience
        self._broker = Broker(app, patience, self._queues)
        self.consumer: Any = None
        self._pool = ""
        self._asked_at: float | None = None
        self._waiting_since: float | None = None
        self.taken = 0
        self._taken_before = -1
        self.is_stopping = False
        self.file = File(path, "worker", patience, self.judge)

    def ready(self, consumer: Any) -> None:
        """It takes tasks."""
        self.consumer, self._pool = consumer, type(consumer.pool).__module__.rpartition(".")[2]
        self.file.start()

    def stop(self) -> None:
        """It was told to stop. Called in a signal handler."""
        self.is_stopping = True
        self.file.write_now()

    def judge(self) -> Verdict:
        """How it is now."""
        now = time.monotonic()
        self._ask_the_loop(now)
        connected = bool(getattr(self.consumer.connection, "connected", False))
        busy = self._pool == "solo" and bool(state.active_requests)
        idle, stands = self._is_idle() and not busy, _since(self._asked_at, now)
        if not self.is_stopping and (idle or not connected or stands > self._patience / 2):
            self._broker.ask()
        else:
            self._broker.forget()
        waits = next((queue for queue, depth in self._broker.depths.items() if depth), "") if idle and connected else ""
        self._waiting_since = (self._waiting_since or now) if waits else None
        facts = Facts(
            stands, connected, busy, self.is_stopping, _since(self._broker.reached_since, now), waits,
            _since(self._waiting_since, now),
        )  # fmt: skip
        return judge_worker(facts, self._patience)

    def _ask_the_loop(self, now: float) -> None:
        if self._asked_at is None:
            self._asked_at = now
            self.consumer.call_soon(self._turned)

    def _turned(self) -> None:
        self._asked_at = None

    def _is_idle(self) -> bool:
        """Whether it has room, holds nothing back, and has taken nothing since it was asked last."""
        before, self._taken_before = self._taken_before, self.taken
        running = len(state.active_requests)
        has_room = running < max(int(getattr(self.consumer.pool, "num_processes", 1) or 1), 1)
        holds_back = len(state.reserved_requests) > running or self._waits_for_its_time()
        return before == self.taken and has_room and not holds_back

    def _waits_for_its_time(self) -> bool:
        """Whether it has taken what may not begin yet, and may take no more for that: because of rate limits, or of
        `worker_eta_task_limit`."""
        if any(bucket is not None and bucket.contents for bucket in list(self.consumer.task_buckets.values())):
            return True
        return bool(getattr(self._app.conf, "worker_eta_task_limit", None)) and bool(getattr(state, "scheduled_requests", True))

    def _queues(self) -> list[str]:
        """The queues that it takes from, without those whose messages need not be its own."""
        queues = dict(self._app.amqp.queues.consume_from).values()
        return [str(queue.name) for queue in queues if not _is_for_some(queue)]


def _is_for_some(queue: Any) -> bool:
    said = {**(queue.queue_arguments or {}), **(getattr(queue, "consumer_arguments", None) or {})}
    return queue.name.endswith(IN_ORDER) or any(name in said for name in NOT_FOR_ALL)


def _since(at: float | None, now: float) -> float:
    return 0.0 if at is None else max(0.0, now - at)
