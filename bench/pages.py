"""Pages: the first byte and the size of those of a project with a thousand checks and a hundred thousand check-ins, as a browser
that is signed in asks for them. Goal 9."""

import asyncio
import gzip
import time
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import httpx

from app.domain.tokens import unique_key
from app.manage.passwords import hash_of
from bench import crowd
from bench.report import Goal, Part, table
from bench.rounds import spread
from bench.service import PATIENCE, Measured, measured

MONITORS = 1000
EACH = 100  # check-ins and runs of each
TIMES = 40
PASSWORD = "a long walk by the sea"
HEARD = """
    INSERT INTO check_ins (project_id, monitor_id, n, received_at, signal, scheme, method, remote_addr, user_agent)
    SELECT project_id, id, 1000 + n, greatest(now() - n * interval '30 s', date_trunc('day', now())), 'success', 'http', 'GET',
        '192.0.2.1', 'curl/8.0' FROM monitors, generate_series(1, %s) n"""
RAN = """
    INSERT INTO runs (project_id, monitor_id, at, key, outcome, attempt, count, started_at, ended_at)
    SELECT project_id, id, at, 1000 + n, CASE WHEN random() < 0.97 THEN 'success' ELSE 'failed' END, 1, 1, at,
        at + random() * interval '9 s'
    FROM monitors, generate_series(1, %s) n,
        LATERAL (SELECT greatest(now() - n * interval '30 s', date_trunc('day', now())) AS at) t"""


@dataclass(slots=True)
class Seen:
    """What one page took: milliseconds until its head, and its size packed, in kB."""

    took: list[float] = field(default_factory=list)
    size: float = 0.0


def measure() -> Part:
    """All of it."""
    return asyncio.run(_measure())


async def _measure() -> Part:
    async with measured() as running:
        one = await crowd.alive(running, running.key, schedule="*/5 * * * *", tz="Europe/Berlin", grace=600)
        crowd.copy(running, one, MONITORS - 1)
        for statement in (HEARD, RAN):
            running.database.execute(statement, (EACH,))
        for name in ("monitors", "check_ins", "runs"):
            running.database.execute(f"VACUUM ANALYZE {name}")
        async with _signed_in(running) as client:
            (project,) = running.row("SELECT project_id FROM memberships LIMIT 1")
            own = f"/projects/{project}"
            paths = {
                "overview": own, "list": f"{own}/monitors", "list, filtered": f"{own}/monitors?words=job+7",
                "24 hours": f"{own}/monitors?view=day", "one check": f"{own}/monitors/{unique_key(UUID(one))}",
                "incidents": f"{own}/incidents", "channels": f"{own}/channels", "wall": f"{own}/tv",
            }  # fmt: skip
            found = {name: Seen() for name in paths}
            for _ in range(TIMES):
                for name, path in paths.items():
                    await _look(client, path, found[name])
        return _part(found, running.resident("web"))


def _signed_in(running: Measured) -> httpx.AsyncClient:
    """Somebody who owns the first project."""
    user, kept = uuid4(), hash_of(PASSWORD)
    running.database.execute(
        "INSERT INTO users (id, email, email_key, password_hash, verified_at, created_at) VALUES (%s, %s, %s, %s, now(), now())",
        (user, "anna@example.org", "anna@example.org", kept),
    )
    running.database.execute(
        "INSERT INTO memberships (project_id, user_id, role, created_at) SELECT id, %s, 'owner', now() FROM projects", (user,)
    )
    origin = running.service.base_url
    client = httpx.AsyncClient(base_url=origin, timeout=PATIENCE, trust_env=False)
    with httpx.Client(base_url=origin, timeout=PATIENCE, trust_env=False) as door:
        form = {"email": "anna@example.org", "password": PASSWORD}
        assert door.post("/login", data=form, headers={"origin": origin}).status_code == 303
        client.cookies = door.cookies
    return client


async def _look(client: httpx.AsyncClient, path: str, seen: Seen) -> None:
    began = time.perf_counter()
    async with client.stream("GET", path) as answer:
        seen.took.append((time.perf_counter() - began) * 1000)
        packed = b"".join([piece async for piece in answer.aiter_raw()])
    assert answer.status_code == 200, f"{path} was answered {answer.status_code}"
    plain = answer.headers.get("content-encoding") != "gzip"
    seen.size = len(gzip.compress(packed) if plain else packed) / 1000


def _part(found: dict[str, Seen], memory: float) -> Part:
    part = Part(figures={"first bytes in ms": {name: seen.took for name, seen in found.items()}, "memory in MB": memory})
    rows = [[name, "page", str(spread(seen.took)), f"{_p95(seen.took):.0f}", f"{seen.size:.1f}"] for name, seen in found.items()]
    part.say(
        f"Pages of a project with {MONITORS:,} checks and {MONITORS * EACH:,} check-ins, {TIMES} times each, one after the other",
        table(["which", "of", "first byte ms (lowest to highest)", "p95 ms", "kB packed"], rows),
    )
    slowest = max(found, key=lambda name: _p95(found[name].took))
    part.goals = [
        Goal(9, f"first byte of the slowest page ({slowest}), p95", _p95(found[slowest].took), 100, "ms"),
        Goal(9, "the list, packed", found["list"].size, 60, "kB"),
        Goal(6, "memory of the web process after pages", memory, 150, "MB"),
    ]
    return part


def _p95(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.95)]
