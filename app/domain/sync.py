"""What a program says of all its jobs at once, and what comes of it for each monitor: the program may change what it declares,
and what people changed since stays theirs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Protocol

from app.domain.alias import Service
from app.domain.declaration import Declaration
from app.domain.message import clean
from app.domain.schedule import Declared, Every, Schedule, describe
from app.domain.slug import slug_of
from app.domain.state import Rule

LONGEST_NAME = 100
FEWEST_LOST = 3  # one that is renamed, or a try of two, is no schedule that was lost
UNWATCHED_BY_TIME = Rule(Declared(None, None, "UTC"), timedelta(seconds=60))
"""Of a task that is watched whoever starts it: no slot is ever expected."""


@dataclass(frozen=True, slots=True)
class Stands:
    """A monitor, as far as programs and people may change it. `slug`: of a new one the slug it would have; `declared`: what its
    program said last, as JSON; `retired`: paused by a sync that no longer named it; `beat_of`: the source whose scheduler it
    watches."""

    name: str
    slug: str
    rule: Rule
    tags: str = ""
    description: str = ""
    source: str = ""
    beat_of: str = ""
    retired: bool = False
    declared: Mapping[str, Any] = field(default_factory=dict)


class Item(Protocol):
    """One thing that is declared."""

    def made(self, now: datetime) -> Stands:
        """Its monitor, new."""

    def after(self, stands: Stands, now: datetime) -> Stands:
        """Its monitor from now on; equal to what stands where nothing is to be changed."""


@dataclass(slots=True)
class Sync:
    """A sync, read. `whole`: what it does not name is to be retired; `items`: what is declared under each token; `named`: these
    tokens and those of items that made no sense; `paused`: those of what is there and not due, to be retired as well; `errors`:
    what was wrong with items; `dues`: of intervals, when the scheduler sends them next, where it began them anew; `slugs`: of
    jobs, the slug of the check that is meant where none is called so."""

    service: Service
    source: str
    whole: bool = False
    items: dict[str, Item] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    errors: list[dict[str, str]] = field(default_factory=list)
    dues: Mapping[str, datetime] = field(default_factory=dict)
    slugs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Synced:
    """What came of it: how many were known, made and retired; the tokens left out, for the plan is full."""

    known: int = 0
    created: int = 0
    retired: int = 0
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a schedule. `rule` is complete; `said` names the fields that its program says itself: what it leaves out has
    its default, and never outweighs what a person set. `forgets`: what was due before is not, unless it is said again."""

    name: str
    rule: Rule
    source: str
    tags: str = ""
    description: str = ""
    said: frozenset[str] = frozenset()
    forgets: bool = False

    def made(self, now: datetime) -> Stands:
        """As it is declared."""
        stands = Stands(clean(self.name, LONGEST_NAME), slug_of(self.name), self.rule, self.tags, self.description, self.source)
        return replace(stands, declared=self._declared(shown(stands)))

    def after(self, stands: Stands, now: datetime) -> Stands:
        """The schedule as it is declared; of the other fields those that its program changed since it last spoke."""
        last = stands.declared
        wanted = shown(self.made(now))
        if "grace" not in self.said and "grace" not in last.get("said", ()) and last.get("schedule") == _text(self.rule.schedule):
            wanted["grace"] = last["grace"]  # the default does not move with the hours
        fields = merged(wanted, last, shown(stands), self.said)
        before = replace(stands.rule, schedule=UNWATCHED_BY_TIME.schedule) if self.forgets else stands.rule
        timed = Declaration(schedule=self.rule.schedule).rule_after(before, now, timedelta())
        limits = {name: _span(fields[name]) for name in ("grace", "max_runtime", "max_wait")}
        rule = replace(timed, dispatched=self.rule.dispatched, **limits)
        return replace(
            stands, name=fields["name"], rule=rule, tags=fields["tags"], description=fields["description"], source=self.source,
            retired=False, declared=self._declared(wanted),
        )  # fmt: skip

    def _declared(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        return {**wanted, "schedule": _text(self.rule.schedule), "said": sorted(self.said)}


@dataclass(frozen=True, slots=True)
class Task:
    """A task that is watched whoever starts it."""

    name: str

    def made(self, now: datetime) -> Stands:
        """Nothing is expected of it by time."""
        return Stands(clean(self.name, LONGEST_NAME), slug_of(self.name), UNWATCHED_BY_TIME)

    def after(self, stands: Stands, now: datetime) -> Stands:
        """As it stands."""
        return stands


@dataclass(frozen=True, slots=True)
class Group:
    """All schedulers or all workers of a source, of whom one at least says every `heartbeat` that it lives: lost after 2.5 of
    them. `begins`: a process of it began just now; `beat_of`: the source, of schedulers."""

    name: str
    heartbeat: timedelta
    description: str
    beat_of: str = ""
    begins: bool = False

    def made(self, now: datetime) -> Stands:
        """Paused by hand it stays so: heartbeats are no sign that somebody wants it back."""
        rule = Rule(Every(self.heartbeat), timedelta(seconds=ceil(1.5 * self.heartbeat.total_seconds())), manual_resume=True)
        declared = {"heartbeat": _seconds(self.heartbeat), "grace": _seconds(rule.grace)}
        name, slug = clean(self.name, LONGEST_NAME), slug_of(self.name)
        return Stands(name, slug, rule, "", self.description, beat_of=self.beat_of, declared=declared)

    def after(self, stands: Stands, now: datetime) -> Stands:
        """Of processes that differ the slowest counts, until one begins that is quicker."""
        last, made = stands.declared.get("heartbeat"), self.made(now)
        if not self.outdates(last):
            return stands
        wanted = {"grace": made.declared["grace"]}
        grace = merged(wanted, stands.declared, {"grace": _seconds(stands.rule.grace)}, frozenset())["grace"]
        rule = replace(stands.rule, schedule=made.rule.schedule, early=None, grace=_span(grace))
        return replace(stands, rule=rule, declared=made.declared, beat_of=self.beat_of)

    def outdates(self, last: int | None) -> bool:
        """Whether this says more than what was said last, in seconds."""
        mine = _seconds(self.heartbeat)
        return last is None or mine > last or (self.begins and mine != last)


def shown(stands: Stands) -> dict[str, Any]:
    """What a program may declare beside the schedule, as JSON."""
    return {
        "name": stands.name, "tags": stands.tags, "description": stands.description, "grace": _seconds(stands.rule.grace),
        "max_runtime": None if stands.rule.max_runtime is None else _seconds(stands.rule.max_runtime),
        "max_wait": None if stands.rule.max_wait is None else _seconds(stands.rule.max_wait),
    }  # fmt: skip


def merged(
    wanted: Mapping[str, Any], last: Mapping[str, Any], current: Mapping[str, Any], said: frozenset[str]
) -> dict[str, Any]:
    """Each field as its program wants it, if it changed its mind since it spoke last, and either nobody else changed the field
    or it says it itself; else as it is."""
    return {
        name: value if value != last.get(name) and (current[name] == last.get(name) or name in said) else current[name]
        for name, value in wanted.items()
    }


def is_lost(retired: int, watched: int) -> bool:
    """Whether a sync that retires so many, of so many that its source had watched, looks like a schedule that was lost."""
    return retired >= FEWEST_LOST and 2 * retired > watched > 0


def _text(schedule: Schedule) -> str:
    return f"declared ({schedule.zone})" if isinstance(schedule, Declared) else describe(schedule)


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())


def _span(seconds: int | None) -> Any:
    return None if seconds is None else timedelta(seconds=seconds)
