"""Schedulers and workers by their heartbeats, and the slots that wait while a scheduler is down."""

from datetime import UTC, datetime, timedelta

from app.domain.evidence import explain
from app.domain.horizon import Horizon
from app.domain.monitor import on_expect_first, on_pause, on_resume, on_silence
from app.domain.schedule import Cron, Declared, Every
from app.domain.state import Monitor, Reason, Rule, Status
from app.domain.vigil import Waiting, follow, on_declared, on_goodbye, on_heartbeat, on_hold, on_release

T0 = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
BEAT = Rule(Every(timedelta(seconds=15)), timedelta(seconds=22.5), manual_resume=True)
DAILY = Rule(Cron("0 3 * * *", "UTC"), timedelta(minutes=5), dispatched=True)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def horizon(now: float) -> Horizon:
    return Horizon(at(now) - timedelta(seconds=2))


def beating(monitor: Monitor, *seconds: float, trouble: str = "") -> Monitor:
    for second in seconds:
        decision = on_heartbeat(monitor, at(second), horizon(second), trouble)
        monitor = decision.monitor if decision else monitor
    return monitor


def test_a_scheduler_is_down_two_and_a_half_heartbeats_after_its_last() -> None:
    """Dated then, and up with the next."""
    beat = beating(Monitor(BEAT), 0, 15, 30)
    assert beat.status is Status.UP
    assert not on_silence(beat, horizon(69.4)).transitions
    silence = on_silence(beat, horizon(69.6))
    assert [(t.after, t.reason, t.at) for t in silence.transitions] == [(Status.DOWN, Reason.MISSED, at(67.5))]
    assert beating(silence.monitor, 90).status is Status.UP


def test_heartbeats_of_many_pods_are_one_and_count_in_any_order() -> None:
    """Those that come right after another change nothing, and an older one takes nothing back."""
    beat = beating(Monitor(BEAT), 0, 15)
    assert on_heartbeat(beat, at(16), horizon(16)) is None
    assert on_heartbeat(beat, at(3), horizon(17)) is None


def test_a_scheduler_in_trouble_is_down_once_and_says_why() -> None:
    """However often it says so; a heartbeat without trouble is its return."""
    beat = beating(Monitor(BEAT), 0)
    decision = on_heartbeat(beat, at(15), horizon(15), "its last tick was 25 s ago")
    assert decision is not None
    assert [(t.after, t.reason) for t in decision.transitions] == [(Status.DOWN, Reason.STALLED)]
    assert "its last tick was 25 s ago" in explain(decision.transitions[0].evidence)
    again = on_heartbeat(decision.monitor, at(30), horizon(30), "its last tick was 40 s ago")
    assert again is not None
    assert again.transitions == ()
    assert beating(again.monitor, 45).status is Status.UP


def test_heartbeats_of_before_an_outage_bring_nobody_back_and_date_nothing_backwards() -> None:
    """What is overdue itself is no return; one that is not is a return as of after the down."""
    down = on_silence(beating(Monitor(BEAT), 0), horizon(60)).monitor
    assert on_heartbeat(down, at(15), horizon(70)) is None
    back = on_heartbeat(down, at(36), horizon(70))
    assert back is not None
    assert [(t.after, t.at) for t in back.transitions] == [(Status.UP, at(37.5))]


def test_after_a_goodbye_the_next_has_two_minutes() -> None:
    """A deploy is no trouble; a goodbye without a successor is."""
    left = on_goodbye(beating(Monitor(BEAT), 0, 15), at(20), horizon(20))
    assert left is not None
    assert not on_silence(left.monitor, horizon(141)).transitions
    assert on_silence(left.monitor, horizon(143)).monitor.status is Status.DOWN
    followed = beating(left.monitor, 40)
    assert on_silence(followed, horizon(80)).monitor.status is Status.DOWN


def test_heartbeats_do_not_resume_what_a_person_paused() -> None:
    """And once resumed it is expected again, heard or not."""
    beat = beating(Monitor(BEAT), 0)
    paused = on_pause(beat, at(20), horizon(20)).monitor
    assert on_heartbeat(paused, at(30), horizon(30)) is None
    resumed = on_resume(paused, at(60), horizon(60)).monitor
    assert on_silence(resumed, horizon(100)).monitor.status is Status.DOWN


def waiting() -> list[Waiting]:
    """Two schedules: one due at three, one an hour later."""
    later = Rule(Cron("0 4 * * *", "UTC"), timedelta(minutes=5), dispatched=True)
    return [
        Waiting(name, on_expect_first(Monitor(rule), at(-60), horizon(-60)).monitor)
        for name, rule in (("nightly", DAILY), ("report", later))
    ]


def test_a_silent_scheduler_holds_back_its_schedules_and_names_them() -> None:
    """One trouble, told once; nothing that waits turns while it is down."""
    beat = beating(Monitor(BEAT), -30, -15)
    decision, led = follow(on_silence(beat, horizon(30)), waiting(), at(30))
    text = explain(decision.transitions[0].evidence)
    assert "2 schedules wait for it: nightly (due 2026-03-02 03:00:00 UTC), report (due 2026-03-02 04:00:00 UTC)." in text
    held = [d.monitor for d in led if d is not None]
    assert [m.held_since for m in held] == [at(-15), at(-15)]
    assert not any(on_silence(m, horizon(100_000)).transitions for m in held)


def test_when_the_scheduler_is_back_each_schedule_is_judged_by_itself() -> None:
    """After a minute and its grace, for most is dispatched at once."""
    held = on_hold(waiting()[0].monitor, at(-15))
    assert held is not None
    released = on_release(held.monitor, at(1000))
    assert released is not None
    assert not on_silence(released.monitor, horizon(1361)).transitions
    late = on_silence(released.monitor, horizon(1363))
    assert [(t.after, t.reason, t.at) for t in late.transitions] == [(Status.DOWN, Reason.NOT_DISPATCHED, at(1360))]
    assert on_release(released.monitor, at(1001)) is None


def test_a_schedule_not_yet_due_at_the_return_is_judged_as_ever() -> None:
    """Holding it back has moved nothing."""
    held = on_hold(waiting()[1].monitor, at(-15))
    assert held is not None
    released = on_release(held.monitor, at(100))
    assert released is not None
    assert released.monitor.deadline() == at(3600 + 300)


def test_after_a_goodbye_its_schedules_wait_until_the_next_comes() -> None:
    """A deploy of two minutes tells nobody of jobs due meanwhile."""
    left = on_goodbye(beating(Monitor(BEAT), -30), at(-10), horizon(-10))
    assert left is not None
    _, led = follow(left, waiting(), at(-10))
    held = [d.monitor for d in led if d is not None]
    assert len(held) == 2
    assert not any(on_silence(m, horizon(100_000)).transitions for m in held)
    back = on_heartbeat(left.monitor, at(80), horizon(80))
    assert back is not None
    _, led = follow(back, [Waiting("", m) for m in held], at(80))
    assert [d.monitor.held_since for d in led if d is not None] == [None, None]


def test_one_of_two_in_trouble_is_none_while_the_other_is_fine() -> None:
    """But the trouble of the only one is, and that of both."""
    beat = on_heartbeat(Monitor(BEAT), at(0), horizon(0), who="a")
    assert beat is not None
    assert on_heartbeat(beat.monitor, at(5), horizon(5), "stalled", who="b") is None
    own = on_heartbeat(beat.monitor, at(15), horizon(15), "stalled", who="a")
    assert own is not None
    assert own.monitor.status is Status.DOWN
    later = on_heartbeat(beat.monitor, at(50), horizon(50), "stalled", who="b")
    assert later is not None
    assert later.monitor.status is Status.DOWN


def test_a_scheduler_that_crashes_again_and_again_does_not_put_its_jobs_off_for_ever() -> None:
    """Three times back without a dispatch are enough."""
    m = waiting()[0].monitor
    for n in range(1, 20):
        held = on_hold(m, at(600 * n))
        assert held is not None
        released = on_release(held.monitor, at(600 * n + 300))
        assert released is not None
        m = on_silence(released.monitor, horizon(600 * n + 330)).monitor
    assert m.status is Status.DOWN


def test_an_interval_begun_anew_is_put_off_once() -> None:
    """A Beat without its schedule file starts with a whole period; one that loses it for ever is told of."""
    hourly = Rule(Every(timedelta(hours=1)), timedelta(minutes=6), dispatched=True)
    m = on_expect_first(Monitor(hourly), at(0), horizon(0)).monitor
    for restart in (3000, 5400, 7000):
        decision = on_declared(m, at(restart + 3600), at(restart), horizon(restart))
        m = decision.monitor if decision else m
    assert m.due == at(7200)
    assert on_declared(m, at(3600), at(7100), horizon(7100)) is None


def test_a_declared_due_is_expected_and_a_newer_one_takes_its_place() -> None:
    """Only the scheduler knows; without a newer word the last gap counts."""
    rule = Rule(Declared(None, None, "UTC"), timedelta(minutes=1), dispatched=True)
    monitor = on_expect_first(Monitor(rule), at(0), horizon(0)).monitor
    assert monitor.deadline() is None
    for due, now in ((100, 1), (400, 2)):
        decision = on_declared(monitor, at(due), at(now), horizon(now))
        assert decision is not None
        monitor = decision.monitor
    assert monitor.deadline() == at(460)
    assert on_declared(monitor, at(400), at(3), horizon(3)) is None
    later = on_declared(monitor, at(700), at(430), horizon(430))
    assert later is not None
    assert later.monitor.deadline() == at(460)  # what has passed is judged
