"""How a monitor turns by what a program reports of its runs. What was heard of each run adds up in `facts.py`; here is what
follows: runs opened and kept alive, outcomes counted once each, a verdict taken back when a better word arrives.

Every word counts as of its own time, which its sender said and `received` bounds; one that comes late is judged as a report.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.domain import slot as slots
from app.domain.facts import GOOD, End, Facts, RunEvent, Stand, Word
from app.domain.horizon import Horizon
from app.domain.monitor import arm_by_start, close_missing
from app.domain.open_runs import deadline_of
from app.domain.report import hear_late
from app.domain.run import MAX_WAIT, MOST_OPEN, OVERRUN_KEPT, Outcome, Phase, Run, RunRecord, named, record_of
from app.domain.schedule import Every
from app.domain.state import RECENT_KEPT, CheckIn, Decision, Heard, Monitor, Reason, Signal, Status
from app.domain.verdict import Turn

FRESH = timedelta(seconds=15)
GIVEN_LATE = timedelta(seconds=60)  # to a run that was reported late: the rest of its story is on its way

SIGNALS = {
    Word.STARTED: Signal.START, Word.SUCCEEDED: Signal.SUCCESS, Word.IGNORED: Signal.SUCCESS, Word.DISPATCHED: Signal.LOG,
    Word.RETRY: Signal.LOG, Word.REVOKED: Signal.LOG, Word.LOG: Signal.LOG,
}  # fmt: skip
OUTCOMES = {
    Word.SUCCEEDED: Outcome.SUCCESS, Word.IGNORED: Outcome.SUCCESS, Word.LOST: Outcome.LOST, Word.ABORTED: Outcome.ABORTED,
    Word.EXPIRED: Outcome.EXPIRED, Word.REVOKED: Outcome.REVOKED,
}  # fmt: skip
REASONS = {Word.LOST: Reason.LOST, Word.EXPIRED: Reason.NOT_STARTED, Word.DISPATCH_FAILED: Reason.NOT_DISPATCHED}
CAUSES = {
    Word.EXPIRED: "it expired in the queue", Word.ABORTED: "it was stopped in the middle", Word.LOST: "its process died",
    Word.REJECTED: "the worker rejected it", Word.UNKNOWN_TASK: "the worker knows no such task",
    Word.FAILED: "it raised an exception", Word.DISPATCH_FAILED: "it could not be published",
}  # fmt: skip
ENDED_WELL = "the run ended well after all"
LOOPING = "it was begun again and again, and none of these executions ended: its process is killed each time"


def signal_of(word: Word) -> Signal:
    """As what this word stands in the log."""
    return SIGNALS.get(word, Signal.FAIL)


def on_run_event(
    monitor: Monitor, facts: Facts, event: RunEvent, received: datetime, alive_for: timedelta | None, horizon: Horizon
) -> tuple[Decision, Facts]:
    """One more word of a run: the monitor's decision, and all that is known of the run now.

    `alive_for`: how long a run of that process is taken for alive without being listed; None where it sends no heartbeats.
    `kept_as` is None where the word said nothing new: nothing is to be kept of it then.
    """
    hearing = Hearing(facts, event, received, alive_for, horizon)
    said = CheckIn(signal_of(event.word), event.at, event.run_id)
    if not hearing.says_something_new:
        return Decision(monitor), facts
    proves = event.is_dated or event.word not in GOOD  # nobody knows of what time it says that all was well
    decision = hear_late(monitor, said, received, horizon, hearing.hear, patient=not hearing.fresh, proves=proves)
    return decision, hearing.facts


def on_listed(
    monitor: Monitor, run_id: str, at: datetime, received: datetime, alive_for: timedelta, horizon: Horizon
) -> Decision | None:
    """A live worker lists this run as under way: it is not lost for so long. None where that changes nothing.

    One that was taken for lost lives after all, and what was said of it is withdrawn. Silence is not settled before: whoever is
    listed now is not lost, however late the sweep.
    """
    run = named(monitor.runs, run_id)
    ended = run is None or run.phase in (None, Phase.RETRYING) or run.outcome is Outcome.OVERRUN
    if run is None or ended or received - at > FRESH or (run.phase is Phase.RUNNING and at < run.started_at):
        return None
    turn = Turn(monitor, horizon)
    m = turn.m
    started_at = run.started_at if run.phase is Phase.RUNNING else at
    alive = replace(
        run, phase=Phase.RUNNING, started_at=started_at, heard_at=at, alive_until=received + alive_for, outcome=None,
        settled_at=None,
    )  # fmt: skip
    _put(m, replace(alive, deadline=deadline_of(alive, m.rule)))
    if run.phase is not Phase.RUNNING or run.outcome is not None:
        turn.record(record_of(alive))
    if run.outcome is Outcome.LOST and m.status is Status.DOWN and m.down_by == run.key:
        m.failures = 0
        turn.withdraw(received, "the run is alive after all")
    return turn.decision()


@dataclass(slots=True)
class Hearing:
    """One word on its way into a monitor. After `hear`, `facts` holds what is known of the run, with what was counted of it."""

    facts: Facts
    event: RunEvent
    received: datetime
    alive_for: timedelta | None
    horizon: Horizon
    before: Facts | None = None

    @property
    def fresh(self) -> bool:
        """Whether it is about now."""
        return self.received - self.event.at <= FRESH

    @property
    def says_something_new(self) -> bool:
        """Whether the facts do not hold it already."""
        return self.event.word is Word.DISPATCH_FAILED or self.facts.heard(self.event) != self.facts

    def hear(self, monitor: Monitor) -> Decision:
        """Apply it to a monitor; done again with another, the first time did not happen."""
        self.before = self.before or self.facts
        self.facts = self.before if self.event.word is Word.DISPATCH_FAILED else self.before.heard(self.event)
        turn = Turn(monitor, self.horizon)
        turn.settle_silence()
        m, signal = turn.m, signal_of(self.event.word)
        m.heard += 1
        if m.status is Status.PAUSED and m.rule.manual_resume:
            return turn.decision(kept_as=Signal.IGNORED)
        m.recent = (*m.recent, Heard(self.event.at, signal, self.event.run_id or None))[-RECENT_KEPT:]
        m.runs = tuple(r for r in m.runs if r.settled_at is None or self.event.at - r.settled_at < OVERRUN_KEPT)
        return turn.decision(kept_as=signal, run=self._apply(turn))

    def _apply(self, turn: Turn) -> RunRecord | None:
        stand = self.facts.stand()
        if self.event.word is Word.DISPATCH_FAILED:
            self._not_dispatched(turn)
            return None
        if stand.phase is Phase.ENDED:
            return self._end(turn, stand)
        if turn.m.barred_at is None or self.event.at >= turn.m.barred_at:
            self._open(turn, stand)
        return None

    # a run under way

    def _open(self, turn: Turn, stand: Stand) -> None:
        """Open the run, or take it where it stands now; slots wait for it."""
        m, at = turn.m, stand.since or self.event.at
        run = named(m.runs, self.event.run_id)
        if run is None:
            arm_by_start(turn, at)
            _make_room(turn, at)
        self._number(turn, run, at)
        if run is None:
            slot = slots.belongs_to(m.rule.schedule, at, m.rule.grace, m.rule.early, m.satisfied)
            run = Run(self.facts.key or 0, self.event.run_id, at, None, slot, opened_at=self.facts.at)
        if stand.phase is Phase.RUNNING:
            m.last_start_at = at if m.last_start_at is None else max(at, m.last_start_at)
        alive_until, heard_at = self._patience(turn, stand, run), max(run.heard_at or at, self.event.at)
        run = replace(
            run, phase=stand.phase, started_at=at, attempt=stand.attempt + 1, heard_at=heard_at, alive_until=alive_until,
            outcome=run.outcome if run.outcome is Outcome.OVERRUN else None, settled_at=None,
        )  # fmt: skip
        run = replace(run, deadline=None if run.outcome is Outcome.OVERRUN else deadline_of(run, m.rule))
        _put(m, run)
        _take_over(m, run)
        turn.record(record_of(run))
        if stand.looping and not self.facts.looped:
            self.facts, turn.cause = replace(self.facts, looped=True), LOOPING
            turn.failure(run.slot, self.event.at, Reason.LOST, run)

    def _patience(self, turn: Turn, stand: Stand, run: Run) -> datetime | None:
        """How long silence about the run means nothing; None for one that nobody will list."""
        since, least = stand.since or self.event.at, self.received + (timedelta() if self.fresh else GIVEN_LATE)
        if stand.phase is not Phase.RUNNING:
            wait = turn.m.rule.max_wait or MAX_WAIT
            limit = stand.until if stand.until is not None and stand.phase is Phase.QUEUED else (stand.until or since) + wait
            return max(limit, least)
        if run.phase is Phase.RUNNING and self.event.word is not Word.STARTED:
            return run.alive_until
        if self.alive_for is None:
            return None
        return max(least, self.received + self.alive_for if self.fresh else least)

    # its end

    def _end(self, turn: Turn, stand: Stand) -> RunRecord | None:
        """Close the run and count its outcome, unless that was counted already."""
        m, end = turn.m, stand.end
        if end is None:
            return None
        mark = f"{end.word} {stand.attempt} {end.at.isoformat()}"
        if self.facts.counted == mark:
            self._fill_in(turn, stand, end)
            return None
        began = stand.started_at or self.facts.dispatched or end.at
        self._number(turn, named(m.runs, self.event.run_id), began)
        self.facts = replace(self.facts, counted=mark)
        run = self._as_run(m, stand, began)
        record = _record(run, stand, end)
        turn.record(record)
        waited, m.runs = m.taker == run.key, tuple(r for r in m.runs if r.key != run.key)
        if m.last_applied_at is not None and end.at < m.last_applied_at:
            self._correct(turn, stand, run)
            return record
        m.last_duration = end.at - stand.started_at if stand.started_at is not None else None
        close_missing(turn, end.at)
        m.last_end_at = m.last_applied_at = end.at
        self._clear_floor(m, end.at)
        slot = _settled(m, run, end.at, waited)
        if end.word is Word.REVOKED:
            self._correct(turn, stand, run)
        self._found_again(turn, stand, run)
        self._count(turn, end.word, end.at, end.error, slot, run)
        turn.expect_after(end.at, slot)
        return record

    def _number(self, turn: Turn, run: Run | None, at: datetime) -> None:
        """The run has one row, also where all but its open run was forgotten meanwhile."""
        if self.facts.key is None:
            key, opened_at = (turn.new_key(), at) if run is None else (run.key, run.opened_at or run.started_at)
            self.facts = replace(self.facts, key=key, at=opened_at)

    def _fill_in(self, turn: Turn, stand: Stand, end: End) -> None:
        """The start came after the end: it stands in the row too."""
        began = stand.started_at
        if began is None or self.before is None or self.before.stand().started_at is not None:
            return
        turn.record(_record(self._as_run(turn.m, stand, began), stand, end))
        if turn.m.last_end_at == end.at:
            turn.m.last_duration = end.at - began

    def _as_run(self, m: Monitor, stand: Stand, began: datetime) -> Run:
        """The run that ended, as it was open, or as it would have been."""
        run = named(m.runs, self.event.run_id)
        if run is None:
            slot = slots.belongs_to(m.rule.schedule, self.facts.dispatched or began, m.rule.grace, m.rule.early, m.satisfied)
            run = Run(self.facts.key or 0, self.event.run_id, began, None, slot)
        started_at = stand.started_at or run.started_at
        return replace(
            run, started_at=started_at, attempt=stand.attempt + 1, phase=Phase.ENDED, opened_at=self.facts.at or began
        )  # fmt: skip

    def _count(self, turn: Turn, word: Word, at: datetime, error: str, slot: datetime | None, run: Run | None) -> None:
        """A revoked run counts neither way; everything else as what it is."""
        if word in GOOD:
            turn.m.last_success_at = at
            turn.success(slot, at)
        elif word is not Word.REVOKED:
            turn.cause = error or CAUSES.get(word, "")
            turn.failure(slot, at, REASONS.get(word, Reason.FAILED), run)

    def _correct(self, turn: Turn, stand: Stand, run: Run) -> None:
        """A better word about a run that was counted as the last failure takes that back; up again, if it had turned it down."""
        m = turn.m
        good = stand.end is not None and stand.end.word in GOOD | {Word.REVOKED}
        if not good or m.last_applied_at == self.received or m.failed_by != run.key:
            return
        m.failures, m.failed_by = max(0, m.failures - 1), None
        if m.status is Status.DOWN and m.down_by == run.key and m.failures < m.rule.failures_to_alert:
            revoked = stand.end is not None and stand.end.word is Word.REVOKED
            turn.withdraw(self.received, "the run was revoked" if revoked else ENDED_WELL)

    def _found_again(self, turn: Turn, stand: Stand, run: Run) -> None:
        """A run that was taken for lost, and that was under way then, ended well: it never was lost."""
        m = turn.m
        if m.status is not Status.DOWN or m.down_by != run.key or run.outcome is not Outcome.LOST or m.down_since is None:
            return
        if stand.end is not None and stand.end.word in GOOD and run.started_at <= m.down_since:
            turn.withdraw(self.received, ENDED_WELL)

    def _not_dispatched(self, turn: Turn) -> None:
        """The slot has no run, and its job says so itself: it is not also missing."""
        m, at = turn.m, self.event.at
        if m.last_applied_at is not None and at < m.last_applied_at:
            return
        close_missing(turn, at)
        m.last_end_at = m.last_applied_at = at
        self._clear_floor(m, at)
        slot = slots.belongs_to(m.rule.schedule, at, m.rule.grace, m.rule.early, m.satisfied)
        turn.record(RunRecord(turn.new_key(), at, Outcome.FAILED, slot=slot, ended_at=at, cause=self.event.error or None))
        self._count(turn, self.event.word, at, self.event.error, slot, None)
        turn.expect_after(at, slot)

    def _clear_floor(self, m: Monitor, at: datetime) -> None:
        if m.floor is not None and at >= m.floor - GIVEN_LATE:
            m.floor = None  # as any success or fail does


def _record(run: Run, stand: Stand, end: End) -> RunRecord:
    """The row of a run that ended."""
    record = record_of(run, OUTCOMES.get(end.word, Outcome.FAILED), end.at)
    return replace(record, started_at=stand.started_at, cause=end.error or CAUSES.get(end.word))


def _put(m: Monitor, run: Run) -> None:
    m.runs = (*(r for r in m.runs if r.key != run.key), run)


def _take_over(m: Monitor, run: Run) -> None:
    """Slots wait for the newest run of the slot that is expected, or of a later one."""
    calendar = not isinstance(m.rule.schedule, Every)
    if calendar and m.taker != run.key and m.due is not None and (run.slot is None or run.slot < m.due):
        return
    if m.taken_at is None or run.started_at >= m.taken_at or m.taker == run.key:
        m.taken_at, m.taker = run.started_at, run.key


def _make_room(turn: Turn, at: datetime) -> None:
    """At most so many runs stay open. The oldest goes; one that waited all the time for its start is lost."""
    m = turn.m
    if len(m.runs) < MOST_OPEN:
        return
    oldest = min(m.runs, key=lambda r: (r.started_at, r.key))
    if oldest.phase is Phase.QUEUED and oldest.deadline is not None:
        turn.cause = f"{MOST_OPEN} runs wait in the queue"
        turn.failure(oldest.slot, at, Reason.NOT_STARTED, oldest)
        turn.record(record_of(oldest, Outcome.LOST))
    else:
        turn.record(record_of(oldest, oldest.outcome or Outcome.SUPERSEDED))
    m.runs = tuple(r for r in m.runs if r.key != oldest.key)


def _settled(m: Monitor, run: Run, at: datetime, waited: bool) -> datetime | None:
    """The slot that the end of a run settles: its own, and those whose deadline passed while they waited for it."""
    schedule = m.rule.schedule
    if isinstance(schedule, Every):
        return slots.belongs_to(schedule, at, m.rule.grace, m.rule.early, m.satisfied)
    passed = slots.last_by(schedule, at - m.rule.grace) if waited else None
    return max((s for s in (run.slot, passed) if s is not None), default=None)
