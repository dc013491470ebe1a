"""CronRadar's `POST /api/sync`: a program says of all its jobs when they are due, so that one is missed before it ever ran.

What it says wins over what stands here. With mode `reconcile` it is the whole of its source: a monitor of that source that is no
longer named is retired, that is paused without a word, until it is named again. A bad item keeps none of the others from being
taken over: the clients say it all again every quarter of an hour, and one bad schedule must not leave a hundred jobs unwatched.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import tokens
from app.domain.alias import Service, check_alias
from app.domain.declaration import NEW, Declaration
from app.domain.message import clean
from app.domain.monitor import on_edit, on_expect_first, on_pause, on_resume
from app.domain.slug import free, slug_of
from app.domain.state import Decision, Monitor, Status
from app.errors import Invalid, NotAllowed, OverLimit, TooLarge
from app.store import accounts, addresses, blackouts, channels, decisions, monitors, synced
from app.store.addresses import Address
from app.store.blackouts import Moment
from app.store.rows import Locked
from app.store.synced import Changed, New
from app.web import Given, House, Session

routes = APIRouter()

MOST = 1000
LONGEST = 100
SERVICE = Service.CRONRADAR


@dataclass(slots=True)
class Sync:
    """A sync, read. `items`: what is declared under each key; `named`: these keys and those of bad items; `errors`: those."""

    source: str
    whole: bool
    items: dict[str, Declaration] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    errors: list[dict[str, str]] = field(default_factory=list)


@routes.post("/api/sync", include_in_schema=False)
async def sync(request: Request, session: Session, house: House, given: Given) -> JSONResponse:
    """Make, change and retire monitors in one transaction; says how many, and what was wrong with which."""
    key = _key_of(request)
    opened = await synced.opened_by(session, SERVICE, key)
    if opened is None:
        raise NotAllowed("wrong api key")
    if not opened.service and opened.scope != "rw":
        return JSONResponse({"error": "this key may not change monitors: use a read-write key"}, 403)
    if house.api_limit is not None:
        await house.api_limit.count(opened.id)
    moment = await blackouts.moment(session, house.margin)
    least = timedelta(seconds=house.min_period)
    wanted = read_sync(given, moment.now, least)
    if wanted.errors and not wanted.items:
        return JSONResponse({"error": wanted.errors[0]["error"], "errors": wanted.errors}, 400)
    counts = await Reconciling(session, opened.project_id, wanted, moment, least).run(tokens.hashed(key).hex())
    status = "partial" if wanted.errors else "success"
    return JSONResponse({"status": status, **counts, "errors": wanted.errors})


def _key_of(request: Request) -> str:
    """As user of Basic, as their SDKs send it, or as our own API takes it."""
    header = request.headers.get("authorization", "")
    scheme, _, bearer = header.partition(" ")
    key = tokens.basic_user(header) or (bearer.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", ""))
    if not key:
        raise NotAllowed("missing api key")
    return key


def read_sync(given: dict[str, Any], now: datetime, least: timedelta) -> Sync:
    """Read a body; what is wrong with an item stands in `errors`. Raises Invalid for what is wrong with the whole."""
    source, mode, items = given.get("source"), given.get("mode"), given.get("monitors")
    if not isinstance(source, str) or not 0 < len(source) <= LONGEST or not source.isprintable():
        raise Invalid(f"source: say where the monitors come from, in 1 to {LONGEST} characters")
    if mode not in (None, "", "reconcile"):
        raise Invalid("mode: say reconcile, or leave it out")
    if not isinstance(items, list):
        raise Invalid("monitors: is not an array")
    if len(items) > MOST:
        raise TooLarge(f"monitors: {len(items)} at once; at most {MOST} are taken")
    found = Sync(source, mode == "reconcile")
    for n, item in enumerate(items):
        key = item.get("key") if isinstance(item, dict) else None
        try:
            _read_item(found, item, key, now, least)
        except Invalid as error:
            found.errors.append({"key": key if isinstance(key, str) else f"monitors[{n}]", "error": str(error)})
    return found


def _read_item(found: Sync, item: Any, key: Any, now: datetime, least: timedelta) -> None:
    if not isinstance(item, dict) or not isinstance(key, str):
        raise Invalid("key: is missing")
    check_alias(SERVICE, key)
    if key in found.named:
        raise Invalid("key: is there twice, and the first counts")
    found.named.add(key)
    name, schedule, grace = item.get("name") or "", item.get("schedule"), item.get("gracePeriod")
    if not isinstance(schedule, str) or not schedule.strip():
        raise Invalid("schedule: is missing")
    if grace is not None and (isinstance(grace, bool) or not isinstance(grace, (int, float)) or not 0 <= grace <= 31_536_000):
        raise Invalid("gracePeriod: a number of seconds, at most 365 days")
    declared = Declaration(
        name=clean(name, LONGEST) if isinstance(name, str) else "",
        expression=schedule,
        grace=None if grace is None else timedelta(seconds=int(grace)),
    )
    declared.rule_after(NEW[SERVICE], now, least)
    found.items[key] = declared


class Reconciling:
    """One sync on its way through the tables. Syncs of one project come one after the other."""

    def __init__(self, session: AsyncSession, project: UUID, wanted: Sync, moment: Moment, least: timedelta) -> None:
        self._session = session
        self._project = project
        self._wanted = wanted
        self._moment = moment
        self._least = least
        self._made: list[tuple[Locked, Decision]] = []
        self._changed: list[Changed] = []

    async def run(self, key: str) -> dict[str, int]:
        """Do it all; returns how many were made, were there, and were retired. `key`: the API key, hashed, that opens them."""
        await monitors.one_namer(self._session, self._project)
        places = await addresses.resolve(self._session, [Address(SERVICE, key, name) for name in self._wanted.named])
        there = {address.name: monitor for address, (_, monitor) in places.items() if monitor is not None}
        mine = await synced.of_source(self._session, self._project, self._wanted.source) if self._wanted.whole else []
        rows = await monitors.lock(self._session, [(self._project, id_) for id_ in {*there.values(), *mine}])
        self._refuse_twins(there)
        known = {name: rows[there[name]] for name in self._wanted.items if name in there and there[name] in rows}
        for name, row in known.items():
            self._renew(row, self._wanted.items[name])
        await synced.change(self._session, self._project, self._changed)
        retired = await self._retire([rows[id_] for id_ in set(mine) - set(there.values()) if id_ in rows])
        await decisions.write(self._session, self._moment.now, self._made)
        created = await self._create([name for name in self._wanted.items if name not in known])
        return {"synced": len(known) + created, "created": created, "updated": len(known), "retired": retired}

    def _refuse_twins(self, there: dict[str, UUID]) -> None:
        """Two keys for one monitor, an alias and a slug, would change it back and forth."""
        seen: dict[UUID, str] = {}
        for name in [name for name in self._wanted.items if name in there]:
            if seen.setdefault(there[name], name) != name:
                del self._wanted.items[name]
                self._wanted.errors.append({"key": name, "error": f"key: is the same monitor as {seen[there[name]]}"})

    def _renew(self, row: Locked, declared: Declaration) -> None:
        """As declared from now on, armed if it is new; resumed, where it was a sync that paused it. What is so already is not
        touched: no deadline moves. What a person made stays that person's: no sync retires it."""
        now, horizon, before = self._moment.now, self._moment.horizon, row.monitor.rule
        rule = declared.rule_after(before, now, self._least)
        if rule != before:
            self._take(row, on_edit(row.monitor, rule, now, horizon))
        if row.retired_at is not None and row.monitor.status is Status.PAUSED:
            self._take(row, on_resume(row.monitor, now, horizon))
        if row.monitor.status is Status.NEW and row.monitor.due is None:
            self._take(row, on_expect_first(row.monitor, now, horizon))
        name = declared.name or row.name
        source = self._wanted.source if row.source or row.retired_at is not None else ""
        if rule != before or row.retired_at is not None or (name, source) != (row.name, row.source):
            self._changed.append(Changed(row.id, name, source, rule))

    async def _retire(self, rows: list[Locked]) -> int:
        """Pause them without a word; returns how many. Those that a person paused stay that person's."""
        gone = [row for row in rows if row.monitor.status is not Status.PAUSED]
        for row in gone:
            self._take(row, on_pause(row.monitor, self._moment.now, self._moment.horizon))
        await synced.retire(self._session, self._project, [row.id for row in gone], self._moment.now)
        return len(gone)

    async def _create(self, names: list[str]) -> int:
        """Raises OverLimit where they do not all fit in: nothing is done then."""
        if not names:
            return 0
        if not await accounts.has_room(self._session, self._project, more=len(names)):
            raise OverLimit("the project has as many checks as its plan allows")
        taken, now, made = await synced.slugs(self._session, self._project), self._moment.now, []
        for name in names:
            declared = self._wanted.items[name]
            rule = declared.rule_after(NEW[SERVICE], now, self._least)
            slug = free(slug_of(name), taken)
            taken.add(slug)
            state = on_expect_first(Monitor(rule), now, self._moment.horizon).monitor
            called = {"name": declared.name or name[:LONGEST], "slug": slug, "source": self._wanted.source}
            made.append(New(uuid4(), name, state, called))
        await synced.make(self._session, self._project, SERVICE, made, await channels.ids(self._session, self._project), now)
        return len(made)

    def _take(self, row: Locked, decision: Decision) -> None:
        row.monitor = decision.monitor
        self._made.append((row, decision))
