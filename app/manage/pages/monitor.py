"""One check: how it stands and why, its days, its runs, what it said, its incidents and who was told. What is done to it stands
in `monitor_acts.py`, the form that makes and edits one in `monitor_form.py`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.role import Action, Role, may
from app.domain.schedule import describe
from app.domain.snippets import Snippet, snippets, target
from app.domain.uptime import Stretch, Uptime, stretches, uptime
from app.errors import Invalid, NotFound
from app.manage import standing
from app.manage.access import Member, PageRoutes
from app.manage.api.wire import instant, read_before
from app.manage.glance import Glance
from app.manage.pages import durations, timeline
from app.manage.pages.channels import hearer_in_words
from app.manage.pages.check_path import Check, name_of, page_of
from app.manage.pages.frame import HEADERS, render
from app.manage.pages.overview import shown
from app.manage.pages.standing_words import standing as in_words
from app.manage.pages.strip import LOOKS, WORDS
from app.manage.pages.when import When, short
from app.store import accounts, blackouts, checkins, glances, incidents, runs
from app.store.blackouts import Moment
from app.store.glances import MOST_TURNS, Hearer
from app.store.rows import rule_of
from app.store.tables import MonitorRow, RunRow
from app.visitor import SignedIn
from app.web import House, Session, Shared

pages = PageRoutes()

RUNS_PAGE, LOG_PAGE = 50, 50
INCIDENTS = 10
MONTHS = 12
DAYS = (30, 90)
LINE_SHOWN = 60
BODY_SHOWN = 2048  # bytes of a body that stand on the page
RUNS_BACK = timedelta(days=400)
DIGITS = 18  # of a check-in's number; PostgreSQL's bigint holds as many


@pages.get("/projects/{project}/monitors/{check}", Action.SEE)
async def monitor_page(
    request: Request, member: Member, row: Check, visitor: SignedIn, session: Session, house: House
) -> Response:
    """All of it. `days`: 30 or 90; `runs`: only runs before an instant; `log`: only check-ins before the one of this number."""
    moment = await blackouts.moment(session, house.margin)
    when, query = When(moment.now, visitor.zone), request.query_params
    one = Glance({**_columns(row)}, standing.seen(row, moment))
    last = await incidents.transitions(session, member.project, row.id, limit=1)
    newest = (await glances.runs_of(session, member.project, [row.id], moment.now - RUNS_BACK, durations.MOST))[row.id]
    limit = None if row.max_runtime is None else float(row.max_runtime)
    found = await incidents.listed(session, member.project, row.id, None, INCIDENTS + 1)
    return render(
        request, "monitor.html", member=member, live=f"/projects/{member.project}/live", when=when, row=row,
        short=short, body_shown=BODY_SHOWN,
        name=name_of(row), here=page_of(row), state=one.state, tags=one.tags, schedule=_schedule(row),
        sentence=in_words(row, one.seen, last[0] if last else None, newest, when),
        **_told_to((await glances.hearers_of(session, member.project, [row.id]))[row.id]),
        plot=durations.plot(newest, limit), took=durations.told(newest, limit), counted=len(newest),
        incidents=await shown(session, member.project, found[:INCIDENTS], when), more_incidents=len(found) > INCIDENTS,
        badge=f"{house.base_url}/b/2/{row.badge_key}.svg", **await _capability(session, member.role, row, house),
        **await _past(session, row, moment, when, query.get("days", "")),
        **await _runs(session, row, query.get("runs")), **await _log(session, row, house, query.get("log", "")),
    )  # fmt: skip


@pages.get("/projects/{project}/monitors/{check}/log/{n}", Action.SEE)
async def body(n: str, row: Check, session: Session, house: House) -> Response:
    """What came with a check-in, byte for byte, to be kept and never shown as anything but text."""
    kept = await accounts.log_limit(session, row.project_id, house.log_limit)
    if not _is_number(n) or int(n) <= row.heard - kept:
        raise NotFound("not found")
    found = await checkins.body(session, row.project_id, row.id, int(n))
    kind = {"content-type": "text/plain", "content-disposition": f'attachment; filename="ping-{int(n)}.txt"'}
    return Response(found, headers={**HEADERS, **kind})


def _told_to(hearers: Sequence[Hearer]) -> dict[str, Any]:
    """Who is told of it, each with what limits that, and whether anybody is when it goes down."""
    return {
        "hearers": [hearer_in_words(one) for one in hearers],
        "nobody": not any(one.hears != "up" and not one.is_disabled for one in hearers),
    }


def _columns(row: MonitorRow) -> dict[str, Any]:
    return {"id": row.id, "name": row.name, "slug": row.slug, "tags": row.tags}


def _schedule(row: MonitorRow) -> str:
    """In words; of a row that makes no sense, that."""
    try:
        return describe(rule_of(row).schedule)
    except (ValueError, Invalid):
        return "a schedule that cannot be read: edit it"


async def _capability(session: AsyncSession, role: Role, row: MonitorRow, house: Shared) -> dict[str, Any]:
    """Where it is pinged and by what lines, for those who may change it: whoever knows that may say that the job is well."""
    if not may(role, Action.EDIT_MONITORS):
        return {"ping_url": "", "ping_email": "", "snippets": ()}
    mail = f"{row.id}@{house.ping_email_domain}" if house.ping_email_domain else ""
    return {
        "ping_url": f"{house.base_url}/ping/{row.id}", "ping_email": mail, "snippets": await _snippets(session, row, house),
    }  # fmt: skip


async def _snippets(session: AsyncSession, row: MonitorRow, house: Shared) -> Sequence[Snippet]:
    """Lines to copy; none for a row whose schedule makes no sense."""
    key = (await accounts.project(session, row.project_id)).ping_key
    try:
        return snippets(target(house.base_url, row.id, key, row.slug, row.name, rule_of(row).schedule))
    except (ValueError, Invalid):
        return ()


async def _past(session: AsyncSession, row: MonitorRow, moment: Moment, when: When, asked: str) -> dict[str, Any]:
    """Its days, 30 or 90 of them, and its months."""
    count = DAYS[0] if asked == str(DAYS[0]) else DAYS[1]
    since = max(row.created_at, when.first_days(MONTHS)[0])
    turns = (await glances.turns_of(session, row.project_id, [row.id], since))[row.id]
    if len(turns) == MOST_TURNS:  # what was before is not known
        since = max(since, turns[0].at)
    life, deaf = stretches(turns, row.status, since, moment.now), moment.horizon.blackouts
    days = timeline.days(life, deaf, when, count)
    months = [month for month in timeline.months(life, deaf, when, MONTHS) if month.up.counted]
    return {
        "days": timeline.timeline(days), "day_count": count, "day_choices": DAYS, "began": days[0].start,
        "bad_days": [day for day in reversed(days) if day.up.down], "months": months[::-1],
        "uptime": _uptime(life, days[0].start, moment),
    }  # fmt: skip


def _uptime(life: Sequence[Stretch], since: datetime, moment: Moment) -> Uptime:
    """Of the days that are shown, together."""
    cut = [Stretch(s.status, max(s.start, since), s.end) for s in life if s.end > since]
    return uptime(cut, moment.horizon.blackouts)


async def _runs(session: AsyncSession, row: MonitorRow, before: str | None) -> dict[str, Any]:
    """A page of its runs, newest first."""
    found = await runs.listed(session, row.project_id, row.id, read_before(before), RUNS_PAGE + 1)
    older = urlencode({"runs": instant(found[RUNS_PAGE - 1].at)}) if len(found) > RUNS_PAGE else ""
    return {"runs": [_run(run) for run in found[:RUNS_PAGE]], "older_runs": older, "newest_runs": before is None}


def _run(run: RunRow) -> dict[str, Any]:
    took = (run.ended_at - run.started_at).total_seconds() if run.started_at and run.ended_at else None
    return {
        "at": run.started_at or run.ended_at or run.slot or run.at, "slot": run.slot, "took": took, "outcome": run.outcome,
        "look": LOOKS.get(run.outcome, "other"), "word": WORDS.get(run.outcome, "ended otherwise"),
        "count": run.count, "cause": run.cause or "", "id": run.run_id or "", "attempt": run.attempt,
        "mark": f"{run.key}-{run.at.timestamp():.0f}",
    }  # fmt: skip


async def _log(session: AsyncSession, row: MonitorRow, house: Shared, before: str) -> dict[str, Any]:
    """A page of what was heard, newest first, no more than the plan shows."""
    kept = await accounts.log_limit(session, row.project_id, house.log_limit)
    below = int(before) if _is_number(before) else row.heard + 1
    first = max(row.heard - kept, 0)
    found = await checkins.excerpts(session, row.project_id, row.id, (first, below), LOG_PAGE + 1, BODY_SHOWN)
    older = f"log={found[LOG_PAGE - 1]['n']}" if len(found) > LOG_PAGE else ""
    texts = [(ping["excerpt"] or b"").decode(errors="replace") for ping in found[:LOG_PAGE]]
    pings = [{**ping, "text": text, "first": _first_line(text)} for ping, text in zip(found, texts, strict=False)]
    return {"log": pings, "older_log": older, "newest_log": not _is_number(before), "kept": kept}


def _first_line(text: str) -> str:
    """What there is to see before a body is opened."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= LINE_SHOWN else f"{line[:LINE_SHOWN]}…"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= DIGITS
