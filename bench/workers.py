"""Several web processes on one database: check-ins a second with one, two and three of them, and what is spent: the cores, by
whom, or PostgreSQL."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import crowd
from bench.report import Part, table
from bench.rounds import spread, turned
from bench.service import Measured, measured
from bench.wrk import Load, drive

WORKERS = (1, 2, 3)
SECONDS = {64: 3, 256: 2}  # for which so many connections load
ROUNDS = 2
KINDS, MONITORS = 20, 1000
WARM_UP = 2  # seconds
SPENT = 0.8  # of the cores: more cannot be had of processes that wait for each other
HEAD = ["connections", "web processes", "answers/s", "p99 ms", "of one", "cores busy", "web", "PostgreSQL", "wrk"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A load, and the share of all cores that was busy meanwhile, and by whom."""

    load: Load
    busy: float
    web: float
    postgres: float
    wrk: float


def measure() -> Part:
    """All of it."""
    return asyncio.run(_measure())


async def _measure() -> Part:
    found: dict[tuple[int, int], list[Loaded]] = {}
    async with AsyncExitStack() as stack:
        running = {n: await stack.enter_async_context(measured(MISSEDBEAT_WORKERS=str(n))) for n in WORKERS}
        paths = {n: await _paths(running[n]) for n in WORKERS}
        for n in WORKERS:
            await drive(running[n].port, paths[n], 64, WARM_UP)
        for number in range(ROUNDS):
            for connections, seconds in SECONDS.items():
                for n in turned(WORKERS, number):
                    loaded = await _loaded(running[n], paths[n], connections, seconds)
                    found.setdefault((connections, n), []).append(loaded)
    return _part(found)


async def _paths(running: Measured) -> Path:
    for one in await crowd.make(running, KINDS):
        crowd.copy(running, one, MONITORS // KINDS - 1)
    rows = running.database.execute("SELECT id FROM monitors").fetchall()
    return crowd.write_lines(running.folder / "paths", [f"/ping/{id_}" for (id_,) in rows])


async def _loaded(running: Measured, paths: Path, connections: int, seconds: int) -> Loaded:
    before = list(_spent(running))
    load = await drive(running.port, paths, connections, seconds)
    idle, had, *theirs = (after - was for after, was in zip(_spent(running), before, strict=True))
    web, postgres, wrk = (each / had for each in theirs)
    return Loaded(load, 1 - idle / had, web, postgres, wrk)


def _spent(running: Measured) -> Iterator[float]:
    """Seconds of processor time until now: idle, all there was, of web processes, of PostgreSQL, of our children that ended."""
    machine = psutil.cpu_times()
    yield machine.idle + getattr(machine, "iowait", 0.0)
    yield sum(machine) - getattr(machine, "guest", 0.0) - getattr(machine, "guest_nice", 0.0)
    yield sum(_of(process) for process in running.service.children("web"))
    (postmaster,) = running.service.children("postgres")
    yield _of(postmaster) + sum(_of(process) for process in postmaster.children())
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    yield ended.ru_utime + ended.ru_stime


def _of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _part(found: dict[tuple[int, int], list[Loaded]]) -> Part:
    part = Part()
    part.say(
        f"Web processes on one database: {MONITORS:,} checks at random, medians of the rounds (lowest to highest), and shares of "
        "all cores",
        table(HEAD, [_row(found, connections, n) for connections, n in found]),
    )
    part.say(*(_verdict(found, connections) for connections in SECONDS))
    part.figures = {"loads": [{"connections": c, "web processes": n, "rounds": loads} for (c, n), loads in found.items()]}
    return part


def _row(found: dict[tuple[int, int], list[Loaded]], connections: int, n: int) -> list[str]:
    those = found[connections, n]
    ratios = (ours.load.rate / one.load.rate for ours, one in zip(those, found[connections, 1], strict=True))
    shares = [f"{spread(getattr(each, name) for each in those).median:.0%}" for name in ("busy", "web", "postgres", "wrk")]
    rate, p99 = spread(each.load.rate for each in those), spread(each.load.p99 for each in those)
    return [str(connections), str(n), str(rate), str(p99), str(spread(ratios)), *shares]


def _verdict(found: dict[tuple[int, int], list[Loaded]], connections: int) -> str:
    """Which is spent with the most processes."""
    most = max(WORKERS)
    those = found[connections, most]
    busy, web, postgres = (spread(getattr(each, name) for each in those).median for name in ("busy", "web", "postgres"))
    if busy < SPENT:
        return f"{connections} connections: with {most}, {busy:.0%} of the cores are busy; PostgreSQL is waited for."
    user = "the web processes" if web > postgres else "PostgreSQL"
    return f"{connections} connections: with {most} the cores are spent ({busy:.0%}), most of them on {user}."
