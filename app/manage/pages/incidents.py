"""The incidents of a project, newest first: filtered, by pages, and as a file for spreadsheets."""

import csv
import re
from collections.abc import AsyncIterator
from datetime import date, datetime, time, timedelta
from io import StringIO
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.audit_action import AuditAction
from app.domain.evidence import explain
from app.domain.message import REASONS
from app.domain.role import Action, may
from app.domain.tokens import unique_key
from app.errors import NotFound
from app.manage.access import Member, PageRoutes
from app.manage.acting import Person
from app.manage.api.wire import ID
from app.manage.pages.frame import HEADERS, LEFT_OUT, render
from app.manage.pages.overview import Shown, lasted
from app.manage.pages.when import When
from app.store import audit_entries, blackouts, incidents, memberships, monitors
from app.store.audit_entries import Entry
from app.store.incidents import Sought
from app.store.memberships import Membership
from app.store.tables import IncidentRow
from app.visitor import SignedIn
from app.web import House, Now, Session, Shared, transaction

pages = PageRoutes()

PAGE = 50
LONGEST = 200
AT_ONCE = 500  # of the file, so that no transaction is long and no ping waits for it
STATES = {"open": True, "closed": False}
FILTERS = ("state", "words", "monitor", "reason", "since", "until")
UNIQUE_KEY = re.compile(r"[0-9a-f]{40}")
KEY = re.compile(r"([0-9]{1,17})-(.{36})")  # of the last one of a page: when it opened, in microseconds, and its id
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
TICK = timedelta(microseconds=1)
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for the beginning of one
COLUMNS = ("incident", "check", "check_unique_key", "reason", "why", "opened_at", "closed_at", "closed_by", "seconds",
           "acknowledged_at", "acknowledged_by", "fine_until")  # fmt: skip


@pages.get("/projects/{project}/incidents", Action.SEE)
async def incidents_page(request: Request, member: Member, visitor: SignedIn, session: Session) -> Response:
    """Those that are looked for, fifty at a time; `after` names the last one of the page before."""
    query = asked(request)
    when = When(await blackouts.now(session), visitor.zone)
    of = await _monitor(session, member.project, query)
    found = await incidents.search(session, member.project, sought(query, visitor.zone, of), after(request), PAGE + 1)
    page, more = found[:PAGE], len(found) > PAGE
    named = await incidents.search(session, member.project, Sought(monitor=of), None, 1) if of else []
    return render(
        request, "incidents.html", member=member, live=f"/projects/{member.project}/live", when=when,
        query=dict.fromkeys(FILTERS, "") | query, down=await incidents.count_open(session, member.project), reasons=REASONS,
        is_filtered=bool(query), states=tuple(STATES),
        rows=[Shown(row, explain(row.evidence, when.zone), lasted(row, when)) for row in page],
        of=Shown(named[0], "", "").name if named else "",
        kept=urlencode(query), others=urlencode({k: v for k, v in query.items() if k != "monitor"}),
        next_page=urlencode(query | {"after": key_of(page[-1])}) if more else "", exports=may(member.role, Action.EXPORT),
    )  # fmt: skip


@pages.get("/projects/{project}/incidents.csv", Action.EXPORT)
async def incidents_csv(
    request: Request, member: Member, visitor: SignedIn, actor: Person, house: House, session: Session, now: Now
) -> Response:
    """All that are looked for, newest first; times in UTC."""
    await audit_entries.write(session, actor, Entry(AuditAction.PROJECT_EXPORTED, "incidents", member.project), now)
    query = asked(request)
    of = await _monitor(session, member.project, query)
    lines = _lines(house, member, visitor.user, sought(query, visitor.zone, of))
    headers = {**HEADERS, "content-disposition": 'attachment; filename="incidents.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def asked(request: Request) -> dict[str, str]:
    """What the URL says of which are looked for; without what it does not say, and what makes no sense."""
    given = {name: " ".join(request.query_params.get(name, "").split())[:LONGEST] for name in FILTERS}
    senseless = {
        "state": given["state"] not in STATES, "monitor": not UNIQUE_KEY.fullmatch(given["monitor"]),
        "reason": given["reason"] not in REASONS,
        "since": _day(given["since"]) is None, "until": _day(given["until"]) is None,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value and not senseless.get(name)}


async def _monitor(session: AsyncSession, project: UUID, query: dict[str, str]) -> UUID | None:
    """The id of the monitor whose unique_key the URL names (its id would open its ping URL); the nil UUID for none there is."""
    if "monitor" not in query:
        return None
    try:
        return (await monitors.by_unique_key(session, project, query["monitor"])).id
    except NotFound:
        return UUID(int=0)


def sought(query: dict[str, str], zone: str, monitor: UUID | None) -> Sought:
    """The same for the store. Days are those of somebody's zone, and the last one counts whole."""
    since, until = _day(query.get("since", "")), _day(query.get("until", ""))
    return Sought(
        STATES.get(query.get("state", "")), query.get("words", ""), monitor, query.get("reason", ""),
        _begins(since, zone), _begins(until + timedelta(days=1), zone) if until else None,
    )  # fmt: skip


def after(request: Request) -> tuple[datetime, UUID] | None:
    """The last one of the page before; None for the first page."""
    found = KEY.fullmatch(request.query_params.get("after", ""))
    if found is None or not ID.fullmatch(found[2]) or int(found[1]) > 10**17 // 2:
        return None
    return EPOCH + int(found[1]) * TICK, UUID(found[2])


def key_of(row: IncidentRow) -> str:
    """What `after` says of it."""
    return f"{(row.opened_at - EPOCH) // TICK}-{row.id}"


def cell(value: object) -> str:
    """As it stands in a file that a spreadsheet opens: words of others never begin a formula, and hold nothing unseen."""
    text = "" if value is None else LEFT_OUT.sub("", str(value))
    return f"'{text}" if text.startswith(FORMULA) else text


async def _lines(house: Shared, member: Membership, user: UUID, wanted: Sought) -> AsyncIterator[str]:
    """Some at a time, each time in a transaction of its own, and only while they may."""
    yield _written([COLUMNS])
    last: tuple[datetime, UUID] | None = None
    while True:
        async with transaction(house) as session:
            still = await memberships.find(session, member.project, user)
            if still is None or not may(still.role, Action.EXPORT):
                return
            found = await incidents.search(session, member.project, wanted, last, AT_ONCE)
            lines = _written([_line(row) for row in found])
        yield lines
        if len(found) < AT_ONCE:
            return
        last = found[-1].opened_at, found[-1].id


def _line(row: IncidentRow) -> tuple[str, ...]:
    down_since = row.fine_until or row.opened_at  # what late news disproved is no downtime
    seconds = None if row.closed_at is None else round((row.closed_at - down_since).total_seconds())
    values: tuple[Any, ...] = (
        row.id, row.monitor_name, unique_key(row.monitor_id), row.reason, explain(row.evidence), _utc(row.opened_at),
        _utc(row.closed_at), row.closed_by, seconds, _utc(row.acknowledged_at), row.acknowledged_by,
        _utc(row.fine_until),
    )  # fmt: skip
    return tuple(cell(value) for value in values)


def _written(rows: list[tuple[str, ...]]) -> str:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _utc(at: datetime | None) -> str:
    return When(EPOCH).machine(at) if at else ""


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 2000 <= day.year < 3000 else None


def _begins(day: date | None, zone: str) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), ZoneInfo(zone))
