"""Lists: fifty checks out of a hundred thousand, and all checks of a project of a thousand, through the API. Goal 5."""

import asyncio

from bench import crowd
from bench.report import Goal, Part, table
from bench.rounds import spread, turned
from bench.service import measured
from bench.wrk import Load, drive

LARGE = 100_000
FEW = 50
WHOLE = 1000
ROUNDS = 3
SECONDS = 3
AT_ONCE = 4
HEALTHCHECKS = 23.0
"""Its API lists of 1,000 checks a second: Healthchecks as tuned in our design's measurements (uWSGI, two cores, the same
PostgreSQL), which cannot be run here. What this machine does differently than that one is in the ratio."""
LIST = "/api/v3/checks/"
TAGGED = f"{FEW} with a tag out of {LARGE:,} of one project"
APART = f"{FEW}, all of a project, beside {LARGE:,} of another"
ALL = f"{WHOLE:,}, all of a project, {AT_ONCE} connections"


def measure() -> Part:
    """All of it."""
    return asyncio.run(_measure())


async def _measure() -> Part:
    async with measured() as running:
        large, few, whole = await running.projects(3)
        for project, counts in ((large, {"few": FEW, "": LARGE - FEW}), (few, {"": FEW}), (whole, {"": WHOLE})):
            one = await crowd.alive(running, project.api_key, timeout=86_400, name="template")
            for tag, count in counts.items():
                crowd.copy(running, one, count, tag)
            await running.api("DELETE", f"checks/{one}", key=project.api_key)
        running.database.execute("VACUUM ANALYZE monitors")
        asked = {TAGGED: (large, f"{LIST}?tag=few", 1), APART: (few, LIST, 1), ALL: (whole, LIST, AT_ONCE)}
        found: dict[str, list[Load]] = {name: [] for name in asked}
        for number in range(ROUNDS):
            for name, (project, path, connections) in turned(list(asked.items()), number):
                paths = crowd.write_lines(running.folder / "lists", [path])
                found[name].append(await drive(running.port, paths, connections, SECONDS, project.api_key))
        memory = running.resident("web")
    return _part(found, memory)


def _part(found: dict[str, list[Load]], memory: float) -> Part:
    part = Part(figures={"loads": found, "memory in MB": memory})
    rows = [
        [name, "checks", *(str(spread(getattr(load, figure) for load in loads)) for figure in ("rate", "p50", "p99"))]
        for name, loads in found.items()
    ]
    part.say(
        "Lists through the API, medians of the rounds (lowest to highest)",
        table(["which", "of", "lists/s", "p50 ms", "p99 ms"], rows),
    )
    rate = spread(load.rate for load in found[ALL]).median
    bad = sum(load.refused + load.broken for loads in found.values() for load in loads)
    part.goals = [
        Goal(5, TAGGED, spread(load.p50 for load in found[TAGGED]).median, 20, "ms"),
        Goal(5, APART, spread(load.p50 for load in found[APART]).median, 20, "ms"),
        Goal(5, f"API lists of {WHOLE:,} checks, of Healthchecks' {HEALTHCHECKS:g} a second", rate / HEALTHCHECKS, 5, most=False),
        Goal(5, "lists that were not answered 2xx", bad, 0),
        Goal(6, "memory of the web process after lists", memory, 150, "MB"),
    ]
    return part
