"""How a monitor turns: one pure function for each thing that can happen to it. Nouns stand in `state.py`, what an outcome
does in `verdict.py`, which runs are open in `open_runs.py`. Every function takes the instant as an argument, changes nothing
it was given, and settles the silence before the horizon first, so that the order in which events are looked at does not
matter."""

from dataclasses import replace
from datetime import datetime, timedelta

from app.domain import slot as slots
from app.domain.evidence import explain
from app.domain.horizon import Horizon
from app.domain.open_runs import already_over, attempt_of, close_all, keep_newest, open_run, retime, supersede, take_over
from app.domain.run import OVERRUN_KEPT, Outcome, PlainEnd, Run, RunRecord, named, newest, pinged, record_of, remember
from app.domain.schedule import Every
from app.domain.state import (
    RECENT_KEPT,
    CheckIn,
    Decision,
    Heard,
    Monitor,
    Reason,
    Rule,
    Seen,
    Signal,
    Status,
    Transition,
)
from app.domain.verdict import Turn
from app.errors import Conflict

__all__ = [
    "CheckIn", "Decision", "Heard", "Monitor", "Reason", "Rule", "Seen", "Signal", "Status", "Transition",
    "as_seen", "at_rest", "explain", "on_check_in", "on_edit", "on_expect_first", "on_pause", "on_resume", "on_silence",
]  # fmt: skip

AFTER_EDIT = timedelta(seconds=60)
MISSING_GROWS_FOR = timedelta(days=300)  # less than the 13 months that runs are kept


def on_silence(monitor: Monitor, horizon: Horizon) -> Decision:
    """Past its deadline a monitor is down since the deadline, not since we looked."""
    turn = Turn(monitor, horizon)
    turn.settle_silence()
    return turn.decision()


def on_check_in(monitor: Monitor, check_in: CheckIn, horizon: Horizon) -> Decision:
    """A check-in settles the silence before the horizon, then counts as of when it was received.

    A passed deadline at or after the horizon it satisfies as late, without `down`. One received before what was applied
    already (see `starts` and `ends`) is kept, and changes no status, count or slot deadline.
    """
    turn = Turn(monitor, horizon)
    turn.settle_silence()
    m = turn.m
    m.heard += 1
    if check_in.ignored or (m.status is Status.PAUSED and m.rule.manual_resume):
        return turn.decision(kept_as=Signal.IGNORED)
    heard = Heard(check_in.at, check_in.signal, check_in.run_id, check_in.exit_status)
    m.recent = (*m.recent, heard)[-RECENT_KEPT:]
    m.runs = tuple(r for r in m.runs if r.settled_at is None or check_in.at - r.settled_at < OVERRUN_KEPT)
    record = None
    if check_in.signal is Signal.START:
        _start(turn, check_in)
    elif check_in.signal in (Signal.SUCCESS, Signal.FAIL):
        record = _end(turn, check_in)
    return turn.decision(kept_as=check_in.signal, run=record)


def on_words(monitor: Monitor, run_id: str, at: datetime) -> Decision:
    """A run says something for its log. It is kept, and nothing follows from it: not even silence is judged."""
    ignored = monitor.status is Status.PAUSED and monitor.rule.manual_resume
    signal = Signal.IGNORED if ignored else Signal.LOG
    recent = (*monitor.recent, Heard(at, signal, run_id))[-RECENT_KEPT:]
    return Decision(replace(monitor, heard=monitor.heard + 1, recent=monitor.recent if ignored else recent), kept_as=signal)


def on_pause(monitor: Monitor, now: datetime, horizon: Horizon) -> Decision:
    """Nothing is expected any more: open runs and the deadline are cleared. Pausing twice is pausing once."""
    turn = Turn(monitor, horizon)
    turn.settle_silence()
    m = turn.m
    if m.status is not Status.PAUSED:
        turn.turn(Status.PAUSED, now, Reason.PAUSED)
    close_all(turn, now)
    m.due = m.anchor = m.unheard_from = m.floor = m.satisfied = m.missing = None
    m.failures = 0
    _nothing_before(m, now)
    return turn.decision()


def on_resume(monitor: Monitor, now: datetime, horizon: Horizon) -> Decision:
    """A paused monitor is `new` again, its last ping and runs cleared, and armed from now if it was ever heard.

    Raises Conflict for one that is not paused.
    """
    turn = Turn(monitor, horizon)
    turn.settle_silence()
    m = turn.m
    if m.status is not Status.PAUSED:
        raise Conflict("check is not paused")
    close_all(turn, now)
    m.last_end_at = m.last_start_at = m.last_duration = m.floor = m.satisfied = None
    _nothing_before(m, now)
    turn.turn(Status.NEW, now, Reason.RESUMED)
    if m.heard or m.last_success_at is not None:
        turn.expect_after(now)
    return turn.decision()


def on_edit(monitor: Monitor, rule: Rule, now: datetime, horizon: Horizon) -> Decision:
    """Take a new rule. One that times like the old one does not touch the deadline; any other puts it at the later of the
    new rule from the last check-in and now + 60 s. Down stays down, and what expected nothing expects nothing."""
    turn = Turn(monitor, horizon)
    turn.settle_silence()
    m, before = turn.m, turn.m.rule
    m.rule = rule
    if rule.times_like(before):
        return turn.decision()
    if m.anchor is not None and (m.due is not None or m.status in (Status.UP, Status.NEW)):
        heard, unheard_from = m.anchor == m.last_end_at, m.unheard_from
        m.satisfied = slots.belongs_to(rule.schedule, m.anchor, rule.grace, rule.early, None) if heard else None
        turn.expect_after(m.anchor, m.satisfied)
        m.unheard_from = unheard_from
    else:
        m.satisfied = None
    retime(turn)
    m.floor = max(m.floor or now, now + AFTER_EDIT)
    return turn.decision()


def on_expect_first(monitor: Monitor, now: datetime, horizon: Horizon) -> Decision:
    """Arm a monitor that was never heard: its first check-in is expected from now on."""
    turn = Turn(monitor, horizon)
    if turn.m.status is Status.NEW and turn.m.due is None:
        turn.expect_after(now)
    return turn.decision()


def as_seen(monitor: Monitor, now: datetime, horizon: Horizon) -> Seen:
    """What a reader is shown: the status that `on_silence` would decide, and `late` past a slot but inside its grace."""
    deadline = monitor.deadline()
    m = monitor if deadline is None or deadline >= horizon.at else on_silence(monitor, horizon).monitor
    late = m.status in (Status.UP, Status.NEW) and m.due is not None and m.due < now and not m.waits()
    return Seen("late" if late else str(m.status), m.running, m.due, m.deadline())


def at_rest(status: str, due: datetime | None, deadline: datetime | None, now: datetime) -> Seen:
    """What `as_seen` says of a monitor without open runs whose deadline is not before the horizon: nothing else of it matters."""
    late = status in (Status.UP, Status.NEW) and due is not None and due < now
    return Seen("late" if late else status, False, due, deadline)


def _nothing_before(m: Monitor, now: datetime) -> None:
    """What was received before a pause or a resume, and comes up after it, opens and turns nothing any more."""
    m.last_applied_at, m.plain_end, m.barred_at = now, PlainEnd(now, None), now


# a start


def _start(turn: Turn, start: CheckIn) -> None:
    """Arm the slot, open a run, and let it take the slot over; one received before its run's last event opens none.

    Starts may be heard in any order: what each of them does is what it would have done in its turn.
    """
    m, rule = turn.m, turn.m.rule
    arm_by_start(turn, start.at)
    m.last_start_at = start.at if m.last_start_at is None else max(start.at, m.last_start_at)
    slot = slots.belongs_to(rule.schedule, start.at, rule.grace, rule.early, m.satisfied)
    run = None if already_over(m, start) else open_run(turn, start, slot)
    if rule.max_runtime is None:
        keep_newest(turn, m.last_start_at)
    if slots.in_window(rule.schedule, start.at, slot, rule.grace, rule.early):
        take_over(m, start.at, run if rule.max_runtime is not None else None)


def arm_by_start(turn: Turn, t: datetime) -> None:
    """Where nothing is expected, or only since a start received after this one: expect the slot that the start belongs to;
    where that is over already, the next. Never an instant alert."""
    m, rule = turn.m, turn.m.rule
    late = m.last_applied_at is not None and t < m.last_applied_at
    if late or m.status is Status.PAUSED or (m.due is not None and not _armed_by_a_later_start(m, t)):
        return
    close_missing(turn, t)
    turn.expect_after(t)
    slot = slots.belongs_to(rule.schedule, t, rule.grace, rule.early, None)
    open_slot = slot is not None and t <= slot + rule.grace and (m.satisfied is None or slot > m.satisfied)
    if not isinstance(rule.schedule, Every) and open_slot:
        m.due = slot


def _armed_by_a_later_start(m: Monitor, t: datetime) -> bool:
    """Whether a slot is expected only because of a start received after `t`, which was looked at before."""
    if m.anchor is None or m.last_start_at is None:
        return False
    return m.status in (Status.NEW, Status.DOWN) and t < m.anchor <= m.last_start_at


# an end


def _end(turn: Turn, end: CheckIn) -> RunRecord:
    """Close the run it ends, satisfy its slot and all before it, count the outcome. One received before the last success
    or fail applied closes its run only."""
    m, failed = turn.m, end.signal is Signal.FAIL
    run = _ended_run(m, end)
    outcome = Outcome.FAILED if failed else Outcome.SUCCESS
    slot = slots.belongs_to(m.rule.schedule, end.at, m.rule.grace, m.rule.early, m.satisfied)
    if run is not None:
        record = record_of(run, outcome, end.at)
        m.runs = tuple(r for r in m.runs if r.key != run.key)
        m.ended = remember(m.ended, run.run_id, run.attempt, end.at)
    else:
        record = RunRecord(turn.new_key(), end.at, outcome, run_id=end.run_id, slot=slot, ended_at=end.at)
        m.ended = remember(m.ended, end.run_id, attempt_of(m, end.run_id) - 1, end.at)
    turn.record(record)
    late = m.last_applied_at is not None and end.at < m.last_applied_at
    if end.run_id is None or (failed and m.rule.max_runtime is None):
        _plain_end(turn, end.at, run)
    if late:
        return record
    m.last_duration = None if run is None else end.at - run.started_at
    close_missing(turn, end.at)
    m.last_end_at = m.last_applied_at = end.at
    if m.floor is not None and end.at >= m.floor - AFTER_EDIT:
        m.floor = None  # not by what was received before the edit or the end of the blackout that set it
    if failed:
        turn.failure(slot, end.at, Reason.FAILED)
    else:
        m.last_success_at = end.at
        turn.success(slot, end.at)
    turn.expect_after(end.at, slot)
    return record


def _ended_run(m: Monitor, end: CheckIn) -> Run | None:
    """The open run that this end closes: its own id; without one the newest; without max_runtime a fail closes any."""
    if end.run_id is not None:
        run = named(m.runs, end.run_id)
        if run is not None and run.started_at <= end.at:
            return run
        if end.signal is not Signal.FAIL or m.rule.max_runtime is not None:
            return None
    return newest(pinged(m.runs), until=end.at)


def _plain_end(turn: Turn, at: datetime, run: Run | None) -> None:
    """Remember an end that named no run; anonymous runs older than it are superseded."""
    m = turn.m
    if m.plain_end is None or at >= m.plain_end.at:
        m.plain_end = PlainEnd(at, None if run is None else run.started_at)
    supersede(turn, tuple(r for r in m.runs if r.run_id is None and r.started_at <= at), at)


def close_missing(turn: Turn, at: datetime) -> None:
    """The slots missed while nothing was heard become one row: from, to, count."""
    m = turn.m
    if m.missing is None:
        return
    last, count = slots.missed_until(m.rule.schedule, m.missing.slot, at - m.rule.grace)
    key, noticed_at = m.missing.key, m.missing.at
    if at - noticed_at > MISSING_GROWS_FOR:  # the row may be dropped by now
        key, noticed_at = turn.new_key(), at
    turn.record(RunRecord(key, noticed_at, Outcome.MISSED, slot=m.missing.slot, last_slot=last, count=count))
    m.missing = None
