"""Reports: check-ins that say themselves when they happened."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.domain.evidence import explain
from app.domain.horizon import Horizon
from app.domain.monitor import on_check_in, on_expect_first, on_silence
from app.domain.report import on_report
from app.domain.run import Outcome
from app.domain.schedule import Cron, Every
from app.domain.state import CheckIn, Decision, Monitor, Reason, Rule, Signal, Status, Transition

T0 = datetime(2026, 10, 18, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOURLY = Rule(Every(60 * MINUTE), grace=10 * MINUTE)


def heard(m: Monitor, minutes: float, signal: Signal = Signal.SUCCESS) -> Monitor:
    at = T0 + minutes * MINUTE
    return on_check_in(m, CheckIn(signal, at), Horizon(at)).monitor


def silent(m: Monitor, minutes: float) -> Monitor:
    return on_silence(m, Horizon(T0 + minutes * MINUTE)).monitor


def report(m: Monitor, at: float, received: float, signal: Signal = Signal.SUCCESS, run_id: str | None = None) -> Decision:
    """A report of minute `at`, received at minute `received`."""
    check_in = CheckIn(signal, T0 + at * MINUTE, run_id)
    return on_report(m, check_in, T0 + received * MINUTE, Horizon(T0 + received * MINUTE))


def test_a_success_from_before_its_deadline_withdraws_the_alert() -> None:
    """It was never silent: up as of when we heard of it, and the next deadline counts from when it happened."""
    down = silent(heard(Monitor(HOURLY), 0), 75)
    assert (down.status, down.down_since) == (Status.DOWN, T0 + 70 * MINUTE)
    decision = report(down, 65, 80)
    (turned,) = decision.transitions
    assert (turned.before, turned.after, turned.reason) == (Status.DOWN, Status.UP, Reason.WITHDRAWN)
    assert turned.at == T0 + 80 * MINUTE
    assert turned.told
    assert decision.monitor.deadline() == T0 + (65 + 60 + 10) * MINUTE
    outcomes = {record.outcome for record in decision.records}
    assert outcomes == {Outcome.UNKNOWN, Outcome.SUCCESS}


def test_a_report_moves_no_deadline_beyond_the_rule_applied_to_its_time() -> None:
    """Where the deadline after the reported success has passed as well the monitor is down since that one, not told again."""
    down = silent(heard(Monitor(HOURLY), 0), 200)
    decision = report(down, 65, 200)
    assert (decision.monitor.status, decision.transitions) == (Status.DOWN, ())
    assert decision.fine_until == decision.monitor.down_since == T0 + (65 + 60 + 10) * MINUTE
    assert decision.monitor.heard == down.heard + 1
    assert on_silence(decision.monitor, Horizon(T0 + 500 * MINUTE)).transitions == ()
    back = on_check_in(decision.monitor, CheckIn(Signal.SUCCESS, T0 + 501 * MINUTE), Horizon(T0 + 501 * MINUTE))
    (turned,) = back.transitions
    assert (turned.after, turned.reason, turned.n) == (Status.UP, Reason.HEARD, down.transition_count + 1)
    assert "2026-10-18 05:15" in explain(turned.evidence), "it had been down since then, and not since 04:10"


def test_many_late_successes_take_one_alarm_back_once() -> None:
    """Cut off for hours, while every slot was kept: nothing is said until the last of them leads to now."""
    rule = Rule(Cron("0 * * * *", "UTC"), grace=10 * MINUTE)
    m = down = silent(heard(Monitor(rule), 0), 310)
    told: list[Transition] = []
    rows: dict[int, Outcome | None] = {}
    for minutes in (60, 120, 180, 240, 300):
        decision = report(m, minutes + 1, 330)
        m = decision.monitor
        told += decision.transitions
        rows |= {record.key: record.outcome for record in decision.records}
    (turned,) = told
    assert (turned.after, turned.reason, turned.at) == (Status.UP, Reason.WITHDRAWN, T0 + 330 * MINUTE)
    assert turned.n == down.transition_count + 1
    assert "alarm of 2026-10-18 04:10" in explain(turned.evidence), "the one that people were told of"
    assert m.due == T0 + 360 * MINUTE
    assert sorted(str(outcome) for outcome in rows.values()) == ["success"] * 5 + ["unknown"]


def test_a_chain_of_late_successes_that_breaks_leaves_the_alarm_where_it_broke() -> None:
    """It ran twice unheard and then died: down since the third, with nobody told anew; its own return is told as such."""
    rule = Rule(Cron("0 * * * *", "UTC"), grace=10 * MINUTE)
    m = silent(heard(Monitor(rule), 0), 310)
    for minutes in (60, 120):
        decision = report(m, minutes + 1, 330)
        assert decision.transitions == ()
        m = decision.monitor
    assert m.down_since == decision.fine_until == T0 + 190 * MINUTE
    assert m.missing is not None
    assert m.missing.slot == T0 + 180 * MINUTE
    (turned,) = report(m, 302, 330).transitions
    assert turned.reason is Reason.HEARD, "what ran after it was really missing is a return"


def test_an_alarm_that_late_news_puts_off_counts_as_many_failures_as_there_are_left() -> None:
    """With a threshold of two: one slot that is missing since is no alarm any more."""
    rule = Rule(Cron("0 * * * *", "UTC"), grace=10 * MINUTE, failures_to_alert=2)
    m = silent(heard(Monitor(rule), 0), 195)
    assert (m.status, m.down_since) == (Status.DOWN, T0 + 130 * MINUTE)
    (turned,) = report(m, 121, 195).transitions
    assert turned.reason is Reason.WITHDRAWN


def test_a_success_after_the_deadline_is_an_ordinary_return() -> None:
    """It was silent at its deadline; it is up again since it was heard of, by its own time."""
    down = silent(heard(Monitor(HOURLY), 0), 90)
    (turned,) = report(down, 80, 95).transitions
    assert (turned.reason, turned.at) == (Reason.HEARD, T0 + 80 * MINUTE)
    assert report(silent(down, 200), 80, 200).transitions == (), "and silent again since: nobody is told of a return"


def test_what_was_heard_later_already_is_not_undone() -> None:
    """A report older than the last success or fail turns nothing and moves nothing."""
    up = heard(heard(Monitor(HOURLY), 0), 60)
    decision = report(up, 30, 65, Signal.FAIL)
    assert (decision.monitor.status, decision.transitions) == (Status.UP, ())
    assert decision.monitor.deadline() == up.deadline()
    failed = heard(up, 70, Signal.FAIL)
    assert report(failed, 65, 75).monitor.status is Status.DOWN


def test_a_failure_of_the_past_is_told() -> None:
    """A fail that could not be sent at once is still a fail."""
    (turned,) = report(heard(Monitor(HOURLY), 0), 40, 50, Signal.FAIL).transitions
    assert (turned.after, turned.at, turned.reason) == (Status.DOWN, T0 + 40 * MINUTE, Reason.FAILED)


def test_an_overrun_is_withdrawn_by_its_own_end_only() -> None:
    """The end of the run that was called too long, from before its deadline, withdraws; another run's end does not."""
    rule = Rule(Every(60 * MINUTE), grace=10 * MINUTE, max_runtime=20 * MINUTE)
    started = on_check_in(Monitor(rule), CheckIn(Signal.START, T0, "a"), Horizon(T0)).monitor
    down = silent(started, 30)
    assert down.status is Status.DOWN
    assert report(down, 15, 31, run_id="b").transitions == ()
    (turned,) = report(down, 15, 31, run_id="a").transitions
    assert turned.reason is Reason.WITHDRAWN


def test_a_slot_of_a_calendar_is_filled_in_by_its_report() -> None:
    """Cron: the slot heard of late in the mail is satisfied, the next one is expected."""
    rule = Rule(Cron("0 * * * *", "UTC"), grace=10 * MINUTE)
    down = silent(heard(Monitor(rule), 0), 71)
    decision = report(down, 61, 75)
    assert decision.monitor.status is Status.UP
    assert decision.monitor.due == T0 + 120 * MINUTE


def test_a_report_on_a_new_monitor_counts_from_its_own_time() -> None:
    """Nothing was expected; now it is, since then."""
    decision = report(Monitor(HOURLY), 10, 30)
    assert (decision.monitor.status, decision.monitor.deadline()) == (Status.UP, T0 + 80 * MINUTE)


def test_a_run_that_really_overran_is_told_whatever_else_is_reported() -> None:
    """A spool says that one run began and another went well: the first, which died, is an alert a minute later; and a report of
    old takes no alert away that was due before it came."""
    rule = Rule(Every(24 * 60 * MINUTE), grace=60 * MINUTE, max_runtime=MINUTE)
    m = report(heard(Monitor(rule), 0), 100, 130, Signal.START, run_id="r1").monitor
    m = report(m, 100.1, 130, run_id="r2").monitor
    (turned,) = on_silence(m, Horizon(T0 + 135 * MINUTE)).transitions
    assert (turned.after, turned.reason) == (Status.DOWN, Reason.OVERRUN)
    started = on_check_in(
        heard(Monitor(rule), 0), CheckIn(Signal.START, T0 + 10 * MINUTE, "r1"), Horizon(T0 + 10 * MINUTE)
    ).monitor
    decision = report(started, 10.5, 15)
    assert [t.after for t in decision.transitions] == [Status.DOWN]
    assert decision.monitor.status is Status.DOWN


def test_a_start_and_its_end_reported_together_alert_nobody() -> None:
    """The run was fine, only its messages were late: no overrun between the two."""
    m = report(heard(Monitor(Rule(Every(24 * 60 * MINUTE), grace=MINUTE / 2)), 0), 100, 130, Signal.START, run_id="r").monitor
    m = silent(m, 130.5)
    decision = report(m, 100.2, 130.5, run_id="r")
    assert (m.status, decision.monitor.status, decision.transitions) == (Status.UP, Status.UP, ())
    assert decision.duration == MINUTE / 5


def test_history_told_to_a_new_monitor_alerts_nobody_at_once() -> None:
    """Days of history, oldest first, or one old start: it is given a minute, and an armed one its first deadline."""
    m = Monitor(HOURLY)
    for minutes in (-3000, -2000, -1000, -30):
        m = report(m, minutes, 0).monitor
    assert m.status is Status.UP
    assert m.deadline() == T0 + 40 * MINUTE
    armed = on_expect_first(Monitor(HOURLY), T0, Horizon(T0)).monitor
    assert report(armed, -3000, 0).monitor.deadline() == armed.deadline()
    lone = report(Monitor(HOURLY), -180, 0, Signal.START).monitor
    assert lone.deadline() == T0 + MINUTE


def test_transitions_are_dated_in_order() -> None:
    """A fail reported after a withdrawal, from before it, is told, and not dated before what it follows."""
    down = silent(heard(Monitor(HOURLY), 0), 75)
    up = report(down, 65, 80).monitor
    (turned,) = report(up, 66, 81, Signal.FAIL).transitions
    assert (turned.after, turned.at) == (Status.DOWN, T0 + 80 * MINUTE)


STEPS = st.lists(
    st.tuples(st.sampled_from(["heard", "report", "silence"]), st.integers(0, 90), st.integers(0, 240), st.sampled_from(Signal)),
    max_size=12,
)


@given(steps=STEPS, max_runtime=st.sampled_from([None, 20 * MINUTE]), cron=st.booleans())
def test_reports_leave_a_monitor_that_is_whole(
    steps: list[tuple[str, int, int, Signal]], max_runtime: timedelta | None, cron: bool
) -> None:
    """Whatever is heard and reported in whatever order: transitions chain, nobody is told of a return that is over, and a
    monitor that is up is expected to be heard of again."""
    m = Monitor(Rule(Cron("0 * * * *", "UTC") if cron else Every(60 * MINUTE), 10 * MINUTE, max_runtime=max_runtime))
    minute = 0
    turned: list[Transition] = []
    for what, wait, back, signal in steps:
        minute += wait
        now = Horizon(T0 + minute * MINUTE)
        check_in = CheckIn(signal, now.at, ignored=signal is Signal.IGNORED)
        if what == "heard":
            decision = on_check_in(m, check_in, now)
        elif what == "report":
            decision = report(m, minute - back, minute, signal)
        else:
            decision = on_silence(m, now)
        for t in decision.transitions:
            told_up = t.told and t.after is Status.UP and t is decision.transitions[-1]
            deadline = decision.monitor.deadline()
            assert not (told_up and what == "report" and deadline is not None and deadline < now.at)
        turned += decision.transitions
        m = decision.monitor
        assert m.status is not Status.UP or m.deadline() is not None
    assert [t.n for t in turned] == list(range(1, len(turned) + 1))
    assert all(a.after is b.before for a, b in pairwise(turned))
    assert len({record for record in m.runs}) == len(m.runs)
