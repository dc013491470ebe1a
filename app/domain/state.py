"""What a monitor is: its rule, its state, and what both say when they are only read. How the state turns stands in
`monitor.py` (events) and `verdict.py` (what an outcome does)."""

from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any, NamedTuple

from app.domain.horizon import Blackout
from app.domain.run import EndedRun, Outcome, PlainEnd, Run, RunRecord
from app.domain.schedule import Schedule

RECENT_KEPT = 5


class Status(StrEnum):
    """What is stored; `late` is computed when read (see `Seen`)."""

    NEW = "new"
    UP = "up"
    DOWN = "down"
    PAUSED = "paused"


class Signal(StrEnum):
    """What a check-in says. IGNORED is one that the monitor's own settings filter out."""

    START = "start"
    SUCCESS = "success"
    FAIL = "fail"
    LOG = "log"
    IGNORED = "ignored"


class Reason(StrEnum):
    """Why a status turned."""

    MISSED = "missed"
    OVERRUN = "overrun"
    FAILED = "failed"
    HEARD = "heard"
    PAUSED = "paused"
    RESUMED = "resumed"
    WITHDRAWN = "withdrawn"
    NOT_DISPATCHED = "not_dispatched"
    NOT_STARTED = "not_started"
    LOST = "lost"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is expected of the job. `max_runtime` None means Healthchecks' rule: a start is given `grace` to finish; a run that a
    live worker lists may then take as long as it is listed. `max_wait`: how long a dispatched run may wait for its start, None
    means MAX_WAIT. `dispatched`: a scheduler reports every run it puts on its way."""

    schedule: Schedule
    grace: timedelta
    early: timedelta | None = None
    max_runtime: timedelta | None = None
    failures_to_alert: int = 1
    successes_to_recover: int = 1
    manual_resume: bool = False
    max_wait: timedelta | None = None
    dispatched: bool = False

    def times_like(self, other: "Rule") -> bool:
        """Whether both put every deadline at the same instants; thresholds do not matter for that."""
        mine = (self.schedule, self.grace, self.early, self.max_runtime)
        return mine == (other.schedule, other.grace, other.early, other.max_runtime)


@dataclass(frozen=True, slots=True)
class CheckIn:
    """A signal heard: what it says, when we received it, of which run. `ignored`: the monitor's filters keep it out."""

    signal: Signal
    at: datetime
    run_id: str | None = None
    exit_status: int | None = None
    ignored: bool = False


class Heard(NamedTuple):
    """One of the last check-ins, remembered on the monitor to explain a verdict."""

    at: datetime
    signal: Signal
    run_id: str | None = None
    exit_status: int | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """The row of `runs` that grows while nothing is heard: its number, its `at`, and the first slot missed."""

    key: int
    at: datetime
    slot: datetime


@dataclass(slots=True)
class Monitor:
    """The judged part of a monitor. Event functions copy it, change the copy and return that.

    `satisfied` newest slot satisfied · `due` slot expected next, None when none is · `anchor` what `due` was counted from ·
    `floor` no deadline before this until the next success or fail · `taker` key of the run that slots wait for ·
    `taken_at` newest start in its slot's window, the taker's even if over already · `last_end_at` last success or fail shown ·
    `last_applied_at` the last of success, fail, pause and resume, to tell late arrivals · `turned_at` the last transition ·
    `barred_at` the last pause or resume: no run begins before it any more · `held_since` slots wait, for the scheduler that
    dispatches them is silent since · `down_by` key of the run that turned it down ·
    `failed_by` key of the run counted last as a failure · `releases` how often the expected slot was let go
    again · `left_at` when the last of those watched here said goodbye · `fine_by` who was fine when last heard ·
    `unheard_from` where `anchor` is the end of a blackout: from when on it may have been kept unheard.
    """

    rule: Rule
    status: Status = Status.NEW
    satisfied: datetime | None = None
    due: datetime | None = None
    anchor: datetime | None = None
    floor: datetime | None = None
    runs: tuple[Run, ...] = ()
    ended: tuple[EndedRun, ...] = ()
    plain_end: PlainEnd | None = None
    taker: int | None = None
    taken_at: datetime | None = None
    missing: Missing | None = None
    failures: int = 0
    failure_slot: datetime | None = None
    successes: int = 0
    success_slot: datetime | None = None
    last_end_at: datetime | None = None
    last_applied_at: datetime | None = None
    last_success_at: datetime | None = None
    last_start_at: datetime | None = None
    last_duration: timedelta | None = None
    down_since: datetime | None = None
    turned_at: datetime | None = None
    barred_at: datetime | None = None
    held_since: datetime | None = None
    down_by: int | None = None
    failed_by: int | None = None
    releases: int = 0
    left_at: datetime | None = None
    fine_by: str = ""
    unheard_from: datetime | None = None
    heard: int = 0
    run_count: int = 0
    transition_count: int = 0
    recent: tuple[Heard, ...] = ()

    def __copy__(self) -> "Monitor":
        """Every decision works on one; the usual way, by what it would be pickled as, takes five times as long."""
        return Monitor(*_STATE(self))

    @property
    def running(self) -> bool:
        """Whether any start waits for its end, overrun ones included, lost ones not."""
        return any(run.outcome is not Outcome.LOST for run in self.runs)

    def waits(self) -> bool:
        """Slots wait while the run that took one over is open and inside its deadline."""
        return self.taker is not None and any(r.key == self.taker and r.deadline is not None for r in self.runs)

    def floored(self, deadline: datetime) -> datetime:
        """The deadline, not before the floor."""
        return deadline if self.floor is None else max(deadline, self.floor)

    def slot_deadline(self) -> datetime | None:
        """When the expected slot counts as missed; None when none is expected, or it waits for a run or for its scheduler."""
        if self.due is None or self.held_since is not None or self.waits():
            return None
        return self.floored(self.due + self.rule.grace)

    def timed_run(self) -> tuple[datetime, Run] | None:
        """The open run whose deadline comes first, with that deadline."""
        timed = [(r.deadline, r.key, r) for r in self.runs if r.deadline is not None]
        if not timed:
            return None
        deadline, _, run = min(timed)
        return self.floored(deadline), run

    def deadline(self) -> datetime | None:
        """The earliest of slot and runs."""
        slot, run = self.slot_deadline(), self.timed_run()
        if run is None or slot is None:
            return slot if run is None else run[0]
        return min(slot, run[0])


_STATE = attrgetter(*(field.name for field in fields(Monitor)))


@dataclass(frozen=True, slots=True)
class Transition:
    """A status turning. `n` counts without gaps per monitor; `at` is when it became true, not when it was noticed."""

    n: int
    before: Status
    after: Status
    at: datetime
    reason: Reason
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def told(self) -> bool:
        """People hear of trouble, and of its end; nobody hears of a first sign of life or of a pause."""
        return self.after is Status.DOWN or (self.before is Status.DOWN and self.after is Status.UP)


@dataclass(frozen=True, slots=True)
class Unheard:
    """Something was expected of a monitor, at `expected`, while we could not hear: whether it happened is not known. `heard`: how
    many check-ins of it had been heard until then."""

    expected: datetime
    blackout: Blackout
    heard: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What an event led to: the monitor as it is now, and what is to be written beside it, in order. `fine_until`: the monitor is
    down, but later than was said: late news shows that until then it was fine."""

    monitor: Monitor
    transitions: tuple[Transition, ...] = ()
    records: tuple[RunRecord, ...] = ()
    kept_as: Signal | None = None
    duration: timedelta | None = None
    unheard: tuple[Unheard, ...] = ()
    fine_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A monitor as a reader sees it: `status` is new, up, late, down or paused, right even if no sweeper runs."""

    status: str
    running: bool
    due: datetime | None
    deadline: datetime | None
