"""Monitors made by their first ping: `create=1`, and services whose unknown keys stand for new monitors."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.alias import KEYED
from app.domain.schedule import Every
from app.domain.slug import SLUG, slug_of
from app.domain.state import Rule
from app.ingest.ping import Ping
from app.store import accounts, addresses, blackouts, channels, monitors
from app.store.addresses import Address
from app.store.engine import Sessions

RULE = Rule(schedule=Every(timedelta(days=1)), grace=timedelta(hours=1))
LONGEST_NAME = 100


async def create_missing(sessions: Sessions, batch: Sequence[Ping]) -> set[int]:
    """Make the monitors that pings ask for and that are not there, with all of the project's channels; returns the positions to
    be answered 201. A project may hold twice its limit this way, no more."""
    asking: dict[Address, int] = {}
    for position, ping in enumerate(batch):
        if ping.create and ping.target.address.name and ping.problem is None:
            asking.setdefault(ping.target.address, position)
    if not asking:
        return set()
    async with sessions() as session:
        places = await addresses.resolve(session, list(asking))
        keys = await addresses.projects_of(session, [key for i in asking.values() if (key := batch[i].key) is not None])
        missing = sorted(
            (project, address)
            for address, (project, monitor) in places.items()
            if monitor is None and batch[asking[address]].may_say_when(project, keys)
        )
        made = {asking[address] for project, address in missing if await _create(session, project, address)}
        await session.commit()
    return made


async def _create(session: AsyncSession, project: UUID, address: Address) -> bool:
    """Make one; False where another has that name meanwhile, or the project is full."""
    if not await accounts.has_room(session, project, times=2):
        return False
    monitor, now = uuid4(), await blackouts.now(session)
    names: dict[str, Any] = {"name": address.name[:LONGEST_NAME], "slug": address.name}
    if not SLUG.fullmatch(address.name):
        await monitors.one_namer(session, project)
        names["slug"] = await monitors.free_slug(session, project, slug_of(address.name))
    alias = (address.kind, address.name) if address.kind in KEYED else None
    if not await monitors.create_unless_taken(session, project, monitor, RULE, now, names, alias):
        return False
    await monitors.subscribe(session, project, monitor, await channels.ids(session, project))
    return True
