"""Check-ins a second, and how long each takes, beside three others in the same rounds: a bare ASGI app, the same service with a
transaction a request, PostgreSQL alone. Goal 1; and goal 6 for the web process, which is looked at meanwhile."""

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench import crowd, postgres
from bench.report import Goal, Part, table
from bench.rivals import CONNECTIONS, environment_of, rival
from bench.rounds import Spread, shown, spread, turned
from bench.service import Measured, measured
from bench.wrk import Load, drive

MONITORS = 1000
ROUNDS = 5
WARM_UP = 3  # seconds
SECONDS = {1: 2, 64: 4, 256: 3}  # for which so many connections load
EVERY = {1: 2, 64: 1, 256: 2}  # in how many rounds: each, every second
QUIET = 0.25  # of its median the bare app's rate may differ between rounds
BATCHES = (1, 10, 50, 200)
BATCH_SECONDS = 1.0
US, APART, BARE = "missedbeat", f"a transaction a request, {CONNECTIONS} connections", "bare ASGI app"
HEAD = ["connections", "what", "answers/s", "p50 ms", "p99 ms", "of bare"]
HOT = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'monitors'"

Loads = dict[tuple[str, int], list[Load]]


@dataclass(slots=True)
class Found:
    """What the rounds found. `memory`: of the web process in MB, after each round."""

    loads: Loads = field(default_factory=dict)
    alone: dict[int, list[float]] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)

    def of(self, name: str, connections: int, figure: str = "rate") -> Spread:
        """One figure over the rounds."""
        return spread(getattr(load, figure) for load in self.loads[name, connections])

    def ratio(self, other: str, connections: int) -> Spread:
        """Ours to another's rate, round by round."""
        pairs = zip(self.loads[US, connections], self.loads[other, connections], strict=True)
        return spread(ours.rate / theirs.rate for ours, theirs in pairs)

    def bad(self) -> int:
        """Answers of ours that were not 2xx, and those that never came."""
        return sum(load.refused + load.broken for (name, _), loads in self.loads.items() if name == US for load in loads)


def measure() -> Part:
    """All of it."""
    return asyncio.run(_measure())


async def _measure() -> Part:
    async with measured() as running:
        ids = await crowd.make(running, MONITORS)
        paths = crowd.write_lines(running.folder / "paths", [f"/ping/{id_}" for id_ in ids])
        with ExitStack() as stack:
            ports = {US: running.port}
            for name, kind in ((APART, "apart"), (BARE, "bare")):
                ports[name] = stack.enter_context(rival(kind, environment_of(running), running.folder / f"{kind}.log"))
            for port in ports.values():
                await drive(port, paths, 64, WARM_UP)
            found = await _rounds(running, ports, paths, ids)
        updates, hot = running.row(HOT)
        return _part(found, float(hot) / updates)


async def _rounds(running: Measured, ports: dict[str, int], paths: Path, ids: list[str]) -> Found:
    found = Found()
    for number in range(ROUNDS):
        for connections, seconds in SECONDS.items():
            if number % EVERY[connections]:
                continue
            for name, port in turned(list(ports.items()), number):
                load = await drive(port, paths, connections, seconds)
                found.loads.setdefault((name, connections), []).append(load)
        for batch in turned(BATCHES, number):
            alone = await asyncio.to_thread(postgres.rate, running.dsn, ids, batch, BATCH_SECONDS)
            found.alone.setdefault(batch, []).append(alone)
        found.memory.append(running.resident("web"))
    return found


def _part(found: Found, hot: float) -> Part:
    part = Part()
    part.say(f"Check-ins: {MONITORS:,} checks at random, medians of the rounds (lowest to highest)", table(HEAD, _rows(found)))
    batches = [[f"batches of {n}", "PostgreSQL alone", str(spread(rates))] for n, rates in found.alone.items()]
    part.say(table(["size", "what", "check-ins/s"], sorted(batches, key=lambda row: int(row[0].split()[-1]))))
    bare = found.of(BARE, 64)
    noise = (bare.high - bare.low) / bare.median
    busy = "" if noise < QUIET else "; more than on a quiet machine: hold on to ratios, not to milliseconds"
    part.say(
        f"Noise: the bare app's rate at 64 connections differs by {noise:.0%} between rounds{busy}. "
        f"HOT updates of monitors: {hot:.1%}. Memory of the web process after each round: "
        f"{', '.join(shown(mb) for mb in found.memory)} MB."
    )
    part.figures = {
        "loads": [{"what": name, "connections": n, "rounds": loads} for (name, n), loads in found.loads.items()],
        "postgres alone": found.alone, "memory of web in MB": found.memory, "hot updates": hot, "noise": noise,
    }  # fmt: skip
    part.goals = _goals(found)
    return part


def _rows(found: Found) -> list[list[str]]:
    rows = []
    for connections in SECONDS:
        for name in (US, APART, BARE):
            of_bare = found.of(name, connections).median / found.of(BARE, connections).median
            figures = [str(found.of(name, connections, figure)) for figure in ("rate", "p50", "p99")]
            rows.append([str(connections), name, *figures, shown(of_bare)])
    return rows


def _goals(found: Found) -> list[Goal]:
    flat = found.memory[-1] / found.memory[0]
    return [
        Goal(1, "check-ins at 64 connections, of a bare ASGI app", found.ratio(BARE, 64).median, 0.25, most=False),
        Goal(1, "the same, of a transaction a request", found.ratio(APART, 64).median, 3, most=False),
        Goal(1, "p99 at 64 connections", found.of(US, 64, "p99").median, 15, "ms"),
        Goal(1, "p99 at 256 connections", found.of(US, 256, "p99").median, 60, "ms"),
        Goal(1, "p50 at 1 connection", found.of(US, 1, "p50").median, 1.5, "ms"),
        Goal(1, "answers that were not 2xx", found.bad(), 0),
        Goal(6, "memory of the web process under check-ins", max(found.memory), 150, "MB"),
        Goal(6, "its memory after the last round, of that after the first", flat, 1.05),
    ]
