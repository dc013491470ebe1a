"""Monitors as programs declare them, each time they ping: made where they are missing, changed where they are to be otherwise."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.alias import Service
from app.domain.declaration import NEW, Declaration
from app.domain.message import clean
from app.domain.slug import slug_of
from app.errors import NotFound
from app.manage import actions
from app.manage.actions import Wanted
from app.store import addresses, blackouts, channels, monitors
from app.store.addresses import Address
from app.store.rows import rule_of
from app.web import Shared, transaction

LONGEST_NAME = 100


class Upserts:
    """What a ping's declaration does, a transaction for each that changes something; most only look."""

    def __init__(self, house: Shared) -> None:
        self._house = house

    async def __call__(self, address: Address, declared: Declaration) -> None:
        """Make or change the monitor at this address of a service. Raises NotFound for a key that opens nothing, OverLimit where
        the project is full, and Invalid for a schedule that is none."""
        async with transaction(self._house) as session:
            project, monitor = await _place(session, address)
            if monitor is None:
                await monitors.one_namer(session, project)
                project, monitor = await _place(session, address)
            if monitor is None:
                await self._make(session, project, address, declared)
            else:
                await self._change(session, project, monitor, declared)

    async def _make(self, session: AsyncSession, project: UUID, address: Address, declared: Declaration) -> None:
        """With all of the project's channels, its first check-in expected from now on."""
        now, least = await blackouts.now(session), timedelta(seconds=self._house.min_period)
        rule = declared.rule_after(NEW[Service(address.kind)], now, least)
        names = {
            "name": clean(declared.name or address.name, LONGEST_NAME),
            "slug": await monitors.free_slug(session, project, slug_of(address.name)),
        }
        ears = await channels.ids(session, project)
        wanted = Wanted(names, channels=list(ears), expect_first=True, aliases=[(address.kind, address.name)])
        await actions.create(session, project, wanted, rule, self._house.margin)

    async def _change(self, session: AsyncSession, project: UUID, monitor: UUID, declared: Declaration) -> None:
        """Look first: of a hundred declarations ninety-nine say what is so already. A change is decided under the lock."""
        now, least = await blackouts.now(session), timedelta(seconds=self._house.min_period)
        before = rule_of(await monitors.get(session, project, monitor))
        if declared.rule_after(before, now, least) == before:
            return
        row = await monitors.lock_one(session, project, monitor)
        rule = declared.rule_after(row.monitor.rule, now, least)
        await actions.edit(session, project, monitor, Wanted(rule=rule), self._house.margin)


async def _place(session: AsyncSession, address: Address) -> addresses.Place:
    found = await addresses.resolve(session, [address])
    if address not in found:
        raise NotFound("unknown api key")
    return found[address]
