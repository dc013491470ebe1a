"""The real monitor and the reference model live the same random lives, and must say the same after every step."""

import json
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from app.domain.evidence import explain
from app.domain.horizon import Blackout, Horizon
from app.domain.monitor import CheckIn, as_seen, at_rest, on_check_in, on_edit, on_expect_first, on_pause, on_resume, on_silence
from app.domain.run import RunRecord
from app.domain.schedule import Cron, Every, OnCalendar, Schedule, next_after
from app.domain.state import Decision, Monitor, Reason, Rule, Signal, Status, Transition
from app.errors import Conflict
from app.store.rows import NO_FILTERS, Locked, monitor_of, rule_columns, state_of
from tests.domain.reference import Refused, Story, early

SECOND, INSTANT = timedelta(seconds=1), timedelta(microseconds=1)
BEGIN = datetime(2026, 3, 28, 23, 50, tzinfo=UTC)  # Berlin loses an hour at one o'clock
ONCE = OnCalendar("2026-03-29 00:20:00", "UTC")
ROW = Locked(UUID(int=1), UUID(int=2), "key", "name", "slug", "", "", NO_FILTERS, None, Monitor(Rule(Every(SECOND), SECOND)))

SCHEDULES: tuple[Schedule, ...] = (
    Every(timedelta(seconds=60)),
    Every(timedelta(hours=1)),
    Cron("*/5 * * * *", "UTC"),
    Cron("0,2,30 * * * *", "Europe/Berlin"),
    Cron("30 2 * * *", "Europe/Berlin"),
    OnCalendar("*-*-* *:00/10:15", "UTC"),
    ONCE,
)
GRACES = (0, 10, 60, 420, 7200)
EARLIES = (None, None, None, 0, 20)
RUNTIMES = (None, None, 15, 90, 900, 7000)
STEPS = (1, 1, 5, 13, 55, 61, 240, 301, 1000, 3600, 10_000, 90_000)

rules = st.builds(
    Rule,
    schedule=st.sampled_from(SCHEDULES),
    grace=st.sampled_from(GRACES).map(lambda s: timedelta(seconds=s)),
    early=st.sampled_from(EARLIES).map(lambda s: None if s is None else timedelta(seconds=s)),
    max_runtime=st.sampled_from(RUNTIMES).map(lambda s: None if s is None else timedelta(seconds=s)),
    failures_to_alert=st.sampled_from((1, 1, 1, 2, 3)),
    successes_to_recover=st.sampled_from((1, 1, 1, 2)),
    manual_resume=st.sampled_from((False, False, False, True)),
)
signals = st.sampled_from((Signal.START,) * 5 + (Signal.SUCCESS,) * 6 + (Signal.FAIL,) * 2 + (Signal.LOG,))
run_ids = st.sampled_from((None, None, "a", "b", "c"))
edges = st.sampled_from((-INSTANT, timedelta(), INSTANT))


class Lives(RuleBasedStateMachine):
    """One monitor, told to the implementation and to the reference."""

    steps: ClassVar[int] = 0

    @initialize(rule=rules)
    def begin(self, rule: Rule) -> None:
        """A new monitor, at a time when nothing happened yet."""
        self.now, self.lag = BEGIN, 2 * SECOND
        self.judged_to = BEGIN - self.lag
        self.blackouts: tuple[Blackout, ...] = ()
        self.real, self.told = Monitor(rule), Story(rule)
        self.transitions: list[Transition] = []
        self.records: dict[tuple[int, datetime], RunRecord] = {}
        self.paused_at = self.edited_at = BEGIN

    @property
    def horizon(self) -> Horizon:
        """Silence is judged so far."""
        return Horizon(self.judged_to, self.blackouts)

    # ---- Time

    def _move(self, span: timedelta) -> None:
        self.now += span
        self.judged_to = max(self.judged_to, self.now - self.lag)

    @rule(seconds=st.sampled_from(STEPS))
    def time_passes(self, seconds: int) -> None:
        """Nothing is heard and nobody looks."""
        self._move(timedelta(seconds=seconds))

    @rule(lag=st.sampled_from((2, 2, 12)))
    def commits_slow_down(self, lag: int) -> None:
        """The horizon stays behind by more, or by less, but never goes back."""
        self.lag = lag * SECOND
        self._move(timedelta())

    @rule(seconds=st.sampled_from((3, 20, 100, 4000)), deaf_before=st.sampled_from((0, 1)))
    def we_are_deaf(self, seconds: int, deaf_before: int) -> None:
        """A blackout that began at the earliest at the horizon and ends now."""
        start = max(self.judged_to, self.now - deaf_before * SECOND)
        self.now += timedelta(seconds=seconds)
        self.blackouts += (Blackout(start, self.now),)
        self._move(timedelta())

    @precondition(lambda self: self.told.deadline() is not None)
    @rule(edge=edges)
    def the_horizon_reaches_the_deadline(self, edge: timedelta) -> None:
        """Just not, exactly, and just past."""
        deadline = self.told.deadline()
        assert deadline is not None
        self._move(max(timedelta(), deadline + edge + self.lag - self.now))
        self.sweep()

    # ---- What happens

    @rule()
    def sweep(self) -> None:
        """The sweeper looks; a reader who looked before it has seen the same."""
        seen, deadline = as_seen(self.real, self.now, self.horizon), self.real.deadline()
        if not self.real.runs and (deadline is None or deadline >= self.horizon.at):
            assert seen == at_rest(str(self.real.status), self.real.due, deadline, self.now)
        self.told.settle(self.horizon)
        self._decide(on_silence, self.horizon)
        late = self.told.status in ("up", "new") and self.told.due is not None and self.told.due < self.now
        assert seen.status == ("late" if late and not self.told.waits() else self.told.status)
        assert (seen.due, seen.deadline) == (self.told.due, self.told.deadline())
        assert seen.running == bool(self.told.open_runs())

    @rule(
        signal=signals,
        run_id=run_ids,
        late=st.sampled_from((0, 0, 0, 0, 0, 1, 2, 7, 12)),
        ignored=st.sampled_from((False,) * 9 + (True,)),
    )
    def a_check_in(self, signal: Signal, run_id: str | None, late: int, ignored: bool) -> None:
        """Received a little ago, and only now its turn; after the horizon mostly, and never before the last edit: what came then
        would be judged by a rule that is gone."""
        at = self.now - late * SECOND
        at = at if at > self.edited_at else self.now
        self._hear(CheckIn(signal, at, run_id, ignored=ignored))

    @precondition(lambda self: self.told.due is not None)
    @rule(signal=signals, run_id=run_ids, where=st.sampled_from(("opens", "slot", "closes")), edge=edges)
    def a_check_in_at_the_edge_of_the_slot(self, signal: Signal, run_id: str | None, where: str, edge: timedelta) -> None:
        """At the first and last instants that count for the slot, and those beside them."""
        due, monitor_rule = self.told.due, self.told.rule
        assert due is not None
        at = {"opens": due - early(monitor_rule, due), "slot": due, "closes": due + monitor_rule.grace}[where] + edge
        self._move(max(timedelta(), at - self.now))
        self._hear(CheckIn(signal, self.now, run_id))

    def _hear(self, check_in: CheckIn) -> None:
        signal = "ignored" if check_in.ignored else str(check_in.signal)
        self.told.check_in(signal, check_in.at, check_in.run_id, self.horizon)
        self._decide(on_check_in, check_in, self.horizon)
        self._move(INSTANT)

    # ---- What people do

    @rule()
    def pause(self) -> None:
        """Somebody pauses it."""
        self.told.pause(self.now, self.horizon)
        self._decide(on_pause, self.now, self.horizon)
        self.paused_at = self.now
        self._move(INSTANT)

    @rule()
    def resume(self) -> None:
        """Somebody resumes it, if it is paused."""
        try:
            self.told.resume(self.now, self.horizon)
        except Refused:
            with pytest.raises(Conflict):
                on_resume(self.real, self.now, self.horizon)
            self.sweep()
            return
        self._decide(on_resume, self.now, self.horizon)
        deadline = self.real.deadline()
        assert deadline is None or deadline > self.now
        self._move(INSTANT)

    @rule(new=rules)
    def edit(self, new: Rule) -> None:
        """Somebody changes the rule."""
        self.edited_at = self.now
        self.told.edit(new, self.now, self.horizon)
        times_like_before = self.real.rule.times_like(new)
        self._decide(on_edit, new, self.now, self.horizon)
        deadline = self.real.deadline()
        assert times_like_before or deadline is None or deadline >= self.now + 60 * SECOND
        self._move(INSTANT)

    @rule()
    def expect_first(self) -> None:
        """The API says that the first check-in is expected."""
        self.told.expect_first(self.now, self.horizon)
        self._decide(on_expect_first, self.now, self.horizon)
        self._move(INSTANT)

    def _decide(self, on_event: Callable[..., Decision], *given: Any) -> None:
        """Let the implementation decide, and look that it does so without touching what it was given."""
        before = copy(self.real)
        decision = on_event(self.real, *given)
        assert self.real == before
        self.real = decision.monitor
        Lives.steps += 1
        self.transitions += decision.transitions
        self.records |= {(r.key, r.at): r for r in decision.records}

    # ---- What holds after every step

    @invariant()
    def both_say_the_same(self) -> None:
        """Status, due, deadline, transitions, open runs and counts."""
        assert str(self.real.status) == self.told.status
        assert [(str(t.before), str(t.after), t.at, str(t.reason)) for t in self.transitions] == [
            (t.before, t.after, t.at, t.reason) for t in self.told.turns
        ]
        assert sorted((r.run_id or "", r.started_at, r.attempt, str(r.deadline)) for r in self.real.runs) == sorted(
            (r.run_id or "", r.at, r.attempt, str(r.deadline)) for r in self.told.open_runs()
        )
        assert self.real.due == self.told.due
        assert self.real.deadline() == self.told.deadline()
        if self.real.status in (Status.UP, Status.NEW):
            assert self.real.failures == self.told.failures()
        if self.real.status is Status.DOWN:
            assert self.real.successes == self.told.successes()

    @invariant()
    def the_runs_ended_the_same(self) -> None:
        """Every started run is recorded once, with its outcome and its end."""
        mine = sorted(
            (r.run_id or "", r.started_at, r.attempt, str(r.outcome), str(r.ended_at))
            for r in self.records.values()
            if r.started_at
        )
        theirs = sorted(
            (s.run_id or "", s.at, s.attempt, str(s.outcome), str(self.told.end_of(s))) for s in self.told.starts if s.opened
        )
        assert mine == theirs

    @invariant()
    def transitions_chain(self) -> None:
        """P6: numbered without gaps, each from where the one before went, none without a change; P14: see `_unpaused`."""
        status = Status.NEW
        for n, transition in enumerate(self.transitions, 1):
            assert (transition.n, transition.before) == (n, status)
            assert transition.after is not status
            status = transition.after
        assert (self.real.status, self.real.transition_count) == (status, len(self.transitions))
        if self.transitions and self.transitions[-1].before is Status.PAUSED:
            self._unpaused(self.transitions[-1])

    def _unpaused(self, transition: Transition) -> None:
        """A paused monitor goes down only by a fail, or by a run that began after the pause and did not finish."""
        if transition.after is Status.DOWN:
            assert transition.reason in (Reason.FAILED, Reason.OVERRUN)
        if transition.reason is Reason.OVERRUN:
            assert datetime.fromisoformat(transition.evidence["run"]["started_at"]) >= self.paused_at.replace(microsecond=0)

    @invariant()
    def nothing_expected_is_without_a_deadline(self) -> None:
        """No `up` monitor, and no armed `new` one, but those whose calendar is used up, or was while we could not hear."""
        armed = self.real.status is Status.NEW and self.real.anchor is not None
        if self.real.deadline() is None and (self.real.status is Status.UP or armed):
            assert self.real.rule.schedule == ONCE
            heard = max(self.real.satisfied or BEGIN, self.real.anchor or BEGIN)
            slot = next_after(ONCE, heard)
            assert slot is None or any(slot - early(self.real.rule, slot) < blackout.end for blackout in self.blackouts)

    @invariant()
    def every_transition_can_be_explained(self) -> None:
        """The facts survive JSON, and make a sentence."""
        for transition in self.transitions[-1:]:
            assert explain(json.loads(json.dumps(transition.evidence))).endswith(".")

    @invariant()
    def a_row_keeps_all_of_it(self) -> None:
        """Written to its columns and read again it is the same monitor."""
        row = state_of(ROW, self.real) | rule_columns(self.real.rule)
        row["memory"] = json.loads(json.dumps(row["memory"]))
        assert monitor_of(row) == self.real


BRIEF = settings(deadline=None, max_examples=450, stateful_step_count=30, suppress_health_check=list(HealthCheck))
TestLives = Lives.TestCase
TestLives.settings = BRIEF


@pytest.mark.prove
def test_many_long_lives_agree_with_the_reference() -> None:
    """The same for about a minute, with longer lives."""
    run_state_machine_as_test(Lives, settings=settings(BRIEF, max_examples=1500, stateful_step_count=60))


# ---- The order in which check-ins are looked at


names = st.sampled_from([f"run {n}" for n in range(5)])
bursts = st.lists(
    st.tuples(st.integers(0, 12_000), st.sampled_from((Signal.START, Signal.SUCCESS, Signal.FAIL)), names),
    min_size=2,
    max_size=6,
    unique_by=(lambda heard: heard[0], lambda heard: heard[1:]),
)


def life(rule: Rule, past: list[tuple[int, Signal, str | None]]) -> tuple[Monitor, datetime]:
    """A monitor that heard all that in order, and when that was over."""
    monitor, now = Monitor(rule), BEGIN
    for seconds, signal, run_id in past:
        now += seconds * SECOND
        monitor = on_check_in(monitor, CheckIn(signal, now, run_id), Horizon(now - 2 * SECOND)).monitor
    return monitor, now


def outcome(monitor: Monitor, check_ins: list[CheckIn], horizon: Horizon) -> tuple[Any, ...]:
    """What P12 speaks of, after these check-ins."""
    for check_in in check_ins:
        monitor = on_check_in(monitor, check_in, horizon).monitor
    runs = sorted((r.run_id or "", r.started_at, str(r.deadline)) for r in monitor.runs)
    return monitor.status, monitor.deadline(), runs


def agree_in_any_order(
    rule: Rule,
    past: list[tuple[int, Signal, str | None]],
    after: int,
    burst: list[tuple[int, Signal, str]],
    order: list[int],
) -> None:
    """P12: what is received within the margin may be looked at in any order."""
    rule = replace(rule, failures_to_alert=1, successes_to_recover=1)
    monitor, now = life(rule, past)
    now += after * SECOND
    horizon = Horizon(now)
    in_turn = [CheckIn(signal, now + timedelta(milliseconds=ms), run_id) for ms, signal, run_id in sorted(burst)]
    mixed = [in_turn[n] for n in order if n < len(in_turn)]
    assert outcome(monitor, in_turn, horizon) == outcome(monitor, mixed, horizon)


orders = given(
    rule=rules,
    past=st.lists(st.tuples(st.sampled_from(STEPS), signals, run_ids), max_size=4),
    after=st.sampled_from(STEPS),
    burst=bursts,
    order=st.permutations(range(6)),
)
test_the_order_of_commits_changes_nothing = settings(BRIEF, max_examples=800)(orders(agree_in_any_order))
test_the_order_of_commits_changes_nothing_at_length = pytest.mark.prove(
    settings(BRIEF, max_examples=3000)(orders(agree_in_any_order))
)
