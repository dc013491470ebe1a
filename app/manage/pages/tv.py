"""A page for a screen on the wall: how all checks stand, those that want to be looked at first, large."""

from fastapi import Request, Response

from app.domain.role import Action
from app.manage import glance
from app.manage.access import Member, PageRoutes
from app.manage.glance import Glance
from app.manage.pages.frame import render
from app.manage.pages.when import When
from app.store import blackouts
from app.visitor import SignedIn
from app.web import House, Session

pages = PageRoutes()

MOST = 120


@pages.get("/projects/{project}/tv", Action.SEE)
async def tv(request: Request, member: Member, visitor: SignedIn, session: Session, house: House) -> Response:
    """A tile for each check, the worst first."""
    moment = await blackouts.moment(session, house.margin)
    found = await glance.of_project(session, member.project, moment)
    counted = glance.counts(found)
    return render(
        request, "tv.html", member=member, live=f"/projects/{member.project}/live", when=When(moment.now, visitor.zone),
        counted=counted, down=counted.get("down", 0), more=max(0, len(found) - MOST), tiles=[_tile(one) for one in found[:MOST]],
    )  # fmt: skip


def _tile(one: Glance) -> dict[str, object]:
    """`since`: when it went down, was due or began to run."""
    since = {"down": one.row["down_since"], "late": one.seen.due, "running": one.row["last_start_at"]}
    return {"id": one.id, "name": one.name, "state": one.state, "since": since.get(one.state)}
