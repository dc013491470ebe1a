"""The checks of a project in a table, the worst first: filtered, by pages, paused many at once."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.role import Action
from app.domain.state import Status
from app.domain.uptime import stretches, uptime
from app.manage import actions, glance
from app.manage.access import Member, PageRoutes
from app.manage.acting import Person
from app.manage.api.wire import ID, id_of
from app.manage.glance import KINDS, ORDER, Glance, Wanted
from app.manage.pages.day import MOST_RUNS, axis, day
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, render
from app.manage.pages.overview import first_ping
from app.manage.pages.strip import MOST, strip
from app.manage.pages.when import When, short
from app.store import blackouts, channels, glances, monitors
from app.store.blackouts import Moment
from app.store.glances import Hearer, RunGlance
from app.visitor import SignedIn
from app.web import House, Session

pages = PageRoutes()

PAGE = 50
LONGEST = 200
UPTIME_OVER = timedelta(days=30)
RUNS_BACK = timedelta(days=400)  # they are kept for 13 months
KIND_WORDS = {
    "every": "Period",
    "cron": "Cron",
    "oncalendar": "OnCalendar",
    "crontab": "Crontab of a scheduler",
    "declared": "Declared",
}


@pages.get("/projects/{project}/monitors", Action.SEE)
async def monitors_page(request: Request, member: Member, visitor: SignedIn, session: Session, house: House) -> Response:
    """Those that are looked for, fifty at a time. `after` names the last one of the page before."""
    query = {name: " ".join(request.query_params.get(name, "").split())[:LONGEST] for name in ("words", "tag", "kind", "state")}
    wanted, moment = Wanted(**query), await blackouts.moment(session, house.margin)
    when = When(moment.now, visitor.zone)
    everything = await glance.of_project(session, member.project, moment)
    channel = request.query_params.get("channel", "")
    heard = await channels.heard_of(session, member.project, id_of(channel)) if ID.fullmatch(channel) else None
    found = [one for one in everything if wanted.fits(one) and (heard is None or one.id in heard)]
    page, is_last = _page(found, request.query_params.get("after", ""))
    by_day = request.query_params.get("view") == "day"
    kept = {name: value for name, value in query.items() if value} | ({"view": "day"} if by_day else {})
    kept |= {"channel": channel} if heard is not None else {}
    counted = glance.counts(everything)
    start, hours = axis(when)
    rows = await (_days(session, member.project, page, start, moment) if by_day else _rows(session, member.project, page, moment))
    return render(
        request, "day.html" if by_day else "monitors.html", member=member, live=f"/projects/{member.project}/live", when=when,
        wanted=wanted, total=len(everything), found=len(found), counted=counted, down=counted.get("down", 0), states=ORDER,
        sentence=glance.sentence(glance.counts(found)), tags=glance.tags(everything), kinds=_kinds(everything),
        rows=rows, hours=hours, by_day=by_day, query={k: v for k, v in kept.items() if k != "view"},
        next_page="" if is_last else urlencode(kept | {"after": page[-1].row["unique_key"]}),
        base_url=house.base_url, **(await first_ping(session, member) if not everything else {}),
    )  # fmt: skip


@pages.post("/projects/{project}/monitors/pause", Action.EDIT_MONITORS)
async def pause(request: Request, form: Sent, member: Member, actor: Person, session: Session, house: House) -> Response:
    """Expect nothing of those that were chosen."""
    for monitor in await _chosen(session, member.project, form):
        await actions.pause(session, member.project, monitor, house.margin, actor)
    return go_to(request, f"/projects/{member.project}/monitors")


@pages.post("/projects/{project}/monitors/resume", Action.EDIT_MONITORS)
async def resume(request: Request, form: Sent, member: Member, actor: Person, session: Session, house: House) -> Response:
    """Those of them that are paused are new again."""
    for monitor in await _chosen(session, member.project, form, Status.PAUSED):
        await actions.resume(session, member.project, monitor, house.margin, actor)
    return go_to(request, f"/projects/{member.project}/monitors")


async def _chosen(session: AsyncSession, project: UUID, form: Form, status: Status | None = None) -> list[UUID]:
    """The monitors whose boxes were ticked, in the order in which rows are locked; those that are not there are left out."""
    wanted = [id_of(text) for text in form.several("monitor")[:PAGE]]
    there = await monitors.statuses(session, project, wanted)
    return [monitor for monitor in sorted(there) if status in (None, there[monitor])]


def _page(found: Sequence[Glance], after: str) -> tuple[list[Glance], bool]:
    """Fifty from behind the one of this key on, and whether they are the last."""
    start = next((n + 1 for n, one in enumerate(found) if after and one.row["unique_key"] == after), 0)
    page = list(islice(found, start, start + PAGE))
    return page, start + PAGE >= len(found)


def _kinds(found: Sequence[Glance]) -> dict[str, str]:
    """The kinds of schedule that there are, in words; none where all are of one."""
    there = {one.row["kind"] for one in found}
    return {kind: KIND_WORDS[kind] for kind in KINDS if kind in there} if len(there) > 1 else {}


async def _rows(session: AsyncSession, project: UUID, page: Sequence[Glance], moment: Moment) -> list[dict[str, Any]]:
    """What the table shows of these."""
    ids, since = [one.id for one in page], moment.now - UPTIME_OVER
    runs = await glances.runs_of(session, project, ids, moment.now - RUNS_BACK, MOST)
    turns = await glances.turns_of(session, project, ids, since)
    hearers = await glances.hearers_of(session, project, ids)
    rows = []
    for one in page:
        start = max(since, one.row["created_at"])
        up = uptime(stretches(turns[one.id], one.row["status"], start, moment.now), moment.horizon.blackouts)
        rows.append(_row(one, runs[one.id], hearers[one.id]) | {
            "uptime": up.in_words, "counted": short(up.counted) if up.counted else "",
        })  # fmt: skip
    return rows


async def _days(
    session: AsyncSession, project: UUID, page: Sequence[Glance], start: datetime, moment: Moment
) -> list[dict[str, Any]]:
    """What the axis shows of these."""
    runs = await glances.runs_of(session, project, [one.id for one in page], start, MOST_RUNS)
    return [
        {"id": one.id, "name": one.name, "state": one.state, "day": day(one, runs[one.id], start, moment.now)} for one in page
    ]


def _row(one: Glance, runs: Sequence[RunGlance], hearers: Sequence[Hearer]) -> dict[str, Any]:
    took = [run.seconds for run in runs if run.seconds is not None]
    ears = [one.name or one.kind for one in hearers if one.hears != "up" and not one.is_disabled]
    heard = [at for at in (one.row["last_end_at"], one.row["last_start_at"]) if at is not None]
    return {
        "id": one.id, "name": one.name, "tags": one.tags, "state": one.state, "strip": strip(runs),
        "took": short(took[-1] if took else None), "p95": short(_p95(took)) if took else "", "heard_at": max(heard, default=None),
        "next_at": one.seen.due, "hearers": ears,
    }  # fmt: skip


def _p95(took: Sequence[float]) -> float | None:
    """The duration that 95 of 100 of these stay within."""
    return sorted(took)[max(0, -(-len(took) * 95 // 100) - 1)] if took else None
