"""Noticing silence: ten thousand checks of two projects are due at one instant, and a worker looks at many of which none is due.
Goal 3, but for what needs a million checks; and goal 6 for the worker."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any

from psycopg.errors import Diagnostic
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.engine import make_engine, make_sessions
from app.sweeper.breaker import Breaker
from app.sweeper.sweep import sweep
from bench import crowd
from bench.far_end import far_end
from bench.report import Goal, Part, table
from bench.rounds import shown, spread
from bench.service import Measured, measured

MONITORS = 10_000
PROJECTS = 2
ROUNDS = 3
LEAD = timedelta(seconds=3)  # from the write until the deadline
GUARD = timedelta(seconds=2)
LOOK_EVERY = 0.1
LOOKS = 100
PATIENCE = 120.0
DUE = """
    UPDATE monitors SET last_success_at = %(heard)s, last_end_at = %(heard)s, last_applied_at = %(heard)s, anchor = %(heard)s,
        satisfied = %(heard)s, due = %(at)s - make_interval(secs => grace), deadline = %(at)s, wake_at = %(at)s
    WHERE tags = %(tags)s"""
STATE = """
    SELECT (SELECT count(*) FROM transitions WHERE to_status = 'down'), (SELECT count(*) FROM deliveries), clock_timestamp()"""
LEAVE = "UPDATE deliveries SET state = 'suppressed', settled_at = clock_timestamp() WHERE state = 'waiting'"


def measure() -> Part:
    """All of it."""
    return asyncio.run(_measure())


async def _measure() -> Part:
    with far_end("0") as receiver:
        async with measured() as running:
            jobs = []
            for project in await running.projects(PROJECTS):
                await crowd.webhook(running, project.api_key, receiver)
                jobs.append(await crowd.alive(running, project.api_key, timeout=3600, grace=60))
            for number in range(ROUNDS):
                for job in jobs:
                    crowd.copy(running, job, MONITORS // PROJECTS, f"round{number}")
            running.database.execute("VACUUM ANALYZE monitors")
            walls, worked = await _idle(running.dsn)
            took = [await _fall_silent(running, f"round{number}") for number in range(ROUNDS)]
            memory = running.resident("worker")
    return _part(took, walls, worked, memory)


async def _fall_silent(running: Measured, tags: str) -> float:
    """Seconds from the guard after one deadline of all until every one is down with its delivery queued."""
    downs, queued, now = running.row(STATE)
    at: datetime = now + LEAD
    running.database.execute(DUE, {"heard": at - timedelta(seconds=3660), "at": at, "tags": tags})
    async with asyncio.timeout(PATIENCE):
        while True:
            await asyncio.sleep(LOOK_EVERY)
            down, told, now = running.row(STATE)
            if down - downs >= MONITORS and told - queued >= MONITORS:
                break
    running.database.execute(LEAVE)
    return float((now - at - GUARD).total_seconds())


async def _idle(dsn: str) -> tuple[list[float], list[float]]:
    """A look where nothing is due, in this process: its milliseconds, and those of them that PostgreSQL worked."""
    engine = make_engine(dsn.replace("postgresql://", "postgresql+psycopg://", 1), "bench", 2)
    worked = database_time(engine)
    sessions, breaker, walls, times = make_sessions(engine), Breaker(), [], []
    await sweep(sessions, GUARD, breaker)
    for _ in range(LOOKS):
        worked.clear()
        began = time.perf_counter()
        await sweep(sessions, GUARD, breaker)
        walls.append((time.perf_counter() - began) * 1000)
        times.append(sum(worked))
    await engine.dispose()
    return walls, times


def database_time(engine: AsyncEngine) -> list[float]:
    """Grows by the milliseconds that PostgreSQL takes for each step of a statement: reading, planning and executing it, as it
    says itself."""
    worked: list[float] = []

    def note(said: Diagnostic) -> None:
        words = said.message_primary or ""
        if words.startswith("duration: "):
            worked.append(float(words.split()[1]))

    def opened(connection: Any, _: Any) -> None:
        connection.driver_connection.add_notice_handler(note)
        cursor = connection.cursor()
        cursor.execute("SET log_duration = on")
        cursor.execute("SET client_min_messages = log")
        cursor.close()
        connection.commit()

    event.listen(engine.sync_engine, "connect", opened)
    return worked


def _part(took: list[float], walls: list[float], worked: list[float], memory: float) -> Part:
    silent, wall, database = spread(took), spread(walls), spread(worked)
    every = f"{MONITORS:,} checks of {PROJECTS} projects due at one instant: all down, a delivery queued for each"
    part = Part(figures={"all down in s": took, "idle look in ms": walls, "of it database in ms": worked, "memory in MB": memory})
    part.say(
        "Silence: medians of the rounds (lowest to highest)",
        table(
            ["what", "unit", "measured"],
            [
                [every, "s after δ", str(silent)],
                [f"a look at {MONITORS * ROUNDS:,} checks none of which is due", "ms", str(wall)],
                ["of it PostgreSQL", "ms", str(database)],
                ["memory of the worker afterwards", "MB", shown(memory)],
            ],
        ),
    )
    part.goals = [
        Goal(3, every, silent.median, 5, "s"),
        Goal(3, "database time of an idle look", database.median, 5, "ms"),
        Goal(6, "memory of the worker after mass silence", memory, 120, "MB"),
    ]
    return part
