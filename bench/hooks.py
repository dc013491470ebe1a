"""Prints what the signals around a task take, in microseconds: half of them at most, and 99 of 100. In a child of a prefork pool
that executes one task after the other, while the main process reads what it hands over."""

import os
import threading
import time
import uuid
from statistics import median

from celery.app import trace

from bench.shop import HANDLE, app, timed

ROUNDS = 5
TASKS = 3000


def main() -> None:
    """Fork, as the pool does; the child measures."""
    reporter = HANDLE.reporter
    assert reporter is not None
    reporter.open_relay()
    child = os.fork()
    if child:
        threading.Thread(target=read_for_ever, daemon=True).start()
        os.waitpid(child, 0)
        return
    reporter.enter_child()
    rounds = [execute() for _ in range(ROUNDS)]
    print(*(median(values) for values in zip(*rounds, strict=True)), flush=True)
    os._exit(0)


def read_for_ever() -> None:
    """What the main process does, as often as it does it."""
    while HANDLE.reporter is not None:
        HANDLE.reporter.drain()
        time.sleep(0.1)


def execute() -> tuple[float, float]:
    """One round."""
    taken: list[int] = []
    send_prerun, send_postrun = trace.send_prerun, trace.send_postrun
    trace.send_prerun, trace.send_postrun = timed(send_prerun, taken), timed(send_postrun, taken)
    execute_one = trace.build_tracer("nothing", app.tasks["nothing"], app=app)
    for _ in range(TASKS):
        run = str(uuid.uuid4())
        headers = {"id": run, "task": "nothing", "retries": 0, "delivery_info": {"routing_key": "celery"}, "eta": None}
        execute_one(run, (), {}, {**headers, "missedbeat": {"e": "nightly", "p": int(time.time() * 1000)}})
    trace.send_prerun, trace.send_postrun = send_prerun, send_postrun
    taken.sort()
    return taken[len(taken) // 2] / 1000, taken[len(taken) * 99 // 100] / 1000


if __name__ == "__main__":
    main()
