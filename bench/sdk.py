"""What the SDK costs: tasks a second of a worker with it, beside one without it and one with two requests a task; the time of its
hooks; its memory when nothing can be sent. Goal 7.

The variants take turns, and each is compared with the one without any watching in its own round, so that what else the machine
does meets all of them; the median of these ratios counts. The naive one is so slow that it takes part in some rounds only.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from celery import Celery

from bench.far_end import far_end
from bench.machine import MB
from bench.report import Goal, Part, table
from bench.rounds import shown, spread, turned
from tests.sdk.brokers import ROOT, Redis, tied

ROUNDS = 3
NAIVE_EVERY = 3
PATIENCE = 120.0


@dataclass(frozen=True)
class Variant:
    """A way to watch one kind of task. `goal`: how many tasks a second, of those without any watching, it must keep."""

    name: str
    watched: str
    task: str
    far_end: str
    count: int
    goal: float | None = None


VARIANTS = [
    Variant("no-op task, not watched", "none", "nothing", "0.05", 3000),
    Variant("no-op task, SDK, server takes 50 ms", "sdk", "nothing", "0.05", 3000, 0.90),
    Variant("no-op task, SDK, server hangs", "sdk", "nothing", "hang", 3000, 0.90),
    Variant("no-op task, two requests, server takes 50 ms", "naive", "nothing", "0.05", 40),
    Variant("10 ms task, not watched", "none", "ten", "0.05", 250),
    Variant("10 ms task, SDK, server takes 50 ms", "sdk", "ten", "0.05", 250, 0.95),
    Variant("10 ms task, SDK, server hangs", "sdk", "ten", "hang", 250, 0.95),
    Variant("10 ms task, two requests, server takes 50 ms", "naive", "ten", "0.05", 40),
]


def measure() -> Part:
    """All of it."""
    part = Part()
    with tempfile.TemporaryDirectory(prefix="missedbeat-bench-") as name, ExitStack() as stack:
        broker = stack.enter_context(Redis(Path(name)))
        ports = {how: stack.enter_context(far_end(how)) for how in ("0.05", "hang")}
        rates(part, broker, ports, Path(name))
        hooks(part, ports)
        memory(part, ports)
    return part


def rates(part: Part, broker: Redis, ports: dict[str, int], folder: Path) -> None:
    """Tasks a second of every variant, and of how many of those without watching in the same round."""
    rounds: list[dict[str, float]] = []
    for number in range(ROUNDS):
        variants = [variant for variant in VARIANTS if variant.watched != "naive" or number % NAIVE_EVERY == 0]
        rounds.append({v.name: execute(v, broker, ports, folder) for v in turned(variants, number)})
    rows = [compared(part, variant, rounds) for variant in VARIANTS]
    head = ["task", "watched", "tasks/s", "of not watched"]
    part.say(f"Tasks of a Celery worker, medians of {ROUNDS} rounds (lowest to highest)", table(head, rows))
    part.figures["tasks/s"] = rounds


def compared(part: Part, variant: Variant, rounds: list[dict[str, float]]) -> list[str]:
    """A line about it; its goal, where it has one."""
    (base,) = [each.name for each in VARIANTS if each.task == variant.task and each.watched == "none"]
    took_part = [found for found in rounds if variant.name in found]
    ratio = spread(found[variant.name] / found[base] for found in took_part)
    if variant.goal is not None:
        part.goals.append(Goal(7, f"tasks/s of not watched: {variant.name}", ratio.median, variant.goal, most=False))
    task, _, watched = variant.name.partition(", ")
    return [task, watched, shown(median(found[variant.name] for found in took_part)), str(ratio)]


def execute(variant: Variant, broker: Redis, ports: dict[str, int], folder: Path) -> float:
    """Tasks a second, from the first execution to the last, of a worker that finds all of them waiting."""
    url = broker.fresh()
    marks = folder / "marks"
    marks.unlink(missing_ok=True)
    with Celery("client", broker=url, set_as_current=False) as client:
        client.send_task("mark", [str(marks)])
        with client.producer_pool.acquire() as producer:
            for _ in range(variant.count):
                client.send_task(variant.task, producer=producer)
        client.send_task("mark", [str(marks)])
    with working(variant, url, ports[variant.far_end], folder):
        wait_for_lines(marks, 2)
    first, last = map(float, marks.read_text(encoding="utf-8").split())
    return variant.count / (last - first)


def hooks(part: Part, ports: dict[str, int]) -> None:
    """What the signals around a task take in the process that executes it, with everything that listens to them."""
    p50, p99 = told_by("bench.hooks", ports)
    part.say(f"Hook: p50 {p50:.1f} µs, p99 {p99:.1f} µs.")
    part.figures["hook in µs"] = {"p50": p50, "p99": p99}
    part.goals.append(Goal(7, "p99 of a hook of the SDK", p99, 100, "µs"))


def memory(part: Part, ports: dict[str, int]) -> None:
    """What the SDK holds when 10,000 events wait for a server that hangs."""
    queued, held = told_by("bench.memory", ports)
    part.say(f"Memory of the SDK: {held / MB:.1f} MB with {queued:,.0f} events waiting.")
    part.figures["memory in MB"] = {"events": queued, "held": held / MB}
    part.goals += [
        Goal(7, "memory of the SDK with these events waiting", held / MB, 5, "MB"),
        Goal(7, "events that wait where nothing can be sent", queued, 10_000, most=False),
    ]


def told_by(module: str, ports: dict[str, int]) -> list[float]:
    """The numbers that a process prints which is instrumented and has a server that hangs."""
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environment("sdk", "memory://", ports["hang"]),
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return [float(number) for number in done.stdout.split()]


@contextmanager
def working(variant: Variant, broker: str, port: int, folder: Path) -> Iterator[None]:
    """A prefork worker of two processes."""
    command = [sys.executable, "-m", "celery", "-A", "bench.shop", "worker", "-c", "2", "-l", "ERROR", "--without-gossip"]
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            tied(*command), cwd=ROOT, env=environment(variant.watched, broker, port),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield
        worker.terminate()
        worker.wait(PATIENCE)
    finally:
        worker.kill()
        worker.wait()


def environment(watched: str, broker: str, port: int) -> dict[str, str]:
    """What bench.shop reads."""
    url = f"http://127.0.0.1:{port}"
    ours = {"BENCH_VARIANT": watched, "BENCH_BROKER": broker, "BENCH_URL": url, "MISSEDBEAT_URL": url, "MISSEDBEAT_KEY": "a-key"}
    return {**{name: value for name, value in os.environ.items() if not name.startswith("MISSEDBEAT_")}, **ours}


def wait_for_lines(path: Path, count: int) -> None:
    """Return when the file has so many."""
    until = time.monotonic() + PATIENCE
    while not path.exists() or len(path.read_text(encoding="utf-8").split()) < count:
        if time.monotonic() > until:
            raise TimeoutError("the tasks were not executed; see worker.log")
        time.sleep(0.05)
