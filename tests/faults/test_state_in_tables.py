"""The state machine of the domain, lived through the tables: the same random lives, each decision under the row lock, written and
read again; and check-ins in any order of commit, each in a transaction of its own."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from sqlalchemy import text

from app.clock import monotonic
from app.domain.horizon import Horizon
from app.domain.monitor import CheckIn
from app.domain.state import Decision, Monitor, Rule, Signal, Status
from app.ingest.ping import Ping, Target
from app.ingest.record import record
from app.store import accounts, decisions, monitors, partitions
from app.store.addresses import Address
from app.store.engine import Sessions, make_engine, make_sessions
from app.store.rows import rule_columns
from tests.database import empty, use_virtual_clock
from tests.domain.test_state_machine import BEGIN, BRIEF, EARLIES, GRACES, RUNTIMES, SCHEDULES, Lives, outcome
from tests.faults.rig import Background, measured, seed
from tests.world import World

MARGIN = timedelta(seconds=30)


class Kept(Lives):
    """Lives whose monitor stands in a table: nothing is remembered between two decisions."""

    background: ClassVar[Background]
    sessions: ClassVar[Sessions]
    project: ClassVar[UUID]
    lives: ClassVar[int] = 0

    def _decide(self, on_event: Callable[..., Decision], *given: Any) -> None:
        decision = self.background.run(self._decide_there(on_event, given))
        Lives.steps += 1
        self.transitions += decision.transitions
        self.records |= {(r.key, r.at): r for r in decision.records}

    async def _decide_there(self, on_event: Callable[..., Decision], given: tuple[Any, ...]) -> Decision:
        async with self.sessions() as session:
            if not hasattr(self, "id"):
                self.id = uuid4()
                Kept.lives += 1
                names = {"name": "lives", "zone": getattr(self.real.rule.schedule, "zone", "UTC")}
                await monitors.create(session, self.project, self.id, self.real.rule, self.now, names)
            row = await monitors.lock_one(session, self.project, self.id)
            assert row.monitor == self.real
            decision = on_event(row.monitor, *given)
            row.monitor = decision.monitor
            await monitors.edit(session, self.project, self.id, rule_columns(decision.monitor.rule))
            await decisions.write(session, self.now, [(row, decision)])
            await session.commit()
        async with self.sessions() as session:
            self.real = (await monitors.lock_one(session, self.project, self.id)).monitor
        assert self.real == decision.monitor
        return decision

    @invariant()
    def an_incident_is_open_while_it_is_down(self) -> None:
        """One, and none else."""
        if not hasattr(self, "id"):
            return
        sql = "SELECT count(*) FROM incidents WHERE monitor_id = :id AND closed_at IS NULL"
        assert self.background.run(count(self.sessions, sql, id=self.id)) == (self.real.status is Status.DOWN)

    def teardown(self) -> None:
        """The tables hold every transition, once."""
        if hasattr(self, "id"):
            sql = "SELECT count(*) FROM transitions WHERE monitor_id = :id"
            assert self.background.run(count(self.sessions, sql, id=self.id)) == len(self.transitions)


async def count(sessions: Sessions, sql: str, **given: Any) -> int:
    """A number out of the tables."""
    async with sessions() as session:
        return int((await session.execute(text(sql), given)).scalar_one())


@pytest.fixture
def tables(dsn: str) -> Iterator[None]:
    """An empty database with a project and the partitions of the months that are lived in."""
    empty(dsn)
    use_virtual_clock(dsn)
    Kept.background = Background()
    engine = make_engine(dsn, "web", 2)
    Kept.sessions = make_sessions(engine)

    async def begin() -> UUID:
        async with Kept.sessions() as session:
            for month in range(4):
                await partitions.make(session, partitions.wanted_since(BEGIN + timedelta(days=30 * month), timedelta(days=30)))
            made = await accounts.create_project(session, "Lives", None, BEGIN)
            await session.commit()
            return made.id

    Kept.project = Kept.background.run(begin())
    yield
    Kept.background.run(engine.dispose())
    Kept.background.close()


def live(examples: int, steps: int) -> None:
    """So many lives of so many steps."""
    before = Lives.steps
    Kept.lives = 0
    run_state_machine_as_test(Kept, settings=settings(BRIEF, max_examples=examples, stateful_step_count=steps))
    measured(f"{Kept.lives} lives, {Lives.steps - before} decisions")


@pytest.mark.usefixtures("tables")
def test_lives_in_the_tables_agree_with_the_reference() -> None:
    """Written to its row and read again before every decision, a monitor is what the reference says; incidents match."""
    live(25, 25)


@pytest.mark.prove
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("tables")
def test_many_lives_in_the_tables_agree_with_the_reference() -> None:
    """At length."""
    live(120, 40)


# ---- Any order of commit


def some_rule() -> Rule:
    """Any, with thresholds of one, for which the order does not matter."""
    early, max_runtime = (None if s is None else timedelta(seconds=s) for s in (random.choice(EARLIES), random.choice(RUNTIMES)))
    grace = timedelta(seconds=random.choice(GRACES))
    return Rule(schedule=random.choice(SCHEDULES), grace=grace, early=early, max_runtime=max_runtime)


def some_burst() -> list[tuple[float, Signal, str]]:
    """Two to six check-ins of named runs, received within three seconds, each once."""
    said = {(random.choice((Signal.START, Signal.SUCCESS, Signal.FAIL)), f"run {random.randrange(4)}") for _ in range(6)}
    return [(random.uniform(0, 3), signal, run) for signal, run in said]


async def permuted(world: World, count: int) -> None:
    """So many monitors, each told a burst in an order that is not that of reception; the outcome is that of the order."""
    rules = {uuid4(): some_rule() for _ in range(count)}
    now = await world.now()
    async with world.sessions() as session:
        for monitor, rule in rules.items():
            names = {"name": "x", "zone": getattr(rule.schedule, "zone", "UTC")}
            await monitors.create(session, world.project.id, monitor, rule, now, names)
        await session.commit()
    heard_at = monotonic()
    said = {monitor: some_burst() for monitor in rules}
    for turn in range(6):
        batch = [
            Ping(Target(Address("ping", str(monitor)), burst[turn][1]), heard_at - burst[turn][0], run_id=burst[turn][2])
            for monitor, burst in said.items()
            if turn < len(burst)
        ]
        answered = await record(world.sessions, batch, MARGIN, 0)
        assert {answer.status for answer in answered} <= {200}
    horizon = Horizon(now - MARGIN)
    for monitor, rule in rules.items():
        sql = "SELECT received_at, signal, run_id FROM check_ins WHERE monitor_id = :id ORDER BY received_at"
        in_turn = [CheckIn(Signal(r["signal"]), r["received_at"], r["run_id"]) for r in await world.rows(sql, id=monitor)]
        assert len(in_turn) == len(said[monitor])
        async with world.sessions() as session:
            row = await monitors.lock_one(session, world.project.id, monitor)
        assert outcome(row.monitor, [], horizon) == outcome(Monitor(replace(rule)), in_turn, horizon), (rule, in_turn)


@pytest.mark.anyio
async def test_the_order_of_commits_changes_nothing_in_the_tables(world: World) -> None:
    """P12: status, deadline and open runs follow from what was received when, not from which transaction came first."""
    seed()
    await permuted(world, 150)


@pytest.mark.prove
@pytest.mark.anyio
@pytest.mark.timeout(300)
async def test_many_orders_of_commits_change_nothing_in_the_tables(world: World) -> None:
    """At length."""
    seed()
    for _ in range(4):
        await permuted(world, 300)
    measured("1200 bursts")
