"""What an outcome does to a monitor: counts, thresholds, the next slot, silence settled deadline by deadline.

A `Turn` is one decision in the making: it works on a copy, so that the event functions of `monitor.py` stay pure.
"""

from copy import copy
from dataclasses import replace
from datetime import datetime

from app.domain import slot as slots
from app.domain.evidence import evidence
from app.domain.horizon import AFTER_BLACKOUT, Blackout, Horizon
from app.domain.run import Outcome, Phase, Run, RunRecord, record_of
from app.domain.schedule import Declared, Every
from app.domain.state import Decision, Missing, Monitor, Reason, Signal, Status, Transition, Unheard

SILENCES = {Reason.LOST: "whoever ran it fell silent", Reason.NOT_STARTED: "nobody began it"}
"""Why a run that nobody told the end of is lost, in its row."""


class Turn:
    """A working copy of a monitor with the transitions and records that come of it."""

    def __init__(self, monitor: Monitor, horizon: Horizon) -> None:
        self.m = copy(monitor)
        self.horizon = horizon
        self.transitions: list[Transition] = []
        self.records: dict[int, RunRecord] = {}
        self.unheard: list[Unheard] = []
        self.cause = ""

    def decision(self, kept_as: Signal | None = None, run: RunRecord | None = None) -> Decision:
        """What came of it, final."""
        duration = run.ended_at - run.started_at if run and run.ended_at and run.started_at else None
        return Decision(self.m, tuple(self.transitions), tuple(self.records.values()), kept_as, duration, tuple(self.unheard))

    # silence

    def settle_silence(self) -> None:
        """Judge every deadline before the horizon, in order of time. Each step ends one, so this ends."""
        while True:
            slot_deadline, timed = self.m.slot_deadline(), self.m.timed_run()
            if timed is not None and timed[0] < self.horizon.at and (slot_deadline is None or timed[0] <= slot_deadline):
                self.run_passed(timed[1], timed[0])
            elif slot_deadline is not None and slot_deadline < self.horizon.at:
                self.slot_passed(self.m.due or slot_deadline, slot_deadline)
            else:
                return

    def slot_passed(self, due: datetime, deadline: datetime) -> None:
        """The expected slot was not heard of by its deadline: missed, or unknown where we were deaf."""
        m = self.m
        opening = self.opening(due)
        blackout = self.horizon.deafness(opening, deadline)
        key = self.new_key()
        if blackout is not None:
            self.record(RunRecord(key=key, at=self.horizon.at, slot=due, outcome=Outcome.UNKNOWN))
            self.not_heard(due, blackout)
            self.hold_until_heard(blackout.end)
            self.go_on_after(blackout.end, self.horizon.deaf_since(opening, deadline))
            return
        self.record(RunRecord(key=key, at=self.horizon.at, slot=due, last_slot=due, outcome=Outcome.MISSED))
        was_down = m.status is Status.DOWN
        self.failure(due, deadline, Reason.NOT_DISPATCHED if m.rule.dispatched else Reason.MISSED)
        if was_down or m.status is Status.DOWN:
            m.missing = Missing(key, self.horizon.at, due)
            m.due = None
        else:
            self.expect_after_missed(due, deadline)
            if m.deadline() is None and isinstance(
                m.rule.schedule, Declared
            ):  # its scheduler alone knows whether another follows
                self.turn(Status.DOWN, deadline, Reason.NOT_DISPATCHED if m.rule.dispatched else Reason.MISSED)

    def opening(self, due: datetime) -> datetime:
        """When the window of an expected slot opens. `every` that goes on from a blackout may have run unheard, at any instant of
        the last window in which we were deaf; its next run may come a period after the first of these."""
        m, schedule = self.m, self.m.rule.schedule
        ahead = slots.early(schedule, due, m.rule.early)
        if isinstance(schedule, Every) and m.anchor is not None and m.unheard_from is not None:
            return max(m.anchor, m.unheard_from + schedule.period - ahead)
        return due - ahead

    def run_passed(self, run: Run, deadline: datetime) -> None:
        """An open run passed its deadline: overrun, lost, or unknown where we were deaf. It stays open until its end is heard."""
        m = self.m
        heard_at = run.heard_at or run.started_at
        blackout = self.horizon.deafness(heard_at, deadline)
        deaf = None if blackout is None else blackout.end
        if run.phase is not None and deaf is not None:
            self.wait_on(run, deaf)
            return
        outcome, reason = (Outcome.UNKNOWN, Reason.OVERRUN) if deaf is not None else self.passed_as(run)
        settled = replace(run, deadline=None, outcome=outcome, settled_at=deadline)
        m.runs = tuple(settled if r.key == run.key else r for r in m.runs)
        self.record(replace(record_of(settled), cause=SILENCES.get(reason) if outcome is Outcome.LOST else None))
        holds_slot = m.taker == run.key or self.awaits(run.slot)
        if m.taker == run.key:
            m.taker = None
        if m.last_applied_at is not None and deadline < m.last_applied_at:
            return  # a success or fail received after it has spoken since
        if blackout is not None and deaf is not None:
            self.not_heard(deadline, blackout)
            self.hold_until_heard(deaf)
            if holds_slot and m.due is not None:
                self.go_on_after(deaf, self.horizon.deaf_since(heard_at, deadline))
            return
        unarmed = m.due is None and m.missing is None
        self.failure(run.slot, deadline, reason, run)
        if m.status is not Status.PAUSED and ((holds_slot and not m.waits()) or unarmed):
            self.expect_after_overrun(run, deadline)

    def wait_on(self, run: Run, deaf: datetime) -> None:
        """A reported run is given a minute after the blackout: its program says again what we could not hear."""
        until = deaf + AFTER_BLACKOUT
        waiting = replace(run, heard_at=deaf, alive_until=None if run.alive_until is None else until, deadline=until)
        self.m.runs = tuple(waiting if r.key == run.key else r for r in self.m.runs)

    def passed_as(self, run: Run) -> tuple[Outcome, Reason]:
        """A run that is over its limit overran; a reported one was lost if nobody said that it lives, in the queue or later."""
        limit = run.limit(self.m.rule.max_runtime)
        unlisted = run.phase is None or (run.phase is Phase.RUNNING and run.alive_until is None)
        if unlisted or (limit is not None and run.deadline is not None and limit <= run.deadline):
            return Outcome.OVERRUN, Reason.OVERRUN
        return Outcome.LOST, Reason.LOST if run.phase is Phase.RUNNING else Reason.NOT_STARTED

    def awaits(self, slot: datetime | None) -> bool:
        """Whether the expected slot is this one, so that an outcome of it settles the expectation."""
        m = self.m
        if slot is None or m.due is None:
            return False
        return m.satisfied is None or slot > m.satisfied

    # what is expected next

    def expect_after(self, anchor: datetime, slot: datetime | None = None) -> None:
        """The next slot is due: after the newest satisfied one when `slot` was settled now, else after `anchor`.

        `every` always counts from `anchor`. `satisfied` never goes back.
        """
        m = self.m
        m.anchor, m.unheard_from, m.missing, m.releases, counted_from = anchor, None, None, 0, anchor
        if slot is not None:
            m.satisfied = slot if m.satisfied is None else max(m.satisfied, slot)
            if not isinstance(m.rule.schedule, Every):
                counted_from = m.satisfied
        m.due = slots.following(m.rule.schedule, counted_from)

    def expect_after_missed(self, slot: datetime, deadline: datetime) -> None:
        """A missed slot counts as satisfied, and where a floor put its deadline off, all whose own had passed by then."""
        schedule, since = self.m.rule.schedule, deadline - self.m.rule.grace
        self.expect_after(since, since if isinstance(schedule, Every) else slots.last_by(schedule, since) or slot)

    def expect_after_overrun(self, run: Run, deadline: datetime) -> None:
        """An overrun settles its slot, and those whose own deadline passed while they waited for it."""
        schedule = self.m.rule.schedule
        if isinstance(schedule, Every):
            self.expect_after(deadline, run.slot)
            return
        waited = slots.last_by(schedule, deadline - self.m.rule.grace)
        settled = max((s for s in (run.slot, waited) if s is not None), default=None)
        self.expect_after(deadline, settled)

    def go_on_after(self, deaf: datetime, since: datetime) -> None:
        """After a blackout the next slot is the first whose window opens after it, but never one before the slot expected now.
        `since`: from when on the last one may have been kept unheard."""
        m = self.m
        opening = slots.opening_after(m.rule.schedule, deaf, m.rule.early)
        if m.due is None or opening is None or opening > m.due:
            m.due, m.anchor, m.unheard_from = opening, deaf, since
        m.missing = None

    def not_heard(self, expected: datetime, blackout: Blackout) -> None:
        """To be told, unless the monitor is heard of soon; of one that is down or paused people know."""
        if self.m.status in (Status.UP, Status.NEW):
            self.unheard.append(Unheard(expected, blackout, self.m.heard))

    def hold_until_heard(self, deaf: datetime) -> None:
        """Nothing is due within a minute of the blackout's end, unless something was heard since."""
        m = self.m
        if m.last_applied_at is None or m.last_applied_at < deaf:
            m.floor = max(m.floor or deaf, deaf + AFTER_BLACKOUT)

    # outcomes

    def failure(self, slot: datetime | None, at: datetime, reason: Reason, run: Run | None = None) -> None:
        """Count a failure, one per slot, and turn down at the threshold. Down already: a recovery count starts again."""
        m = self.m
        if slot is None or not (m.failures and m.failure_slot == slot):
            m.failures += 1
        m.failure_slot, m.successes, m.failed_by = slot, 0, None if run is None else run.key
        if m.status is Status.DOWN:
            return
        if m.failures >= m.rule.failures_to_alert:
            self.turn(Status.DOWN, at, reason, run)
        elif m.status is not Status.UP:
            self.turn(Status.UP, at, reason, run)

    def success(self, slot: datetime | None, at: datetime) -> None:
        """Count a success, one per slot, and turn up: at once, or from down at the threshold."""
        m = self.m
        m.failures, m.failed_by = 0, None
        if m.status is Status.UP:
            return
        if m.status is Status.DOWN:
            if slot is None or not (m.successes and m.success_slot == slot):
                m.successes += 1
            m.success_slot = slot
            if m.successes < m.rule.successes_to_recover:
                return
        self.turn(Status.UP, at, Reason.HEARD)

    def withdraw(self, at: datetime, cause: str = "") -> None:
        """What was said when it went down is not so: up again. `at`: when we heard of that."""
        self.cause, self.m.down_since = cause, self.m.turned_at
        self.turn(Status.UP, at, Reason.WITHDRAWN)

    def turn(self, after: Status, at: datetime, reason: Reason, run: Run | None = None) -> None:
        """The status becomes `after`; numbered, chained, with what it was decided from."""
        m, before = self.m, self.m.status
        m.turned_at = at if m.turned_at is None else max(at, m.turned_at)
        m.transition_count += 1
        m.status, m.successes = after, 0
        facts = evidence(m, before, after, at, reason, self.horizon, run, self.cause)
        m.down_since = at if after is Status.DOWN else None
        m.down_by = run.key if after is Status.DOWN and run is not None else None
        self.transitions.append(Transition(m.transition_count, before, after, at, reason, facts))

    # records

    def new_key(self) -> int:
        """The next number of a row of `runs`."""
        self.m.run_count += 1
        return self.m.run_count

    def record(self, record: RunRecord) -> None:
        """Write this row of `runs` with the decision; a later version of the same row replaces it."""
        self.records[record.key] = record
