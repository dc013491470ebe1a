"""Deliveries: how many a second one sender process hands to a fast receiver, and how soon an alert goes out while another project
has thousands of endpoints that never answer. Goal 4; and goal 6 for the worker."""

import asyncio
from uuid import UUID, uuid4

from app.store.accounts import NewProject
from app.store.vault import Vault
from bench import crowd
from bench.far_end import far_end
from bench.report import Goal, Part, table
from bench.rounds import Spread, shown, spread
from bench.service import Measured, measured

DELIVERIES = 2500
PROJECTS = 20
ROUNDS = 3
DEAD = 3000
ALERTS = 200
EVERY = 0.1  # seconds between alerts
HEAD_START = 3.0  # seconds for which the dead endpoints are tried already
PATIENCE = 120.0
PUT = """
    INSERT INTO deliveries (project_id, id, channel_id, monitor_id, cause_kind, cause_id, told, due_at, created_at)
    SELECT s.project_id, gen_random_uuid(), s.channel_id, s.monitor_id, one.cause_kind,
        s.monitor_id || ':' || %(round)s::text, one.told, statement_timestamp(), statement_timestamp()
    FROM (SELECT cause_kind, told FROM deliveries WHERE state = 'delivered' ORDER BY seq LIMIT 1) one, subscriptions s
    WHERE s.project_id = ANY(%(projects)s)"""
CHANNELS = """
    INSERT INTO channels SELECT (jsonb_populate_record(one.c, jsonb_build_object(
        'id', v.id, 'project_id', %(project)s::uuid, 'secret', v.secret))).*
    FROM (SELECT c FROM channels c LIMIT 1) one, unnest(%(ids)s::uuid[], %(secrets)s::text[]) AS v(id, secret)"""
RATE = """
    SELECT count(*) FILTER (WHERE state = 'delivered'), extract(epoch FROM max(settled_at) - min(created_at))
    FROM deliveries WHERE cause_id LIKE '%%:' || %(round)s::text AND project_id = ANY(%(projects)s)"""
FIRST = """
    SELECT extract(epoch FROM (d.attempts -> 0 ->> 'at')::timestamptz - t.at) - (d.attempts -> 0 ->> 'took')::float8
    FROM deliveries d JOIN transitions t ON (t.project_id, t.monitor_id) = (d.project_id, d.monitor_id) AND t.to_status = 'down'
    WHERE d.project_id = %s AND jsonb_array_length(d.attempts) > 0"""


def measure() -> Part:
    """All of it."""
    return asyncio.run(_measure())


async def _measure() -> Part:
    with far_end("0") as fast, far_end("hang") as hung:
        async with measured() as running:
            first, *projects = await running.projects(PROJECTS + 1)
            await _one_delivery(running, first, fast)
            for project in projects:
                await crowd.webhook(running, project.api_key, fast)
                job = await crowd.alive(running, project.api_key, timeout=86_400)
                crowd.copy(running, job, DELIVERIES // PROJECTS - 1)
            wide = [await _rate(running, [p.id for p in projects], f"wide{n}", DELIVERIES) for n in range(ROUNDS)]
            one = [await _rate(running, [projects[0].id], f"one{n}", DELIVERIES // PROJECTS) for n in range(ROUNDS)]
            healthy, dead = await running.projects(2)
            await _die(running, dead, hung)
            waited = await _alert(running, healthy, fast)
            memory = running.resident("worker")
    return _part(wide, one, waited, memory)


async def _one_delivery(running: Measured, project: NewProject, port: int) -> None:
    """One of the real way, to be copied."""
    await crowd.webhook(running, project.api_key, port)
    await running.ping(await crowd.alive(running, project.api_key), "/fail")
    await running.until("SELECT 1 FROM deliveries WHERE state = 'delivered'")


async def _rate(running: Measured, projects: list[UUID], number: str, count: int) -> float:
    """Deliveries a second from when all of them are due until the last is settled."""
    given = {"round": number, "projects": projects}
    running.database.execute(PUT, given)
    async with asyncio.timeout(PATIENCE):
        while True:
            await asyncio.sleep(0.2)
            delivered, took = running.database.execute(RATE, given).fetchone() or (0, 0)
            if delivered == count:
                return float(count / took)


async def _die(running: Measured, project: NewProject, port: int) -> None:
    """A project whose thousands of endpoints take the call and never answer, with an alert for each of them under way."""
    job = await crowd.alive(running, project.api_key, timeout=86_400)
    vault, ids = Vault(running.secret_key), [uuid4() for _ in range(DEAD)]
    sealed = [vault.seal(project.id, id_, {"url": f"http://127.0.0.1:{port}/{id_}"}) for id_ in ids]
    texts = [f"\\x{secret.hex()}" for secret in sealed]
    running.database.execute(CHANNELS, {"project": project.id, "ids": ids, "secrets": texts})
    running.database.execute(
        "INSERT INTO subscriptions (project_id, monitor_id, channel_id) SELECT %s, %s, unnest(%s)", (project.id, job, ids)
    )
    await running.ping(job, "/fail")
    await asyncio.sleep(HEAD_START)


async def _alert(running: Measured, project: NewProject, port: int) -> list[float]:
    """Seconds from each alert's transition to its first attempt, in order of size."""
    await crowd.webhook(running, project.api_key, port)
    job = await crowd.alive(running, project.api_key, timeout=86_400)
    crowd.copy(running, job, ALERTS - 1)
    ids = running.database.execute("SELECT id FROM monitors WHERE project_id = %s", (project.id,)).fetchall()
    for (id_,) in ids:
        await running.ping(str(id_), "/fail")
        await asyncio.sleep(EVERY)
    async with asyncio.timeout(PATIENCE):
        while len(waited := running.database.execute(FIRST, (project.id,)).fetchall()) < ALERTS:
            await asyncio.sleep(0.2)
    return sorted(float(seconds) for (seconds,) in waited)


def _part(wide: list[float], one: list[float], waited: list[float], memory: float) -> Part:
    p50, p99 = waited[len(waited) // 2], waited[len(waited) * 99 // 100]
    rates: dict[str, Spread] = {
        f"{DELIVERIES:,} through {PROJECTS} channels": spread(wide),
        f"{DELIVERIES // PROJECTS} through one": spread(one),
    }
    part = Part(figures={"through many": wide, "through one": one, "first attempts in s": waited, "memory in MB": memory})
    part.say(
        "Deliveries of one sender process to a receiver that answers at once (lowest to highest)",
        table(["what", "unit", "measured"], [[name, "a second", str(rate)] for name, rate in rates.items()]),
        f"First attempts of {ALERTS} alerts after their transitions, while {DEAD:,} endpoints of another project hang: p50 "
        f"{shown(p50)} s, p99 {shown(p99)} s. Memory of the worker afterwards: {shown(memory)} MB.",
    )
    part.goals = [
        Goal(4, "deliveries a second to a fast receiver", spread(wide).median, 500, most=False),
        Goal(4, f"p99 of first attempts beside {DEAD:,} dead endpoints", p99, 2, "s"),
        Goal(6, "memory of the worker after these deliveries", memory, 120, "MB"),
    ]
    return part
