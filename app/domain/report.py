"""A report: a check-in that says itself when it happened, heard later. It fills history, ends what it ends, and may show that
a monitor was taken for silent wrongly."""

from dataclasses import replace
from datetime import datetime

from app.domain.horizon import Horizon
from app.domain.monitor import on_check_in
from app.domain.run import Outcome, RunRecord
from app.domain.state import CheckIn, Decision, Monitor, Reason, Signal, Status
from app.domain.verdict import Turn


def on_report(monitor: Monitor, report: CheckIn, received: datetime, horizon: Horizon) -> Decision:
    """Judge a check-in of the past, `report.at`, which is not after `received`.

    A success from before the deadline whose silence turned the monitor down withdraws that: the monitor is up as of `received`,
    with reason `withdrawn`. Where by a report's own time the next deadline has passed as well, one that is down stays down: a
    deadline never moves beyond the rule applied to that time, and nobody is told of a return that is over already.
    """
    turn = Turn(monitor, horizon)
    turn.settle_silence()
    m = turn.m
    was_down = m.status is Status.DOWN
    before_the_fall = m.down_since is not None and report.signal is Signal.SUCCESS and report.at <= m.down_since
    if before_the_fall and not _shows_no_silence(m, report):
        return _for_history(monitor, report, received, horizon)
    if before_the_fall:
        if m.missing is not None:
            turn.record(RunRecord(m.missing.key, m.missing.at, Outcome.UNKNOWN, slot=m.missing.slot))
            m.missing = None
        turn.turn(Status.UP, received, Reason.WITHDRAWN)
    heard = on_check_in(m, report, horizon)
    deadline, up = heard.monitor.deadline(), heard.monitor.status is Status.UP
    if was_down and up and deadline is not None and deadline < horizon.at:
        return _for_history(monitor, report, received, horizon)
    transitions, records = (*turn.transitions, *heard.transitions), (*turn.records.values(), *heard.records)
    return replace(heard, transitions=transitions, records=records)


def _shows_no_silence(m: Monitor, report: CheckIn) -> bool:
    """Whether the monitor is down by a silence that this success disproves, and by nothing else."""
    if m.down_since is None or (m.last_applied_at is not None and not report.at > m.last_applied_at < m.down_since):
        return False
    return not any(r.outcome is Outcome.OVERRUN and r.run_id != report.run_id for r in m.runs)


def _for_history(monitor: Monitor, report: CheckIn, received: datetime, horizon: Horizon) -> Decision:
    """As if something had been applied since: the run is kept, and nothing turns."""
    before = monitor.last_applied_at
    heard = on_check_in(replace(monitor, last_applied_at=received), report, horizon)
    return replace(heard, monitor=replace(heard.monitor, last_applied_at=before))
