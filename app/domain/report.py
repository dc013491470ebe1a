"""A report: a check-in that says itself when it happened, heard later. It fills history, ends what it ends, and may show that
a monitor was taken for silent wrongly."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from app.domain.horizon import Horizon
from app.domain.monitor import on_check_in
from app.domain.run import Outcome, RunRecord
from app.domain.state import CheckIn, Decision, Monitor, Reason, Signal, Status
from app.domain.verdict import Turn

AFTER_REPORT = timedelta(seconds=60)
Hear = Callable[[Monitor], Decision]


def on_report(monitor: Monitor, report: CheckIn, received: datetime, horizon: Horizon) -> Decision:
    """Judge a check-in of the past, `report.at`, which is not after `received`.

    A success from before the deadline whose silence turned the monitor down withdraws that: the monitor is up as of `received`,
    with reason `withdrawn`. Where by the report's own time the next deadline has passed as well, the monitor is down since that
    one, not told again, and the next report may withdraw that in turn: of a job whose news all came late people hear once, when
    the last of them leads to now. Any other return that is over already turns nothing: a deadline never moves beyond the rule
    applied to the report's time. A report alone never alerts but by a fail: what it begins to expect of a run, or of a monitor
    that expected nothing or its first check-in, is due a minute after it was received at the earliest, for the rest of the story
    may be on its way.
    """
    return hear_late(monitor, report, received, horizon, lambda m: on_check_in(m, report, horizon))


def hear_late(
    monitor: Monitor,
    report: CheckIn,
    received: datetime,
    horizon: Horizon,
    hear: Hear,
    patient: bool = True,
    proves: bool = True,
) -> Decision:
    """The same for whatever is said of the past: `hear` applies it to a monitor. Not `patient`: it was just now. Not `proves`: it
    is kept, and turns nothing."""
    turn = Turn(monitor, horizon)
    turn.settle_silence()
    settled = turn.decision()
    m = settled.monitor
    silenced = m.down_since is not None and report.signal is Signal.SUCCESS and report.at <= m.down_since
    if not proves or (silenced and not _shows_no_silence(m, report)):
        return _after(settled, _for_history(m, received, hear))
    before = _withdrawn(m, received, horizon) if silenced else Decision(m)
    heard = _still_missing(hear(before.monitor), m, report)
    disproved = any(t.reason is Reason.WITHDRAWN for t in (*before.transitions, *heard.transitions))
    if disproved:
        later = _silent_since(heard.monitor, received, horizon)
        if later is not None:
            return _after(settled, _down_later(m, heard, later))
    elif m.status is Status.DOWN and _is_over(heard.monitor, received):
        return _after(settled, _for_history(m, received, hear))
    if patient and heard.kept_as is not Signal.IGNORED:
        _give_time(heard.monitor, m, report, received)
    return _after(settled, _in_order(m.turned_at, _after(before, heard)))


def _for_history(m: Monitor, received: datetime, hear: Hear) -> Decision:
    """As if something had been applied since, to a monitor whose silence is settled: the run is kept, and nothing turns."""
    heard = hear(replace(m, last_applied_at=received))
    return replace(heard, monitor=replace(heard.monitor, last_applied_at=m.last_applied_at))


def _after(first: Decision, then: Decision) -> Decision:
    """Both, in order."""
    return replace(
        then,
        transitions=(*first.transitions, *then.transitions),
        records=(*first.records, *then.records),
        unheard=(*first.unheard, *then.unheard),
    )


def _in_order(turned_at: datetime | None, decision: Decision) -> Decision:
    """No transition is dated before the one before it, whatever its report says."""
    m, transitions = decision.monitor, []
    for transition in decision.transitions:
        turned_at = transition.at if turned_at is None else max(transition.at, turned_at)
        transitions.append(replace(transition, at=turned_at))
    if transitions and m.down_since is not None:
        m.down_since = turned_at
    m.turned_at = turned_at
    return replace(decision, transitions=tuple(transitions))


def _still_missing(heard: Decision, m: Monitor, report: CheckIn) -> Decision:
    """The start of a run in time ends no row of what is missing: its success will say that nothing was."""
    ends = report.signal in (Signal.SUCCESS, Signal.FAIL)
    if ends or m.missing is None or m.down_since is None or report.at > m.down_since or heard.monitor.missing is not None:
        return heard
    heard.monitor.missing = m.missing
    return replace(heard, records=tuple(record for record in heard.records if record.key != m.missing.key))


def _is_over(m: Monitor, received: datetime) -> bool:
    """Whether it came back, and was silent again by now."""
    deadline = m.deadline()
    return m.status is Status.UP and deadline is not None and deadline <= received


def _withdrawn(m: Monitor, received: datetime, horizon: Horizon) -> Decision:
    """Up again as if it had never been down; the slot that was called missed could only not be heard."""
    turn = Turn(m, horizon)
    if m.missing is not None:
        turn.record(RunRecord(m.missing.key, m.missing.at, Outcome.UNKNOWN, slot=m.missing.slot))
        turn.m.missing = None
    turn.withdraw(received)
    return turn.decision()


def _silent_since(m: Monitor, received: datetime, horizon: Horizon) -> Decision | None:
    """Where it has been silent since as well, as far as is known by now, how that turns it down. None where it has not."""
    turn = Turn(m, Horizon(max(horizon.at, received), horizon.blackouts))
    turn.settle_silence()
    return turn.decision() if turn.m.status is Status.DOWN else None


def _down_later(m: Monitor, heard: Decision, later: Decision) -> Decision:
    """Down all the while, but since later than was said. The row of what is missing goes on with the first slot still missing."""
    now, records = later.monitor, {record.key: record for record in (*heard.records, *later.records)}
    if m.missing is not None and now.missing is not None:
        slot = now.missing.slot
        records.pop(now.missing.key, None)
        now.missing = replace(m.missing, slot=slot)
        records[m.missing.key] = RunRecord(m.missing.key, m.missing.at, Outcome.MISSED, slot=slot, last_slot=slot)
    now.transition_count, now.turned_at, now.successes = m.transition_count, m.turned_at, 0
    return replace(heard, monitor=now, transitions=(), records=tuple(records.values()), fine_until=now.down_since)


def _give_time(m: Monitor, before: Monitor, report: CheckIn, received: datetime) -> None:
    """What this report began to expect is not due at once."""
    soonest = received + AFTER_REPORT
    known = {run.key for run in before.runs}
    m.runs = tuple(
        replace(run, deadline=max(run.deadline, soonest))
        if run.key not in known and run.phase is None and run.deadline is not None
        else run
        for run in m.runs
    )
    if before.status in (Status.NEW, Status.PAUSED):
        m.floor = max(at for at in (m.floor, before.deadline(), soonest) if at is not None)


def _shows_no_silence(m: Monitor, report: CheckIn) -> bool:
    """Whether the monitor is down by a silence that this success disproves, and by nothing else."""
    if m.down_since is None or (m.last_applied_at is not None and not report.at > m.last_applied_at < m.down_since):
        return False
    return not any(r.outcome is Outcome.OVERRUN and r.run_id != report.run_id for r in m.runs)
