"""The open runs of a monitor: how they are opened, closed without an end, timed anew, and which of them slots wait for. What an
end does stands in `monitor.py`."""

from dataclasses import replace
from datetime import datetime

from app.domain import slot as slots
from app.domain.run import MOST_OPEN, Outcome, Run, named, newest, pinged, record_of, remember
from app.domain.state import CheckIn, Monitor, Rule
from app.domain.verdict import Turn


def open_run(turn: Turn, start: CheckIn, slot: datetime | None) -> Run:
    """Open a run, in the place of one of the same id."""
    m, rule = turn.m, turn.m.rule
    run = Run(turn.new_key(), start.run_id, start.at, None, slot, attempt_of(m, start.run_id))
    run = replace(run, deadline=deadline_of(run, rule))
    before = named(m.runs, start.run_id) if start.run_id is not None else None
    if before is not None:
        supersede(turn, (before,), start.at)
    supersede(turn, m.runs[: max(0, len(m.runs) + 1 - MOST_OPEN)], start.at)
    m.runs = (*m.runs, run)
    turn.record(record_of(run))
    return run


def attempt_of(m: Monitor, run_id: str | None) -> int:
    """Which attempt of its run id a start begins."""
    if run_id is None:
        return 1
    running = named(m.runs, run_id)
    before = running.attempt if running is not None else max((e.attempt for e in m.ended if e.run_id == run_id), default=0)
    return before + 1


def already_over(m: Monitor, start: CheckIn) -> bool:
    """Whether the run's end, a later start of it, or a pause since, was applied before this start was looked at."""
    if m.barred_at is not None and start.at < m.barred_at:
        return True
    if start.run_id is not None:
        if any(e.run_id == start.run_id and e.at > start.at for e in m.ended):
            return True
        running = named(m.runs, start.run_id)
        if running is not None and running.started_at > start.at:
            return True
    end = m.plain_end
    if end is None or end.at <= start.at:
        return False
    return start.run_id is None or end.ended_started_at is None or start.at > end.ended_started_at


def take_over(m: Monitor, at: datetime, run: Run | None) -> None:
    """Slots wait for the newest start, in whatever order starts come up; for none if the end of that one was heard already."""
    if m.taken_at is None or at >= m.taken_at:
        m.taken_at, m.taker = at, None if run is None else run.key


def supersede(turn: Turn, runs: tuple[Run, ...], at: datetime) -> None:
    """Close these runs without a word: something newer stands in their place. An overrun stays an overrun."""
    m = turn.m
    for run in runs:
        turn.record(record_of(run, run.outcome or Outcome.SUPERSEDED))
        m.ended = remember(m.ended, run.run_id, run.attempt, at)
    gone = {run.key for run in runs}
    m.runs = tuple(r for r in m.runs if r.key not in gone)
    if m.taker in gone:
        m.taker = None


def keep_newest(turn: Turn, started_at: datetime) -> None:
    """Without max_runtime only the newest start is timed, whether or not its end was heard already. Reported runs are apart."""
    runs = pinged(turn.m.runs)
    last = newest(runs)
    supersede(turn, tuple(r for r in runs if r != last or r.started_at < started_at), started_at)


def close_all(turn: Turn, now: datetime) -> None:
    """We stop watching the open runs, so how they end is unknown."""
    for run in turn.m.runs:
        turn.record(record_of(run, run.outcome or Outcome.UNKNOWN))
        turn.m.ended = remember(turn.m.ended, run.run_id, run.attempt, now)
    turn.m.runs, turn.m.taker, turn.m.taken_at = (), None, None


def retime(turn: Turn) -> None:
    """Give the open runs the deadlines of a new rule, each once, those that overran none."""
    m, rule = turn.m, turn.m.rule
    if rule.max_runtime is None and m.last_start_at is not None:
        keep_newest(turn, m.last_start_at)
    timed = [r if r.deadline is None else replace(r, deadline=deadline_of(r, rule)) for r in m.runs]
    m.taken_at = None if m.waits() else m.taken_at  # one that is open is looked at anew
    m.runs, m.taker = tuple(timed), None
    _choose_taker(m, m.taken_at)


def deadline_of(run: Run, rule: Rule) -> datetime:
    """The deadline of an open run that has not passed it yet: of a reported one its limit, or when nobody says that it lives; of
    one that nobody will list the same as of one that was pinged."""
    if run.alive_until is None:
        return run.started_at + (rule.max_runtime if rule.max_runtime is not None else rule.grace)
    limit = run.limit(rule.max_runtime)
    return run.alive_until if limit is None else min(limit, run.alive_until)


def _choose_taker(m: Monitor, over_at: datetime | None) -> None:
    """Of the runs inside their deadlines the newest that started in its window by the new rule, and after a taker that is
    over already."""
    for run in sorted(m.runs, key=lambda r: (r.started_at, r.key), reverse=True):
        slot = slots.belongs_to(m.rule.schedule, run.started_at, m.rule.grace, m.rule.early, None)
        if run.phase is None and m.rule.max_runtime is None:
            continue
        timed = run.deadline is not None and (over_at is None or run.started_at >= over_at)
        if timed and slots.in_window(m.rule.schedule, run.started_at, slot, m.rule.grace, m.rule.early):
            m.taken_at, m.taker = run.started_at, run.key
            return
