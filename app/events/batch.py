"""What one request says, read: who speaks, and each event as a value. Instants are still by the clock of who says them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.domain.alias import group_token
from app.domain.facts import Word
from app.domain.sync import Entry
from app.store.addresses import Address

BEAT, WORKERS = "beat", "workers"
MOST_NAMED = 100  # warnings, and errors, of one answer


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who speaks. `source`: app, or app@environment; `boot`: which start of which process; `heartbeat`: how often this process
    says that it lives, None for never."""

    source: str
    sent_at: datetime
    environment: str = ""
    sdk: str = ""
    boot: str = ""
    heartbeat: timedelta | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def alive_for(self) -> timedelta | None:
        """How long a run of this process is taken for alive without being listed."""
        return None if self.heartbeat is None else 2.5 * self.heartbeat

    def groups(self, name: str) -> set[Address]:
        """The same as a set: empty for no name."""
        return {self.group(name)} if name else set()

    def group(self, name: str) -> Address:
        """The monitor of all its schedulers, or of all its workers."""
        return Address("celery", group_token(self.source, name))


@dataclass(frozen=True, slots=True)
class RunSaid:
    """One thing said of a run, or of a dispatch that failed. `note`: words for the log that change nothing; `expires` how long
    it may wait in the queue; `eta` when it is to begin; `next_due` what its scheduler says comes after it; `broker`: it was not
    dispatched because the broker cannot be reached; `told`: what the run itself says, for the log; `replayed`: it comes out of a
    spool, after whoever saw it died."""

    at: datetime
    monitor: Address
    name: str
    word: Word
    id: str
    run_id: str = ""
    attempt: int = 0
    execution: str = ""
    error: str = ""
    note: str = ""
    expires: timedelta | None = None
    eta: datetime | None = None
    next_due: datetime | None = None
    broker: bool = False
    replayed: bool = False
    exit_status: int | None = None
    told: str = ""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A scheduler or a worker says that it lives, or that it leaves. `group` is empty where a program speaks of its runs only;
    `trouble`: it lives, and does not do its work; `standby`: it would if another did not; `active`: the runs that live with it;
    `next_due`: when its entries are due."""

    at: datetime
    group: str
    leaves: bool = False
    begins: bool = False
    standby: bool = False
    trouble: str = ""
    next_due: Mapping[Address, datetime] = field(default_factory=dict)
    active: tuple[tuple[Address, str], ...] = ()


@dataclass(slots=True)
class SyncSaid:
    """The schedule of a source, or a part of it. `items` by their tokens; `named`: these, and those of entries that made no
    sense; `paused`: these are there, and not due; `retires`: what is not named is gone; `only_new`: what was ever named before is
    left as it is; `dues`: of intervals, when the scheduler sends them next; `events`: how many such events it is put together
    from; `job`: the token, where it is a plain program that speaks of one job and of nothing else."""

    at: datetime
    retires: bool
    only_new: bool
    items: dict[str, Entry] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    dues: dict[str, datetime] = field(default_factory=dict)
    events: int = 1
    job: str = ""

    @property
    def kind(self) -> tuple[bool, bool, str]:
        """Those of one kind and batch can be put together."""
        return self.retires, self.only_new, self.job

    def followed_by(self, later: "SyncSaid") -> "SyncSaid":
        """With what a later one of the same kind says: its word counts for each entry that it names."""
        items = {token: entry for token, entry in self.items.items() if token not in later.paused}
        return SyncSaid(
            later.at, later.retires, later.only_new, items | later.items, self.named - later.paused | later.named,
            self.paused - later.named | later.paused,
            {**{token: due for token, due in self.dues.items() if token not in later.items}, **later.dues},
            self.events + later.events, self.job,
        )  # fmt: skip


@dataclass(slots=True)
class Batch:
    """One request, read. `errors`: the first lines that could not be, of `broken` in all; `ignored`: how many were of a type we
    do not know."""

    envelope: Envelope
    said: list[RunSaid | Heartbeat] = field(default_factory=list)
    syncs: list[SyncSaid] = field(default_factory=list)
    ignored: int = 0
    broken: int = 0
    warnings: dict[str, None] = field(default_factory=dict)
    errors: list[tuple[int, str]] = field(default_factory=list)

    def refuse(self, line: int, why: str) -> None:
        """A line, or a part of it, that could not be read."""
        self.broken += 1
        if len(self.errors) < MOST_NAMED:
            self.errors.append((line, why))

    def warn(self, words: str) -> None:
        """Say it once."""
        if len(self.warnings) < MOST_NAMED:
            self.warnings.setdefault(words)
