"""Virtual days of many jobs, on real PostgreSQL and in the domain alone: nobody alive is called down, not even for our own
outages of a minute, ten minutes, two hours; everybody dead is, by the first deadline after them."""

import time
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from app.clock import monotonic
from app.domain.horizon import Blackout, Horizon
from app.domain.monitor import CheckIn, on_check_in, on_silence
from app.domain.state import Decision, Monitor, Signal, Status
from app.ingest.ping import Ping, Target
from app.ingest.record import record
from app.ingest.tick import Ticker
from app.store import monitors
from app.store.addresses import Address
from app.store.engine import make_engine, make_sessions
from app.sweeper.prune import keep_partitions
from app.sweeper.sweep import sweep
from tests.faults.rig import measured, seed
from tests.faults.simulated import Down, Ground, Job, Simulation, make_jobs
from tests.world import MARGIN, World

pytestmark = pytest.mark.anyio


class Memory:
    """The domain alone: no row, no transaction."""

    def __init__(self) -> None:
        self._now = datetime(2026, 3, 27, 5, tzinfo=UTC)  # clocks change in several zones soon
        self._monitors: dict[UUID, Monitor] = {}
        self._blackouts: tuple[Blackout, ...] = ()
        self._downs: list[Down] = []

    async def begin(self, jobs: Sequence[Job]) -> datetime:
        """See Ground."""
        self._monitors = {job.id: Monitor(job.rule) for job in jobs}
        return self._now

    async def pass_time(self, span: timedelta) -> datetime:
        """See Ground."""
        self._now += span
        return self._now

    async def be_away(self, span: timedelta) -> datetime:
        """See Ground."""
        self._blackouts = (*self._blackouts, Blackout(self._now, self._now + span))[-20:]
        return await self.pass_time(span)

    async def hear(self, said: Sequence[tuple[UUID, Signal]]) -> None:
        """See Ground."""
        for n, (job, signal) in enumerate(said):
            at = self._now + timedelta(microseconds=n)
            self._take(job, on_check_in(self._monitors[job], CheckIn(signal, at), self._horizon))

    async def sweep(self) -> None:
        """See Ground."""
        horizon = self._horizon
        for job, monitor in self._monitors.items():
            deadline = monitor.deadline()
            if deadline is not None and deadline < horizon.at:
                self._take(job, on_silence(monitor, horizon))

    async def downs(self) -> list[Down]:
        """See Ground."""
        return self._downs

    @property
    def _horizon(self) -> Horizon:
        return Horizon(self._now - MARGIN, self._blackouts)

    def _take(self, job: UUID, decision: Decision) -> None:
        self._monitors[job] = decision.monitor
        self._downs += [Down(job, t.at, self._now) for t in decision.transitions if t.after is Status.DOWN]


class Tables:
    """Everything but HTTP: the batches of recording, the sweep, ticks and blackouts on real PostgreSQL."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._engine = make_engine(world.dsn, "sweep", 4)
        self._sessions = make_sessions(self._engine)
        self._days = 0.0

    async def begin(self, jobs: Sequence[Job]) -> datetime:
        """See Ground."""
        now = await self._world.now()
        async with self._world.sessions() as session:
            for job in jobs:
                names = {"name": str(job.rule.schedule)[:90], "zone": getattr(job.rule.schedule, "zone", "UTC")}
                await monitors.create(session, self._world.project.id, job.id, job.rule, now, names)
            await session.commit()
        return now

    async def pass_time(self, span: timedelta) -> datetime:
        """See Ground."""
        self._days += span / timedelta(days=1)
        if self._days > 3:
            self._days = 0
            await keep_partitions(self._world.sessions, 90, 1000)
        await self._put_ahead(span)
        await self._world.tick()
        return await self._world.now()

    async def _put_ahead(self, span: timedelta) -> None:
        self._world.ahead += span
        async with self._sessions() as session:
            await session.execute(text("UPDATE test_clock SET ahead = :ahead"), {"ahead": self._world.ahead})
            await session.commit()

    async def be_away(self, span: timedelta) -> datetime:
        """See Ground."""
        await self._put_ahead(span)
        assert await Ticker(self._world.sessions, self._world.web.inbox).tick_once()
        return await self._world.now()

    async def hear(self, said: Sequence[tuple[UUID, Signal]]) -> None:
        """See Ground."""
        for first in range(0, len(said), 400):
            batch = [Ping(Target(Address("ping", str(job)), signal), monotonic()) for job, signal in said[first : first + 400]]
            answered = await record(self._sessions, batch, timedelta(seconds=30), 0)
            assert {answer.status for answer in answered} == {200}

    async def sweep(self) -> None:
        """See Ground."""
        await sweep(self._sessions, MARGIN)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._engine.dispose()

    async def downs(self) -> list[Down]:
        """See Ground."""
        rows = await self._world.rows("SELECT monitor_id, at, noticed_at FROM transitions WHERE to_status = 'down'")
        return [Down(row["monitor_id"], row["at"], row["noticed_at"]) for row in rows]


async def simulate(ground: Ground, jobs: int, days: float) -> None:
    """Live, then hold what became of it against what was true."""
    seed()
    simulation = Simulation(ground, make_jobs(jobs))
    began = time.monotonic()
    await simulation.live(days)
    pace = days / (time.monotonic() - began) * 60
    found = await simulation.complaints(await ground.pass_time(timedelta()))
    measured(
        f"{jobs} jobs, {days} days, {pace:.0f} days a minute; {len(simulation.blackouts)} outages, {simulation.deaths} deaths, "
        f"{len(simulation.owed)} to be told, {len(await ground.downs())} downs, {len(found)} complaints"
    )
    assert not found, "\n".join(found[:10])
    assert simulation.deaths


async def test_jobs_live_and_die_for_virtual_days_in_the_domain() -> None:
    """No row, no clock: a fortnight in a second or two."""
    await simulate(Memory(), 100, 14)


async def test_jobs_live_and_die_for_a_virtual_day_in_the_tables(world: World) -> None:
    """The same through recording and sweep, on real PostgreSQL."""
    async with aclosing(Tables(world)) as tables:
        await simulate(tables, 200, 1)


@pytest.mark.prove
@pytest.mark.timeout(400)
async def test_a_thousand_jobs_live_and_die_for_virtual_weeks_in_the_domain() -> None:
    """At length."""
    await simulate(Memory(), 1000, 30)


@pytest.mark.prove
@pytest.mark.timeout(400)
async def test_a_thousand_jobs_live_and_die_for_virtual_days_in_the_tables(world: World) -> None:
    """At length."""
    async with aclosing(Tables(world)) as tables:
        await simulate(tables, 1000, 6)
