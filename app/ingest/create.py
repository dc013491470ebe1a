"""Monitors made by their first ping: `create=1`, and services whose unknown keys stand for new monitors."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import monotonic
from app.domain.alias import KEYED
from app.domain.schedule import Every
from app.domain.slug import slug_of
from app.domain.state import Monitor, Rule
from app.ingest.ping import Ping
from app.store import accounts, addresses, blackouts, channels, monitors
from app.store.addresses import Address
from app.store.engine import Sessions, waited_in_vain

RULE = Rule(schedule=Every(timedelta(days=1)), grace=timedelta(hours=1))
LONGEST_NAME = 100
SHARE = 0.1  # of the margin: who is already known waits no longer for those that are not


@dataclass(slots=True)
class Made:
    """The positions to be answered 201, and the addresses that found their project full."""

    positions: set[int] = field(default_factory=set)
    full: set[Address] = field(default_factory=set)


async def create_missing(sessions: Sessions, batch: Sequence[Ping], margin: timedelta) -> Made:
    """Make the monitors that pings ask for and that are not there, with all of the project's channels. A project may hold twice
    its limit this way, no more. What is not made in a tenth of the margin is for those who come again; one project is
    always tried, which one is left to chance. Nor is anything made where somebody else holds the project's names."""
    made, until = Made(), monotonic() + SHARE * margin.total_seconds()
    wanted = await _wanted(sessions, batch)
    for n, project in enumerate(random.sample(list(wanted), len(wanted))):
        if n and monotonic() > until:
            break
        try:
            async with sessions() as session:
                await _create_in(session, project, wanted[project], made, until)
                await session.commit()
        except OperationalError as error:
            if not waited_in_vain(error):
                raise
    return made


async def _wanted(sessions: Sessions, batch: Sequence[Ping]) -> dict[UUID, dict[Address, int]]:
    """By project what is asked for and is not there, with the position of the first that may ask."""
    asking: dict[Address, list[int]] = {}
    for position, ping in enumerate(batch):
        if ping.create and ping.target.address.name and ping.problem is None:
            asking.setdefault(ping.target.address, []).append(position)
    wanted: dict[UUID, dict[Address, int]] = {}
    if not asking:
        return wanted
    async with sessions() as session:
        places = await addresses.resolve(session, list(asking))
        keys = await addresses.projects_of(session, list({ping.key for ping in batch if ping.key is not None}))
    for address, (project, there) in places.items():
        first = next((i for i in asking[address] if batch[i].may_say_when(project, keys)), None)
        if there is None and first is not None:
            wanted.setdefault(project, {})[address] = first
    return wanted


async def _create_in(session: AsyncSession, project: UUID, asked: dict[Address, int], made: Made, until: float) -> None:
    """Make those of one project. Under `one_namer` nobody takes a name meanwhile, so what is free now stays so."""
    await monitors.one_namer(session, project)
    places = await addresses.resolve(session, list(asked))
    missing = [address for address in asked if address in places and places[address][1] is None]
    room = await accounts.room(session, project, times=2)
    made.full.update(() if room is None else missing[room:])
    fits = missing[:room]
    ears, now = await channels.ids(session, project), await blackouts.now(session)
    named = {address.name: address for address in fits if address.kind not in KEYED}  # two keys may lead to one name
    rows = [monitors.row_of(project, uuid4(), Monitor(RULE), now, _names(name)) for name in named]
    await monitors.create_all(session, project, rows, ears)
    made.positions.update(asked[address] for address in named.values())
    for address in (address for address in fits if address.kind in KEYED):
        names = {**_names(address.name), "slug": await monitors.free_slug(session, project, slug_of(address.name))}
        monitor = uuid4()
        alias = (address.kind, address.name)
        if await monitors.create_unless_taken(session, project, monitor, RULE, now, names, alias):
            await monitors.subscribe(session, project, monitor, ears)
            made.positions.add(asked[address])
        if monotonic() > until:
            break


def _names(name: str) -> dict[str, Any]:
    return {"name": name[:LONGEST_NAME], "slug": name}
