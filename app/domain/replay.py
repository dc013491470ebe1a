"""What a rule would have alerted: the past of a monitor lived again under it, by the very functions that decide today.

The rule holds for the whole past, whatever was in force then; edits are not lived again, but pauses and resumes are, for they are
about the job and not about the rule. Where the past came from stands in `store/checkins.py`.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.horizon import Blackout, Horizon
from app.domain.monitor import on_check_in, on_pause, on_resume, on_silence
from app.domain.report import on_report
from app.domain.schedule import Declared
from app.domain.state import CheckIn, Decision, Monitor, Rule, Signal, Status, Transition

MOST_ALERTS = 200
MOST_STEPS = 60_000
"""Check-ins, and deadlines that passed between them. A rule of ten seconds over a daily job is cut short, not waited for."""
FRESH = timedelta(seconds=15)
UNTOLD = "When it was due only its scheduler knew: of its past nothing can be said by these settings."
REPORTED = (
    "Its program reports its runs itself: runs lost, not dispatched or not begun in time are not in its log, and not looked at."
)
CUT_SHORT = "So much would have been missed that only the first part of the time was looked at."


@dataclass(frozen=True, slots=True)
class Said:
    """One check-in as the log has it. `at`: when it happened by its sender's word, where it said so; `by_program`: an event of a
    run that its program reports."""

    signal: Signal
    received: datetime
    run_id: str | None = None
    exit_status: int | None = None
    at: datetime | None = None
    by_program: bool = False


@dataclass(frozen=True, slots=True)
class ByHand:
    """The monitor was paused, or resumed, at this instant."""

    at: datetime
    paused: bool


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of a monitor: check-ins in the order in which they were decided, what was done to it, oldest first, and what
    may be judged by now. What was heard before `since` only tells how it stood then. `margin`: how far behind a check-in silence
    was judged when it was heard."""

    since: datetime
    now: datetime
    heard: Sequence[Said]
    by_hand: Sequence[ByHand]
    horizon: Horizon
    margin: timedelta


@dataclass(frozen=True, slots=True)
class Alert:
    """A monitor that turned down, and how that ended: up again, or paused; None while it lasts."""

    down: Transition
    over: Transition | None = None


class Replay:
    """One rule over one past. `run` lives it, a step at a time; then `alerts` are the last of `count`, oldest first, in the time
    from `past.since` to `until`."""

    def __init__(self, rule: Rule, past: Past) -> None:
        self._past = past
        self._monitor = Monitor(rule)
        self._ears = _Ears(past.horizon.blackouts, past.margin)
        self._open: Transition | None = None
        self._steps = 0
        self.alerts: deque[Alert] = deque(maxlen=MOST_ALERTS)
        self.count = 0
        self.until = past.now
        self.notes: list[str] = []

    def run(self) -> Iterator[None]:
        """Each step takes some 50 µs, and a millisecond where much was missed: who has other things to do stops in between."""
        if isinstance(self._monitor.rule.schedule, Declared):
            self.notes.append(UNTOLD)
            return
        if any(said.by_program for said in self._past.heard):
            self.notes.append(REPORTED)
        for event in _in_turn(self._past):
            self._take(self._said(event) if isinstance(event, Said) else self._done(event))
            if self._steps > MOST_STEPS:
                self.until = event.received if isinstance(event, Said) else event.at
                self.notes.append(CUT_SHORT)
                break
            yield
        else:
            self._take(on_silence(self._monitor, self._past.horizon))
        if self._open is not None:
            self._keep(Alert(self._open))

    def _said(self, said: Said) -> Decision | None:
        """As ingest would have decided it then. Of a run that a live worker lists only its end tells anything, unless a time is
        set for it."""
        m, horizon = self._monitor, self._ears.horizon(said.received)
        if said.by_program and said.signal is Signal.START and m.rule.max_runtime is None:
            return None
        at = said.received if said.at is None else said.at
        check_in = CheckIn(said.signal, at, said.run_id, said.exit_status, said.signal is Signal.IGNORED)
        fresh = said.at is None or (said.by_program and said.received - said.at <= FRESH)
        return on_check_in(m, check_in, horizon) if fresh else on_report(m, check_in, said.received, horizon)

    def _done(self, done: ByHand) -> Decision | None:
        """Under another rule a check-in, or a run that did not end, may have ended a pause before somebody resumed it."""
        horizon = self._ears.horizon(done.at)
        self._take(on_silence(self._monitor, horizon))
        if done.paused:
            return on_pause(self._monitor, done.at, horizon)
        return on_resume(self._monitor, done.at, horizon) if self._monitor.status is Status.PAUSED else None

    def _take(self, decision: Decision | None) -> None:
        if decision is None:
            return
        self._monitor = decision.monitor
        self._steps += 1 + len(decision.records)
        for transition in decision.transitions:
            if self._open is not None:
                self._keep(Alert(self._open, transition))
            self._open = transition if transition.after is Status.DOWN else None

    def _keep(self, alert: Alert) -> None:
        if alert.over is None or alert.over.at >= self._past.since:
            self.alerts.append(alert)
            self.count += 1


def replay(rule: Rule, past: Past) -> Replay:
    """All of it at once."""
    lived = Replay(rule, past)
    for _ in lived.run():
        pass
    return lived


def _in_turn(past: Past) -> Iterator[Said | ByHand]:
    """Check-ins in their own order, whatever was done between them in its place."""
    done = deque(past.by_hand)
    for said in past.heard:
        while done and done[0].at < said.received:
            yield done.popleft()
        yield said
    yield from done


class _Ears:
    """How far silence could be judged at instants that only grow: not into a blackout while it lasted, for nobody knew of it."""

    def __init__(self, blackouts: Sequence[Blackout], margin: timedelta) -> None:
        self._margin = margin
        self._ahead = sorted(blackouts, key=lambda b: b.start)
        self._known: tuple[Blackout, ...] = ()
        self._next_end = min((b.end for b in self._ahead), default=None)

    def horizon(self, at: datetime) -> Horizon:
        """As it was for what was received at `at`."""
        if self._next_end is not None and self._next_end <= at:
            self._known = (*self._known, *(b for b in self._ahead if b.end <= at))
            self._ahead = [b for b in self._ahead if b.end > at]
            self._next_end = min((b.end for b in self._ahead), default=None)
        heard_until = min(at, self._ahead[0].start) if self._ahead else at
        return Horizon(heard_until - self._margin, self._known)
