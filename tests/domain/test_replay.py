"""A life lived again under its own rule turns as it did; under another as that would have had it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.evidence import explain
from app.domain.horizon import Blackout, Horizon
from app.domain.monitor import CheckIn, Monitor, Rule, Signal, Status, Transition, on_check_in, on_pause, on_resume, on_silence
from app.domain.replay import CUT_SHORT, MOST_ALERTS, MOST_STEPS, REPORTED, UNTOLD, Alert, ByHand, Past, Said, replay
from app.domain.report import on_report
from app.domain.schedule import Cron, Declared, Every
from app.domain.state import Decision
from tests.domain.test_state_machine import BEGIN, STEPS, rules, run_ids, signals

MARGIN = timedelta(seconds=2)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
EVERY_HOUR = Rule(Every(HOUR), 5 * MINUTE)


@dataclass
class Life:
    """A monitor in a service that never sleeps: what is heard, done and turned is kept as the tables keep it."""

    monitor: Monitor
    now: datetime = BEGIN
    blackouts: tuple[Blackout, ...] = ()
    heard: list[Said] = field(default_factory=list)
    by_hand: list[ByHand] = field(default_factory=list)
    turned: list[Transition] = field(default_factory=list)

    @property
    def horizon(self) -> Horizon:
        return Horizon(self.now - MARGIN, self.blackouts)

    def decide(self, on_event: Callable[..., Decision], *given: Any) -> Decision:
        decision = on_event(self.monitor, *given, self.horizon)
        self.monitor = decision.monitor
        self.turned += decision.transitions
        return decision

    def check_in(
        self, signal: Signal, run_id: str | None = None, ago: timedelta | None = None, exit_status: int | None = None
    ) -> None:
        """Heard now; with `ago` a report of what happened then."""
        at = None if ago is None else self.now - ago
        check_in = CheckIn(signal, at or self.now, run_id, exit_status, signal is Signal.IGNORED)
        decision = self.decide(on_check_in, check_in) if at is None else self.decide(on_report, check_in, self.now)
        assert decision.kept_as is not None
        self.heard.append(Said(decision.kept_as, self.now, run_id, exit_status, at))

    def pause_or_resume(self) -> None:
        """Pause it, or resume it where it is paused."""
        self.decide(on_silence)
        pausing = self.monitor.status is not Status.PAUSED
        self.decide(on_pause if pausing else on_resume, self.now)
        self.by_hand.append(ByHand(self.now, pausing))

    def deaf_for(self, seconds: int) -> None:
        """A hole between two ticks: the last look before it was at its beginning."""
        self.decide(on_silence)
        start, self.now = self.now, self.now + seconds * SECOND
        self.blackouts += (Blackout(start, self.now),)

    def past(self, since: datetime = BEGIN - DAY) -> Past:
        """What of it is in the tables."""
        return Past(since, self.now, self.heard, self.by_hand, self.horizon, MARGIN)


def alerts(turned: Sequence[Transition]) -> list[tuple[Any, ...]]:
    """Downs, and how each ended."""
    found: list[tuple[Any, ...]] = []
    for n, t in enumerate(turned):
        if t.after is Status.DOWN:
            over = turned[n + 1] if n + 1 < len(turned) else None
            found.append(shown(Alert(t, over)))
    return found


def shown(alert: Alert) -> tuple[Any, ...]:
    down, over = alert.down, alert.over
    return down.at, down.reason, explain(down.evidence), over and (over.at, over.after, over.reason, explain(over.evidence))


moves = st.tuples(st.just("wait"), st.sampled_from(STEPS))
deafness = st.tuples(st.just("deaf"), st.sampled_from((6, 20, 100, 4000)))
sayings = st.tuples(st.just("say"), signals | st.just(Signal.IGNORED), run_ids)
reports = st.tuples(st.just("report"), signals, run_ids, st.sampled_from((3, 60, 400, 5000)))
deeds = st.tuples(st.just("pause"))
looks = st.tuples(st.just("look"))
lives = st.lists(st.one_of(moves, moves, moves, sayings, sayings, sayings, looks, reports, deafness, deeds), max_size=40)


def lived(rule: Rule, steps: list[tuple[Any, ...]]) -> Life:
    life = Life(Monitor(rule))
    for kind, *how in steps:
        if kind == "wait":
            life.now += how[0] * SECOND
        elif kind == "deaf":
            life.deaf_for(how[0])
        elif kind == "say":
            life.check_in(*how)
        elif kind == "report":
            life.check_in(how[0], how[1], how[2] * SECOND)
        elif kind == "pause":
            life.pause_or_resume()
        else:
            life.decide(on_silence)
        life.now += timedelta(microseconds=1)
    life.decide(on_silence)
    return life


def replayed_as_it_was(rule: Rule, steps: list[tuple[Any, ...]]) -> None:
    """With every sentence: what was seen at once then and all at the end now is the same."""
    life = lived(rule, steps)
    found = replay(rule, life.past())
    assert [shown(alert) for alert in found.alerts] == alerts(life.turned)
    assert (found.count, found.until, found.notes) == (len(found.alerts), life.now, [])


BRIEF = settings(deadline=None, max_examples=400, suppress_health_check=list(HealthCheck))
drawn = given(rule=rules, steps=lives)
test_a_life_under_its_own_rule_is_replayed_as_it_was = BRIEF(drawn(replayed_as_it_was))
test_many_lives_under_their_own_rule_are_replayed_as_they_were = pytest.mark.prove(
    settings(BRIEF, max_examples=10_000)(drawn(replayed_as_it_was))
)


def hourly(days: int, but: Sequence[int] = ()) -> Life:
    """A job that was heard every hour, but for some."""
    life = Life(Monitor(EVERY_HOUR))
    for hour in range(24 * days):
        life.now = BEGIN + hour * HOUR
        if hour not in but:
            life.check_in(Signal.SUCCESS)
    return life


def test_a_stricter_rule_shows_what_it_would_have_told() -> None:
    """A grace of nothing, a schedule by the clock: the hours that were late or left out."""
    life = hourly(2, but=(7, 20, 21))
    assert [alert.down.at for alert in replay(EVERY_HOUR, life.past()).alerts] == [
        BEGIN + 7 * HOUR + 5 * MINUTE,
        BEGIN + 20 * HOUR + 5 * MINUTE,
    ]
    patient = replay(replace(EVERY_HOUR, schedule=Every(2 * HOUR)), life.past())
    assert [(a.down.at, a.over and a.over.at) for a in patient.alerts] == [
        (BEGIN + 21 * HOUR + 5 * MINUTE, BEGIN + 22 * HOUR),
    ]
    twice = replay(replace(EVERY_HOUR, failures_to_alert=2), life.past())
    assert [a.down.at for a in twice.alerts] == [BEGIN + 21 * HOUR + 5 * MINUTE]
    by_the_clock = replay(Rule(Cron("30 * * * *", "UTC"), 5 * MINUTE), life.past())
    assert by_the_clock.count == 44  # between each two of the 45 times that it was heard, always at ten minutes to


def test_an_alert_that_lasts_has_no_end_and_one_of_before_the_window_is_not_told() -> None:
    """What was heard before the window only says how it stood when that began."""
    life = hourly(3, but=(5, 30))
    life.now += 10 * HOUR
    found = replay(EVERY_HOUR, life.past(BEGIN + DAY))
    assert [(a.down.at, a.over and a.over.at) for a in found.alerts] == [
        (BEGIN + 30 * HOUR + 5 * MINUTE, BEGIN + 31 * HOUR),
        (BEGIN + 72 * HOUR + 5 * MINUTE, None),
    ]
    assert len(replay(EVERY_HOUR, life.past(BEGIN + 5 * HOUR)).alerts) == 3  # down as it began


def test_a_pause_is_a_pause_under_any_rule() -> None:
    """Nothing is expected while it lasts; a resume that another rule's check-in came before changes nothing."""
    life = hourly(1)
    life.pause_or_resume()
    life.now += 5 * DAY
    life.pause_or_resume()
    life.now += 10 * MINUTE
    life.check_in(Signal.SUCCESS)
    assert not replay(EVERY_HOUR, life.past()).alerts
    assert not replay(replace(EVERY_HOUR, schedule=Every(30 * MINUTE), grace=HOUR), life.past()).alerts
    strict = replace(EVERY_HOUR, manual_resume=True)
    early = replace(life.past(), heard=[*life.heard[:-1], Said(Signal.SUCCESS, life.now - 2 * DAY), life.heard[-1]])
    assert [a.down.at for a in replay(EVERY_HOUR, early).alerts] == [life.now - 2 * DAY + 65 * MINUTE]
    assert not replay(strict, early).alerts


def test_an_end_by_a_pause_is_an_end() -> None:
    """As the incident of it closes."""
    life = hourly(1)
    life.now += 3 * HOUR
    life.pause_or_resume()
    (alert,) = replay(EVERY_HOUR, life.past()).alerts
    assert alert.over is not None
    assert (alert.over.after, alert.over.at) == (Status.PAUSED, life.now)


def test_what_its_program_reports_is_replayed_by_its_ends() -> None:
    """A run that a worker lists may take as long as it likes; that not all of it is in the log is said."""
    began = datetime(2026, 6, 1, tzinfo=UTC)
    heard = [
        Said(signal, began + hours * HOUR, f"run {hours // 4}", None, began + hours * HOUR - SECOND, by_program=True)
        for hours, signal in ((0, Signal.START), (3, Signal.SUCCESS), (4, Signal.START), (5, Signal.FAIL), (6, Signal.SUCCESS))
    ]
    now = began + 7 * HOUR
    past = Past(began, now, heard, (), Horizon(now - MARGIN), MARGIN)
    found = replay(Rule(Every(4 * HOUR), MINUTE), past)
    assert [(a.down.reason, a.down.at, a.over and a.over.at) for a in found.alerts] == [
        ("failed", began + 5 * HOUR - SECOND, began + 6 * HOUR - SECOND)
    ]
    assert found.notes == [REPORTED]
    limited = replay(Rule(Every(4 * HOUR), MINUTE, max_runtime=HOUR), past)
    assert [a.down.reason for a in limited.alerts] == ["overrun", "failed"]


def test_of_what_only_its_scheduler_knows_nothing_is_claimed() -> None:
    """No alert, and a note that says so."""
    life = hourly(1, but=(3, 4))
    found = replay(Rule(Declared(life.now, HOUR, "UTC"), MINUTE), life.past())
    assert (list(found.alerts), found.notes) == ([], [UNTOLD])


def test_a_rule_that_misses_too_much_is_cut_short() -> None:
    """Thresholds of a hundred at ten seconds, over weeks of an hourly job: the first part is looked at, and it says so."""
    life = hourly(30)
    found = replay(Rule(Every(10 * SECOND), SECOND, failures_to_alert=100), life.past())
    assert found.notes == [CUT_SHORT]
    assert found.until < life.now
    assert found.count > MOST_ALERTS == len(found.alerts)
    assert found.count * 100 <= MOST_STEPS + 100


def test_a_resume_after_a_run_that_ended_the_pause_changes_nothing() -> None:
    """Under a shorter limit the run that began in the pause is over it before somebody resumed the monitor."""
    patient = replace(EVERY_HOUR, max_runtime=5 * HOUR)
    life = Life(Monitor(patient))
    life.check_in(Signal.SUCCESS)
    life.pause_or_resume()
    life.now += MINUTE
    life.check_in(Signal.START)
    life.now += HOUR
    life.pause_or_resume()
    assert not replay(patient, life.past()).alerts
    (alert,) = replay(replace(patient, max_runtime=MINUTE), life.past()).alerts
    assert (alert.down.reason, alert.down.at, alert.over) == ("overrun", BEGIN + 2 * MINUTE, None)


def test_what_was_heard_while_we_were_deaf_judges_no_silence_of_that_time() -> None:
    """Others of us heard it: that there was a blackout nobody knew yet, and no silence was judged into it."""
    life = Life(Monitor(EVERY_HOUR))
    life.check_in(Signal.SUCCESS)
    life.blackouts = (Blackout(BEGIN + HOUR, BEGIN + 2 * HOUR),)
    late = Said(Signal.SUCCESS, BEGIN + 90 * MINUTE)
    life.now = BEGIN + 2 * HOUR
    past = replace(life.past(), heard=[*life.heard, late])
    assert [a.down.at for a in replay(EVERY_HOUR, past).alerts] == []
    heard_well = replace(past, horizon=Horizon(life.now - MARGIN))
    assert [a.down.at for a in replay(EVERY_HOUR, heard_well).alerts] == [BEGIN + HOUR + 5 * MINUTE]
