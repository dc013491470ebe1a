"""P2 under random stalls: acknowledged and received by the deadline is never `down` for it. The guard of recording and the margin
of the sweep keep that together; with either of them off the same harness finds a job that was wronged."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from app.clock import monotonic
from app.domain.state import Signal
from app.ingest.inbox import Inbox
from app.ingest.ping import Ping, Target
from app.store.addresses import Address
from app.store.engine import Sessions, make_engine
from app.sweeper.sweep import sweep
from tests.faults.rig import measured, seed
from tests.many import copy
from tests.world import World, living

pytestmark = pytest.mark.anyio

DELTA = timedelta(seconds=0.3)
NONE, NO_GUARD = timedelta(), timedelta(hours=1)
LONGEST = 3 * DELTA.total_seconds()  # a stall
OFTEN = 0.03  # of all statements stall
PERIOD = 1.0
INBOXES = 4
WRONGED = """
    SELECT count(*) AS n FROM transitions t WHERE to_status = 'down' AND reason = 'missed' AND EXISTS (
        SELECT 1 FROM check_ins c WHERE c.monitor_id = t.monitor_id AND c.signal = 'success'
            AND c.received_at > t.at - interval '1 s' AND c.received_at <= t.at)"""
MISSED = "SELECT count(*) AS n FROM transitions WHERE to_status = 'down' AND reason = 'missed'"


class Stalling(AsyncSession):
    """A session whose statements, and whose COMMIT, stall now and then."""

    async def execute(self, *given: Any, **more: Any) -> Any:
        """As any session does it, sometimes later."""
        await stall()
        return await super().execute(*given, **more)

    async def commit(self) -> None:
        """The same."""
        await stall()
        await super().commit()


async def stall() -> None:
    """Mostly not at all."""
    if random.random() < OFTEN:
        await asyncio.sleep(random.uniform(0, LONGEST))


@dataclass
class Harness:
    """Jobs that ping around their deadlines through several inboxes, and sweepers that never rest."""

    world: World
    guard: timedelta
    margin: timedelta
    engines: list[AsyncEngine] = field(default_factory=list)
    acknowledged: int = 0
    refused: int = 0

    def sessions(self, size: int) -> Sessions:
        """Stalling ones."""
        self.engines.append(make_engine(self.world.dsn, "ingest", size))
        return async_sessionmaker(self.engines[-1], class_=Stalling, expire_on_commit=False)

    async def job(self, inbox: Inbox, monitor: str) -> None:
        """One job: heard, then again about a period later, and at once again where it was refused."""
        while True:
            ping = Ping(Target(Address("ping", monitor), Signal.SUCCESS), monotonic())
            if (await inbox.hear(ping)).status != 200:
                self.refused += 1
                await asyncio.sleep(0.01)
                continue
            self.acknowledged += 1
            due = ping.heard_at + PERIOD + random.uniform(-DELTA.total_seconds(), 0.03)
            await asyncio.sleep(max(0.0, due - monotonic()))

    async def sweeping(self, sessions: Sessions) -> None:
        """Never rests."""
        while True:
            await sweep(sessions, self.margin)
            await asyncio.sleep(0.01)

    async def ticking(self) -> None:
        """Twenty a second, so that the horizon is as near as it may be."""
        while True:
            await self.world.tick()
            await asyncio.sleep(0.05)

    async def count(self, sql: str) -> int:
        """A number out of the tables."""
        return int((await self.world.rows(sql))[0]["n"])


@asynccontextmanager
async def harness(dsn: str, jobs: int, guard: timedelta, margin: timedelta) -> AsyncIterator[Harness]:
    """It runs as long as the block."""
    async with living(dsn) as world:
        await world.check(timeout=60, grace=60)
        await world.run("UPDATE monitors SET period = 1, grace = 0")
        await copy(world, jobs - 1)
        await world.run("""INSERT INTO addresses (kind, key, project_id, monitor_id)
            SELECT 'ping', id::text, project_id, id FROM monitors ON CONFLICT DO NOTHING""")
        monitors = [str(r["id"]) for r in await world.rows("SELECT id FROM monitors")]
        running = Harness(world, guard, margin)
        inboxes = [Inbox(running.sessions(3), guard) for _ in range(INBOXES)]
        flushing = [asyncio.create_task(inbox.run()) for inbox in inboxes]
        loops = [running.ticking(), *(running.sweeping(running.sessions(2)) for _ in range(2))]
        loops += [running.job(inboxes[n % INBOXES], monitor) for n, monitor in enumerate(monitors)]
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            yield running
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for inbox in inboxes:
                inbox.close()
            await asyncio.gather(*flushing)
            for engine in running.engines:
                await engine.dispose()


async def hold(dsn: str, acknowledgements: int, jobs: int) -> None:
    """Nobody wronged in so many acknowledgements."""
    seed()
    async with harness(dsn, jobs, DELTA, DELTA) as running:
        while running.acknowledged < acknowledgements:
            await asyncio.sleep(0.2)
            assert await running.count(WRONGED) == 0
        missed = await running.count(MISSED)
        measured(f"{running.acknowledged} acknowledged, {running.refused} refused, {missed} downs, 0 wronged")
        assert missed > 0, "no job missed a deadline: the harness does not ping around them"


async def hunt(dsn: str, guard: timedelta, margin: timedelta, seconds: float = 40) -> None:
    """Somebody is wronged before long."""
    seed()
    async with harness(dsn, 150, guard, margin) as running:
        give_up_at = monotonic() + seconds
        while not (wronged := await running.count(WRONGED)):
            assert monotonic() < give_up_at, f"nobody wronged in {running.acknowledged} acknowledgements"
            await asyncio.sleep(0.2)
        measured(f"wronged {wronged} in {running.acknowledged}")


async def test_nobody_who_was_heard_in_time_is_called_down(dsn: str) -> None:
    """Stalls of up to three margins between any two statements and before COMMIT, at deadlines."""
    await hold(dsn, 1000, 150)


@pytest.mark.prove
@pytest.mark.timeout(400)
async def test_nobody_is_called_down_in_ten_thousand_acknowledgements(dsn: str) -> None:
    """The same at length."""
    await hold(dsn, 10_000, 200)


async def test_without_the_guard_somebody_is_wronged(dsn: str) -> None:
    """The sweeper has judged the deadline by the time the late one commits."""
    await hunt(dsn, NO_GUARD, DELTA)


async def test_without_the_margin_somebody_is_wronged(dsn: str) -> None:
    """The sweeper judges a deadline at once, before what was received by it could commit."""
    await hunt(dsn, 3 * DELTA, NONE)
