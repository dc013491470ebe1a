"""Monitors made by their first ping: `create=1`, and services whose unknown keys stand for new monitors."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.alias import KEYED
from app.domain.schedule import Every
from app.domain.slug import slug_of
from app.domain.state import Rule
from app.ingest.ping import Ping
from app.store import accounts, addresses, blackouts, channels, monitors
from app.store.addresses import Address
from app.store.engine import Sessions

RULE = Rule(schedule=Every(timedelta(days=1)), grace=timedelta(hours=1))
LONGEST_NAME = 100


async def create_missing(sessions: Sessions, batch: Sequence[Ping]) -> tuple[set[int], set[Address]]:
    """Make the monitors that pings ask for and that are not there, with all of the project's channels; returns the positions to
    be answered 201, and the addresses that found their project full: it may hold twice its limit this way, no more."""
    asking: dict[Address, list[int]] = {}
    for position, ping in enumerate(batch):
        if ping.create and ping.target.address.name and ping.problem is None:
            asking.setdefault(ping.target.address, []).append(position)
    made: set[int] = set()
    full: set[Address] = set()
    if not asking:
        return made, full
    async with sessions() as session:
        places = await addresses.resolve(session, list(asking))
        keys = await addresses.projects_of(session, list({ping.key for ping in batch if ping.key is not None}))
        for project, address in sorted((project, address) for address, (project, there) in places.items() if there is None):
            first = next((i for i in asking[address] if batch[i].may_say_when(project, keys)), None)
            if first is None:
                continue
            await monitors.one_namer(session, project)
            if not await accounts.has_room(session, project, times=2):
                full.add(address)
            elif await _create(session, project, address):
                made.add(first)
        await session.commit()
    return made, full


async def _create(session: AsyncSession, project: UUID, address: Address) -> bool:
    """Make one; False where another has that name meanwhile. Under `one_namer`, which all who make take in one order."""
    monitor, now = uuid4(), await blackouts.now(session)
    names: dict[str, Any] = {"name": address.name[:LONGEST_NAME], "slug": address.name}
    alias = (address.kind, address.name) if address.kind in KEYED else None
    if alias is not None:
        names["slug"] = await monitors.free_slug(session, project, slug_of(address.name))
    if not await monitors.create_unless_taken(session, project, monitor, RULE, now, names, alias):
        return False
    await monitors.subscribe(session, project, monitor, await channels.ids(session, project))
    return True
