"""One incident: what happened when, who was told and what they answered, and why it opened."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from fastapi import Request, Response

from app.domain.evidence import explain
from app.domain.role import Action
from app.manage.access import Member, PageRoutes
from app.manage.acting import Person
from app.manage.api.wire import id_of
from app.manage.pages.frame import go_to, ours, render
from app.manage.pages.overview import Shown, lasted
from app.manage.pages.told import Step, attempts, told
from app.manage.pages.when import When, short
from app.manage.pages.why import why
from app.store import blackouts, channels, incidents, monitors
from app.store.channels import Sent
from app.store.memberships import Membership
from app.store.tables import IncidentRow
from app.visitor import SignedIn
from app.web import Now, Session, shared

pages = PageRoutes()

NOTICED_LATE = timedelta(seconds=10)  # sooner is as promised
CLOSED = {
    "heard": "It was heard again", "paused": "It was paused", "deleted": "The check was deleted",
    "withdrawn": "Withdrawn: it was a false alarm, and the news of that came late",
}  # fmt: skip


@pages.get("/projects/{project}/incidents/{incident}", Action.SEE)
async def incident_page(request: Request, incident: str, member: Member, visitor: SignedIn, session: Session) -> Response:
    """All that is known of it."""
    row = await incidents.get(session, member.project, id_of(incident))
    sent = await channels.of_incident(session, member.project, row.id)
    when = When(await blackouts.now(session), visitor.zone)
    noticed = await incidents.noticed(session, row)
    return render(
        request, "incident.html", member=member, live=f"/projects/{member.project}/live", when=when,
        down=await incidents.count_open(session, member.project),
        one=Shown(row, explain(row.evidence, when.zone), lasted(row, when), told(sent)),
        steps=_steps(row, sent, noticed), facts=why(row.evidence, when),
        is_there=bool(await monitors.statuses(session, member.project, [row.monitor_id])),
    )  # fmt: skip


@pages.post("/projects/{project}/incidents/{incident}/acknowledge", Action.EDIT_MONITORS)
async def acknowledge(request: Request, incident: str, member: Member, actor: Person, session: Session, now: Now) -> Response:
    """Somebody has seen it; the first time counts. Back to the page with the button."""
    row = await incidents.get(session, member.project, id_of(incident))
    await incidents.acknowledge(session, member.project, row.id, now, actor.words)
    return go_to(request, _came_from(request, member) or f"/projects/{member.project}/incidents/{row.id}")


def _came_from(request: Request, member: Membership) -> str:
    """The page of this project on which the button stood; empty where that is not known."""
    try:
        given = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return ""
    path, mine = ours(given.path.removeprefix(shared(request).prefix)), f"/projects/{member.project}"
    if path != mine and not path.startswith(f"{mine}/"):
        return ""
    return f"{path}?{given.query}" if given.query and len(given.query) < 500 else path


def _steps(row: IncidentRow, sent: Sequence[Sent], noticed: datetime | None) -> list[Step]:
    """What happened, oldest first."""
    late = noticed - row.opened_at if noticed is not None else timedelta()
    steps = [Step(row.opened_at, "down", "It went down", f"Noticed {short(late)} later." if late >= NOTICED_LATE else "")]
    for one in sent:
        steps += attempts(one)
    if row.acknowledged_at is not None:
        by = f" by {row.acknowledged_by}" if row.acknowledged_by else ""
        steps.append(Step(row.acknowledged_at, "seen", f"Seen{by}"))
    if row.fine_until is not None and row.closed_by != "withdrawn":
        steps.append(Step(row.fine_until, "up", "Until then all had been well", "The news of that came late."))
    if row.closed_at is not None:
        words = CLOSED.get(row.closed_by or "", f"It closed: {row.closed_by}")
        steps.append(Step(row.closed_at, "up" if row.closed_by in ("heard", "withdrawn") else "closed", words))
    return sorted(steps, key=lambda step: step.at)
