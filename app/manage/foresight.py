"""What settings will do, and what they would have done: for whoever edits a monitor and has not saved yet. Nothing is written.

A replay takes the processor for as long as a second or two. It is done in slices, between which pings are answered, and one at a
time in each process; no database connection is needed meanwhile.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import monotonic
from app.domain.coming import Coming, coming
from app.domain.replay import Alert, ByHand, Past, Replay
from app.domain.state import Rule
from app.domain.wording import in_words
from app.one_by_one import OneByOne
from app.store import checkins, incidents, monitors
from app.store.blackouts import Moment
from app.store.rows import monitor_of

LOOKS_BACK = timedelta(days=30)
MOST_HEARD = 20_000  # check-ins of a replay: two weeks of a job that runs each minute
SLICE = 0.01  # seconds that a ping may wait behind a replay


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A schedule in words, and its next five times."""

    words: str
    coming: list[Coming]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What would have been alerted from `since` to `until`: the last of `count` alerts, oldest first, after `heard` check-ins.
    `notes` say in words what of the past could not be looked at."""

    since: datetime
    until: datetime
    heard: int
    count: int
    alerts: list[Alert]
    notes: list[str]


def foreseen(rule: Rule, zone: str, now: datetime) -> Foreseen:
    """What the schedule of a rule will do; `zone` is that of the monitor, in which a period is shown. Raises Invalid for an
    expression that makes no sense."""
    return Foreseen(in_words(rule.schedule), coming(rule.schedule, zone, now))


async def replayed(
    session: AsyncSession, project: UUID, monitor: UUID, rule: Rule, moment: Moment, replays: OneByOne
) -> Replayed:
    """What a rule would have alerted of a monitor's last 30 days, while the session waits. Raises NotFound, and Unavailable where
    too many replays wait. Where many may ask: `past_of` in a transaction, and `replay` after it."""
    return await replay(rule, await past_of(session, project, monitor, moment), replays)


async def past_of(session: AsyncSession, project: UUID, monitor: UUID, moment: Moment) -> Past:
    """What is known of a monitor's last 30 days, of more than MOST_HEARD check-ins the newest. Raises NotFound."""
    state = monitor_of(await monitors.get(session, project, monitor))
    since, heard = await checkins.heard_since(session, project, monitor, state.heard, moment.now - LOOKS_BACK, MOST_HEARD)
    done = _with_last(await incidents.by_hand(session, project, monitor, state.transition_count), state.barred_at)
    if len(heard) < state.heard:  # else its whole life is lived again
        done = _from(done, heard[0].received if heard else since)
    return Past(since, moment.now, heard, done, moment.horizon, moment.margin)


async def replay(rule: Rule, past: Past, replays: OneByOne) -> Replayed:
    """The replay, in slices. Raises Unavailable where too many wait."""
    lived = Replay(rule, past)
    async with replays.turn():
        began = monotonic()
        for _ in lived.run():
            if monotonic() - began > SLICE:
                await asyncio.sleep(0)
                began = monotonic()
    heard = sum(said.received >= past.since for said in past.heard)
    return Replayed(past.since, lived.until, heard, lived.count, list(lived.alerts), lived.notes)


def _from(by_hand: Sequence[ByHand], oldest: datetime) -> list[ByHand]:
    """What was done from an instant on; and the pause before it, if that lasted then."""
    before = [done for done in by_hand if done.at < oldest][-1:]
    return [*(done for done in before if done.paused), *(done for done in by_hand if done.at >= oldest)]


def _with_last(by_hand: Sequence[ByHand], barred_at: datetime | None) -> list[ByHand]:
    """To pause what is paused turns nothing and stands nowhere but on the monitor, if it was the last that was done."""
    last = by_hand[-1].at if by_hand else None
    if barred_at is None or (last is not None and barred_at <= last):
        return list(by_hand)
    return [*by_hand, ByHand(barred_at, paused=True)]
