"""The full minute: thousands of checks of one period, each pinged once, all within two seconds, by clients that do not wait for
each other. Beside it the same with `wake_at` written by every ping, which leaves nothing to put off for the sweep."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from statistics import quantiles

import psutil

from bench import crowd
from bench.report import Part, table
from bench.rivals import environment_of, rival
from bench.rounds import Spread, spread
from bench.service import Measured, measured

MONITORS = 6000
WITHIN = 2.0  # seconds in which all of them are pinged
PERIOD, GRACE = 10, 2  # seconds
BURSTS = 6  # that count, in turns; one before them does not
TRIES = 4
LAZY, EAGER = "wake_at is put off by the sweep", "wake_at is written by each ping"
STATE = """
    SELECT n_tup_upd, n_tup_hot_upd, pg_current_wal_lsn() - '0/0'::pg_lsn FROM pg_stat_user_tables WHERE relname = 'monitors'"""
FLUSH = "SELECT pg_stat_force_next_flush()"
HEAD = ["what", "pings", "200 at once", "503", "p50 s", "p99 s", "web s", "PostgreSQL s", "worker s", "not HOT", "log MB"]


@dataclass(frozen=True, slots=True)
class Burst:
    """What came of one. `first`: by status, what each ping was answered at first; `lost`: pings that nobody took in the end.
    `p50`, `p99`: seconds from when a ping was due until it was taken. Processor seconds, updates of monitors that touched an
    index, and MB of log until the next burst."""

    first: dict[int, int]
    lost: int
    p50: float
    p99: float
    web: float
    postgres: float
    worker: float
    not_hot: int
    log: float


def measure() -> Part:
    """All of it."""
    return asyncio.run(_measure())


async def _measure() -> Part:
    found: dict[str, list[Burst]] = {LAZY: [], EAGER: []}
    async with measured(MISSEDBEAT_MIN_PERIOD="1") as running:
        one = await running.api("POST", "checks/", {"name": "job", "timeout": PERIOD, "grace": GRACE})
        crowd.copy(running, one["uuid"], MONITORS - 1)
        running.database.execute("VACUUM ANALYZE monitors")
        ids = [str(id_) for (id_,) in running.database.execute("SELECT id FROM monitors").fetchall()]
        with rival("eager", environment_of(running), running.folder / "eager.log") as port:
            doors = {LAZY: running.port, EAGER: port}
            for number in range(BURSTS + 1):
                name = LAZY if number % 2 else EAGER
                burst = await _burst(running, doors[name], ids)
                if number:
                    found[name].append(burst)
    return _part(found)


async def _burst(running: Measured, port: int, ids: list[str]) -> Burst:
    """All pings, and then what remains of their period."""
    began, before = time.monotonic(), _spent(running, port)
    heard = await asyncio.gather(*(_ping(port, id_, began + WITHIN * n / len(ids)) for n, id_ in enumerate(ids)))
    await asyncio.sleep(max(0.0, began + PERIOD - time.monotonic()))
    web, postgres, worker, updated, hot, log = (b - a for a, b in zip(before, _spent(running, port), strict=True))
    taken = [took for _, took in heard if took is not None]
    cuts = quantiles(taken, n=100)
    first = dict(Counter(status for status, _ in heard))
    lost = len(ids) - len(taken)
    return Burst(first, lost, cuts[49], cuts[98], web, postgres, worker, int(updated - hot), log / 1e6)


async def _ping(port: int, id_: str, due: float) -> tuple[int, float | None]:
    """As curl does it, again after a second where it is refused: the first answer's status (0 for none), and the seconds until it
    was taken."""
    await asyncio.sleep(max(0.0, due - time.monotonic()))
    first: int | None = None
    for _ in range(TRIES):
        status = await _ask(port, id_)
        first = status if first is None else first
        if status == 200:
            return first, time.monotonic() - due
        await asyncio.sleep(1)
    return first or 0, None


async def _ask(port: int, id_: str) -> int:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /ping/{id_} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
    except OSError:
        return 0
    return int(answer[9:12] or 0)


def _spent(running: Measured, port: int) -> list[float]:
    """Until now: processor seconds of the web process, of PostgreSQL and of the worker, updates of monitors, of them HOT, log."""
    (postmaster,) = running.service.children("postgres")
    (worker,) = running.service.children("worker")
    running.database.execute(FLUSH)
    state = [float(figure) for figure in running.row(STATE)]
    servers = [postmaster, *postmaster.children()]
    return [*(sum(_of(each) for each in those) for those in (listening(port), servers, [worker])), *state]


def listening(port: int) -> list[psutil.Process]:
    """Who serves this port: a web process of the service, or a rival."""
    here = ("LISTEN", port)
    below = psutil.Process().children(recursive=True)
    return [each for each in below if here in [(c.status, c.laddr.port) for c in each.net_connections("tcp")]]


def _of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _part(found: dict[str, list[Burst]]) -> Part:
    part = Part(figures={"bursts": found})
    part.say(
        f"The full minute: {MONITORS:,} checks pinged once within {WITHIN:.0f} s, a period of {PERIOD} s; medians of the bursts "
        "(lowest to highest), processor time and log until the next burst",
        table(HEAD, [_row(name, bursts) for name, bursts in found.items()]),
    )
    lost = {name: sum(burst.lost for burst in bursts) for name, bursts in found.items()}
    part.say(f"Who is refused asks again after a second; in the end nobody was left out: {not any(lost.values())}.")
    return part


def _row(name: str, bursts: list[Burst]) -> list[str]:
    def over(figure: str) -> Spread:
        return spread(getattr(burst, figure) for burst in bursts)

    first = [spread(burst.first.get(status, 0) for burst in bursts) for status in (200, 503)]
    figures = ("p50", "p99", "web", "postgres", "worker", "not_hot", "log")
    return [name, f"{MONITORS:,}", *(str(each) for each in first), *(str(over(figure)) for figure in figures)]
