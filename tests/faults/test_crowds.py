"""Crowds: two thousand jobs that fall silent at once, and ten times what the service can take."""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from statistics import median

import psutil
import pytest

from tests.faults.history import Call, Line, path_of
from tests.faults.jobs import Api
from tests.faults.proxy import Proxy
from tests.faults.rig import Rig, measured, rigged, seed
from tests.many import copy
from tests.world import World

CLIENTS = 1500
HEARD = 200  # at least
REST = 3.0  # seconds at most, once the flood was as long as it should be
SLOW = 0.08  # seconds more for each thing said to the database: a batch takes about a second
ADDRESSES = """INSERT INTO addresses (kind, key, project_id, monitor_id)
    SELECT 'ping', id::text, project_id, id FROM monitors ON CONFLICT DO NOTHING"""
DATED = """SELECT count(*) AS downs, count(DISTINCT t.monitor_id) AS monitors,
        count(*) FILTER (WHERE t.at <> m.last_success_at + interval '90 s') AS misdated
    FROM transitions t JOIN monitors m ON m.id = t.monitor_id WHERE t.to_status = 'down'"""


@pytest.mark.anyio
async def test_two_thousand_jobs_silent_at_once_go_down_once_each(world: World) -> None:
    """Four sweepers at once: 2,000 transitions, each dated at its own deadline, an open incident for each."""
    await world.ping(await world.check())
    await copy(world, 1999)
    await world.run("""UPDATE monitors SET last_success_at = s.at, last_end_at = s.at, last_applied_at = s.at, anchor = s.at,
        satisfied = s.at, due = s.at + interval '60 s', deadline = s.at + interval '90 s', wake_at = s.at + interval '90 s'
        FROM (SELECT id, missedbeat_now() - random() * interval '20 s' AS at FROM monitors) s WHERE s.id = monitors.id""")
    await world.advance(200)
    began = time.monotonic()
    await asyncio.gather(*(world.sweep() for _ in range(4)))
    took = time.monotonic() - began
    await world.sweep()
    assert await world.rows(DATED) == [{"downs": 2000, "monitors": 2000, "misdated": 0}]
    assert len(await world.rows("SELECT 1 FROM incidents WHERE closed_at IS NULL")) == 2000
    measured(f"2000 turned in {took:.1f} s")


async def flood(port: int, monitors: list[str], seconds: float, calls: list[Call]) -> None:
    """Clients without patience: each asks again at once. Where the machine stood still instead they ask for longer than said, but
    with a rest: a machine that others keep busy refuses all of them for as long as all ask at once."""
    end, heard = time.monotonic() + seconds, 0

    async def client() -> None:
        nonlocal heard
        line = Line(port)
        await asyncio.sleep(random.uniform(0, 2))  # not all of them connect at once
        while time.monotonic() < end or heard < HEARD:
            calls.append(await line.post(path_of(random.choice(monitors), "log"), "x" * 200, patience=30))
            heard += calls[-1].acknowledged
            if time.monotonic() >= end:
                await asyncio.sleep(random.uniform(0, REST))
        await line.aclose()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


def overload(rig: Rig, proxy: Proxy, seconds: float) -> None:
    """Whatever is not taken is refused honestly; nobody waits without end; afterwards all is as before."""
    monitors = rig.background.run(Api(rig).checks(20, "", timeout=86_400, grace=3600))
    line, calls, pids = rig.line(), list[Call](), dict(rig.pids)
    proxy.delay = SLOW
    began = time.time()
    rig.background.run(flood(rig.port, monitors, seconds, calls))
    since = time.time()
    proxy.delay = 0.0
    quick = rig.background.run(line.post(path_of(monitors[0], "success"), "after"))
    recovered = time.time() - since
    rig.works("sweep", since)
    answers = Counter(call.status for call in calls)
    refusals = sorted(call.ended - call.began for call in calls if call.status == 503)
    taken = median(call.ended - call.began for call in calls if call.status == 200)
    slowest = max(call.ended - call.began for call in calls)
    kept = rig.rows("SELECT count(*) FROM check_ins WHERE body = convert_to(%s, 'UTF8')", "x" * 200)[0][0]
    measured(f"{len(calls)} calls in {since - began:.0f} s: {dict(answers)}; slowest {slowest:.2f} s, of the "
             f"refusals half within {median(refusals):.2f} s and 95 % within "
             f"{refusals[len(refusals) * 95 // 100]:.2f} s; normal after {recovered:.2f} s")  # fmt: skip
    assert set(answers) == {200, 503}, "a client heard nothing, or there was no overload"
    assert answers[503] > answers[200], "no overload"
    assert median(refusals) < taken / 2, "who is refused waits as long as who is heard"
    in_doubt = sum(not call.absent for call in calls if call.status == 503)  # of a batch for which a busy machine takes 5 s
    assert in_doubt < answers[503] / 10, "refusals do not say that nothing was recorded"
    assert answers[200] <= kept <= answers[200] + in_doubt
    assert quick.status == 200
    assert rig.pids == pids
    assert all(psutil.pid_exists(pid) for pid in pids.values())


@pytest.mark.timeout(120)
def test_more_than_it_can_take_is_refused_and_passes(tmp_path: Path) -> None:
    """Hundreds of clients without a rest: 2xx or an honest 503 for each, all that is acknowledged kept, nobody left waiting."""
    seed()
    with rigged(tmp_path, through=(proxy := Proxy())) as rig:
        overload(rig, proxy, 6)


@pytest.mark.prove
@pytest.mark.timeout(200)
def test_a_minute_of_more_than_it_can_take_passes(tmp_path: Path) -> None:
    """The same for a minute."""
    seed()
    with rigged(tmp_path, through=(proxy := Proxy())) as rig:
        overload(rig, proxy, 60)
