"""Recording check-ins: a batch in one transaction, answered only after its COMMIT.

Four ways to the database and back, whatever a batch holds, as long as nothing turned.

1. the database's clock, read first, and where the addresses lead: received = that clock less the time since the last byte was
   read. How long the clock's answer was on its way is not known, so this may be too early by as much; never so that a check-in
   falls before one that was applied already and that it may as well have followed
2. lock the monitors in order of id, find repeats
3. decide in the domain, in order of reception
4. write everything in a handful of statements
5. the guard, by the clock read after that: whatever is older than the margin by now must not commit, for the sweeper may have
   judged its deadline
6. COMMIT, under the engine's timer; an error there leaves open whether it happened, so the answer is 503
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import monotonic
from app.domain.monitor import CheckIn, on_check_in
from app.domain.report import on_report
from app.domain.skew import CLOCKS_AGREE, OLDEST_REPORT, on_our_clock, skew_of
from app.domain.state import Decision, Monitor, Signal
from app.failpoint import failpoint
from app.ingest import answers
from app.ingest.answers import Answer
from app.ingest.create import Made, create_missing
from app.ingest.ping import Ping
from app.ingest.receipt import receipt
from app.ingest.throttle import take
from app.store import addresses, blackouts, checkins, decisions, monitors
from app.store.addresses import Address, Place
from app.store.blackouts import Moment
from app.store.checkins import Answered, Repeat
from app.store.engine import InDoubt, Sessions, waited_in_vain, warnings_of
from app.store.rows import Locked
from app.store.together import together

INSTANT = timedelta(microseconds=1)


class TooLate(Exception):
    """These pings (by position) waited longer than the margin; nothing of the batch was recorded."""

    def __init__(self, positions: set[int]) -> None:
        super().__init__(f"{len(positions)} check-ins waited longer than the margin")
        self.positions = positions


@dataclass(slots=True)
class Recording:
    """One batch on its way through the steps."""

    moment: Moment
    ping_limit: int
    places: Mapping[Address, Place]
    keys: Mapping[bytes, UUID]  # API keys that pings came with, and what they open
    rows: dict[UUID, Locked]
    repeats: dict[Repeat, Answered]
    patient: bool  # a row that is missing is gone; impatient, it may be held by somebody else
    full: set[Address] = field(default_factory=set)  # whose monitor could not be made: the project is full
    made: list[tuple[Locked, Decision]] = field(default_factory=list)
    check_ins: list[dict[str, Any]] = field(default_factory=list)
    remembered: dict[Repeat, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hearing:
    """A ping with when it was received, how much earlier that may be than it was, and whether its monitor was made for it."""

    ping: Ping
    received: datetime
    doubt: timedelta
    created: bool


async def record(sessions: Sessions, batch: Sequence[Ping], margin: timedelta, ping_limit: int) -> list[Answer]:
    """Record a batch and return the answer for each, in order. Raises TooLate, or what the database raised; in both cases
    nothing was recorded, unless COMMIT itself failed, which leaves it open.

    A row that somebody else holds for too long, such as a sweeper that was frozen, refuses its own pings and no others.
    """
    made = await create_missing(sessions, batch, margin)
    try:
        return await _record(sessions, batch, made, margin, ping_limit)
    except OperationalError as error:
        if not waited_in_vain(error):
            raise
    return await _record(sessions, batch, made, margin, ping_limit, patient=False)


async def _record(
    sessions: Sessions,
    batch: Sequence[Ping],
    made: Made,
    margin: timedelta,
    ping_limit: int,
    patient: bool = True,
) -> list[Answer]:
    async with sessions() as session:
        asked_at = monotonic()
        asked = list({ping.target.address for ping in batch})
        moment, *places = await together(session, blackouts.asking_moment(margin), *addresses.asking(asked))
        elapsed_at = monotonic()
        doubt = timedelta(seconds=elapsed_at - asked_at) + (margin + blackouts.HOLE if moment.behind else timedelta())
        received = [moment.now - timedelta(seconds=max(0.0, elapsed_at - ping.heard_at)) for ping in batch]
        recording = await _look_up(session, batch, moment, addresses.joined(places), ping_limit, patient)
        failpoint("record.locked")
        recording.full = made.full
        results: list[Answer] = [answers.NOT_FOUND] * len(batch)
        for position in sorted(range(len(batch)), key=lambda i: received[i]):
            heard = Hearing(batch[position], received[position], doubt, position in made.positions)
            results[position] = _answer(recording, heard)
        failpoint("record.decided")
        await _guard(session, await _write(session, recording), received, results, margin)
        failpoint("record.guarded")
        warned = await warnings_of(session)
        await session.commit()
        if warned:  # the commit did not wait for its standby to the end: it may be lost yet
            raise InDoubt(f"COMMIT: {warned[-1]}")
    failpoint("record.committed")
    return results


async def _look_up(
    session: AsyncSession,
    batch: Sequence[Ping],
    moment: Moment,
    places: Mapping[Address, Place],
    ping_limit: int,
    patient: bool,
) -> Recording:
    known = list({(project, monitor) for project, monitor in places.values() if monitor is not None})
    rows = await monitors.lock(session, known, patient) if known else {}
    asked = [
        (monitor, ping.idempotency_key, str(ping.target.signal))
        for ping in batch
        if ping.idempotency_key is not None and (monitor := places.get(ping.target.address, (None, None))[1]) is not None
    ]
    repeats = await checkins.answered(session, list({project for project, _ in known}), asked, moment.now)
    keys = await addresses.projects_of(session, list({p.key for p in batch if p.key is not None and p.at is not None}))
    return Recording(moment, ping_limit, places, keys, rows, repeats, patient)


def _answer(recording: Recording, heard: Hearing) -> Answer:
    """Everything that can be wrong with a ping, in the order of the protocol; nothing of it was decided or kept before."""
    ping = heard.ping
    project, monitor = recording.places.get(ping.target.address, (None, None))
    ping.project = project
    row = recording.rows.get(monitor) if monitor is not None else None
    if project is None or (row is None and not ping.create):
        return _of_nobody(recording, project, monitor)
    if ping.problem is not None:
        return ping.problem
    if not ping.may_say_when(project, recording.keys):
        return answers.KEY_WRONG
    if row is None:
        return answers.FULL if ping.target.address in recording.full else answers.BUSY  # not made yet, or gone again
    repeat = (row.id, ping.idempotency_key or "", str(ping.target.signal))
    if ping.idempotency_key is not None and repeat in recording.repeats:
        return _again(recording.repeats[repeat], ping, row)
    wait = take(row.buckets, ping.target.signal, recording.ping_limit, heard.received)
    return answers.too_many(wait) if wait else _decide(recording, heard, row, repeat)


def _of_nobody(recording: Recording, project: UUID | None, monitor: UUID | None) -> Answer:
    """There is no such project, or no such monitor; unless its row is only held by somebody else."""
    if project is None:
        return answers.NOT_FOUND
    return answers.NO_MONITOR if monitor is None or recording.patient else answers.BUSY


def _decide(recording: Recording, heard: Hearing, row: Locked, repeat: Repeat) -> Answer:
    ping = heard.ping
    received = _not_before_the_last(row.monitor, heard.received, heard.doubt)
    at, signal = _said_at(ping, received), _signal(row, ping)
    check_in = CheckIn(signal, received if at is None else at, ping.run_id, ping.target.exit_status, signal is Signal.IGNORED)
    if at is None:
        decision = on_check_in(row.monitor, check_in, recording.moment.horizon)
    else:
        decision = on_report(row.monitor, check_in, received, recording.moment.horizon)
    row.monitor = decision.monitor
    recording.made.append((row, decision))
    recording.check_ins.append(_kept(row, ping, received, at, decision))
    answer = answers.CREATED if heard.created else answers.IGNORED if decision.kept_as is Signal.IGNORED else answers.OK
    if ping.receipt or ping.idempotency_key is not None:
        answer = replace(answer, receipt=receipt(row, ping, decision))
    if ping.idempotency_key is not None:
        recording.repeats[repeat] = Answered(row.monitor.heard, answer.status, answer.receipt)
        recording.remembered[repeat] = {
            "project_id": row.project_id, "monitor_id": row.id, "key": ping.idempotency_key, "signal": str(ping.target.signal),
            "n": row.monitor.heard, "answer": answer.status, "receipt": answer.receipt, "at": received,
        }  # fmt: skip
    return answer


def _again(answered: Answered, ping: Ping, row: Locked) -> Answer:
    """What was answered the first time."""
    answer = answers.REPEATED
    if answered.status == answers.CREATED.status:
        answer = replace(answers.CREATED, result=answers.REPEATED.result)
    return replace(answer, receipt=answered.receipt) if ping.receipt else answer


def _signal(row: Locked, ping: Ping) -> Signal:
    """What a ping says once the monitor's filters have looked at it."""
    if row.retired_at is not None:
        ping.ignored = "the last sync of its source no longer names it"
    if ping.ignored:
        return Signal.IGNORED
    if ping.mail is not None:
        return row.filters.of_mail(ping.mail.subject, ping.mail.text)
    if row.methods and ping.method != row.methods:
        ping.ignored = f"only {row.methods} counts here"
        return Signal.IGNORED
    return row.filters.of_request(ping.target.signal, ping.body)


def _said_at(ping: Ping, received: datetime) -> datetime | None:
    """The client's own time, the error of its clock taken off, never later than received; None where it is about that."""
    if ping.at is None:
        return None
    at = on_our_clock(ping.at, skew_of(ping.sent_at or received, received), received)
    if at > received + CLOCKS_AGREE:
        ping.warnings.append("at lies in the future: the time of reception counts")
    elif at < received - OLDEST_REPORT:
        ping.warnings.append(f"at lies more than {OLDEST_REPORT.days} days back: it counts as of {OLDEST_REPORT.days} days ago")
        at = received - OLDEST_REPORT
    return at if at < received - CLOCKS_AGREE else None


def _not_before_the_last(m: Monitor, received: datetime, doubt: timedelta) -> datetime:
    """Never so early that it falls before, or together with, what it may as well have followed."""
    newest = max((at for at in (m.last_applied_at, m.last_start_at) if at is not None), default=received - doubt)
    return newest + INSTANT if received - INSTANT < newest <= received + doubt else received


def _kept(row: Locked, ping: Ping, received: datetime, at: datetime | None, decision: Decision) -> dict[str, Any]:
    return {
        "project_id": row.project_id, "monitor_id": row.id, "n": decision.monitor.heard, "received_at": received,
        "signal": str(decision.kept_as), "run_id": ping.run_id, "exit_status": ping.target.exit_status,
        "duration": decision.duration.total_seconds() if decision.duration is not None else None,
        "scheme": ping.scheme, "method": ping.method, "remote_addr": ping.remote_addr, "user_agent": ping.user_agent,
        "body": ping.body or None, "body_truncated": ping.truncated, "reported_at": at,
    }  # fmt: skip


async def _write(session: AsyncSession, recording: Recording) -> datetime:
    """Returns the database's clock after it."""
    beside = [*checkins.adding(recording.check_ins), *checkins.remembering(list(recording.remembered.values()))]
    now: datetime = (await decisions.write(session, recording.moment.now, recording.made, beside, [blackouts.asking_now()]))[0]
    return now


async def _guard(
    session: AsyncSession, now: datetime, received: Sequence[datetime], results: Sequence[Answer], margin: timedelta
) -> None:
    late = {i for i, at in enumerate(received) if results[i].status < 400 and now - at >= margin}
    if late:
        await session.rollback()
        raise TooLate(late)
