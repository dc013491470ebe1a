"""Signing in: whether the time an answer takes tells that an address has an account, and whether pings notice a crowd that signs
in at once."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from uuid import uuid4

import httpx

from app.manage.passwords import hash_of
from bench import crowd
from bench.report import Goal, Part, table
from bench.rounds import Spread, shown, spread
from bench.service import PATIENCE, Measured, measured
from bench.wrk import Load, drive

ACCOUNTS = 50
ROUNDS = 5
TIMES = 40  # known and unknown addresses each in a round
CONNECTIONS, SECONDS = 64, 4  # of pings
MONITORS = 100
CLOSEST, FARTHEST = 0.8, 1.25
PASSWORD = "a long walk by the sea"
SETTINGS = {
    "MISSEDBEAT_TRUSTED_PROXIES": "127.0.0.0/8",  # so that each attempt comes from an address of its own
    "MISSEDBEAT_SMTP_HOST": "127.0.0.1",
    "MISSEDBEAT_SMTP_PORT": "9",  # nobody listens: letters are written, and wait
}


@dataclass(slots=True)
class Found:
    """What the rounds found: seconds by path and whether the address is known; pings alone and beside crowds; statuses of
    sign-ins."""

    took: dict[tuple[str, bool], list[float]] = field(default_factory=dict)
    calm: list[Load] = field(default_factory=list)
    crowded: list[Load] = field(default_factory=list)
    entered: list[int] = field(default_factory=list)

    def ratio(self, path: str) -> Spread:
        """Unknown to known addresses, round by round."""
        pairs = zip(self.took[path, False], self.took[path, True], strict=True)
        return spread(unknown / known for unknown, known in pairs)


class Door:
    """Sends forms as a browser does, each from another address."""

    def __init__(self, running: Measured) -> None:
        self.running = running
        self._origin = running.service.base_url
        self._from = 0
        limits = httpx.Limits(max_connections=ACCOUNTS + 1, max_keepalive_connections=ACCOUNTS + 1)
        self.client = httpx.AsyncClient(base_url=self._origin, timeout=PATIENCE, trust_env=False, limits=limits)

    async def send(self, path: str, email: str, password: str = "") -> int:
        """The status of the answer."""
        self._from += 1
        where = f"10.{self._from >> 16 & 255}.{self._from >> 8 & 255}.{self._from & 255}"
        headers = {"origin": self._origin, "sec-fetch-site": "same-origin", "x-forwarded-for": where, "cookie": ""}
        fields = {"email": email, "password": password}
        self.client.cookies.clear()
        return (await self.client.post(path, data=fields, headers=headers)).status_code


def measure() -> Part:
    """All of it."""
    return asyncio.run(_measure())


async def _measure() -> Part:
    async with measured(**SETTINGS) as running:
        door, found = Door(running), Found()
        _make_accounts(running)
        ids = await crowd.make(running, MONITORS)
        paths = crowd.write_lines(running.folder / "paths", [f"/ping/{id_}" for id_ in ids])
        await _compare(door, Found(), 0)
        for number in range(ROUNDS):
            await _compare(door, found, number)
            await _crowd(door, found, paths)
        await door.client.aclose()
        return _part(found)


def _make_accounts(running: Measured) -> None:
    kept = hash_of(PASSWORD)
    for n in range(ACCOUNTS):
        running.database.execute(
            "INSERT INTO users (id, email, email_key, password_hash, verified_at, created_at) "
            "VALUES (%s, %s, %s, %s, now(), now())",
            (uuid4(), f"{n}@example.org", f"{n}@example.org", kept),
        )


async def _compare(door: Door, found: Found, number: int) -> None:
    """One after the other, known and unknown addresses at random."""
    for path, expected in (("/login", 400), ("/login/link", 200)):
        took: dict[bool, list[float]] = {True: [], False: []}
        those = [(known, n) for known in (True, False) for n in range(TIMES)]
        Random(number).shuffle(those)
        door.running.database.execute("DELETE FROM attempts")
        for known, n in those:
            began = time.perf_counter()
            status = await door.send(path, f"{n}@example.{'org' if known else 'net'}", "wrong password")
            took[known].append(time.perf_counter() - began)
            assert status == expected, f"{path} was answered {status}"
        for known, times in took.items():
            found.took.setdefault((path, known), []).append(median(times))


async def _crowd(door: Door, found: Found, paths: Path) -> None:
    """Pings alone, then beside crowds of fifty who sign in at once, one crowd after the other."""
    found.calm.append(await drive(door.running.port, paths, CONNECTIONS, SECONDS))
    loading = asyncio.create_task(drive(door.running.port, paths, CONNECTIONS, SECONDS))
    while not loading.done():
        door.running.database.execute("DELETE FROM attempts")
        found.entered += await asyncio.gather(*(door.send("/login", f"{n}@example.org", PASSWORD) for n in range(ACCOUNTS)))
    found.crowded.append(await loading)


def _part(found: Found) -> Part:
    part = Part()
    rows = []
    for path in ("/login", "/login/link"):
        known, unknown = (spread(second * 1000 for second in found.took[path, one]) for one in (True, False))
        rows.append([path, str(known), str(unknown), str(found.ratio(path))])
    part.say(
        f"Time of an answer in ms, medians of {TIMES} each in {ROUNDS} rounds (lowest to highest)",
        table(["path", "has an account", "has none", "ratio"], rows),
    )
    calm, crowded = (spread(load.p99 for load in loads) for loads in (found.calm, found.crowded))
    head = ["pings", "answers/s", "p99 ms"]
    rates = [str(spread(load.rate for load in loads)) for loads in (found.calm, found.crowded)]
    beside = f"beside crowds of {ACCOUNTS} who sign in at once"
    part.say(
        f"Check-ins at {CONNECTIONS} connections; of those who signed in {found.entered.count(303)} were let in and "
        f"{found.entered.count(503)} told to come again",
        table(head, [["alone", rates[0], str(calm)], [beside, rates[1], str(crowded)]]),
    )
    part.figures = {
        "seconds": [{"path": path, "known": known, "medians": times} for (path, known), times in found.took.items()],
        "pings alone": found.calm, "pings beside crowds": found.crowded, "sign-ins": found.entered,
    }  # fmt: skip
    part.goals = _goals(found, calm.median, crowded.median)
    return part


def _goals(found: Found, calm: float, crowded: float) -> list[Goal]:
    bad = sum(load.refused + load.broken for load in found.calm + found.crowded)
    lost = sum(status not in (303, 503) for status in found.entered)
    goals = [
        Goal(8, f"p99 of pings beside {ACCOUNTS} sign-ins at once (alone {shown(calm)} ms)", crowded, max(2 * calm, 50), "ms"),
        Goal(8, "pings that were not 2xx", bad, 0),
        Goal(8, "sign-ins that were neither let in nor told to come again", lost, 0),
    ]
    for path in ("/login", "/login/link"):
        ratio = found.ratio(path).median
        goals += [
            Goal(8, f"{path}: time of an unknown address, of a known one", ratio, FARTHEST),
            Goal(8, "the same", ratio, CLOSEST, most=False),
        ]
    return goals
