"""CronRadar's `POST /api/sync`: a program says of all its jobs when they are due, so that one is missed before it ever ran.

What it says wins over what stands here. With mode `reconcile` it is the whole of its source: a monitor of that source that is no
longer named is retired, that is paused without a word, until it is named again. A bad item keeps none of the others from being
taken over: the clients say it all again every quarter of an hour, and one bad schedule must not leave a hundred jobs unwatched.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import tokens
from app.domain.alias import Service, check_alias
from app.domain.declaration import NEW, Declaration
from app.domain.message import clean
from app.domain.slug import slug_of
from app.domain.sync import Stands, Sync, Synced
from app.errors import Invalid, NotAllowed, TooLarge
from app.manage.reconcile import Reconciling
from app.store import addresses, blackouts, monitors, synced
from app.store.addresses import Address
from app.store.blackouts import Moment
from app.web import Given, House, Session

routes = APIRouter()

MOST = 1000
LONGEST = 100
SERVICE = Service.CRONRADAR


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
    found = await _take_over(session, opened.project_id, key, wanted, moment)
    counts = {"synced": found.known + found.created, "created": found.created, "updated": found.known, "retired": found.retired}
    status = "partial" if wanted.errors else "success"
    return JSONResponse({"status": status, **counts, "errors": wanted.errors})


async def _take_over(session: AsyncSession, project: UUID, key: str, wanted: Sync, moment: Moment) -> Synced:
    await monitors.one_namer(session, project)
    hashed = tokens.hashed(key).hex()
    places = await addresses.resolve(session, [Address(SERVICE, hashed, name) for name in wanted.named])
    there = {address.name: monitor for address, (_, monitor) in places.items() if monitor is not None}
    return await Reconciling(session, project, wanted, moment).run(there)


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
    found = Sync(SERVICE, source, mode == "reconcile")
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
    found.items[key] = _Job(key, declared, found.source, least)


@dataclass(frozen=True, slots=True)
class _Job:
    """A job as CronRadar's clients declare it: what they say wins. What a person made stays that person's: no sync retires it."""

    key: str
    declared: Declaration
    source: str
    least: timedelta

    def made(self, now: datetime) -> Stands:
        rule = self.declared.rule_after(NEW[SERVICE], now, self.least)
        return Stands(self.declared.name or self.key[:LONGEST], slug_of(self.key), rule, source=self.source)

    def after(self, stands: Stands, now: datetime) -> Stands:
        rule = self.declared.rule_after(stands.rule, now, self.least)
        source = self.source if stands.source or stands.retired else ""
        return replace(stands, name=self.declared.name or stands.name, rule=rule, source=source, retired=False)
