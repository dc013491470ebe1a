"""What must be there before anything can be recorded: the monitors of a schedule, of tasks, of schedulers and workers.

They are made in a transaction of their own, before the events are looked at; most batches name nothing new and make nothing.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.alias import Service
from app.domain.message import clean
from app.domain.sync import Group, Sync, Synced, Task
from app.events.answer import Answer
from app.events.batch import BEAT, Batch, Heartbeat, RunSaid, SyncSaid
from app.events.clocks import Clock
from app.store import reported, synced
from app.store.accounts import Reporter
from app.store.addresses import Address
from app.store.blackouts import Moment
from app.store.reported import Known

Register = Callable[[AsyncSession, UUID, Sync, Moment], Awaitable[Synced]]
Places = Mapping[Address, Known]

ABOUT = {
    "beat": ("Beat", "The schedulers of {}: down while none of them dispatches. What waits for them is held back meanwhile."),
    "workers": ("Workers", "The workers of {}: down when none of them has said for 2.5 heartbeats that it lives."),
}
REGISTERS_NOTHING = "this key registers nothing: send schedules, heartbeats and new tasks with a read-write key"
TWO = 'two programs call themselves {0}: give each its own name (Celery("name")) or MISSEDBEAT_ENVIRONMENT'
NEVER_BEATS = "heartbeat: the envelope does not say how often this process says that it lives, so it is not watched"


@dataclass(slots=True)
class Registration:
    """One batch, as far as it makes and changes monitors."""

    session: AsyncSession
    reporter: Reporter
    batch: Batch
    moment: Moment
    clock: Clock
    least: timedelta
    register: Register
    answer: Answer = field(default_factory=Answer)

    async def run(self) -> Places:
        """Make what is missing and may be made; returns the monitors that the batch names and that are there."""
        project, asked = self.reporter.project, _named(self.batch)
        places = await reported.places(self.session, project, asked)
        wanted = [wish for sync in self._newest() if (wish := await self._schedule(sync, places)) is not None]
        groups, tasks = self._groups(places), self._tasks(places)
        if not self._may_register(bool(groups or tasks)):
            return places
        if groups or tasks:
            wanted = wanted or [Sync(Service.CELERY, self._source)]
            wanted[0].items = {**groups, **wanted[0].items, **tasks}  # those who watch first: the plan may be full
            wanted[0].named |= {*groups, *tasks}
        for sync in wanted:
            await self._take_over(sync)
        # one that another batch was quicker to declare is there now, and was not when we asked
        is_stale = bool(wanted or (self.batch.syncs and asked - places.keys()))
        return await reported.places(self.session, project, asked) if is_stale else places

    @property
    def _source(self) -> str:
        return f"celery:{self.batch.envelope.source}"

    def _may_register(self, anything: bool) -> bool:
        """Whether this key may; what it would have made is an unknown monitor otherwise."""
        if self.reporter.scope == "rw":
            return True
        self.answer.unknown_monitors += len(self.batch.syncs)
        if anything or self.batch.syncs:
            self.answer.warn(REGISTERS_NOTHING)
        return False

    def _newest(self) -> list[SyncSaid]:
        """Of the syncs of a batch the last that is whole, and what comes after it in parts, put together."""
        found: list[SyncSaid] = []
        for said in sorted(self.batch.syncs, key=lambda sync: sync.at) if self.reporter.scope == "rw" else ():
            alike = next((n for n, one in enumerate(found) if one.kind == said.kind), None)
            if said.retires:
                self.answer.repeated += sum(one.events for one in found if not (one.only_new or one.job))
                found = [*(one for one in found if one.only_new or one.job), said]
            elif alike is None:
                found.append(said)
            else:
                found.append(found.pop(alike).followed_by(said))
        return found

    async def _schedule(self, said: SyncSaid, places: Places) -> Sync | None:
        """What a sync asks for; None for one that is older than what was taken over before, or has nothing new to add."""
        self.answer.flagged += self.clock.ahead(said.at)
        items = {
            token: entry for token, entry in said.items.items() if not said.only_new or Address("celery", token) not in places
        }
        project, boot = self.reporter.project, self.batch.envelope.boot
        of = f"celery:{said.job}" if said.job else self._source
        boots = await synced.boots(self.session, project, of)
        heard = [*(one for one in boots if one != boot), boot] if said.retires and boot else boots
        if not said.only_new and not await synced.newest(self.session, project, of, self.clock.past(said.at), heard):
            self.answer.repeated += said.events
            return None
        self.answer.accepted += said.events
        retires = said.retires and not await self._has_a_twin(said, boots)
        dues = {token: self.clock.of(due) for token, due in said.dues.items()}
        slugs = {said.job: said.items[said.job].name} if said.job else {}
        wanted = Sync(Service.CELERY, of, retires, dict(items), set(said.named), dues=dues, slugs=slugs)
        wanted.paused = set() if said.only_new else said.paused
        return wanted if items or wanted.paused or said.retires else None

    async def _has_a_twin(self, said: SyncSaid, boots: Sequence[str]) -> bool:
        """Whether another program speaks for this source too: it began later, and this one is not gone. Each would retire what
        is the other's; that is worth a word where there is any."""
        if self.batch.envelope.boot not in boots[:-1]:
            return False
        project = self.reporter.project
        named = await reported.places(self.session, project, {Address("celery", token) for token in said.named | said.paused})
        mine = await synced.of_source(self.session, project, self._source, retired=False)
        if set(mine) - {known.id for known in named.values()}:
            self.answer.warn(TWO.format(self.batch.envelope.source))
        return True

    async def _take_over(self, wanted: Sync) -> None:
        made = await self.register(self.session, self.reporter.project, wanted, self.moment)
        for token in made.left_out:
            self.answer.warn(f"the plan is full: {clean(token, 200)} is not watched")
        for error in wanted.errors:
            self.answer.warn(f"{clean(error['key'], 200)}: {error['error']}")

    def _groups(self, places: Places) -> dict[str, Group]:
        """Monitors of schedulers and workers that are not there, or expect something else than their heartbeats say now."""
        envelope, found = self.batch.envelope, {}
        for name in {said.group for said in _heartbeats(self.batch) if said.group and not said.leaves}:
            if envelope.heartbeat is None:
                self.answer.warn(NEVER_BEATS)
                continue
            title, about = ABOUT[name]
            begins = any(said.begins for said in _heartbeats(self.batch) if said.group == name)
            every = max(envelope.heartbeat, self.least)
            beat_of = self._source if name == BEAT else ""
            group = Group(f"{title} of {envelope.source}", every, about.format(envelope.source), beat_of, begins)
            there = places.get(envelope.group(name))
            if there is None or group.outdates(there.heartbeat):
                found[envelope.group(name).key] = group
        return found

    def _tasks(self, places: Places) -> dict[str, Task]:
        """Tasks that are watched whoever starts them, heard of for the first time."""
        missing = (said for said in self.batch.said if isinstance(said, RunSaid) and said.monitor not in places)
        return {said.monitor.key: Task(said.name.partition(":")[2]) for said in missing if said.name.startswith("task:")}


def _heartbeats(batch: Batch) -> Iterable[Heartbeat]:
    return (said for said in batch.said if isinstance(said, Heartbeat))


def _named(batch: Batch) -> set[Address]:
    """Every monitor that the batch names."""
    found = {Address("celery", token) for sync in batch.syncs if sync.only_new for token in sync.named}
    for said in batch.said:
        if isinstance(said, RunSaid):
            found.add(said.monitor)
        else:
            found |= {*batch.envelope.groups(said.group), *said.next_due, *(monitor for monitor, _ in said.active)}
    if any(isinstance(said, RunSaid) and said.broker for said in batch.said):
        found.add(batch.envelope.group(BEAT))
    return found
