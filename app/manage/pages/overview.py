"""The overview of a project: what is down, since when, and who was told; and what was, lately."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.evidence import explain
from app.domain.horizon import Blackout
from app.domain.role import Action, may
from app.manage import glance
from app.manage.access import Member, PageRoutes
from app.manage.pages.frame import render
from app.manage.pages.told import Told, told
from app.manage.pages.when import When, short
from app.store import accounts, blackouts, channels, incidents
from app.store.tables import IncidentRow
from app.visitor import SignedIn
from app.web import House, Session

pages = PageRoutes()

MOST_OPEN = 25
LATELY = 8
FALSE_ALARM = "false alarm"
DEAF_SHOWN = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Shown:
    """An incident as people read it. `lasted`: for how long, until now where it is open, or that it was none."""

    row: IncidentRow
    words: str
    lasted: str
    deliveries: Sequence[Told] = ()

    @property
    def name(self) -> str:
        """The monitor's, as it was called when the incident opened."""
        return self.row.monitor_name or f"check {str(self.row.monitor_id)[:8]}"


@pages.get("/projects/{project}", Action.SEE)
async def overview(request: Request, member: Member, visitor: SignedIn, session: Session, house: House) -> Response:
    """What is down now, and what was lately."""
    moment = await blackouts.moment(session, house.margin)
    counted = glance.counts(await glance.of_project(session, member.project, moment))
    when = When(moment.now, visitor.zone)
    given = await first_ping(session, member) if not counted else await _incidents(session, member.project, when)
    deaf = [b for b in moment.horizon.blackouts if b.end > moment.now - DEAF_SHOWN]
    return render(
        request, "overview.html", member=member, live=f"/projects/{member.project}/live", when=when, counted=counted,
        down=counted.get("down", 0), deaf=_worst(deaf), base_url=house.base_url, **given,
    )  # fmt: skip


async def first_ping(session: AsyncSession, member: Member) -> dict[str, Any]:
    """What a page without checks shows: the ping key, to those who may make one."""
    row = await accounts.project(session, member.project)
    return {"ping_key": row.ping_key if may(member.role, Action.EDIT_MONITORS) else None}


async def shown(session: AsyncSession, project: UUID, rows: Sequence[IncidentRow], when: When) -> list[Shown]:
    """These incidents as people read them, each with who was told."""
    sent = await channels.of_incidents(session, project, [row.id for row in rows])
    return [Shown(row, explain(row.evidence, when.zone), lasted(row, when), told(sent[row.id])) for row in rows]


def lasted(row: IncidentRow, when: When) -> str:
    """For how long something was down, or has been until now, as far as late news left that true."""
    if row.closed_by == "withdrawn":
        return FALSE_ALARM
    return short((row.closed_at or when.now) - (row.fine_until or row.opened_at))


async def _incidents(session: AsyncSession, project: UUID, when: When) -> dict[str, Any]:
    """Those that are open, and the last that were."""
    found = await incidents.open_ones(session, project, MOST_OPEN)
    count = await incidents.count_open(session, project) if len(found) == MOST_OPEN else len(found)
    closed = await incidents.closed_lately(session, project, LATELY)
    return {
        "open": await shown(session, project, found, when), "more": count if count > len(found) else 0,
        "lately": [Shown(row, explain(row.evidence, when.zone), lasted(row, when)) for row in closed],
    }  # fmt: skip


def _worst(deaf: Sequence[Blackout]) -> list[Blackout]:
    """The longest three, in order."""
    return sorted(sorted(deaf, key=lambda b: b.end - b.start)[-3:], key=lambda b: b.start)
