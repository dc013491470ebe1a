"""What the SDK costs: tasks a second of a worker with it, beside one without it and one with two requests a task; the time of its
hooks; its memory when nothing can be sent. `make bench`; ends with 1 when a goal is missed.

The variants take turns, and each is compared with the one without any watching in its own round, so that what else the machine
does meets all of them; the median of these ratios counts. The naive one is so slow that it takes part in some rounds only.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from celery import Celery

from tests.sdk.brokers import ROOT, Redis, tied

ROUNDS = 7
NAIVE_EVERY = 3
PATIENCE = 120.0
MB = 1_000_000


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


def main() -> int:
    """Measure everything and print it; 1 when a goal is missed."""
    with tempfile.TemporaryDirectory(prefix="missedbeat-bench-") as name, far_ends() as ports, Redis(Path(name)) as broker:
        missed = rates(broker, ports, Path(name)) + hooks(ports) + memory(ports)
    print(f"\n{len(missed)} of the goals missed: {', '.join(missed)}" if missed else "\nAll goals are met.")
    return 1 if missed else 0


def rates(broker: Redis, ports: dict[str, int], folder: Path) -> list[str]:
    """Tasks a second of every variant, and of how many of those without watching in the same round; who misses the goal."""
    rounds: list[dict[str, float]] = []
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
        variants = [variant for variant in VARIANTS if variant.watched != "naive" or number % NAIVE_EVERY == 0]
        turn = number % len(variants)
        rounds.append({v.name: measure(v, broker, ports, folder) for v in variants[turn:] + variants[:turn]})
    print(f"{'medians of ' + str(ROUNDS) + ' rounds':46} {'tasks/s':>9} {'ratio':>7}   lowest to highest")
    return [variant.name for variant in VARIANTS if not reaches(variant, rounds)]


def reaches(variant: Variant, rounds: list[dict[str, float]]) -> bool:
    """Print a line about it; whether it keeps to its goal."""
    (base,) = [each.name for each in VARIANTS if each.task == variant.task and each.watched == "none"]
    took_part = [found for found in rounds if variant.name in found]
    ratios = [found[variant.name] / found[base] for found in took_part]
    rate, ratio = median(found[variant.name] for found in took_part), median(ratios)
    goal = f"   goal {variant.goal:.2f}" if variant.goal else ""
    print(f"{variant.name:46} {rate:9.1f} {ratio:7.3f}   {min(ratios):.2f} to {max(ratios):.2f}{goal}")
    return variant.goal is None or ratio >= variant.goal


def measure(variant: Variant, broker: Redis, ports: dict[str, int], folder: Path) -> float:
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


def hooks(ports: dict[str, int]) -> list[str]:
    """What the signals around a task take in the process that executes it, with everything that listens to them."""
    p50, p99 = told_by("bench.hooks", ports)
    print(f"\nhook: p50 {p50:.1f} µs, p99 {p99:.1f} µs   goal p99 100 µs")
    return ["hook"] if p99 >= 100 else []


def memory(ports: dict[str, int]) -> list[str]:
    """What the SDK holds when 10,000 events wait for a server that hangs."""
    queued, held = told_by("bench.memory", ports)
    print(f"memory: {held / MB:.1f} MB with {queued:.0f} events waiting   goal 5 MB with 10000")
    return ["memory"] if held > 5 * MB or queued < 10_000 else []


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


@contextmanager
def far_ends() -> Iterator[dict[str, int]]:
    """The ports of a server that takes 50 ms and of one that hangs."""
    started = {
        how: subprocess.Popen(tied(sys.executable, "-m", "bench.far_end", how), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for how in ("0.05", "hang")
    }
    try:
        yield {how: int((server.stdout or sys.stdin).readline()) for how, server in started.items()}
    finally:
        for server in started.values():
            server.kill()
            server.wait()


def wait_for_lines(path: Path, count: int) -> None:
    """Return when the file has so many."""
    until = time.monotonic() + PATIENCE
    while not path.exists() or len(path.read_text(encoding="utf-8").split()) < count:
        if time.monotonic() > until:
            raise TimeoutError("the tasks were not executed; see worker.log")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
