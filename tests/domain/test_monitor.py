"""What a monitor means, in examples: the state table cell by cell, then rule by rule, with exact instants."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.evidence import explain
from app.domain.horizon import Blackout, Horizon
from app.domain.monitor import CheckIn, as_seen, on_check_in, on_edit, on_expect_first, on_pause, on_resume, on_silence
from app.domain.run import MOST_OPEN, Outcome
from app.domain.schedule import Cron, Every, OnCalendar, Schedule
from app.domain.state import Decision, Monitor, Reason, Rule, Signal
from app.errors import Conflict

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
MARGIN = timedelta(seconds=2)
HOURLY = Cron("0 * * * *", "UTC")


def at(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def seconds(span: float | None) -> timedelta | None:
    return None if span is None else timedelta(seconds=span)


def a_rule(
    schedule: Schedule | float = 100,
    grace: float = 10,
    early: float | None = None,
    max_runtime: float | None = None,
    **more: Any,
) -> Rule:
    """Every 100 s with 10 s of grace, unless said otherwise."""
    given = Every(timedelta(seconds=schedule)) if isinstance(schedule, (int, float)) else schedule
    return Rule(given, timedelta(seconds=grace), seconds(early), seconds(max_runtime), **more)


class Life:
    """A monitor to which things happen, in seconds after noon; the horizon is the margin behind, or where it is told to be."""

    def __init__(self, rule: Rule | None = None, **given: Any) -> None:
        self.monitor = Monitor(rule or a_rule(**given))
        self.blackouts: tuple[Blackout, ...] = ()
        self.decision = Decision(self.monitor)
        self.turns: list[tuple[str, str, datetime, Reason]] = []
        self.outcomes: dict[int, Outcome | None] = {}

    def _take(self, decision: Decision) -> "Life":
        self.monitor, self.decision = decision.monitor, decision
        self.turns += [(str(t.before), str(t.after), t.at, t.reason) for t in decision.transitions]
        self.outcomes |= {r.key: r.outcome for r in decision.records}
        return self

    def _horizon(self, when: float, horizon: float | None = None) -> Horizon:
        return Horizon(at(when) - MARGIN if horizon is None else at(horizon), self.blackouts)

    def hear(self, signal: Signal, when: float, run_id: str | None = None, horizon: float | None = None, **more: Any) -> "Life":
        return self._take(on_check_in(self.monitor, CheckIn(signal, at(when), run_id, **more), self._horizon(when, horizon)))

    def start(self, when: float, run_id: str | None = None, **more: Any) -> "Life":
        return self.hear(Signal.START, when, run_id, **more)

    def success(self, when: float, run_id: str | None = None, **more: Any) -> "Life":
        return self.hear(Signal.SUCCESS, when, run_id, **more)

    def fail(self, when: float, run_id: str | None = None, **more: Any) -> "Life":
        return self.hear(Signal.FAIL, when, run_id, **more)

    def judge(self, horizon: datetime) -> "Life":
        return self._take(on_silence(self.monitor, Horizon(horizon, self.blackouts)))

    def pause(self, when: float) -> "Life":
        return self._take(on_pause(self.monitor, at(when), self._horizon(when)))

    def resume(self, when: float) -> "Life":
        return self._take(on_resume(self.monitor, at(when), self._horizon(when)))

    def edit(self, when: float, rule: Rule) -> "Life":
        return self._take(on_edit(self.monitor, rule, at(when), self._horizon(when)))

    def expect_first(self, when: float) -> "Life":
        return self._take(on_expect_first(self.monitor, at(when), self._horizon(when)))

    def deaf(self, since: float, until: float) -> "Life":
        self.blackouts += (Blackout(at(since), at(until)),)
        return self

    @property
    def status(self) -> str:
        return str(self.monitor.status)

    @property
    def deadline(self) -> datetime | None:
        return self.monitor.deadline()

    @property
    def told(self) -> bool:
        return any(t.told for t in self.decision.transitions)


def living(status: str, **given: Any) -> Life:
    """A monitor of that status at noon."""
    life = Life(**given)
    if status == "up":
        life.success(0)
    if status == "down":
        life.fail(0)
    return life.pause(0) if status == "paused" else life


# ---- The state table

TABLE = [
    # heard, before, after, told
    (Signal.SUCCESS, "new", "up", False),
    (Signal.SUCCESS, "up", "up", False),
    (Signal.SUCCESS, "down", "up", True),
    (Signal.SUCCESS, "paused", "up", False),
    (Signal.FAIL, "new", "down", True),
    (Signal.FAIL, "up", "down", True),
    (Signal.FAIL, "down", "down", False),
    (Signal.FAIL, "paused", "down", True),
    (Signal.START, "new", "new", False),
    (Signal.START, "up", "up", False),
    (Signal.START, "down", "down", False),
    (Signal.START, "paused", "paused", False),
    (Signal.LOG, "new", "new", False),
    (Signal.LOG, "up", "up", False),
    (Signal.LOG, "down", "down", False),
    (Signal.LOG, "paused", "paused", False),
]


@pytest.mark.parametrize(("heard", "before", "after", "told"), TABLE)
def test_what_is_heard_turns_the_status_as_the_table_says(heard: Signal, before: str, after: str, told: bool) -> None:
    """One cell each: the status after it, whether people are told, and that an unchanged status is no transition."""
    life = living(before).hear(heard, 50)
    assert (life.status, life.told) == (after, told)
    assert len(life.decision.transitions) == (before != after)
    assert life.decision.kept_as is heard
    assert life.monitor.running is (heard is Signal.START)


@pytest.mark.parametrize("heard", [Signal.SUCCESS, Signal.FAIL, Signal.START, Signal.LOG])
def test_with_manual_resume_a_paused_monitor_ignores_what_it_hears(heard: Signal) -> None:
    """It is kept as ignored, opens no run and turns nothing."""
    life = living("paused", manual_resume=True).hear(heard, 50)
    assert (life.status, life.decision.kept_as, life.monitor.running) == ("paused", Signal.IGNORED, False)
    assert life.deadline is None


@pytest.mark.parametrize("before", ["new", "up", "down", "paused"])
def test_what_the_filters_keep_out_changes_nothing(before: str) -> None:
    """Kept as ignored; the deadline stays where it was."""
    life = living(before)
    deadline = life.deadline
    life.fail(50, ignored=True)
    assert (life.status, life.decision.kept_as, life.deadline) == (before, Signal.IGNORED, deadline)


@pytest.mark.parametrize(("before", "after", "turns"), [("up", "down", 1), ("down", "down", 0)])
def test_a_passed_slot_turns_down_once(before: str, after: str, turns: int) -> None:
    """Down since the deadline, told; of a monitor that is down already nothing more is said, and nothing more expected."""
    life = living(before).judge(at(110) + INSTANT)
    assert (life.status, len(life.decision.transitions), life.deadline) == (after, turns, None)


@pytest.mark.parametrize("before", ["new", "up", "down", "paused"])
def test_an_unfinished_run_turns_down_once(before: str) -> None:
    """P14: new and paused too, by a run begun then; told unless it was down already."""
    life = living(before, max_runtime=20).start(50).judge(at(70) + INSTANT)
    assert life.status == "down"
    assert life.turns[-1] == (
        (before, "down", at(70), Reason.OVERRUN) if before != "down" else ("new", "down", NOON, Reason.FAILED)
    )


def test_an_unarmed_new_monitor_and_a_paused_one_are_never_missed() -> None:
    """Neither has a deadline, so no horizon passes it."""
    assert living("new").judge(at(10**8)).status == "new"
    assert living("paused").judge(at(10**8)).status == "paused"


# ---- Exact instants


@pytest.mark.parametrize(("past", "after"), [(-INSTANT, "up"), (timedelta(), "up"), (INSTANT, "down")])
def test_silence_is_judged_once_the_horizon_has_passed_the_deadline(past: timedelta, after: str) -> None:
    """A deadline is passed when it is before H: at H itself a check-in of that instant may still be on its way."""
    life = living("up").judge(at(110) + past)
    assert life.status == after


def test_a_check_in_satisfies_late_what_the_horizon_has_not_passed() -> None:
    """P2 and P4: heard 1 s after the deadline, while H is before it, is late and not down."""
    assert living("up").success(111, horizon=110).turns == [("new", "up", NOON, Reason.HEARD)]


def test_a_check_in_first_settles_what_the_horizon_has_passed() -> None:
    """The silence before it was real: down since the deadline, then up."""
    life = living("up").success(113, horizon=110.5)
    assert life.turns[1:] == [("up", "down", at(110), Reason.MISSED), ("down", "up", at(113), Reason.HEARD)]


def test_a_reader_sees_late_then_down_without_any_sweeper() -> None:
    """`as_seen` says what on_silence would decide, and late past the slot but inside its grace."""
    monitor = living("up").monitor
    seen = [as_seen(monitor, at(s), Horizon(at(s) - MARGIN)).status for s in (100, 101, 112, 113)]
    assert seen == ["up", "late", "late", "down"]


# ---- Below a threshold


def test_failures_below_the_threshold_are_counted_and_not_told() -> None:
    """The status stays (new and paused turn up), the deadline moves to the next slot."""
    life = Life(failures_to_alert=3).fail(0).fail(100)
    assert (life.status, life.monitor.failures, life.deadline) == ("up", 2, at(210))
    assert life.fail(200).status == "down"


def test_a_missed_slot_below_the_threshold_is_followed_by_the_next() -> None:
    """A missed slot counts as satisfied for finding the next; the second miss turns down at its own deadline."""
    life = living("up", failures_to_alert=2).judge(at(110) + INSTANT)
    assert (life.status, life.deadline) == ("up", at(210))
    assert life.judge(at(210) + INSTANT).turns[-1] == ("up", "down", at(210), Reason.MISSED)


def test_one_failure_counts_per_slot() -> None:
    """A job that fails, and is tried again and fails again, has failed one slot; a success of the same slot makes it good."""
    life = Life(failures_to_alert=2).fail(0).fail(10).fail(20)
    assert (life.status, life.monitor.failures) == ("up", 1)
    assert life.success(30).monitor.failures == 0


def test_failures_before_the_first_slot_of_a_calendar_count_each() -> None:
    """They belong to no slot, so none of them can stand for another: two are told where two are to be told."""
    tonight = OnCalendar("2026-06-02 00:00:00", "UTC")
    life = Life(a_rule(tonight, failures_to_alert=2)).fail(0)
    assert life.status == "up"
    assert life.fail(1).status == "down"


def test_recovery_takes_as_many_slots_as_asked_and_starts_again_at_a_deadline() -> None:
    """Two successes of one slot are one, and silence between two begins the count anew."""
    life = living("down", successes_to_recover=2).success(100).success(110)
    assert (life.status, life.monitor.successes) == ("down", 1)
    life.judge(at(220) + INSTANT).success(300)
    assert (life.status, life.monitor.successes) == ("down", 1)
    assert life.success(400).status == "up"


# ---- Armed


def test_a_start_arms_a_new_monitor() -> None:
    """From then on it can be missed, by its run or its slot."""
    assert Life(max_runtime=1000).start(0).monitor.due == at(100)
    assert Life().start(0).deadline == at(10)


def test_expect_first_arms_a_monitor_that_was_never_heard() -> None:
    """`every`: a period and the grace from now; cron-like: the next slot; and only while nothing is expected."""
    assert Life().expect_first(0).deadline == at(110)
    assert Life().expect_first(0).expect_first(50).deadline == at(110)
    assert Life(schedule=HOURLY).expect_first(0).deadline == at(3610)
    assert living("up").expect_first(50).deadline == at(110)


def test_a_start_arms_the_slot_it_belongs_to_or_the_next_where_that_is_over() -> None:
    """Never an instant alert: a start after the grace is not blamed for its own slot."""
    assert Life(schedule=HOURLY).start(5).monitor.due == NOON
    assert Life(schedule=HOURLY).start(-60).monitor.due == NOON
    assert Life(schedule=HOURLY).start(11).monitor.due == at(3600)


def test_a_used_up_calendar_expects_nothing_more() -> None:
    """The named exception: up without a deadline, and a further start does not bring the satisfied slot back."""
    once = OnCalendar("2026-06-01 12:00:00", "UTC")
    life = Life(schedule=once).success(1)
    assert (life.status, life.deadline) == ("up", None)
    assert life.start(2).monitor.due is None


def test_an_edit_of_a_used_up_calendar_expects_again() -> None:
    """No `up` monitor is without a deadline once its schedule has a slot to come."""
    assert Life(schedule=OnCalendar("2026-06-01 12:00:00", "UTC")).success(1).edit(300, a_rule()).deadline == at(360)


# ---- Which slot


@pytest.mark.parametrize(
    ("when", "expected_next"),
    [
        (-301, 0),  # before the window: late for eleven o'clock
        (-300, 3600),  # five minutes early is early enough
        (0, 3600),
        (10, 3600),
        (3299, 3600),  # late for noon
        (3300, 7200),
    ],
)
def test_a_check_in_belongs_to_the_slot_whose_window_it_is_in(when: float, expected_next: float) -> None:
    """Else to the last one, as late; it satisfies that and all before it."""
    assert Life(schedule=HOURLY).success(when).monitor.due == at(expected_next)


def test_many_slots_are_satisfied_at_once() -> None:
    """After days of silence the next slot is the next one, not one of those long past."""
    life = Life(schedule=HOURLY).success(0).judge(at(90 * 3600)).success(100 * 3600 + 5)
    assert life.deadline == at(101 * 3600 + 10)
    missed = next(r for r in life.decision.records if r.outcome is Outcome.MISSED)
    assert (missed.slot, missed.last_slot, missed.count) == (at(3600), at(99 * 3600), 99)


def test_every_counts_from_the_last_end() -> None:
    """A second success of the same slot still moves the deadline."""
    assert Life().success(0).success(30).deadline == at(140)


# ---- Runs with a max_runtime


def test_slots_wait_for_the_run_that_took_them_over() -> None:
    """An hourly job may run three hours: its slots wait, its own deadline does not."""
    life = Life(schedule=HOURLY, max_runtime=3 * 3600).success(-3600).start(0)
    assert life.deadline == at(3 * 3600)
    assert life.success(2.5 * 3600).deadline == at(3 * 3600 + 10)


def test_a_start_outside_its_window_takes_nothing_over() -> None:
    """Started 20 min late, it does not excuse the next slot."""
    assert Life(schedule=HOURLY, max_runtime=9000).success(0).start(1200).deadline == at(3610)


def test_an_overrun_settles_its_slot_and_stays_open_until_its_end() -> None:
    """No second alert for the slot it held; its late end counts as usual and leaves the outcome."""
    life = Life(max_runtime=300).start(0, "a").judge(at(300) + INSTANT)
    assert life.turns == [("new", "down", at(300), Reason.OVERRUN)]
    assert (life.monitor.running, life.deadline) == (True, at(410))
    life.success(350, "a")
    assert (life.status, life.monitor.running, life.outcomes) == ("up", False, {1: Outcome.OVERRUN})
    assert life.decision.duration == timedelta(seconds=350)


def test_of_a_run_and_a_slot_at_the_same_instant_the_overrun_is_judged() -> None:
    """It says more: the job began, and hangs."""
    assert Life().success(0).start(100).judge(at(111)).turns[-1] == ("up", "down", at(110), Reason.OVERRUN)


def test_each_run_id_has_its_own_deadline_and_slots_wait_for_the_newest() -> None:
    """The older run keeps its own deadline only; another id's end ends nothing of it."""
    life = Life(max_runtime=300).start(0, "a").start(50, "b").success(60, "b")
    assert [r.run_id for r in life.monitor.runs] == ["a"]
    assert life.deadline == at(170)
    assert life.success(160, "c").success(250, "d").judge(at(300)).status == "up"
    assert life.judge(at(300) + INSTANT).turns[-1] == ("up", "down", at(300), Reason.OVERRUN)


def test_an_end_without_an_id_ends_the_newest_and_supersedes_older_anonymous_runs() -> None:
    """The named one stays."""
    life = Life(max_runtime=300).start(0, "a").start(10).start(20).success(30)
    assert [r.run_id for r in life.monitor.runs] == ["a"]
    assert life.outcomes == {1: None, 2: Outcome.SUPERSEDED, 3: Outcome.SUCCESS}


def test_a_second_start_of_an_open_run_is_its_next_attempt() -> None:
    """So is a start after its end: a run id never deduplicates."""
    life = Life(max_runtime=300).start(0, "a").start(10, "a")
    assert [(r.attempt, r.deadline) for r in life.monitor.runs] == [(2, at(310))]
    assert life.success(20, "a").start(30, "a").monitor.runs[0].attempt == 3


def test_at_most_a_hundred_runs_stay_open_and_overrun_ones_for_three_days() -> None:
    """P17: beyond that the oldest is closed."""
    life = Life(max_runtime=300)
    for n in range(MOST_OPEN + 1):
        life.start(n / 10, f"run {n}")
    assert len(life.monitor.runs) == MOST_OPEN
    assert life.monitor.runs[0].run_id == "run 1"
    assert life.success(300 + 72 * 3600 + 20).monitor.runs == ()


def test_an_overrun_heard_of_after_a_later_success_turns_nothing() -> None:
    """Judged in its turn the success had spoken last; so it has when it is judged after it."""
    life = Life(max_runtime=60).start(0, "hung").success(61, "other", horizon=59).judge(at(62))
    assert (life.status, life.outcomes[1], life.deadline) == ("up", Outcome.OVERRUN, at(171))


# ---- Runs without a max_runtime


def test_without_max_runtime_a_start_is_given_the_grace_and_the_slot_stays() -> None:
    """min(next due, start) + grace, as Healthchecks has it."""
    assert Life(grace=60).success(0).start(30).deadline == at(90)
    assert Life(grace=60).success(0).start(130, horizon=120).deadline == at(160)


def test_without_max_runtime_only_the_newest_start_is_timed() -> None:
    """The older is superseded without a word; another id's success leaves the newest running and the monitor up."""
    life = Life(grace=60).start(0, "a").start(10, "b")
    assert ([r.run_id for r in life.monitor.runs], life.deadline) == (["b"], at(70))
    assert life.success(20, "a").monitor.running
    assert life.deadline == at(70)
    assert not life.success(30).monitor.running


def test_without_max_runtime_any_fail_ends_the_run() -> None:
    """Whatever its id."""
    assert not Life(grace=60).start(0, "a").fail(10, "b").monitor.running


# ---- The order of what is heard


def test_an_end_that_comes_up_before_its_start_leaves_no_run_open() -> None:
    """P12: two web processes commit start and success of a short job the wrong way round; nobody is alarmed later."""
    for rule in (a_rule(), a_rule(max_runtime=60)):
        for run_id in ("a", None):
            life = Life(rule).success(1, run_id, horizon=-1).start(0.5, run_id, horizon=-1)
            assert (life.monitor.running, life.deadline) == (False, at(111))


def test_an_older_start_that_comes_up_late_is_superseded_at_once() -> None:
    """P12, without max_runtime: the newer one had superseded it, ended since or not."""
    life = Life().start(1, "b", horizon=-1).success(2, "b", horizon=-1).start(0, "a", horizon=-1)
    assert (life.monitor.running, life.outcomes[2], life.deadline) == (False, Outcome.SUPERSEDED, at(112))


def test_a_fail_from_before_the_last_success_changes_no_status() -> None:
    """It is stored, and closes its own run."""
    life = Life(max_runtime=60).start(0, "a").success(10, "b").fail(9, "a", horizon=5)
    assert (life.status, life.deadline, life.monitor.running) == ("up", at(120), False)


@pytest.mark.parametrize("heard", [Signal.START, Signal.SUCCESS, Signal.FAIL])
def test_what_was_received_before_a_pause_or_a_resume_turns_nothing_after_it(heard: Signal) -> None:
    """P14: a batch that was waiting while somebody pressed the button is kept, and does not undo the pause."""
    assert living("up").pause(50).hear(heard, 49.9).status == "paused"
    life = living("up").pause(50).resume(60).hear(heard, 59.9)
    assert (life.status, life.monitor.running, life.deadline) == ("new", False, at(170))


def test_the_older_of_two_starts_arms_whichever_comes_up_first() -> None:
    """P12: the first sign of life names the slot that is expected."""
    for starts in ([(5, "a"), (3540, "b")], [(3540, "b"), (5, "a")]):
        life = Life(schedule=HOURLY, grace=2400)
        for when, run_id in starts:
            life.start(when, run_id, horizon=-1)
        assert (life.monitor.due, life.deadline) == (NOON, at(2400))


def test_an_older_start_of_an_open_run_does_not_begin_it_again() -> None:
    """The newer attempt is the run; what comes up later changes nothing of it."""
    life = Life(max_runtime=60).start(5, "a").start(1, "a", horizon=0)
    assert [(r.attempt, r.deadline) for r in life.monitor.runs] == [(1, at(65))]


# ---- Pause, resume, edit


def test_pause_clears_runs_and_deadline_and_counts() -> None:
    """Nothing is expected any more, and how the open runs ended is unknown."""
    life = Life(max_runtime=60, failures_to_alert=2).start(0).fail(10).start(20).pause(30)
    assert (life.status, life.deadline, life.monitor.runs, life.monitor.failures) == ("paused", None, (), 0)
    assert life.outcomes[2] is Outcome.UNKNOWN


def test_pause_settles_the_silence_before_it() -> None:
    """A job that was dead already is told of, then paused."""
    assert [t[1] for t in living("up").pause(200).turns] == ["up", "down", "paused"]


def test_resume_arms_from_now_what_was_ever_heard() -> None:
    """New, with its last ping cleared; never an instant alert. What was never heard stays unarmed."""
    life = living("up").pause(10).resume(10**6)
    assert (life.status, life.deadline, life.monitor.last_end_at) == ("new", at(10**6 + 110), None)
    assert Life().pause(0).resume(10).deadline is None


def test_only_a_paused_monitor_is_resumed() -> None:
    """Conflict otherwise."""
    with pytest.raises(Conflict):
        living("up").resume(10)


def test_an_edit_that_times_alike_does_not_touch_the_deadline() -> None:
    """Regular upserts of the same rule, or of other thresholds, would else put it off for ever."""
    assert living("up").edit(105, a_rule(failures_to_alert=2)).deadline == at(110)


def test_an_edit_gives_a_minute_at_least() -> None:
    """The later of the new rule from the last check-in and now + 60 s; it holds until the next success or fail."""
    assert living("up").edit(50, a_rule(20)).deadline == at(110)
    assert living("up").edit(50, a_rule(500)).deadline == at(510)
    assert living("up").edit(50, a_rule(20)).success(55).deadline == at(85)


def test_what_was_received_before_an_edit_does_not_lift_its_minute() -> None:
    """A success that was waiting while somebody saved the form must not bring an instant alert."""
    assert living("up").edit(50, a_rule(20, 0)).success(49, horizon=48).deadline == at(110)


def test_after_an_edit_missed_slots_do_not_pile_up_at_the_floor() -> None:
    """Three failures to alert are three slots a period apart, not three long past judged in one go."""
    life = living("up", schedule=3600).edit(1800, a_rule(60, 0, failures_to_alert=3)).judge(at(1861))
    assert (life.status, life.monitor.failures, life.deadline) == ("up", 1, at(1920))


def test_an_edit_leaves_down_down() -> None:
    """And expects nothing where nothing was expected."""
    life = living("up").judge(at(120)).edit(130, a_rule(20))
    assert (life.status, life.deadline) == ("down", None)


def test_an_edit_times_open_runs_anew() -> None:
    """By start + max_runtime of the new rule, a minute from now at the earliest."""
    assert Life(max_runtime=60).start(0).edit(10, a_rule(max_runtime=300)).deadline == at(300)
    assert Life(max_runtime=300).start(0).edit(10, a_rule(max_runtime=20)).deadline == at(70)


# ---- Blackouts


def test_a_period_that_ran_unheard_in_one_blackout_may_run_again_in_the_next() -> None:
    """Every 100 s, run at 100 and at 200 and unheard both times: the second comes before a period from the first blackout's end
    has opened. A third blackout that its runs cannot have fallen into excuses nothing."""
    twice = living("up").deaf(90, 160).deaf(195, 205)
    assert twice.judge(at(271)).status == "up"
    assert twice.judge(at(316)).status == "down"
    assert living("up").deaf(90, 160).deaf(161, 164).judge(at(271)).status == "down"


def test_a_dead_period_is_found_though_we_are_deaf_for_a_moment_in_each() -> None:
    """Every 100 s, dead since 0. It may have run in [90, 100), then in [168, 170), so its next run is due from 243 on: that we
    were deaf at 220 excuses nothing."""
    life = living("up").deaf(90, 100).deaf(168, 170).deaf(220, 221)
    assert life.judge(at(279)).status == "up"
    assert life.judge(at(281)).status == "down"


def test_a_slot_whose_window_touches_a_blackout_is_unknown() -> None:
    """Nobody is blamed: the status stays, `every` goes on as if heard at its end."""
    life = living("up").deaf(80, 90).judge(at(110) + INSTANT)
    assert (life.status, life.outcomes[2], life.deadline) == ("up", Outcome.UNKNOWN, at(200))


@pytest.mark.parametrize(
    ("since", "until", "after"), [(60, 75, "down"), (60, 75.1, "up"), (110, 115, "up"), (110.1, 115, "down")]
)
def test_a_blackout_counts_where_it_touches_the_window(since: float, until: float, after: str) -> None:
    """The window is [75, 110] with 25 s of early; the end of a blackout is no part of it."""
    assert living("up").deaf(since, until).judge(at(110.05)).status == after


def test_after_a_blackout_the_next_slot_is_the_first_whose_window_opens_after_it() -> None:
    """And the floor is a minute after its end."""
    every_minute = Cron("* * * * *", "UTC")
    life = Life(schedule=every_minute).success(0).deaf(50, 230).judge(at(70) + INSTANT)
    assert (life.status, life.monitor.due, life.deadline) == ("up", at(300), at(310))
    life = Life(schedule=every_minute).success(0).deaf(50, 224).judge(at(70) + INSTANT)
    assert (life.monitor.due, life.deadline) == (at(240), at(284))


def test_a_slot_whose_window_opens_as_the_blackout_ends_is_expected() -> None:
    """The first instant after [from, to) is `to`: what is due then, with no early, is not skipped."""
    life = Life(schedule=Cron("* * * * *", "UTC"), early=0).success(0).deaf(60, 120).judge(at(70) + INSTANT)
    assert (life.monitor.due, life.deadline) == (at(120), at(180))


def test_a_run_that_touches_a_blackout_is_unknown() -> None:
    """Its end may have been said while we were deaf; it stays open, and its end is still welcome."""
    life = Life(max_runtime=60).start(0, "a").deaf(20, 30).judge(at(60) + INSTANT)
    assert (life.status, life.outcomes[1], life.deadline) == ("new", Outcome.UNKNOWN, at(140))
    assert life.success(70, "a").outcomes[1] is Outcome.SUCCESS


def test_a_run_of_unknown_end_does_not_bring_the_next_slot_forward() -> None:
    """What was heard after the blackout counts from then, not from the blackout."""
    life = Life(max_runtime=100).start(0, "a").deaf(5, 6).success(20, "b").judge(at(101))
    assert life.deadline == at(130)


# ---- Why did this fire?


@pytest.mark.parametrize(
    ("life", "sentence"),
    [
        (
            living("up").judge(at(111)),
            "Expected at 2026-06-01 12:01:40 UTC by its schedule, every 1 min 40 s; not heard of by 2026-06-01 12:01:50 UTC, "
            "10 s of grace included; last heard: success at 2026-06-01 12:00:00 UTC.",
        ),
        (
            living("up").deaf(95, 100).judge(at(300)),
            "Expected at 2026-06-01 12:03:20 UTC by its schedule, every 1 min 40 s; not heard of by 2026-06-01 12:03:30 UTC, "
            "10 s of grace included; last heard: success at 2026-06-01 12:00:00 UTC. "
            "We could not hear from 2026-06-01 12:01:35 UTC to 2026-06-01 12:01:40 UTC.",
        ),
        (
            Life(max_runtime=60).start(0, "a").judge(at(61)),
            "The run a that started at 2026-06-01 12:00:00 UTC did not finish by 2026-06-01 12:01:00 UTC; it is given 1 min.",
        ),
    ],
)
def test_a_transition_says_why(life: Life, sentence: str) -> None:
    """One sentence that names what was expected, what was heard, and the instants."""
    assert explain(life.decision.transitions[-1].evidence) == sentence


def test_every_kind_of_transition_says_why() -> None:
    """Fail, return, pause and resume too, thresholds included."""
    lives = [
        Life(failures_to_alert=2).fail(0),
        Life(failures_to_alert=2).fail(0).fail(100),
        living("down").success(50),
        living("paused"),
        living("paused").resume(10),
    ]
    said = [explain(life.decision.transitions[-1].evidence) for life in lives]
    assert said[1].endswith("This was failure 2 in a row; it alerts at 2.")
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in said), said
