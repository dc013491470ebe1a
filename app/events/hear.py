"""What each event does to the monitors it is about: decided in order of time, on rows that are locked. `record.py` writes it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.domain.facts import Facts, RunEvent, Word
from app.domain.monitor import on_check_in, on_expect_first, on_resume, on_words
from app.domain.reported import FRESH, on_listed, on_run_event
from app.domain.run import MAX_WAIT
from app.domain.schedule import Declared
from app.domain.skew import CLOCKS_AGREE
from app.domain.state import CheckIn, Decision, Monitor, Signal, Status
from app.domain.vigil import Waiting, away, follow, on_declared, on_goodbye, on_heartbeat
from app.events.answer import Answer
from app.events.batch import BEAT, Envelope, Heartbeat, RunSaid
from app.events.clocks import Clock
from app.events.register import Places
from app.store.addresses import Address
from app.store.blackouts import Moment
from app.store.reported import RunKey
from app.store.rows import Locked

NOTHING = Facts()


class Turned(Exception):
    """A scheduler went down or came back: what waits for it must be locked too before that can be decided."""


@dataclass(slots=True)
class Ledger:
    """Events on their way into locked monitors, and all that is to be written of them. `waiting`: the monitors whose slots each
    scheduler dispatches, where these are locked; `woken`: those that a sync had paused, and that are scheduled after all."""

    envelope: Envelope
    clock: Clock
    moment: Moment
    places: Places
    rows: dict[UUID, Locked]
    facts: dict[RunKey, Facts]
    waiting: dict[str, list[UUID]] | None = None
    answer: Answer = field(default_factory=Answer)
    made: list[tuple[Locked, Decision]] = field(default_factory=list)
    check_ins: list[dict[str, Any]] = field(default_factory=list)
    heard: dict[RunKey, Facts] = field(default_factory=dict)
    declared: dict[tuple[UUID, UUID], Declared] = field(default_factory=dict)
    woken: set[UUID] = field(default_factory=set)

    def hear(self, said: RunSaid | Heartbeat) -> None:
        """One event. Raises Turned."""
        self.answer.flagged += self.clock.ahead(said.at)
        if isinstance(said, Heartbeat):
            self._group(said)
        elif (row := self._row(said.monitor)) is None:
            self.answer.unknown_monitors += 1
            broken = "; or its row makes no sense" if said.monitor in self.places else ""
            hint = ": make one with this slug, or let the program say when it is due" if said.name.startswith("job:") else ""
            self.answer.warn(f"there is no check for {said.name[:200]}{broken or hint}")
        else:
            self._run(row, said)

    def _row(self, monitor: Address) -> Locked | None:
        known = self.places.get(monitor)
        return None if known is None else self.rows.get(known.id)

    # runs

    def _run(self, row: Locked, said: RunSaid) -> None:
        key = run_key(row.project_id, row.id, said)
        before, at = self.facts.get(key, NOTHING), self.clock.past(said.at)
        self._wake(row, said, at)
        if said.word is Word.DISPATCH_FAILED and key in self.facts:
            self.answer.repeated += 1
            return
        if said.word is Word.LOG:
            after, decision = before.note(said.id), self._note(row, before, said, at)
        elif said.broker and self._blames_the_broker(row, said, at):
            after, decision = NOTHING, on_check_in(row.monitor, CheckIn(Signal.LOG, at), self.moment.horizon)
        else:
            decision, after = self._decide(row, before, said, at)
        if decision.kept_as is None:
            self.answer.repeated += 1
        else:
            self.answer.accepted += 1
            self._take(row, decision)
            self.facts[key] = self.heard[key] = after
            self.check_ins.append(self._kept(row, decision, decision.kept_as, said, at))
        if said.next_due is not None:
            self._declare(row, said.next_due)

    def _note(self, row: Locked, before: Facts, said: RunSaid, at: datetime) -> Decision:
        """Words of a run. The same event again says nothing new."""
        return Decision(row.monitor) if said.id in before.noted else on_words(row.monitor, said.run_id, at)

    def _wake(self, row: Locked, said: RunSaid, at: datetime) -> None:
        """What its scheduler sends is scheduled, whoever said that it is not: two programs of one name say so of each other."""
        if said.word is not Word.DISPATCHED or row.source != f"celery:{self.envelope.source}":
            return
        if row.retired_at is None or row.monitor.status is not Status.PAUSED or at <= row.retired_at + CLOCKS_AGREE:
            return
        now, horizon = self.moment.now, self.moment.horizon
        since = at if now - at <= FRESH else now  # what comes late expects nothing of the time that has passed
        self._take(row, on_resume(row.monitor, since, horizon))
        self._take(row, on_expect_first(row.monitor, since, horizon))
        row.retired_at = None
        self.woken.add(row.id)

    def _decide(self, row: Locked, before: Facts, said: RunSaid, at: datetime) -> tuple[Decision, Facts]:
        event = RunEvent(
            said.word, at, said.run_id, said.attempt, said.execution, said.error, until=self._until(row, said, at),
            is_dated=not (said.replayed and self.clock.ahead(said.at)),
        )  # fmt: skip
        rule, monitor = row.monitor.rule, row.monitor
        if row.retired_at is not None:  # no late word of a worker wakes what is no longer scheduled
            monitor = replace(monitor, rule=replace(rule, manual_resume=True))
        decision, after = on_run_event(
            monitor, before, event, self.moment.now, self.envelope.alive_for, self.moment.horizon
        )  # fmt: skip
        decision.monitor.rule = rule
        return decision, after

    def _until(self, row: Locked, said: RunSaid, at: datetime) -> datetime | None:
        """Until when a dispatched run may wait in the queue; when one that is tried again is to begin."""
        eta = None if said.eta is None else self.clock.of(said.eta)
        if said.word is Word.RETRY:
            return eta
        if said.word is not Word.DISPATCHED:
            return None
        if said.expires is not None:
            return at + said.expires
        return eta + (row.monitor.rule.max_wait or MAX_WAIT) if eta is not None and eta > at else None

    def _blames_the_broker(self, row: Locked, said: RunSaid, at: datetime) -> bool:
        """A broker that cannot be reached is trouble of the scheduler, told once; its slots wait, and are judged afterwards."""
        beat = self._row(self.envelope.group(BEAT))
        if beat is None or not row.source or row.source != beat.beat_of or beat.monitor.status is Status.PAUSED:
            return False
        trouble = said.error or "its broker cannot be reached"
        self._scheduler(beat, on_heartbeat(beat.monitor, at, self.moment.horizon, trouble, self.envelope.boot))
        return True

    def _body(self, said: RunSaid) -> bytes | None:
        return "\n".join(words for words in (said.error or said.note, said.told) if words).encode() or None

    def _kept(self, row: Locked, decision: Decision, kept_as: Signal, said: RunSaid, at: datetime) -> dict[str, Any]:
        return {
            "project_id": row.project_id, "monitor_id": row.id, "n": decision.monitor.heard, "received_at": self.moment.now,
            "signal": str(kept_as), "run_id": said.run_id or None, "exit_status": said.exit_status,
            "duration": decision.duration.total_seconds() if decision.duration is not None else None,
            "scheme": "sdk", "method": "", "remote_addr": "", "user_agent": self.envelope.sdk,
            "body": self._body(said), "body_truncated": False, "reported_at": at,
        }  # fmt: skip

    # those who watch

    def _group(self, said: Heartbeat) -> None:
        row, at = self._row(self.envelope.group(said.group)) if said.group else None, self.clock.past(said.at)
        if row is None and said.group:
            self.answer.unknown_monitors += 1
            return
        self.answer.accepted += 1
        if row is not None and not said.standby:
            self._scheduler(row, self._watched(row.monitor, said, at))
        for monitor, due in said.next_due.items():
            if (declared := self._row(monitor)) is not None:
                self._declare(declared, due)
        for monitor, run_id in said.active:
            if (running := self._row(monitor)) is not None:
                self._list(running, run_id, at)

    def _watched(self, monitor: Monitor, said: Heartbeat, at: datetime) -> Decision | None:
        if said.leaves:
            return on_goodbye(monitor, at, self.moment.horizon)
        return on_heartbeat(monitor, at, self.moment.horizon, said.trouble, self.envelope.boot)

    def _scheduler(self, row: Locked, decision: Decision | None) -> None:
        """Take it over; where a scheduler went down or came back, together with what waits for it."""
        if decision is None:
            return
        turned = any(Status.DOWN in (t.before, t.after) for t in decision.transitions)
        if not row.beat_of or not (turned or away(row.monitor) is not away(decision.monitor)):
            self._take(row, decision)
            return
        if self.waiting is None:
            raise Turned
        waiting = [self.rows[id_] for id_ in self.waiting.get(row.beat_of, ()) if id_ in self.rows]
        names = [Waiting(w.name or w.slug, w.monitor) for w in waiting]
        told, led = follow(decision, names, self.moment.now)
        self._take(row, told)
        for one, its in zip(waiting, led, strict=True):
            if its is not None:
                self._take(one, its)

    def _list(self, row: Locked, run_id: str, at: datetime) -> None:
        alive_for = self.envelope.alive_for
        if alive_for is not None:
            decision = on_listed(row.monitor, run_id, at, self.moment.now, alive_for, self.moment.horizon)
            if decision is not None:
                self._take(row, decision)

    def _declare(self, row: Locked, due: datetime) -> None:
        decision = on_declared(row.monitor, self.clock.of(due), self.moment.now, self.moment.horizon)
        if decision is not None and isinstance(decision.monitor.rule.schedule, Declared):
            self.declared[row.project_id, row.id] = decision.monitor.rule.schedule
            self._take(row, decision)

    def _take(self, row: Locked, decision: Decision) -> None:
        row.monitor = decision.monitor
        self.made.append((row, decision))


def run_key(project: UUID, monitor: UUID, said: RunSaid) -> RunKey:
    """Under which what is said stands. A dispatch that failed has no run: its event's own id, on a line of its own, which no run
    id has."""
    return (project, monitor, f"\n{said.id}" if said.word is Word.DISPATCH_FAILED else said.run_id)


def touched(said: Sequence[RunSaid | Heartbeat], envelope: Envelope, places: Places, clock: Clock, now: datetime) -> set[UUID]:
    """The monitors that these events may change; of the declared ones only those that are declared otherwise."""
    found: set[Address] = set()
    for event in said:
        if isinstance(event, RunSaid):
            found |= {event.monitor, envelope.group(BEAT)} if event.broker else {event.monitor}
            continue
        found |= {*envelope.groups(event.group), *(monitor for monitor, _ in event.active)}
        for monitor, due in event.next_due.items():
            schedule = places[monitor].schedule if monitor in places else None
            if isinstance(schedule, Declared) and schedule.told(clock.of(due), now) != schedule:
                found.add(monitor)
    return {places[monitor].id for monitor in found if monitor in places}


def in_turn(said: RunSaid | Heartbeat) -> datetime:
    """By which a batch is heard in order: the time of each. A run's own word that it was stopped comes a second later, after the
    word of who stopped it: so nobody is told of what was done on purpose."""
    stopped = isinstance(said, RunSaid) and said.word is Word.ABORTED
    return said.at + timedelta(seconds=1) if stopped else said.at


def slices(said: Sequence[RunSaid | Heartbeat], most: int) -> Sequence[Sequence[RunSaid | Heartbeat]]:
    """So many at a time, each run that a heartbeat lists counted too: a transaction must not hold its locks for long."""
    found: list[list[RunSaid | Heartbeat]] = [[]]
    weight = 0
    for event in said:
        own = 1 + (len(event.active) + len(event.next_due) if isinstance(event, Heartbeat) else 0)
        if found[-1] and weight + own > most:
            found.append([])
            weight = 0
        found[-1].append(event)
        weight += own
    return found
