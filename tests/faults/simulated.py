"""Jobs of every kind of schedule that live for virtual days: they run when they should, die at random, come back; we ourselves
are away at random. What a sound service makes of it is known without it: nobody alive goes down, everybody dead does, in time."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid4

from app.domain.horizon import AFTER_BLACKOUT, Blackout
from app.domain.schedule import Cron, Every, OnCalendar, Schedule, next_after
from app.domain.state import Rule, Signal

STEP = timedelta(minutes=15)
X = timedelta(seconds=6)
UNSURE = timedelta(seconds=30)  # real time passes too
OUTAGES = (timedelta(minutes=1), timedelta(minutes=10), timedelta(minutes=120))
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SCHEDULES: tuple[tuple[Schedule, timedelta], ...] = (
    (Every(HOUR), 20 * MINUTE),
    (Every(6 * HOUR), HOUR),
    (Every(24 * HOUR), 2 * HOUR),
    (Cron("5 * * * *", "UTC"), 20 * MINUTE),
    (Cron("0 */4 * * *", "Europe/Berlin"), 40 * MINUTE),
    (Cron("30 2 * * *", "America/New_York"), HOUR),
    (Cron("0 9 * * 1-5", "Asia/Tokyo"), HOUR),
    (OnCalendar("*-*-* 00/8:10:00", "UTC"), 30 * MINUTE),
    (OnCalendar("Mon..Fri *-*-* 18:30:00", "Australia/Lord_Howe"), HOUR),
)


@dataclass(frozen=True, slots=True)
class Down:
    """A monitor went down: since when, and when that was noticed."""

    job: UUID
    at: datetime
    noticed_at: datetime


class Ground(Protocol):
    """What the jobs live on: the tables, or the domain alone."""

    async def begin(self, jobs: Sequence["Job"]) -> datetime:
        """Make their monitors; returns the time."""
        ...

    async def pass_time(self, span: timedelta) -> datetime:
        """We hear all the while; returns the time."""
        ...

    async def be_away(self, span: timedelta) -> datetime:
        """We hear nothing; then we are back, and know that we were away."""
        ...

    async def hear(self, said: Sequence[tuple[UUID, Signal]]) -> None:
        """All of that is acknowledged."""
        ...

    async def sweep(self) -> None:
        """Look for silence."""
        ...

    async def downs(self) -> list[Down]:
        """All so far."""
        ...


@dataclass(eq=False)
class Job:
    """A job and what is true of it: when it ran last and was heard last, whether it is dead, by when that must be known."""

    rule: Rule
    id: UUID = field(default_factory=uuid4)
    ran_at: datetime | None = None
    next_at: datetime | None = None
    heard_at: datetime | None = None
    dead: bool = False

    def due(self, now: datetime) -> bool:
        """Whether it runs by then."""
        return self.ran_at is None or (self.next_at is not None and self.next_at <= now)

    def ran(self, at: datetime | None) -> None:
        """It ran then, and knows when it runs next; None: it runs as soon as it can."""
        self.ran_at = at
        self.next_at = None if at is None else next_run(self.rule.schedule, at)

    def deadline(self, blackouts: Sequence[Blackout]) -> datetime | None:
        """The first deadline after it was heard last of which we heard all; None where that is too close to call."""
        assert self.heard_at is not None
        schedule = self.rule.schedule
        slot, earliest = next_run(schedule, self.heard_at), self.heard_at
        while slot is not None:
            opens, closes = slot - 5 * MINUTE, slot + self.rule.grace
            if isinstance(schedule, Every):  # it may have run at any instant from `earliest` until a period before its slot
                opens = max(earliest + schedule.period - 5 * MINUTE, slot - schedule.period)
            touching = [b for b in blackouts if b.start <= closes + UNSURE and b.end > opens - UNSURE]
            if not touching:
                floor = max((b.end + AFTER_BLACKOUT for b in blackouts if b.end > self.heard_at), default=closes)
                return max(closes, floor)
            if isinstance(schedule, Every):
                if touching != [b for b in blackouts if b.start <= closes - UNSURE and b.end > opens + UNSURE]:
                    return None
                earliest, slot = max(opens, touching[0].start), touching[-1].end + schedule.period
            else:
                slot = next_run(schedule, slot)
        return None


def next_run(schedule: Schedule, after: datetime) -> datetime | None:
    """When it runs next."""
    return after + schedule.period if isinstance(schedule, Every) else next_after(schedule, after)


@dataclass
class Simulation:
    """`live` for some days, then `complaints`."""

    ground: Ground
    jobs: list[Job]
    blackouts: list[Blackout] = field(default_factory=list)
    deaths: int = 0
    owed: list[tuple[Job, datetime, datetime]] = field(default_factory=list)  # heard last, known by

    async def live(self, days: float) -> None:
        """Step by step; an outage in about every third hour."""
        now = await self.ground.begin(self.jobs)
        end = now + timedelta(days=days)
        await self._run(now)
        while now < end:
            if random.random() < 0.08:
                now = await self._outage(random.choice(OUTAGES))
            now = await self.ground.pass_time(STEP)
            await self.ground.sweep()
            await self._run(now)
            self._live_and_die(now)
        await self.ground.sweep()

    async def _run(self, now: datetime) -> None:
        said: list[tuple[UUID, Signal]] = []
        for job in self.jobs:
            if not job.dead and job.due(now):
                said += [(job.id, Signal.START)] * (job.rule.max_runtime is not None) + [(job.id, Signal.SUCCESS)]
                job.ran(now)
                job.heard_at = now
        await self.ground.hear(said)

    async def _outage(self, span: timedelta) -> datetime:
        before = await self.ground.pass_time(timedelta(seconds=1))
        now = await self.ground.be_away(span)
        self.blackouts.append(Blackout(before, now))
        for job in self.jobs:
            if job.dead or job.ran_at is None or not job.due(now):
                continue
            while job.next_at is not None and job.due(now):
                job.ran(job.next_at)  # and nobody heard
        return now

    def _live_and_die(self, now: datetime) -> None:
        for job in self.jobs:
            if not job.dead and random.random() < 0.0004:
                job.dead = True
                self.deaths += 1
            elif job.dead and job.heard_at is not None:
                deadline = job.deadline(self.blackouts)
                if deadline is not None and now > deadline + X + UNSURE + STEP and random.random() < 0.02:
                    self.owed.append((job, job.heard_at, deadline))
                    job.dead = False
                    job.ran(None)

    async def complaints(self, now: datetime) -> list[str]:
        """Deaths not noticed in time, and downs of those who lived."""
        for job in self.jobs:
            deadline = job.deadline(self.blackouts) if job.dead and job.heard_at is not None else None
            if deadline is not None and job.heard_at is not None and now > deadline + X + UNSURE + STEP:
                self.owed.append((job, job.heard_at, deadline))
        downs: dict[UUID, list[Down]] = {}
        for down in await self.ground.downs():
            downs.setdefault(down.job, []).append(down)
        return [*self._unnoticed(downs), *self._wronged(downs)]

    def _unnoticed(self, downs: dict[UUID, list[Down]]) -> Iterator[str]:
        for job, heard_at, deadline in self.owed:
            mine = [d for d in downs.get(job.id, []) if heard_at < d.at <= deadline + UNSURE]
            if len(mine) != 1 or mine[0].noticed_at > deadline + X + UNSURE + STEP:
                yield f"{job.rule.schedule} silent since {heard_at} was to be down by {deadline}: {downs.get(job.id)}"
            for down in mine:
                downs[job.id].remove(down)

    def _wronged(self, downs: dict[UUID, list[Down]]) -> Iterator[str]:
        """What is left of the downs."""
        jobs = {job.id: job for job in self.jobs}
        for down in (d for mine in downs.values() for d in mine):
            job = jobs[down.job]
            is_dead = job.dead and job.heard_at is not None and down.at > job.heard_at
            if not is_dead:
                yield f"{job.rule.schedule} was alive and went down at {down.at}"


def make_jobs(count: int) -> list[Job]:
    """Of all kinds in turn, some of them timed from start to end."""
    jobs = []
    for n in range(count):
        schedule, grace = SCHEDULES[n % len(SCHEDULES)]
        jobs.append(Job(Rule(schedule=schedule, grace=grace, max_runtime=MINUTE * 10 if n % 5 == 0 else None)))
    return jobs
