"""One execution from its start to its end, and the records that the table `runs` keeps. What an outcome does to the
status stands in `monitor.py`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

MOST_OPEN = 100
OVERRUN_KEPT = timedelta(hours=72)
MAX_WAIT = timedelta(minutes=15)  # from a dispatch to the start, where the rule says nothing
ENDED_REMEMBERED = 8
ENDED_REMEMBERED_FOR = timedelta(seconds=10)


class Outcome(StrEnum):
    """How a run, or a slot without a run, ended."""

    SUCCESS = "success"
    FAILED = "failed"
    OVERRUN = "overrun"
    SUPERSEDED = "superseded"
    LOST = "lost"
    ABORTED = "aborted"
    EXPIRED = "expired"
    REVOKED = "revoked"
    MISSED = "missed"
    UNKNOWN = "unknown"


class Phase(StrEnum):
    """Where a run stands that its program reports."""

    NOTHING = "nothing"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Run:
    """An open run. `key` numbers it in its monitor; `deadline` is None once it has overrun, is lost or unknown.

    Of one that its program reports `phase` says where it stands, `started_at` since when (while it runs: the start of this try),
    `opened_at` when it was first heard of, `heard_at` the last word that it is alive, `alive_until` how long that holds.
    """

    key: int
    run_id: str | None
    started_at: datetime
    deadline: datetime | None
    slot: datetime | None
    attempt: int = 1
    outcome: Outcome | None = None
    settled_at: datetime | None = None
    phase: Phase | None = None
    opened_at: datetime | None = None
    heard_at: datetime | None = None
    alive_until: datetime | None = None

    def limit(self, max_runtime: timedelta | None) -> datetime | None:
        """When a reported run runs too long; None where nothing says so, or it does not run."""
        return None if self.phase is not Phase.RUNNING or max_runtime is None else self.started_at + max_runtime


@dataclass(frozen=True, slots=True)
class EndedRun:
    """What must be remembered of an ended run: repeats open the next attempt, late starts open nothing."""

    run_id: str
    attempt: int
    at: datetime


@dataclass(frozen=True, slots=True)
class PlainEnd:
    """The last end that named no run (or, without max_runtime, any fail), and when the run it ended had started."""

    at: datetime
    ended_started_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A row of `runs`, whole: written anew it replaces the row with the same (at, key). `at` never changes: it is when the
    run started, else when the silence was noticed, else when the end was heard. `last_slot` and `count` speak of missed slots."""

    key: int
    at: datetime
    outcome: Outcome | None
    run_id: str | None = None
    attempt: int = 1
    slot: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    last_slot: datetime | None = None
    count: int = 1
    cause: str | None = None


def record_of(run: Run, outcome: Outcome | None = None, ended_at: datetime | None = None) -> RunRecord:
    """The row of a run that was started; an overrun stays an overrun whatever its end says."""
    kept = run.outcome if run.outcome is Outcome.OVERRUN else outcome or run.outcome
    return RunRecord(
        key=run.key, at=run.opened_at or run.started_at, outcome=kept, run_id=run.run_id, attempt=run.attempt, slot=run.slot,
        started_at=None if run.phase is Phase.QUEUED else run.started_at, ended_at=ended_at,
    )  # fmt: skip


def newest(runs: tuple[Run, ...], until: datetime | None = None) -> Run | None:
    """The open run that started last, of those started by `until`."""
    return max((r for r in runs if until is None or r.started_at <= until), key=lambda r: (r.started_at, r.key), default=None)


def pinged(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """Those that were opened by a ping, and not reported by their program."""
    return tuple(run for run in runs if run.phase is None)


def named(runs: tuple[Run, ...], run_id: str) -> Run | None:
    """The open run of that id."""
    return next((run for run in runs if run.run_id == run_id), None)


def remember(ended: tuple[EndedRun, ...], run_id: str | None, attempt: int, at: datetime) -> tuple[EndedRun, ...]:
    """The memory of ended runs with this one added: the newest few, and all of the last seconds up to a limit.

    An end whose start was not heard (yet) is remembered too, with the attempt before it: its start may still come.
    """
    if run_id is None:
        return ended
    others = [e for e in ended if e.run_id != run_id]
    last = max([at, *(e.at for e in ended if e.run_id == run_id)])
    fresh = [e for e in others[:-ENDED_REMEMBERED] if at - e.at <= ENDED_REMEMBERED_FOR]
    return (*fresh[-MOST_OPEN:], *others[-ENDED_REMEMBERED:], EndedRun(run_id, attempt, last))
