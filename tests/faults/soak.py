"""`make soak MINUTES=60`: everything under tests/faults in random order and with random seeds, until the time is up; between them
a spell of plain work, in which nothing of our processes may grow. A failure is told with its seed, and the rest goes on."""

import asyncio
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import cast

import psutil
import psycopg
from sqlalchemy import QueuePool

from app.main import Web
from app.settings import Settings
from app.worker import Worker
from tests.database import database
from tests.faults import (
    test_crowds,
    test_database_line,
    test_failpoints,
    test_full_disk,
    test_kills,
    test_margin,
    test_simulation,
)
from tests.faults.ending import hold, settle
from tests.faults.history import Crowd, History
from tests.faults.jobs import Hook, crowded
from tests.faults.proxy import Proxy
from tests.faults.rig import KEY, Rig, measured, rigged, seed
from tests.world import living

GROWN = 1.15  # times what it was once it was warm
SPARE = 10_000_000  # bytes


@dataclass(frozen=True)
class Weight:
    """What a process holds: bytes of memory, files and sockets."""

    memory: int
    files: int


def weigh(rig: Rig) -> dict[str, Weight]:
    """Each part now."""
    found = {}
    for part, pid in rig.pids.items():
        process = psutil.Process(pid)
        found[part] = Weight(process.memory_info().rss, process.num_fds())
    return found


def pooled(rig: Rig) -> int:
    """How many connections the pools of one web and one worker process may hold."""
    settings = Settings(database_url=rig.settings["DATABASE_URL"], secret_key=KEY, _env_file=None)
    engines = [*Web(settings, rig.server.dsn)._engines, *Worker(settings, rig.server.dsn)._engines]
    return sum(cast(QueuePool, engine.pool).size() for engine in engines)


def growth(folder: Path, seconds: float) -> None:
    """Plain work; a third of it to get warm, and nothing more than that at the end."""
    seed()
    history, hook = History(), Hook()
    with rigged(folder) as rig:
        rig.receive(hook)
        crowd = Crowd(rig.port, history)
        rig.background.run(crowded(rig, crowd, hook, lasting=seconds))
        time.sleep(seconds / 3)
        warm = weigh(rig)
        time.sleep(seconds * 2 / 3)
        late = weigh(rig)
        most = pooled(rig)
        (backends,) = rig.rows("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'missedbeat-%'")[0]
        rig.background.run(crowd.stop())
        settle(rig)
        hold(rig, history, hook)
    measured(f"{len(history.said)} check-ins; {warm} became {late}; {backends} backends of {most}")
    for part, before in warm.items():
        assert late[part].memory <= before.memory * GROWN + SPARE, f"{part} grows"
        assert late[part].files <= before.files + 12, f"{part} leaks files"
    assert backends <= most


def overload(folder: Path) -> None:
    """See test_crowds."""
    seed()
    with rigged(folder, through=(proxy := Proxy())) as rig:
        test_crowds.overload(rig, proxy, 60)


def strikes(folder: Path) -> None:
    """See test_failpoints."""
    every = list(product(test_failpoints.ALL, ("kill", "stop", "raise")))
    test_failpoints.struck(folder, random.sample(every, 10))


def stalls(_: Path) -> None:
    """See test_margin."""
    with database() as dsn:
        asyncio.run(test_margin.hold(dsn, 3000, 150))


def virtual_days(_: Path) -> None:
    """See test_simulation."""

    async def live(dsn: str) -> None:
        async with living(dsn) as world:
            await test_simulation.simulate(test_simulation.Tables(world), 500, 5)

    with database() as dsn:
        asyncio.run(live(dsn))


CHAPTERS: dict[str, Callable[[Path], object]] = {
    "kills and freezes": lambda folder: test_kills.under_fire(
        folder, (random.uniform(2, 20), random.uniform(2, 20)), kills=140, within=120
    ),
    "killed senders": lambda folder: test_kills.senders_killed(folder, 60),
    "a bad line": lambda folder: test_database_line.troubled(folder, 3),
    "failpoints": strikes,
    "a full disk": test_full_disk.test_a_full_disk_refuses_and_loses_nothing,
    "overload": overload,
    "stalls at deadlines": stalls,
    "virtual days": virtual_days,
}


def chapter(name: str, act: Callable[[Path], object]) -> bool:
    """One of them, in a folder of its own; whether it went well."""
    began = time.monotonic()
    print(f"\n== {name}", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="missedbeat-soak-") as folder:
            act(Path(folder))
    except (AssertionError, OSError, RuntimeError, psutil.Error, psycopg.Error):
        traceback.print_exc()
        print(f"== {name}: FAILED after {time.monotonic() - began:.0f} s", flush=True)
        return False
    print(f"== {name}: held for {time.monotonic() - began:.0f} s", flush=True)
    return True


def soak(minutes: float) -> int:
    """Plain work first, then everything in random order, until no time is left; returns how many chapters failed."""
    end = time.monotonic() + minutes * 60
    told: dict[str, list[bool]] = {}
    queue: list[str] = []
    told["growth"] = [chapter("growth", lambda folder: growth(folder, min(120.0, max(15.0, minutes * 20))))]
    while time.monotonic() < end:
        if not queue:
            queue = ["growth", *random.sample(list(CHAPTERS), len(CHAPTERS))]
        name = queue.pop()
        act = CHAPTERS.get(name, lambda folder: growth(folder, 120.0))
        told.setdefault(name, []).append(chapter(name, act))
    print("\nSummary: chapter, held, failed")
    for name, results in told.items():
        print(f"  {name:<20} {results.count(True):>4} {results.count(False):>4}")
    return sum(results.count(False) for results in told.values())


if __name__ == "__main__":
    sys.exit(min(1, soak(float(sys.argv[1]) if sys.argv[1:] else 60.0)))
