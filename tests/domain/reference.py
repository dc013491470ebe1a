"""What a monitor means, told a second time: written from the semantics alone, slow and obvious, to be compared with the real one.

Nothing is thrown away: every start, end, verdict, floor and turn ever heard stays in a list, and whatever is asked (who is open,
what slots wait for, how many failures in a row) is found by looking through those lists again. Only the walk along a calendar
(`next_after`, `last_before`) is borrowed; it is proved elsewhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.domain.horizon import Horizon
from app.domain.schedule import Calendar, Every, Schedule, last_before, next_after
from app.domain.state import Rule

INSTANT = timedelta(microseconds=1)
FIVE_MINUTES = timedelta(minutes=5)
AFTER_EDIT = timedelta(seconds=60)
OVERRUN_KEPT = timedelta(hours=72)
AFTER_BLACKOUT = timedelta(seconds=60)


class Refused(Exception):
    """What may not be done now: resuming what is not paused."""


@dataclass(eq=False)
class Start:
    """A start heard. It may have opened no run (`opened`), and what it opened may be closed (`ended_at`) or only judged."""

    run_id: str | None
    at: datetime
    slot: datetime | None
    in_window: bool
    opened: bool = False
    attempt: int = 1
    deadline: datetime | None = None
    outcome: str | None = None
    judged_at: datetime | None = None
    ended_at: datetime | None = None
    closed: bool = False
    forgotten: bool = False

    @property
    def open(self) -> bool:
        return self.opened and not self.closed


@dataclass
class End:
    """A success or fail heard; `counted` unless it came too late to count; `any_run` if it ended whatever was open."""

    run_id: str | None
    at: datetime
    good: bool
    counted: bool
    any_run: bool
    ended: Start | None = None


@dataclass(frozen=True)
class Turn:
    """A change of status."""

    before: str
    after: str
    at: datetime
    reason: str


@dataclass
class Story:
    """All that ever happened to one monitor."""

    rule: Rule
    status: str = "new"
    starts: list[Start] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    verdicts: list[tuple[str, datetime | None]] = field(default_factory=list)  # ("good" | "bad" | "reset", slot)
    floors: list[tuple[datetime, datetime]] = field(default_factory=list)  # (set at, no deadline before)
    turns: list[Turn] = field(default_factory=list)
    slots: list[tuple[str, datetime]] = field(default_factory=list)  # ("missed" | "unknown", slot)
    cleared_at: datetime | None = None  # the last pause or resume
    heard: int = 0
    satisfied: datetime | None = None
    due: datetime | None = None
    anchor: datetime | None = None  # what `due` is counted from
    doubt: datetime | None = None  # the anchor is the end of a blackout, and it may have run unheard from then on
    gave_up_at: datetime | None = None  # the anchor of a slot that was missed, and after which none was expected

    # ---- What is asked

    def open_runs(self) -> list[Start]:
        """Every start whose end is waited for."""
        return [s for s in self.starts if s.open]

    def taker(self) -> Start | None:
        """The start that took the slot over: of those in their window the one that started last, whatever became of it."""
        took = [s for s in self.starts if s.in_window and not self._before_clearing(s.at)]
        return max(took, key=lambda s: s.at) if took and self.rule.max_runtime is not None else None

    def waits(self) -> bool:
        """Slots wait while the newest-started run is open and inside its deadline."""
        taker = self.taker()
        return taker is not None and taker.open and taker.deadline is not None

    def floor(self) -> datetime | None:
        """The latest of the floors that no success or fail has been heard since."""
        since = self.spoken_at()
        return max((until for at, until in self.floors if since is None or since < at), default=None)

    def spoken_at(self) -> datetime | None:
        """Since when nothing received before counts: the last success or fail, or the last pause or resume."""
        return _later(self.last_end_at(), self.cleared_at)

    def last_end_at(self) -> datetime | None:
        """When the last success or fail that counted was received."""
        return max((e.at for e in self.ends if e.counted), default=None)

    def deadlines(self) -> Iterator[tuple[datetime, int, datetime, Start | None]]:
        """Every deadline there is; sorting puts a run's before a slot's at the same instant, and older runs first."""
        floor = self.floor()
        for run in self.open_runs():
            if run.deadline is not None:
                yield (run.deadline if floor is None else max(floor, run.deadline)), 0, run.deadline, run
        if self.due is not None and not self.waits():
            deadline = self.due + self.rule.grace
            yield (deadline if floor is None else max(floor, deadline)), 1, deadline, None

    def deadline(self) -> datetime | None:
        """The earliest of them."""
        return min((d[0] for d in self.deadlines()), default=None)

    def failures(self) -> int:
        """Slots that failed since the last success."""
        return self._in_a_row("bad")

    def successes(self) -> int:
        """Slots that succeeded since the last failure."""
        return self._in_a_row("good")

    def _in_a_row(self, kind: str) -> int:
        row: list[datetime | None] = []
        for found, slot in reversed(self.verdicts):
            if found != kind:
                break
            row += [slot] if slot is None or not row or row[-1] != slot else []  # what belongs to no slot stands for itself
        return len(row)

    def end_of(self, start: Start) -> datetime | None:
        """When the success or fail of a run was received."""
        return next((e.at for e in self.ends if e.ended is start), None)

    def _before_clearing(self, at: datetime) -> bool:
        return self.cleared_at is not None and at < self.cleared_at

    # ---- Silence

    def settle(self, horizon: Horizon) -> None:
        """Judge every deadline before the horizon, the earliest first."""
        while passed := [d for d in self.deadlines() if d[0] < horizon.at]:
            deadline, _, _, run = min(passed, key=lambda d: d[:3])
            if run is not None:
                self._judge_run(run, deadline, horizon)
            else:
                self._judge_slot(deadline, horizon)

    def _judge_run(self, run: Start, deadline: datetime, horizon: Horizon) -> None:
        was_taker, waited = run is self.taker(), self.waits()
        run.deadline, run.judged_at = None, deadline
        deaf = _deaf_in(horizon, run.at, deadline)
        run.outcome = "overrun" if deaf is None else "unknown"
        last, expected = self.last_end_at(), self.due is not None
        if last is not None and deadline < last:
            return
        unsatisfied = run.slot is not None and (self.satisfied is None or run.slot > self.satisfied)
        if deaf is not None:
            self._go_on_after_blackout(deaf, settled=was_taker or unsatisfied)
            return
        given_up = not expected and self.gave_up_at is not None and self.gave_up_at == self.anchor
        self._bad(run.slot, deadline, "overrun")
        if was_taker or (unsatisfied and not waited if expected else not given_up):
            self._settled_by_overrun(run, deadline)

    def _settled_by_overrun(self, run: Start, deadline: datetime) -> None:
        if isinstance(self.rule.schedule, Every):
            self.satisfied = _later(self.satisfied, run.slot)
            self._count_from(deadline)
            self.due = deadline + self.rule.schedule.period
            return
        reached = last_before(self.rule.schedule, deadline - self.rule.grace)
        self.satisfied = _later(self.satisfied, _later(run.slot, reached))
        self._count_from(deadline)
        self.due = next_after(self.rule.schedule, self.satisfied or deadline)

    def _judge_slot(self, deadline: datetime, horizon: Horizon) -> None:
        slot = self.due
        assert slot is not None
        deaf = _deaf_in(horizon, self._window_opens(slot), deadline)
        if deaf is not None:
            self.slots.append(("unknown", slot))
            self._go_on_after_blackout(deaf, settled=True)
            return
        self.slots.append(("missed", slot))
        self._bad(slot, deadline, "missed")
        if self.status == "down":
            self.due, self.gave_up_at = None, self.anchor
            return
        since = deadline - self.rule.grace  # the slot, or later where a floor held the deadline back
        self._count_from(since)
        self.due = step(self.rule.schedule, since)
        reached = since if isinstance(self.rule.schedule, Every) else last_before(self.rule.schedule, since)
        self.satisfied = _later(self.satisfied, reached)

    def _count_from(self, at: datetime, doubt: datetime | None = None) -> None:
        self.anchor, self.doubt = at, doubt

    def _window_opens(self, slot: datetime) -> datetime:
        """What goes on from a blackout may have run unheard at any instant of its window from when we were deaf, and runs again
        a period after that."""
        ahead = early(self.rule, slot)
        if isinstance(self.rule.schedule, Every) and self.anchor is not None and self.doubt is not None:
            return max(self.doubt + self.rule.schedule.period - ahead, self.anchor)
        return slot - ahead

    def _go_on_after_blackout(self, deaf: tuple[datetime, datetime], settled: bool) -> None:
        begun, end = deaf
        self.floors.append((end, end + AFTER_BLACKOUT))
        if self.due is None or not settled:
            return
        before = self.due
        if isinstance(self.rule.schedule, Every):
            self.due = max(self.due, end + self.rule.schedule.period)
        while not isinstance(self.rule.schedule, Every) and self.due is not None and self.due - early(self.rule, self.due) < end:
            self.due = next_after(self.rule.schedule, self.due)
        if self.due != before:
            self._count_from(end, doubt=begun)

    # ---- Check-ins

    def check_in(self, signal: str, at: datetime, run_id: str | None, horizon: Horizon) -> None:
        """Settle what is past, then count what was heard as of when it was received."""
        self.settle(horizon)
        self.heard += 1
        if signal == "ignored" or (self.status == "paused" and self.rule.manual_resume):
            return
        for run in self.open_runs():
            run.closed = run.forgotten = run.judged_at is not None and at - run.judged_at >= OVERRUN_KEPT
        if signal == "log" or self._before_clearing(at):
            return
        if signal == "start":
            self._start(at, run_id)
        else:
            self._end(signal == "success", at, run_id)

    def _start(self, at: datetime, run_id: str | None) -> None:
        slot, in_window = self._slot_of(at), self._in_window(at)
        start = Start(run_id, at, slot, in_window)
        start.opened = self._opens(start)
        before = [s.attempt for s in self.starts if run_id is not None and s.run_id == run_id and s.opened and not s.forgotten]
        start.attempt = 1 + max(before, default=0)
        self.starts.append(start)
        last = self.last_end_at()
        if last is None or last <= at:
            self._arm_by_start(at)
        if not start.opened:
            self._supersede_older()
            return
        for old in self.open_runs():
            if old is not start and run_id is not None and old.run_id == run_id:
                self._close(old, "superseded", at)
        start.deadline = at + (self.rule.grace if self.rule.max_runtime is None else self.rule.max_runtime)
        self._supersede_older()

    def _supersede_older(self) -> None:
        """Without max_runtime only the newest start is timed."""
        newest = max((s.at for s in self.starts), default=None)
        last = sorted(self.open_runs(), key=lambda s: s.at)[-1:]
        for run in self.open_runs():
            if self.rule.max_runtime is None and newest is not None and (run.at < newest or run not in last):
                self._close(run, "superseded", newest)

    def _opens(self, start: Start) -> bool:
        """A start from before what its run, or the end that would have ended it, said already opens nothing."""
        if start.run_id is not None:
            same = [s for s in self.starts if s.run_id == start.run_id and s.opened]
            said = [s.ended_at or s.at for s in same]
            said += [e.at for e in self.ends if e.ended in same or (e.run_id == start.run_id and e.ended is None)]
            if any(start.at < at for at in said):
                return False
        last = max((e for e in reversed(self.ends) if e.any_run), key=lambda e: e.at, default=None)
        if last is None or start.at >= last.at:
            return True
        return start.run_id is not None and last.ended is not None and last.ended.at > start.at

    def _arm_by_start(self, at: datetime) -> None:
        armed_later = self.anchor is not None and at < self.anchor <= max(s.at for s in self.starts)
        unsettled = self.status in ("new", "down") and armed_later
        if self.status == "paused" or (self.due is not None and not unsettled):
            return
        self._count_from(at)
        if isinstance(self.rule.schedule, Every):
            self.due = at + self.rule.schedule.period
            return
        slot = self._slot_of(at)
        settled = slot is None or at > slot + self.rule.grace or (self.satisfied is not None and slot <= self.satisfied)
        self.due = next_after(self.rule.schedule, at) if settled else slot

    def _end(self, good: bool, at: datetime, run_id: str | None) -> None:
        last = self.last_end_at()
        any_run = run_id is None or (self.rule.max_runtime is None and not good)
        end = End(run_id, at, good, counted=last is None or at >= last, any_run=any_run)
        self._end_runs(end)
        self.ends.append(end)
        if not end.counted:
            return
        slot = self._slot_of(at)
        self._satisfy(slot, at)
        if good:
            self._good(slot, at)
        else:
            self._bad(slot, at, "failed")

    def _end_runs(self, end: End) -> None:
        started = [r for r in self.open_runs() if r.at <= end.at]
        newest = max(started, key=lambda r: (r.at, self.starts.index(r)), default=None)
        if end.any_run:
            end.ended = newest
        else:
            end.ended = next((r for r in started if r.run_id == end.run_id), None)
        if end.ended is not None:
            self._close(end.ended, "success" if end.good else "failed", end.at)
        if end.run_id is None:
            for run in started:
                if run.open and run.run_id is None:
                    self._close(run, "superseded", end.at)

    def _close(self, run: Start, outcome: str, at: datetime) -> None:
        run.closed, run.deadline, run.ended_at = True, None, at
        if run.outcome is None or (run.outcome == "unknown" and outcome in ("success", "failed")):
            run.outcome = outcome

    def _satisfy(self, slot: datetime | None, at: datetime) -> None:
        self._count_from(at)
        self.satisfied = _later(self.satisfied, slot)
        if isinstance(self.rule.schedule, Every):
            self.due = at + self.rule.schedule.period
        else:
            self.due = next_after(self.rule.schedule, self.satisfied or at)

    # ---- Slots

    def _slot_of(self, at: datetime) -> datetime | None:
        if isinstance(self.rule.schedule, Every):
            belongs = self.satisfied is not None and at < self.satisfied + self.rule.schedule.period - early(self.rule, at)
            return self.satisfied if belongs else at
        calendar = self.rule.schedule
        around = [s for s in (last_before(calendar, at), next_after(calendar, at)) if s is not None]
        inside = [s for s in around if s - early(self.rule, s) <= at <= s + self.rule.grace]
        return min(inside, key=lambda s: (abs(s - at), s)) if inside else last_before(calendar, at)

    def _in_window(self, at: datetime) -> bool:
        if isinstance(self.rule.schedule, Every):
            return True
        slot = self._slot_of(at)
        return slot is not None and slot - early(self.rule, slot) <= at <= slot + self.rule.grace

    # ---- Verdicts

    def _turn(self, after: str, at: datetime, reason: str) -> None:
        if self.status != after:
            self.turns.append(Turn(self.status, after, at, reason))
            self.status = after

    def _good(self, slot: datetime | None, at: datetime) -> None:
        self.verdicts.append(("good", slot))
        if self.status != "down" or self.successes() >= self.rule.successes_to_recover:
            self._turn("up", at, "heard")

    def _bad(self, slot: datetime | None, at: datetime, reason: str) -> bool:
        """Count a failure of the slot; whether the status turned."""
        before = self.status
        self.verdicts.append(("bad", slot))
        if self.failures() >= self.rule.failures_to_alert:
            self._turn("down", at, reason)
        elif self.status in ("new", "paused"):
            self._turn("up", at, reason)
        return self.status != before

    # ---- People

    def pause(self, now: datetime, horizon: Horizon) -> None:
        """Nothing is expected any more."""
        self.settle(horizon)
        self._clear(now)
        self._turn("paused", now, "paused")

    def resume(self, now: datetime, horizon: Horizon) -> None:
        """New again, and armed from now if it was ever heard."""
        self.settle(horizon)
        if self.status != "paused":
            raise Refused
        self._clear(now)
        self._turn("new", now, "resumed")
        if self.heard:
            self._arm(now)

    def _clear(self, now: datetime) -> None:
        for run in self.open_runs():
            self._close(run, "unknown", now)
        self.due = self.satisfied = self.anchor = self.doubt = None
        self.floors.clear()
        self.verdicts.append(("reset", None))
        self.cleared_at = now

    def _arm(self, now: datetime) -> None:
        self._count_from(now)
        self.due = step(self.rule.schedule, now)

    def expect_first(self, now: datetime, horizon: Horizon) -> None:
        """Its first check-in is expected from now on."""
        if self.status == "new" and self.due is None:
            self._arm(now)

    def edit(self, rule: Rule, now: datetime, horizon: Horizon) -> None:
        """The later of the new rule from the last check-in and now + 60 s."""
        self.settle(horizon)
        old, self.rule = self.rule, rule
        if (old.schedule, old.grace, old.early, old.max_runtime) == (rule.schedule, rule.grace, rule.early, rule.max_runtime):
            return
        self.floors.append((now, now + AFTER_EDIT))
        for run in self.open_runs():
            if run.deadline is not None:
                run.deadline = run.at + (rule.grace if rule.max_runtime is None else rule.max_runtime)
                run.in_window = self._in_window(run.at)
        self._supersede_older()
        self.satisfied = None
        if self.anchor is not None and (self.due is not None or self.status in ("new", "up")):
            if self.anchor == self.last_end_at():
                self.satisfied = self._slot_of(self.anchor)
            self.due = step(rule.schedule, self.satisfied or self.anchor)


def step(schedule: Schedule, at: datetime) -> datetime | None:
    """The slot that follows `at`."""
    return at + schedule.period if isinstance(schedule, Every) else next_after(schedule, at)


def early(rule: Rule, slot: datetime) -> timedelta:
    """How much before its slot a check-in counts already."""
    if rule.early is not None:
        return rule.early
    gap = rule.schedule.period if isinstance(rule.schedule, Every) else _gap(rule.schedule, slot)
    return FIVE_MINUTES if gap is None else min(FIVE_MINUTES, gap / 4)


def _gap(calendar: Calendar, slot: datetime) -> timedelta | None:
    before = last_before(calendar, slot - INSTANT)
    return None if before is None else slot - before


def _deaf_in(horizon: Horizon, opens: datetime, closes: datetime) -> tuple[datetime, datetime] | None:
    """[start, end) touches [opens, closes]: some instant lies in both. From the first such instant to the end of the last."""
    touching = [b for b in horizon.blackouts if b.start <= closes and opens < b.end]
    if not touching:
        return None
    return max(opens, min(b.start for b in touching)), max(b.end for b in touching)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((t for t in (one, other) if t is not None), default=None)
