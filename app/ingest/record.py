"""Recording check-ins: a batch in one transaction, answered only after its COMMIT.

1. the database's clock, read first: received = that clock less the time since the last byte was read. How long the clock's
   answer was on its way is not known, so this may be too early by as much; never so that a check-in falls before one that
   was applied already and that it may as well have followed
2. look up, lock the monitors in order of id, find repeats
3. decide in the domain, in order of reception
4. write everything in a handful of statements
5. the guard: whatever is older than the margin by now must not commit, for the sweeper may have judged its deadline
6. COMMIT, under the engine's timer; an error there leaves open whether it happened, so the answer is 503
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import monotonic
from app.domain.monitor import CheckIn, on_check_in
from app.domain.schedule import Every
from app.domain.state import Decision, Monitor, Rule, Signal
from app.ingest import ping as answers
from app.ingest.ping import Answer, Ping
from app.store import addresses, blackouts, channels, checkins, decisions, monitors
from app.store.blackouts import Moment
from app.store.engine import Sessions
from app.store.rows import Locked

CREATED_RULE = Rule(schedule=Every(timedelta(days=1)), grace=timedelta(hours=1))

Key = tuple[str | None, str, str]


class TooLate(Exception):
    """These pings (by position) waited longer than the margin; nothing of the batch was recorded."""

    def __init__(self, positions: set[int]) -> None:
        super().__init__(f"{len(positions)} check-ins waited longer than the margin")
        self.positions = positions


@dataclass(slots=True)
class Recording:
    """One batch on its way through the steps."""

    moment: Moment
    places: dict[Key, addresses.Place]
    rows: dict[UUID, Locked]
    untaken: set[Key]  # slugs of known projects that no monitor has
    repeats: dict[checkins.Repeat, tuple[int, int]]
    made: list[tuple[Locked, Decision]] = field(default_factory=list)
    check_ins: list[dict[str, Any]] = field(default_factory=list)
    remembered: dict[checkins.Repeat, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hearing:
    """A ping with when it was received, how much earlier that may be than it was, and whether its monitor was made for it."""

    ping: Ping
    received: datetime
    doubt: timedelta
    created: bool


async def record(sessions: Sessions, batch: Sequence[Ping], margin: timedelta) -> list[Answer]:
    """Record a batch and return the answer for each, in order. Raises TooLate, or what the database raised; in both cases
    nothing was recorded, unless COMMIT itself failed, which leaves it open."""
    created = await _create_missing(sessions, batch)
    async with sessions() as session:
        asked_at = monotonic()
        moment = await blackouts.moment(session, margin)
        elapsed_at = monotonic()
        doubt = timedelta(seconds=elapsed_at - asked_at)
        received = [moment.now - timedelta(seconds=max(0.0, elapsed_at - ping.heard_at)) for ping in batch]
        recording = await _look_up(session, batch, moment)
        results: list[Answer] = [answers.NOT_FOUND] * len(batch)
        for position in sorted(range(len(batch)), key=lambda i: received[i]):
            heard = Hearing(batch[position], received[position], doubt, position in created)
            results[position] = _decide(recording, heard)
        await _write(session, recording)
        await _guard(session, received, results, margin)
        await session.commit()
    return results


async def _look_up(session: AsyncSession, batch: Sequence[Ping], moment: Moment) -> Recording:
    targets = [ping.target for ping in batch]
    by_id = await addresses.by_ids(session, list({t.ping_id for t in targets if t.ping_id is not None}))
    by_slug = await addresses.by_slugs(session, list({(t.ping_key, t.slug) for t in targets if t.ping_id is None}))
    places: dict[Key, addresses.Place] = {(ping_id, "", ""): place for ping_id, place in by_id.items()}
    places |= {(None, *named): (project, monitor) for named, (project, monitor) in by_slug.items() if monitor is not None}
    rows = await monitors.lock(session, list(set(places.values()))) if places else {}
    asked = [
        (places[key][1], ping.idempotency_key, str(ping.target.signal))
        for ping in batch
        if ping.idempotency_key is not None and (key := _key(ping)) in places
    ]
    projects = list({project for project, _ in places.values()})
    untaken: set[Key] = {(None, *named) for named, (_, monitor) in by_slug.items() if monitor is None}
    return Recording(moment, places, rows, untaken, await checkins.answered(session, projects, asked, moment.now))


def _key(ping: Ping) -> Key:
    return ping.target.ping_id, ping.target.ping_key, ping.target.slug


def _decide(recording: Recording, heard: Hearing) -> Answer:
    ping = heard.ping
    place = recording.places.get(_key(ping))
    row = recording.rows.get(place[1]) if place is not None else None
    if row is None and not (ping.create and _key(ping) in recording.untaken):
        return answers.NOT_FOUND
    if not (ping.exit_status_valid and ping.run_id_valid):
        return answers.BAD_RUN_ID if ping.exit_status_valid else answers.BAD_URL
    if row is None:
        return answers.BUSY  # it was deleted between its making and now
    signal = ping.target.signal
    repeat = (row.id, ping.idempotency_key or "", str(signal))
    if ping.idempotency_key is not None and repeat in recording.repeats:
        return answers.CREATED if recording.repeats[repeat][1] == answers.CREATED.status else answers.REPEATED
    received = _not_before_the_last(row.monitor, heard.received, heard.doubt)
    ignored = bool(row.methods) and ping.method != row.methods
    check_in = CheckIn(signal, received, ping.run_id, ping.target.exit_status, ignored)
    decision = on_check_in(row.monitor, check_in, recording.moment.horizon)
    row.monitor = decision.monitor
    recording.made.append((row, decision))
    recording.check_ins.append(_kept(row, ping, received, decision))
    if ping.idempotency_key is not None:
        answer = answers.CREATED.status if heard.created else answers.OK.status
        recording.repeats[repeat] = (decision.monitor.heard, answer)
        recording.remembered[repeat] = {
            "project_id": row.project_id, "monitor_id": row.id, "key": ping.idempotency_key, "signal": str(signal),
            "n": decision.monitor.heard, "answer": answer, "at": received,
        }  # fmt: skip
    settled = answers.IGNORED if decision.kept_as is Signal.IGNORED else answers.OK
    return answers.CREATED if heard.created else settled


def _not_before_the_last(m: Monitor, received: datetime, doubt: timedelta) -> datetime:
    newest = max((at for at in (m.last_applied_at, m.last_start_at) if at is not None), default=received)
    return newest if received < newest <= received + doubt else received


def _kept(row: Locked, ping: Ping, received: datetime, decision: Decision) -> dict[str, Any]:
    return {
        "project_id": row.project_id, "monitor_id": row.id, "n": decision.monitor.heard, "received_at": received,
        "signal": str(decision.kept_as), "run_id": ping.run_id, "exit_status": ping.target.exit_status,
        "duration": decision.duration.total_seconds() if decision.duration is not None else None,
        "scheme": ping.scheme, "method": ping.method, "remote_addr": ping.remote_addr, "user_agent": ping.user_agent,
        "body": ping.body or None, "body_truncated": ping.truncated,
    }  # fmt: skip


async def _write(session: AsyncSession, recording: Recording) -> None:
    await checkins.add(session, recording.check_ins)
    await checkins.remember(session, list(recording.remembered.values()))
    await decisions.write(session, recording.moment.now, recording.made)


async def _guard(session: AsyncSession, received: Sequence[datetime], results: Sequence[Answer], margin: timedelta) -> None:
    now = await blackouts.now(session)
    late = {i for i, at in enumerate(received) if results[i].status < 400 and now - at >= margin}
    if late:
        await session.rollback()
        raise TooLate(late)


async def _create_missing(sessions: Sessions, batch: Sequence[Ping]) -> set[int]:
    """Make the monitors that `create=1` asks for and that are not there; returns the positions to be answered 201."""
    asking: dict[tuple[str, str], int] = {}
    for position, ping in enumerate(batch):
        if ping.create and ping.target.ping_id is None and ping.exit_status_valid and ping.run_id_valid:
            asking.setdefault((ping.target.ping_key, ping.target.slug), position)
    if not asking:
        return set()
    async with sessions() as session:
        places = await addresses.by_slugs(session, list(asking))
        missing = sorted((project, named[1], named) for named, (project, monitor) in places.items() if monitor is None)
        now = await blackouts.now(session)
        made = set()
        for project, slug, named in missing:
            monitor = uuid4()
            if await monitors.create_unless_taken(session, project, monitor, CREATED_RULE, now, {"name": slug, "slug": slug}):
                await monitors.subscribe(session, project, monitor, await channels.ids(session, project))
                made.add(asking[named])
        await session.commit()
    return made
