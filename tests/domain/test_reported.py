"""What follows for a monitor from what its program reports of runs: one outcome a run, late words, losses, the queue."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.facts import Facts, RunEvent, Word
from app.domain.horizon import Blackout, Horizon
from app.domain.monitor import on_check_in, on_expect_first, on_pause, on_silence
from app.domain.reported import on_listed, on_run_event
from app.domain.run import Outcome, RunRecord
from app.domain.schedule import Cron, Declared, Every
from app.domain.state import CheckIn, Decision, Monitor, Reason, Rule, Signal, Status, Transition

T0 = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
ALIVE = timedelta(seconds=37.5)
DELTA = timedelta(seconds=2)
DAILY = Rule(Cron("0 3 * * *", "UTC"), timedelta(minutes=5), dispatched=True)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


@dataclass
class Life:
    """A monitor with what happened to it; seconds are counted from three o'clock."""

    rule: Rule = DAILY
    monitor: Monitor = field(init=False)
    facts: dict[str, Facts] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    records: dict[int, RunRecord] = field(default_factory=dict)
    kept: list[Signal] = field(default_factory=list)
    blackouts: tuple[Blackout, ...] = ()

    def __post_init__(self) -> None:
        armed = -1 if isinstance(self.rule.schedule, Every) else -3600
        self.monitor = on_expect_first(Monitor(self.rule), at(armed), self.horizon(armed)).monitor

    def horizon(self, now: float) -> Horizon:
        return Horizon(at(now) - DELTA, self.blackouts)

    def take(self, decision: Decision | None) -> None:
        if decision is not None:
            self.monitor = decision.monitor
            self.transitions += decision.transitions
            self.records |= {record.key: record for record in decision.records}
            self.kept += [decision.kept_as] if decision.kept_as else []

    def hears(
        self,
        word: Word,
        when: float,
        run: str = "r1",
        attempt: int = 0,
        x: str = "a",
        received: float | None = None,
        error: str = "",
    ) -> None:
        """This word of this run; `received` where it came late."""
        received = when + 1 if received is None else received
        told_by_others = word in (Word.DISPATCHED, Word.LOST, Word.REVOKED, Word.EXPIRED)
        until = at(when + 60) if word is Word.RETRY else None
        event = RunEvent(word, at(when), run, attempt, "" if told_by_others else x, error, until)
        decision, facts = on_run_event(
            self.monitor, self.facts.get(run, Facts()), event, at(received), ALIVE, self.horizon(received)
        )
        self.facts[run] = facts
        self.take(decision)

    def lists(self, when: float, run: str = "r1") -> None:
        self.take(on_listed(self.monitor, run, at(when), at(when + 1), ALIVE, self.horizon(when + 1)))

    def sweeps(self, now: float) -> None:
        self.take(on_silence(self.monitor, self.horizon(now)))

    @property
    def status(self) -> Status:
        return self.monitor.status

    @property
    def reasons(self) -> list[tuple[str, str]]:
        return [(str(t.after), str(t.reason)) for t in self.transitions]

    def outcomes(self) -> list[str]:
        return [str(r.outcome) for r in self.records.values()]


def test_a_run_that_is_dispatched_started_and_ends_well_is_a_success() -> None:
    """Its slot is settled, one row of runs, one line of the log for each word."""
    life = Life()
    life.hears(Word.DISPATCHED, 0)
    life.hears(Word.STARTED, 1)
    life.hears(Word.SUCCEEDED, 20)
    assert life.reasons == [("up", "heard")]
    assert [(r.outcome, r.started_at, r.ended_at, r.slot) for r in life.records.values()] == [
        (Outcome.SUCCESS, at(1), at(20), at(0))
    ]
    assert life.kept == [Signal.LOG, Signal.START, Signal.SUCCESS]
    assert life.monitor.due == at(86400)
    assert life.monitor.last_duration == timedelta(seconds=19)


def test_the_words_of_a_run_may_come_in_any_order_and_twice() -> None:
    """The end before the start before the dispatch: the same outcome, and each is kept once."""
    life = Life()
    for _ in range(2):
        life.hears(Word.SUCCEEDED, 20, received=22)
        life.hears(Word.STARTED, 1, received=23)
        life.hears(Word.DISPATCHED, 0, received=24)
    assert life.reasons == [("up", "heard")]
    assert life.outcomes() == ["success"]
    assert len(life.kept) == 3
    assert not life.monitor.runs
    assert life.monitor.due == at(86400)


def test_a_job_that_is_not_dispatched_is_missed_at_its_deadline() -> None:
    """Though it never ran once."""
    life = Life()
    life.sweeps(303)
    assert life.reasons == [("down", "not_dispatched")]
    assert life.transitions[0].at == at(300)


def test_a_run_that_waits_in_the_queue_is_not_missing_until_it_waited_too_long() -> None:
    """Nothing at the slot's deadline, lost in the queue a quarter of an hour after the dispatch."""
    life = Life()
    life.hears(Word.DISPATCHED, 0)
    life.sweeps(880)
    assert life.status is Status.NEW
    life.sweeps(903)
    assert life.reasons == [("down", "not_started")]
    assert life.outcomes() == ["lost"]
    assert [row.cause for row in life.records.values()] == ["nobody began it"]
    life.hears(Word.STARTED, 1000)
    life.hears(Word.SUCCEEDED, 1001)
    assert life.reasons == [("down", "not_started"), ("up", "heard")]
    assert life.outcomes() == ["success"]
    assert [row.cause for row in life.records.values()] == [None]


def test_a_run_is_lost_when_no_live_worker_lists_it_any_more() -> None:
    """And is not, however long it takes, as long as one does."""
    life = Life()
    life.hears(Word.STARTED, 0)
    for second in range(15, 4000, 15):
        life.lists(second)
        life.sweeps(second + 14)
    assert life.status is Status.NEW
    life.sweeps(3990 + 1 + 37.5 + 2 + 0.1)
    assert life.reasons == [("down", "lost")]
    assert life.transitions[0].at == at(3990 + 1 + 37.5)
    assert [row.cause for row in life.records.values()] == ["whoever ran it fell silent"]


def test_a_run_taken_for_lost_that_is_listed_again_is_withdrawn() -> None:
    """It lived all the time; its end is an ordinary success then."""
    life = Life()
    life.hears(Word.STARTED, 0)
    life.sweeps(100)
    assert life.reasons == [("down", "lost")]
    life.lists(120)
    assert life.reasons == [("down", "lost"), ("up", "withdrawn")]
    life.sweeps(150)
    life.hears(Word.SUCCEEDED, 155)
    assert life.status is Status.UP
    assert life.outcomes() == ["success"]


def test_a_success_that_was_only_heard_late_withdraws_the_loss() -> None:
    """The server was away from its worker, not the worker from its task."""
    life = Life()
    life.hears(Word.STARTED, 0)
    life.sweeps(100)
    life.hears(Word.SUCCEEDED, 20, received=200)
    assert life.reasons == [("down", "lost"), ("up", "withdrawn")]
    assert life.outcomes() == ["success"]


def test_a_killed_child_is_told_at_once_with_its_signal() -> None:
    """The main process says so; the row of the run holds why."""
    life = Life()
    life.hears(Word.STARTED, 0)
    life.hears(Word.LOST, 5, error="signal 9 (SIGKILL)")
    assert life.reasons == [("down", "lost")]
    assert life.transitions[0].evidence["cause"] == "signal 9 (SIGKILL)"
    assert next(iter(life.records.values())).cause == "signal 9 (SIGKILL)"


def test_retries_that_end_well_are_one_success() -> None:
    """With the number of tries, and nobody is told."""
    life = Life()
    life.hears(Word.STARTED, 0)
    life.hears(Word.RETRY, 1)
    life.sweeps(50)
    life.hears(Word.STARTED, 61, attempt=1, x="b")
    life.hears(Word.SUCCEEDED, 62, attempt=1, x="b")
    assert life.reasons == [("up", "heard")]
    assert [(r.outcome, r.attempt) for r in life.records.values()] == [(Outcome.SUCCESS, 2)]


def test_a_retry_that_never_begins_is_lost() -> None:
    """After its time, and the wait that a run is given in the queue."""
    life = Life()
    life.hears(Word.STARTED, 0)
    life.hears(Word.RETRY, 1)
    life.sweeps(61 + 900 + 1)
    assert life.status is Status.NEW
    life.sweeps(61 + 900 + 3)
    assert life.reasons == [("down", "not_started")]


@pytest.mark.parametrize("word", [Word.FAILED, Word.ABORTED, Word.REJECTED, Word.UNKNOWN_TASK, Word.EXPIRED])
def test_a_bad_end_is_a_failure_once(word: Word) -> None:
    """Repeated or not."""
    life = Life()
    life.hears(Word.DISPATCHED, 0)
    for _ in range(2):
        life.hears(word, 5, error="boom")
    assert [str(t.after) for t in life.transitions] == ["down"]
    assert life.transitions[0].evidence["cause"] == "boom"


def test_a_revoked_run_counts_neither_way() -> None:
    """Its slot is settled: nobody is told, and nothing is missing."""
    life = Life()
    life.hears(Word.DISPATCHED, 0)
    life.hears(Word.REVOKED, 30)
    life.sweeps(5000)
    assert life.transitions == []
    assert life.outcomes() == ["revoked"]
    assert life.monitor.due == at(86400)


def test_a_run_that_was_revoked_takes_back_the_abort_it_caused() -> None:
    """Its process says that it was stopped, a moment before another says that this was on purpose."""
    life = Life()
    life.hears(Word.STARTED, 0)
    life.hears(Word.ABORTED, 20, error="Terminated(15)")
    life.hears(Word.REVOKED, 20.1)
    assert life.reasons == [("down", "failed"), ("up", "withdrawn")]
    assert life.outcomes() == ["revoked"]
    assert life.monitor.failures == 0


def test_without_slots_every_failure_counts() -> None:
    """A task that nobody schedules: three in a row, and two back."""
    life = Life(Rule(Declared(None, None, "UTC"), timedelta(minutes=1), failures_to_alert=3, successes_to_recover=2))
    for n, word in enumerate([Word.FAILED] * 3 + [Word.SUCCEEDED] * 2):
        life.hears(word, n, run=f"r{n}")
    assert life.reasons == [("up", "failed"), ("down", "failed"), ("up", "heard")]


def test_a_better_word_takes_its_failure_out_of_the_count() -> None:
    """Two in a row alert; one of them was none."""
    life = Life(replace(DAILY, failures_to_alert=2))
    life.hears(Word.STARTED, 0)
    life.hears(Word.LOST, 20)
    life.hears(Word.SUCCEEDED, 10, received=22)
    life.hears(Word.FAILED, 86400, run="r2")
    assert life.status is Status.UP
    assert life.monitor.failures == 1


def test_a_run_of_a_process_without_heartbeats_is_given_its_grace() -> None:
    """Nobody will ever list it."""
    life = Life()
    decision, _ = on_run_event(
        life.monitor, Facts(), RunEvent(Word.STARTED, at(0), "r1", 0, "a"), at(1), None, life.horizon(1)
    )  # fmt: skip
    life.take(decision)
    life.sweeps(303)
    assert life.reasons == [("down", "overrun")]


def test_a_run_whose_facts_were_forgotten_ends_in_its_own_row() -> None:
    """It ran for a week, and was listed all the time."""
    life = Life()
    life.hears(Word.STARTED, 0)
    for second in range(15, 600, 15):
        life.lists(second)
    life.facts.clear()
    life.hears(Word.SUCCEEDED, 600)
    assert [(r.outcome, r.at) for r in life.records.values()] == [(Outcome.SUCCESS, at(0))]


def test_a_single_declared_slot_that_is_missed_leaves_nobody_unwatched() -> None:
    """Below its threshold, and nothing follows that anybody knows of: down all the same."""
    life = Life(Rule(Declared(at(0), None, "UTC"), timedelta(minutes=1), failures_to_alert=2, dispatched=True))
    life.sweeps(100)
    assert life.status is Status.DOWN


def test_hard_limit_and_the_abort_it_causes_are_one_failure() -> None:
    """Two processes speak of one end."""
    life = Life()
    life.hears(Word.STARTED, 0)
    life.hears(Word.ABORTED, 60)
    life.hears(Word.LOST, 60.1, error="time limit 60 s")
    assert [str(t.after) for t in life.transitions] == ["down"]
    assert life.outcomes() == ["lost"]
    assert life.monitor.failures == 1


def test_a_run_that_is_killed_and_redelivered_for_ever_is_told_once() -> None:
    """Three executions that nobody saw end."""
    life = Life()
    for i, x in enumerate("abcdef"):
        life.hears(Word.STARTED, i, x=x)
    assert life.reasons == [("down", "lost")]
    life.hears(Word.SUCCEEDED, 10, x="f")
    assert life.reasons == [("down", "lost"), ("up", "heard")]


def test_running_too_long_and_alive_is_an_overrun() -> None:
    """A worker still lists it at its limit."""
    life = Life(Rule(Cron("0 3 * * *", "UTC"), timedelta(minutes=5), max_runtime=timedelta(minutes=10), dispatched=True))
    life.hears(Word.STARTED, 0)
    for second in range(15, 700, 15):
        life.lists(second)
        life.sweeps(second + 14)
    assert life.reasons == [("down", "overrun")]
    assert life.transitions[0].at == at(600)


def test_a_run_over_a_blackout_is_given_a_minute_after_it() -> None:
    """Nobody could hear the lists; who lives says so again."""
    life = Life(blackouts=(Blackout(at(20), at(300)),))
    life.hears(Word.STARTED, 0)
    life.sweeps(340)
    assert life.transitions == []
    life.lists(350)
    life.sweeps(380)
    assert life.transitions == []
    life.sweeps(400)
    assert life.reasons == [("down", "lost")]


def test_runs_reported_late_are_history_and_turn_nothing_that_is_over() -> None:
    """A backlog of ten minutes, in order: up at its newest, down at nothing in between."""
    life = Life(Rule(Every(timedelta(seconds=60)), timedelta(seconds=60), dispatched=True))
    life.hears(Word.STARTED, 0, run="r0")
    life.hears(Word.SUCCEEDED, 1, run="r0")
    life.sweeps(130)
    assert life.reasons == [("up", "heard"), ("down", "not_dispatched")]
    for n in range(1, 10):
        life.hears(Word.DISPATCHED, 60 * n, run=f"r{n}", received=605)
        life.hears(Word.STARTED, 60 * n + 1, run=f"r{n}", received=605)
        life.hears(Word.SUCCEEDED, 60 * n + 2, run=f"r{n}", received=605)
        life.sweeps(606)
    assert life.status is Status.UP
    assert [after for after, _ in life.reasons] == ["up", "down", "up"]
    assert sorted(life.outcomes()).count("success") == 10


def test_an_hourly_job_that_overlaps_its_next_slot_is_neither_missing_nor_hides_a_missing_one() -> None:
    """While it runs the next slot waits; its end settles its own, and the next is expected then."""
    life = Life(Rule(Cron("0 * * * *", "UTC"), timedelta(minutes=5), dispatched=True))
    life.hears(Word.DISPATCHED, 0)
    life.hears(Word.STARTED, 1)
    for second in range(15, 3700, 15):
        life.lists(second)
        life.sweeps(second + 14)
    assert life.transitions == []
    life.hears(Word.SUCCEEDED, 3700)
    assert life.monitor.due == at(3600)
    life.sweeps(3905)
    assert life.reasons == [("up", "heard"), ("down", "not_dispatched")]


def test_a_hundred_runs_waiting_in_the_queue_are_lost_and_not_forgotten() -> None:
    """The oldest must go, and that is told."""
    life = Life(Rule(Every(timedelta(seconds=5)), timedelta(seconds=60), dispatched=True))
    for n in range(101):
        life.hears(Word.DISPATCHED, 5 * n, run=f"r{n}", received=5 * n)
    assert life.reasons == [("down", "not_started")]
    assert len(life.monitor.runs) == 100


def test_a_paused_monitor_opens_no_run_that_began_before() -> None:
    """What was received late of it is kept and turns nothing."""
    life = Life()
    life.take(on_pause(life.monitor, at(10), life.horizon(10)))
    life.hears(Word.STARTED, 5, received=11)
    assert not life.monitor.runs
    life.hears(Word.FAILED, 8, received=12)
    assert life.status is Status.PAUSED


def test_pings_and_reports_of_one_monitor_do_not_close_each_other() -> None:
    """A plain success closes no run that a program reports."""
    life = Life()
    life.hears(Word.STARTED, 0)
    life.take(on_check_in(life.monitor, CheckIn(Signal.SUCCESS, at(5)), life.horizon(5)))
    assert [run.run_id for run in life.monitor.runs] == ["r1"]
    life.take(on_check_in(life.monitor, CheckIn(Signal.START, at(6)), life.horizon(6)))
    assert [run.run_id for run in life.monitor.runs] == ["r1", None]


def test_a_late_failure_of_an_older_run_changes_nothing() -> None:
    """A newer one has ended well since."""
    life = Life()
    life.hears(Word.STARTED, 0, run="old")
    life.hears(Word.STARTED, 10, run="new")
    life.hears(Word.SUCCEEDED, 20, run="new")
    life.hears(Word.FAILED, 15, run="old", received=30)
    assert life.status is Status.UP
    assert sorted(life.outcomes()) == ["failed", "success"]


def test_what_could_not_be_published_is_a_failure_of_its_slot() -> None:
    """Told at once, and not again as missing."""
    life = Life()
    life.hears(Word.DISPATCH_FAILED, 0, run="", error="EncodeError: not JSON serializable")
    life.sweeps(1000)
    assert life.reasons == [("down", "not_dispatched")]
    assert life.transitions[0].reason is Reason.NOT_DISPATCHED
    assert "EncodeError" in life.transitions[0].evidence["cause"]


RUNS = st.integers(1, 6)
STORY = [(Word.DISPATCHED, 0.0, 0, ""), (Word.STARTED, 1.0, 0, "a"), (Word.RETRY, 2.0, 0, "a")]
END = [(Word.STARTED, 8.0, 1, "b"), (Word.SUCCEEDED, 9.0, 1, "b")]


@given(RUNS, st.data())
def test_whatever_is_late_or_out_of_order_no_false_alert_stands(count: int, data: st.DataObject) -> None:
    """Runs that all ended well, each word up to ten minutes late, a sweep after each: in the end one success a run, and up."""
    life = Life(Rule(Every(timedelta(seconds=60)), timedelta(seconds=60), dispatched=True))
    words = [(60 * n + when, word, f"r{n}", attempt, x) for n in range(count) for word, when, attempt, x in STORY + END]
    late = st.one_of(st.just(1.0), st.floats(0, 600))
    arrivals = sorted((when + data.draw(late), when, word, run, attempt, x) for when, word, run, attempt, x in words)
    for received, when, word, run, attempt, x in arrivals:
        life.hears(word, when, run=run, attempt=attempt, x=x, received=received)
        life.sweeps(received + 1)
    assert life.outcomes().count("success") == count
    assert not any(run.run_id for run in life.monitor.runs)
    alive_until = max(when for when, *_ in words) + 120
    if arrivals[-1][0] + 1 < alive_until:
        assert life.status is Status.UP
    assert all(one.before is not one.after for one in life.transitions)
