"""One project, or somebody who knows none, floods the service with more than it can take: the others are heard as on any day."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from statistics import median
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.faults.history import Call, Line, path_of
from tests.faults.jobs import Api
from tests.faults.proxy import Proxy
from tests.faults.rig import Rig, measured, new_project, rigged, seed

REST = 0.3  # seconds until a client that was refused asks again
FLOODS = 3  # seconds until all of them are there
JOBS = 4
READERS = 8  # clients that look what refusals say
COSTLY = """CREATE FUNCTION cost() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END $$;
    CREATE TRIGGER cost BEFORE INSERT ON check_ins FOR EACH ROW EXECUTE FUNCTION cost()"""  # two hundred a second at most
SLOW = 0.08  # seconds more for each thing said to the database
BODIES = "SELECT convert_from(body, 'UTF8') FROM check_ins WHERE monitor_id = %s AND body IS NOT NULL ORDER BY n"
TURNED = "SELECT monitor_id FROM transitions WHERE to_status = 'down'"


@dataclass
class Flood:
    """What is asked for without end: one monitor, or `names` under one key, which are made where they are `new`, or `ids` that
    lead nowhere."""

    kind: str
    key: str
    clients: int
    calls: list[Call] = field(default_factory=list)

    def path(self) -> str:
        """Of one request."""
        if self.kind == "ids":
            return f"/ping/{uuid4()}"
        if self.kind == "one":
            return f"/ping/{self.key}/one/log"
        return f"/ping/{self.key}/name-{random.randrange(10**9)}" + ("?create=1" if self.kind == "new" else "")

    async def client(self, port: int, end: float) -> None:
        """One of its connections. Whoever is refused asks again soon, whoever is heard at once."""
        line = Line(port)
        await asyncio.sleep(random.uniform(0, FLOODS))  # not all of them connect at once
        while time.monotonic() < end:
            call = await line.post(self.path(), "flood", patience=30)
            self.calls.append(call)
            if call.status == 503:
                await asyncio.sleep(REST)
        await line.aclose()

    async def reader(self, port: int, end: float) -> list[str]:
        """Another one, which reads what refusals say besides: when to come again."""
        seen = []
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            while time.monotonic() < end:
                answer = await client.get(self.path())
                if answer.status_code == 503:
                    seen.append(answer.headers.get("retry-after", ""))
                await asyncio.sleep(REST)
        return seen


async def job(port: int, monitor: str, end: float) -> list[Call]:
    """Once a second a start and its success, each with a number that tells their order."""
    line, calls = Line(port), list[Call]()
    while time.monotonic() < end:
        for signal in ("start", "success"):
            calls.append(await line.post(path_of(monitor, signal), f"{len(calls):06}", patience=30))
        await asyncio.sleep(1)
    await line.aclose()
    return calls


async def flooded(rig: Rig, flood: Flood, monitors: list[str], seconds: float) -> tuple[list[Call], list[str]]:
    """What the jobs were answered meanwhile, and what the refusals said."""
    end = time.monotonic() + seconds
    flooding = [asyncio.create_task(flood.client(rig.port, end)) for _ in range(flood.clients)]
    reading = [asyncio.create_task(flood.reader(rig.port, end)) for _ in range(READERS)]
    await asyncio.sleep(FLOODS)
    calls = await asyncio.gather(*(job(rig.port, monitor, end) for monitor in monitors))
    await asyncio.gather(*flooding)
    return list(chain.from_iterable(calls)), list(chain.from_iterable(await asyncio.gather(*reading)))


def hold(rig: Rig, flood: Flood, seconds: float = 8) -> None:
    """Nobody else is refused, slowed or called dead, while the flood is refused."""
    line, began = rig.line(), time.time()
    monitors = rig.background.run(Api(rig).checks(JOBS, "", timeout=3, grace=3))
    before = [rig.background.run(line.post(path_of(monitor, "success"), "")) for monitor in monitors]
    alone = median(times(before, 200))
    calls, said = rig.background.run(flooded(rig, flood, monitors, seconds))
    answers = Counter(call.status for call in flood.calls)
    assert {call.status for call in calls} <= {200, 503}
    took, refused, ours = times(flood.calls, 200, 201, 404), times(flood.calls, 503), times(calls, 200)
    measured(f"{flood.kind}: flood {dict(answers)}, heard in {median(took):.2f} s, refused in {median(refused):.3f} s; "
             f"{len(ours)} of {len(calls)} of the jobs in {median(ours):.2f} s, at most {max(ours):.2f} s, "
             f"alone {alone:.2f} s")  # fmt: skip
    assert set(answers) <= {200, 201, 404, 503}
    assert answers[503] > flood.clients / 2, "no flood"
    share, theirs = (len(calls) - len(ours)) / len(calls), answers[503] / answers.total()
    assert share < theirs / 4, "a job is refused for another's flood"  # while the machine stands still everybody is
    assert median(ours) < 1.5 * median(took) + alone, "a job waits longer than the flood"  # which may cost less: 404
    assert set(said) == {"1"}
    rig.works("sweep", began)
    assert not rig.rows(TURNED)
    assert not rig.rows("SELECT 1 FROM blackouts")
    for monitor in monitors:
        bodies = [body for (body,) in rig.rows(BODIES, monitor)]
        assert bodies == sorted(bodies)


def times(calls: list[Call], *statuses: int) -> list[float]:
    """How long those took that were answered so."""
    return [call.ended - call.began for call in calls if call.status in statuses]


@pytest.mark.timeout(120)
def test_a_flood_of_one_project_is_refused_at_once_and_no_other_feels_it(tmp_path: Path) -> None:
    """Hundreds of clients on one monitor: 503 with Retry-After for what is too much, and another project's jobs are heard."""
    seed()
    with rigged(tmp_path, MISSEDBEAT_GUARD_SECONDS="3") as rig:
        flood = Flood("one", rig.background.run(new_project(rig.server.dsn)).ping_key, clients=700)
        assert rig.background.run(rig.line().post(f"/ping/{flood.key}/one?create=1", "")).acknowledged
        with psycopg.connect(rig.dsn) as database:
            database.execute(COSTLY)
        hold(rig, flood)
        assert median(times(flood.calls, 503)) < median(times(flood.calls, 200)) / 4, "refusals do not come at once"


@pytest.mark.prove
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("kind", "delay"), [("names", SLOW), ("ids", SLOW), ("new", SLOW / 4)])
def test_a_flood_of_ever_other_names_is_refused_and_nobody_feels_it(tmp_path: Path, kind: str, delay: float) -> None:
    """The same, where each request names another monitor under one project's key, which is made or not, or an id that nobody
    has."""
    seed()
    with rigged(tmp_path, through=(proxy := Proxy()), MISSEDBEAT_GUARD_SECONDS="3") as rig:
        flood = Flood(kind, rig.background.run(new_project(rig.server.dsn)).ping_key, clients=2500)
        proxy.delay = delay
        hold(rig, flood)
