"""Checks to measure with: some made through the API, of many schedules; very many as copies of one that is there."""

import asyncio
from pathlib import Path
from typing import Any

from app.store.tables import MonitorRow
from bench.service import Measured

AT_ONCE = 8
NEW = {
    "id": "gen_random_uuid()", "unique_key": "gen_random_uuid()::text", "badge_key": "gen_random_uuid()", "slug": "''",
    "name": "'job ' || n", "tags": "%(tags)s::text",
}  # fmt: skip
COLUMNS = [column.name for column in MonitorRow.__table__.columns]
COPY = f"""
    WITH made AS (
        INSERT INTO monitors ({", ".join(COLUMNS)}) SELECT {", ".join(NEW.get(c, f"m.{c}") for c in COLUMNS)}
        FROM monitors m, generate_series(1, %(more)s) n WHERE m.id = %(one)s RETURNING project_id, id),
    addressed AS (INSERT INTO addresses (kind, key, project_id, monitor_id) SELECT 'ping', id::text, project_id, id FROM made)
    INSERT INTO subscriptions (project_id, monitor_id, channel_id)
    SELECT made.project_id, made.id, s.channel_id FROM made JOIN subscriptions s ON s.monitor_id = %(one)s"""


def kind(n: int) -> dict[str, Any]:
    """The n-th schedule: periods, cron in several zones, OnCalendar; most of them only once among a thousand."""
    minute, hour = n % 60, n // 60 % 24
    kinds: list[dict[str, Any]] = [
        {"timeout": 3600 + n, "grace": 300},
        {"timeout": 86_400, "grace": 3600},
        {"schedule": "* * * * *", "tz": "UTC", "grace": 120},
        {"schedule": "*/5 * * * *", "tz": "Europe/Berlin", "grace": 120},
        {"schedule": f"{minute} * * * *", "tz": "Asia/Kolkata", "grace": 600},
        {"schedule": f"{minute} {hour} * * *", "tz": "America/New_York", "grace": 3600},
        {"schedule": f"{minute} {hour} * * 1-5", "tz": "Asia/Tokyo", "grace": 3600},
        {"schedule": f"{minute} {hour} 1 * *", "tz": "Europe/London", "grace": 7200},
        {"schedule": f"Mon..Fri {hour:02}:{minute:02}", "tz": "Australia/Sydney", "grace": 3600},
        {"timeout": 600, "grace": 60, "max_runtime": 300},
    ]
    return kinds[n % len(kinds)]


async def make(running: Measured, count: int) -> list[str]:
    """So many checks of many schedules in the first project; their ids."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(n: int) -> str:
        async with turn:
            return str((await running.api("POST", "checks/", {"name": f"job {n}", **kind(n)}))["uuid"])

    return list(await asyncio.gather(*(one(n) for n in range(count))))


async def alive(running: Measured, key: str, **fields: Any) -> str:
    """A check of the project that the key opens, heard once; told to all channels that are there. Its id."""
    made = await running.api("POST", "checks/", {"name": "job", "channels": "*", **fields}, key)
    await running.ping(made["uuid"])
    return str(made["uuid"])


async def webhook(running: Measured, key: str, port: int) -> str:
    """A channel of that project to a receiver on this machine; its id."""
    return str((await running.api("POST", "channels/", {"kind": "webhook", "url": f"http://127.0.0.1:{port}/"}, key))["id"])


def copy(running: Measured, one: str, more: int, tags: str = "") -> None:
    """So many more checks like this one, in its project, heard by its channels, with ping URLs of their own."""
    running.database.execute(COPY, {"one": one, "more": more, "tags": tags})


def write_lines(path: Path, lines: list[str]) -> Path:
    """A file of paths for wrk."""
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
