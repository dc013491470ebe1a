"""How one check stands, in a sentence or two: what was expected, what was heard, and what comes next."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from app.domain.evidence import explain
from app.domain.monitor import Seen
from app.manage.pages.durations import percentile
from app.manage.pages.when import When, short
from app.store.glances import RunGlance
from app.store.tables import MonitorRow, TransitionRow


def standing(row: MonitorRow, seen: Seen, last: TransitionRow | None, runs: Sequence[RunGlance], when: When) -> str:
    """`last`: the last transition; `runs`: the newest, oldest first."""
    said = [_SAID[seen.status](row, seen, last, when)]
    if seen.running:
        said.append(_running(row, runs, when))
    return " ".join(said)


def _up(row: MonitorRow, seen: Seen, last: TransitionRow | None, when: When) -> str:
    heard = _heard(row, when)
    if seen.due is None:
        return f"{heard} Nothing more is expected of it."
    return f"{heard} Expected next {when.clock(seen.due)}, {when.ago(seen.due)}{_given(row)}."


def _late(row: MonitorRow, seen: Seen, last: TransitionRow | None, when: When) -> str:
    if row.held_since is not None:
        return f"{_heard(row, when)} Its scheduler is silent, and until it is back nothing is said of this check."
    if seen.due is None:
        return _heard(row, when)
    due, deadline = f"It was expected {when.clock(seen.due)}, {when.ago(seen.due)}.", ""
    if seen.deadline is not None:
        deadline = f" Unless it is heard it is down {when.clock(seen.deadline)}, {when.ago(seen.deadline)}."
    return f"{due} {_heard(row, when)}{deadline}"


def _down(row: MonitorRow, seen: Seen, last: TransitionRow | None, when: When) -> str:
    if last is None or last.to_status != "down":  # noticed by whoever looks, before the sweeper
        return f"It was not heard in time. {_heard(row, when)}"
    return f"Down since {when.clock(last.at)}, {when.ago(last.at)}. {explain(last.evidence, when.zone)}"


def _new(row: MonitorRow, seen: Seen, last: TransitionRow | None, when: When) -> str:
    if seen.due is None and not seen.running:
        return "Nothing was heard yet, and nothing is expected until it is heard first."
    heard = "It never ended yet." if seen.running else "Nothing was heard yet."
    return heard if seen.due is None else f"{heard} Expected {when.clock(seen.due)}, {when.ago(seen.due)}{_given(row)}."


def _paused(row: MonitorRow, seen: Seen, last: TransitionRow | None, when: When) -> str:
    since = "" if last is None or last.to_status != "paused" else f" since {when.clock(last.at)}, {when.ago(last.at)}"
    if row.retired_at is not None:
        return f"Paused{since}: its program does not name it any more. It goes on as soon as it does."
    ends = "until somebody resumes it" if row.manual_resume else "until it is heard again or resumed"
    return f"Paused{since}: nothing is expected of it {ends}."


def _running(row: MonitorRow, runs: Sequence[RunGlance], when: When) -> str:
    began = max((run.started_at for run in runs if run.outcome is None and run.started_at is not None), default=row.last_start_at)
    since = "" if began is None else f" since {when.clock(began)}, for {short(when.now - began)}"
    took = [run.seconds for run in runs if run.seconds is not None]
    usual = f"; it usually takes {short(percentile(took, 50))}" if took else ""
    most = "" if row.max_runtime is None else f", and may take {short(timedelta(seconds=row.max_runtime))}"
    return f"Running{since}{usual}{most}."


def _heard(row: MonitorRow, when: When) -> str:
    heard = [at for at in (row.last_end_at, row.last_start_at) if at is not None]
    last: datetime | None = max(heard, default=None)
    return "Nothing was heard of it yet." if last is None else f"Last heard {when.clock(last)}, {when.ago(last)}."


def _given(row: MonitorRow) -> str:
    return f", and given {short(timedelta(seconds=row.grace))} more"


_SAID = {"up": _up, "late": _late, "down": _down, "new": _new, "paused": _paused}
