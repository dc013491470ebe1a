"""The watch over those who watch: heartbeats of schedulers and workers, and the slots that wait while their scheduler is down.

A scheduler that is silent, stalled or cannot publish is one trouble, not one for each of its schedules: these are held back, and
judged by themselves once it is back.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.domain import slot as slots
from app.domain.evidence import NAMED, stamp
from app.domain.horizon import Horizon
from app.domain.schedule import Declared, Every
from app.domain.state import Decision, Monitor, Reason, Status, Transition
from app.domain.verdict import Turn

GOODBYE = timedelta(minutes=2)  # for the next one to come, after one left as it should
AFTER_RELEASE = timedelta(seconds=60)
CHANCES = 3  # of a slot, to be dispatched when its scheduler is back; one that comes back for ever and dispatches nothing is told
SOON = timedelta(seconds=2)  # heartbeats of many come in between: the first of them is enough


@dataclass(frozen=True, slots=True)
class Waiting:
    """A monitor whose slots a scheduler dispatches, by the name people know it by."""

    name: str
    monitor: Monitor


def on_heartbeat(monitor: Monitor, at: datetime, horizon: Horizon, trouble: str = "", who: str = "") -> Decision | None:
    """One of those watched here, `who`, lives; with `trouble` it lives and does not work. None where that changes nothing.

    One that comes so late that the next is overdue by now brings nobody back. Trouble of one is none while another is fine.
    """
    turn = Turn(monitor, horizon)
    turn.settle_silence()
    m, fine = turn.m, not trouble and turn.m.status is Status.UP
    if m.status is Status.PAUSED and m.rule.manual_resume:
        return None
    if m.status is Status.DOWN and not trouble and _overdue(m, at, horizon):
        return turn.decision() if turn.transitions else None
    if trouble and m.status is Status.UP and m.fine_by != who and not _overdue(m, m.last_success_at or at, Horizon(at)):
        return turn.decision() if turn.transitions else None
    if m.last_applied_at is not None and at - m.last_applied_at < (SOON if fine and m.floor is None else timedelta.resolution):
        return turn.decision() if turn.transitions else None
    slot = slots.belongs_to(m.rule.schedule, at, m.rule.grace, m.rule.early, m.satisfied)
    m.last_end_at = m.last_applied_at = at
    m.floor = m.left_at = None
    turn.cause = trouble
    if trouble:
        turn.failure(slot, max(at, m.turned_at or at), Reason.STALLED)
    else:
        m.last_success_at, m.fine_by, turn.cause = at, who, "heartbeat"
        turn.success(slot, max(at, m.turned_at or at))
    turn.expect_after(at, slot)
    return turn.decision()


def _overdue(m: Monitor, at: datetime, horizon: Horizon) -> bool:
    due = slots.following(m.rule.schedule, at)
    return due is not None and due + m.rule.grace < horizon.at


def on_goodbye(monitor: Monitor, at: datetime, horizon: Horizon) -> Decision | None:
    """One of those watched here left as it should: the next is given two minutes. None where that changes nothing."""
    if monitor.status is not Status.UP or (monitor.last_applied_at is not None and at < monitor.last_applied_at):
        return None
    turn = Turn(monitor, horizon)
    turn.settle_silence()
    if turn.m.status is Status.UP:
        turn.m.last_applied_at = turn.m.left_at = at
        turn.m.floor = max(turn.m.floor or at, at + GOODBYE)
    return turn.decision()


def on_declared(monitor: Monitor, due: datetime, now: datetime, horizon: Horizon) -> Decision | None:
    """The scheduler says when a monitor is due next: of kind `declared`, or `every` where it began its intervals anew. A slot
    that has passed meanwhile is still judged."""
    before = monitor.rule.schedule
    if isinstance(before, Every):
        return _begun_anew(monitor, before, due, horizon)
    if not isinstance(before, Declared) or before.told(due, now) == before:
        return None
    turn = Turn(monitor, horizon)
    turn.settle_silence()
    m = turn.m
    told = before.told(due, now)
    m.rule = replace(m.rule, schedule=told)
    armed = m.due is not None or m.status is Status.NEW or (m.status is Status.UP and m.missing is None)
    if armed and m.status is not Status.PAUSED and (m.due is None or m.due > now):
        m.due, m.anchor = told.due, m.anchor or now
    return turn.decision()


def _begun_anew(monitor: Monitor, every: Every, due: datetime, horizon: Horizon) -> Decision | None:
    """A scheduler that forgot when it ran last counts from its own start: that puts an interval off, by less than a period. One
    that forgets it again and again never runs its job: it is not put off further."""
    turn = Turn(monitor, horizon)
    turn.settle_silence()
    m = turn.m
    if m.due is None or m.anchor is None or due <= m.due:
        return turn.decision() if turn.transitions else None
    m.due = min(due, m.anchor + 2 * every.period)
    return turn.decision()


def away(monitor: Monitor) -> bool:
    """Whether nobody is known to be at work here: down, or left as it should and not followed yet."""
    return monitor.status is Status.DOWN or (monitor.left_at is not None and monitor.status is Status.UP)


def on_hold(monitor: Monitor, since: datetime) -> Decision | None:
    """Slots wait, for their scheduler is down since then. None for one that waits already."""
    if monitor.held_since is not None:
        return None
    m = copy(monitor)
    m.held_since = since
    return Decision(m)


def on_release(monitor: Monitor, now: datetime) -> Decision | None:
    """The scheduler is back: what is overdue is given a minute and its grace, for most is dispatched at once."""
    if monitor.held_since is None:
        return None
    m = copy(monitor)
    m.held_since = None
    if m.due is not None and m.due <= now:
        m.releases += 1
        if m.releases <= CHANCES:
            m.floor = max(m.floor or now, now + AFTER_RELEASE + m.rule.grace)
    return Decision(m)


def follow(beat: Decision, waiting: Sequence[Waiting], now: datetime) -> tuple[Decision, list[Decision | None]]:
    """What becomes of those who wait for a scheduler, by how it stands after a decision; and that decision, whose message names
    them. In the order of `waiting`; None where nothing changes."""
    down = away(beat.monitor)
    since = beat.monitor.last_success_at or beat.monitor.down_since or now
    led = [on_hold(w.monitor, since) if down else on_release(w.monitor, now) for w in waiting]
    return replace(beat, transitions=tuple(_naming(t, waiting) for t in beat.transitions)), led


def _naming(t: Transition, waiting: Sequence[Waiting]) -> Transition:
    if t.after is not Status.DOWN:
        return t
    expected = [w for w in waiting if w.monitor.due is not None and w.monitor.status is not Status.PAUSED]
    first = sorted(expected, key=lambda w: (w.monitor.due, w.name))[:NAMED]
    holds = [[w.name, stamp(w.monitor.due)] for w in first]
    return replace(t, evidence={**t.evidence, "holds": holds, "waiting": len(expected)})
