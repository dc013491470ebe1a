"""What is measured on filled databases: database time of an idle tick, looks at the whole, lists, pings, mass silence."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from subprocess import DEVNULL
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil

from app.store import vitals
from app.store.engine import Sessions, make_engine, make_sessions
from app.sweeper.audit import audit_once
from app.sweeper.breaker import Breaker
from app.sweeper.count import count_once
from app.sweeper.sweep import sweep
from bench.scale_tables import Database
from bench.wrk import Load, drive
from tests.journeys.running import COMMAND, environment
from tests.sdk.brokers import tied

MARGIN = timedelta(seconds=2)
CONNECTIONS = 64
TIMES = 20
READS_FOR = 4.0  # seconds
HEALTHCHECKS_LISTS = 23  # a second, of 1,000 checks
MOMENTS = ("satisfied", "anchor", "due", "deadline", "wake_at", "last_end_at", "last_applied_at", "last_success_at")
SILENCE = f"""
    UPDATE monitors SET {", ".join(f"{column} = {column} - interval '3 d'" for column in MOMENTS)} WHERE (project_id, id) IN (
        SELECT project_id, id FROM monitors
        WHERE project_id = %s AND status = 'up' AND deadline > now() AND source || beat_of = '' LIMIT %s)"""

# The first write to a page after a checkpoint logs it whole. So far from one, most pages have been written.
WRITTEN = """
    UPDATE monitors SET heard = heard
    WHERE ctid = ANY (ARRAY(SELECT min(ctid) FROM monitors GROUP BY (ctid::text::point)[0]))"""
HOT_PAGES = """
    SELECT pg_prewarm(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE c.relname IN ('monitors', 'addresses', to_char(now(), '"check_ins_"YYYYMMDD'), to_char(now(), '"runs_"YYYYMM'))
    UNION ALL SELECT pg_prewarm('monitors') UNION ALL SELECT pg_prewarm('addresses')"""


@dataclass(frozen=True)
class Figure:
    """A line of the result; `missed` where it stands against a goal and does not reach it."""

    name: str
    words: str
    missed: bool = False

    def __str__(self) -> str:
        return f"{self.name:44} {self.words}{'   MISSED' if self.missed else ''}"


async def idle_tick(large: Database) -> AsyncIterator[Figure]:
    """What a sweep that finds nothing costs the database, planning included; over connections that know its statements."""
    async with sessions(large, "sweep", 2000) as opened:
        for _ in range(8):
            await ticked(large)
            await sweep(opened, MARGIN, Breaker())
        with large.connected() as connection:
            connection.execute("SELECT pg_stat_statements_reset()")
            for _ in range(TIMES):
                connection.execute("INSERT INTO ticks (at, process) VALUES (clock_timestamp(), gen_random_uuid())")
                await sweep(opened, MARGIN, Breaker())
            (spent,) = connection.execute(
                "SELECT sum(total_exec_time + total_plan_time) FROM pg_stat_statements WHERE query NOT LIKE 'INSERT INTO ticks%'"
            ).fetchone() or (0,)
    each = float(str(spent)) / TIMES
    yield Figure("idle tick, database time", f"{each:8.2f} ms   goal 5", each > 5)


async def watching(large: Database) -> AsyncIterator[Figure]:
    """Looks at the whole, each with its own time limit in the service."""

    async def read() -> None:
        async with opened() as session:
            await vitals.read(session, MARGIN)

    async def audited() -> None:
        with large.connected() as connection:
            connection.execute("DELETE FROM audits")
        await audit_once(opened)

    async def counted() -> None:
        with large.connected() as connection:
            connection.execute("DELETE FROM counts")
        await count_once(opened)

    async with sessions(large, "watch", 10_000) as opened:
        for name, look, goal in (
            ("figures, read every 5 s", read, 50),
            ("all audits, each minute", audited, 2000),
            ("counts, each minute", counted, 2000),
        ):
            took = median([await timed(look) for _ in range(4)][1:]) * 1000
            yield Figure(name, f"{took:8.1f} ms   goal {goal}", took > goal)


async def reads(large: Database, small: Database, rounds: int) -> AsyncIterator[Figure]:
    """Lists over the API, in turns."""
    async with web(large) as at_large, web(small) as at_small:
        for name, key in (("50", "few_key"), ("1,000", "listed_key")):
            took = []
            for _ in range(rounds):
                both = [await load(port, ["/api/v3/checks/"], 4, READS_FOR / 2, getattr(database, key))
                        for port, database in ((at_large, large), (at_small, small))]  # fmt: skip
                took.append((both[0].rate, both[0].rate / both[1].rate))
            rate, ratio = (median(values) for values in zip(*took, strict=True))
            yield Figure(f"list of {name}, growth", f"{rate:8.1f}/s   {ratio:.2f} of the small table's")
            took_alone = await alone(at_large, getattr(large, key)) * 1000
            words, missed = ("   goal 20", took_alone > 20) if name == "50" else ("", False)
            yield Figure(f"list of {name}, alone", f"{took_alone:8.1f} ms{words}", missed)
            if name == "1,000":
                goal = 5 * HEALTHCHECKS_LISTS
                yield Figure("list of 1,000, beside Healthchecks", f"{rate:8.1f}/s   goal {goal}", rate < goal)


async def pings(large: Database, small: Database, rounds: int, seconds: float) -> AsyncIterator[Figure]:
    """Check-ins at 64 connections, monitors at random out of all and out of 1,000, in turns: once just after a start, then as in
    a service that has run for a while, its pages in memory and most of them written since the last checkpoint."""
    paths = {}
    for database in (large, small):
        with database.connected() as connection:
            limit = 1000 if database is small else database.monitors
            rows = connection.execute("SELECT id FROM monitors WHERE status = 'up' LIMIT %s", [limit]).fetchall()
        paths[database] = [f"/ping/{row[0]}" for row in rows]
    found: dict[Database, list[Load]] = {large: [], small: []}
    async with web(large) as at_large, web(small) as at_small:
        cold = [(await load(port, paths[one], CONNECTIONS, seconds)).rate for port, one in ((at_small, small), (at_large, large))]
        warm(large)
        before = {database: updates(database) for database in (large, small)}
        for number in range(rounds):
            for port, database in ((at_large, large), (at_small, small))[:: 1 if number % 2 else -1]:
                found[database].append(await load(port, paths[database], CONNECTIONS, seconds))
    ratios = [a.rate / b.rate for a, b in zip(found[large], found[small], strict=True)]
    yield Figure("pings, growth, just started", f"{cold[1] / cold[0]:8.2f}")
    for name, database in (("pings, large tables", large), ("pings, 1,000 monitors", small)):
        rate, p50, p99 = (median(getattr(one, what) for one in found[database]) for what in ("rate", "p50", "p99"))
        wrong = sum(one.refused + one.broken for one in found[database])
        all_, hot = (now - then for now, then in zip(updates(database), before[database], strict=True))
        words = f"{rate:8.0f}/s   p50 {p50:.1f} ms, p99 {p99:.1f} ms, {wrong} not answered, {hot / max(all_, 1):.3f} HOT"
        yield Figure(name, f"{words} of {all_} updates")
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    yield Figure("pings, growth", f"{median(ratios):8.2f}   {spread}, goal 0.8", median(ratios) < 0.8)


async def judged(large: Database) -> AsyncIterator[Figure]:
    """Monitors of one project that are all due at once: until all are down, with their deliveries in the outbox."""
    for count, goal in ((large.monitors // 100, 5), (large.monitors // 10, 60)):
        with large.connected() as connection:
            connection.execute(SILENCE, [large.due, count])
        before = down(large)
        async with sessions(large, "sweep", 2000) as opened:
            await ticked(large)
            took = await timed(lambda: sweep(opened, MARGIN, Breaker()))
        found = [now - then for now, then in zip(down(large), before, strict=True)]
        words = f"{took:8.1f} s   {found[0]} down, {found[1]} to be told, goal {goal}"
        yield Figure(f"{count} monitors due at once", words, took > goal or found != [count, count])


# ---- The parts


@asynccontextmanager
async def sessions(database: Database, purpose: str, patience: int) -> AsyncIterator[Sessions]:
    """As the worker has them."""
    engine = make_engine(database.dsn, purpose, 2, patience=patience, held_at_most=60)
    try:
        yield make_sessions(engine)
    finally:
        await engine.dispose()


async def ticked(database: Database) -> None:
    """As if a web process could hear."""
    with database.connected() as connection:
        connection.execute("INSERT INTO ticks (at, process) VALUES (clock_timestamp(), gen_random_uuid())")


async def timed(call: Callable[[], Awaitable[Any]]) -> float:
    """Seconds."""
    began = time.monotonic()
    await call()
    return time.monotonic() - began


async def alone(port: int, key: str) -> float:
    """Seconds for a list that nobody else asks for meanwhile, over a connection that is open."""
    headers = {"X-Api-Key": key}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=10) as client:

        async def asked() -> None:
            (await client.get("/api/v3/checks/")).raise_for_status()

        return median([await timed(asked) for _ in range(TIMES)][2:])


def warm(database: Database) -> None:
    """As after some minutes of pings."""
    with database.connected() as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
        connection.execute(HOT_PAGES)
        connection.execute(WRITTEN)


def updates(database: Database) -> tuple[int, int]:
    """How often monitors were updated, and how often of these without touching an index."""
    with database.connected() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        time.sleep(1.1)  # a process tells its figures once a second
        query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'monitors'"
        row = connection.execute(query).fetchone() or (0, 0)
    return int(str(row[0])), int(str(row[1]))


def down(database: Database) -> tuple[int, int]:
    """How many monitors of the project are down, and how many deliveries wait in its outbox."""
    query = """SELECT (SELECT count(*) FROM monitors WHERE project_id = %s AND status = 'down'),
        (SELECT count(*) FROM deliveries WHERE project_id = %s AND state = 'waiting')"""
    with database.connected() as connection:
        row = connection.execute(query, [database.due, database.due]).fetchone() or (0, 0)
    return int(str(row[0])), int(str(row[1]))


@asynccontextmanager
async def web(database: Database) -> AsyncIterator[int]:
    """The port of a web process of its own."""
    given = environment(
        DATABASE_URL=database.dsn.replace("+psycopg", "", 1),
        MISSEDBEAT_SECRET_KEY="for a benchmark, and long enough",
        MISSEDBEAT_MIN_PERIOD="10",
    )
    command = tied(COMMAND, "web", "--port", "0")
    process = await asyncio.create_subprocess_exec(*command, env=given, stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield await _listening(process)
    finally:
        process.terminate()
        await process.wait()


async def _listening(process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(30):
        while True:
            assert process.returncode is None, "the web process has ended"
            for connection in psutil.Process(process.pid).net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    async with httpx.AsyncClient(trust_env=False) as client:
                        (await client.get(f"http://127.0.0.1:{connection.laddr.port}/livez", timeout=30)).raise_for_status()
                    return int(connection.laddr.port)
            await asyncio.sleep(0.1)


async def load(port: int, paths: Sequence[str], connections: int, seconds: float, key: str = "") -> Load:
    """What comes of asking for these paths at random."""
    with TemporaryDirectory(prefix="missedbeat-wrk-") as folder:
        listed = Path(folder) / "paths"
        listed.write_text("\n".join(paths))
        return await drive(port, listed, connections, seconds, key)
