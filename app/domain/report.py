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
    with reason `withdrawn`. Where by the report's own time the next deadline has passed as well it changes nothing but history:
    a deadline never moves beyond the rule applied to that time.
    """
    turn = Turn(monitor, horizon)
    turn.settle_silence()
    if _shows_no_silence(turn.m, report):
        if turn.m.missing is not None:
            missing, turn.m.missing = turn.m.missing, None
            turn.record(RunRecord(missing.key, missing.at, Outcome.UNKNOWN, slot=missing.slot))
        turn.turn(Status.UP, received, Reason.WITHDRAWN)
    heard = on_check_in(turn.m, report, horizon)
    deadline = heard.monitor.deadline()
    was_down, is_up = monitor.status is Status.DOWN, heard.monitor.status is Status.UP
    if was_down and is_up and deadline is not None and deadline < horizon.at:
        return _for_history(monitor, report, received, horizon)
    transitions, records = (*turn.transitions, *heard.transitions), (*turn.records.values(), *heard.records)
    return replace(heard, transitions=transitions, records=records)


def _shows_no_silence(m: Monitor, report: CheckIn) -> bool:
    """Whether the monitor is down by a silence that this success disproves, and by nothing else."""
    if m.status is not Status.DOWN or m.down_since is None or report.signal is not Signal.SUCCESS or report.ignored:
        return False
    spoken = m.last_applied_at is not None and (report.at < m.last_applied_at or m.last_applied_at >= m.down_since)
    others = any(r.outcome is Outcome.OVERRUN and r.run_id != report.run_id for r in m.runs)
    return report.at <= m.down_since and not spoken and not others


def _for_history(monitor: Monitor, report: CheckIn, received: datetime, horizon: Horizon) -> Decision:
    """As if something had been applied since: the run is kept, and nothing turns."""
    before = monitor.last_applied_at
    heard = on_check_in(replace(monitor, last_applied_at=received), report, horizon)
    return replace(heard, monitor=replace(heard.monitor, last_applied_at=before))
