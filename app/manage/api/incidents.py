"""Incidents: trouble from open to close, why it opened, and who was told; and single deliveries."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse

from app.domain.evidence import explain
from app.domain.tokens import unique_key
from app.manage.acting import Program
from app.manage.api.delivery_shape import shape as delivery_shape
from app.manage.api.described.incidents import Deliveries, Delivery, Explained, Incident, Incidents
from app.manage.api.wire import EXAMPLE_ID, PAGE, Before, IncidentId, id_of, instant, read_before
from app.store import channels, incidents
from app.store.tables import IncidentRow
from app.web import Caller, Now, Session, Writer

routes = APIRouter(tags=["incidents"])


@routes.get("/incidents", response_model=Incidents)
async def list_incidents(caller: Caller, session: Session, before: Before = None) -> JSONResponse:
    """The project's incidents, newest first, 100 at a time."""
    found = await incidents.listed(session, caller.project, None, read_before(before), PAGE)
    return JSONResponse({"incidents": [shape(row, caller.may_write) for row in found]})


@routes.get("/incidents/{incident}", response_model=Incident)
async def get_incident(incident: IncidentId, caller: Caller, session: Session) -> JSONResponse:
    """One incident."""
    return JSONResponse(shape(await incidents.get(session, caller.project, id_of(incident)), caller.may_write))


@routes.get("/incidents/{incident}/explain", response_model=Explained)
async def explain_incident(incident: IncidentId, caller: Caller, session: Session) -> JSONResponse:
    """Why it opened: one sentence, and everything the verdict was decided from."""
    row = await incidents.get(session, caller.project, id_of(incident))
    return JSONResponse({"incident": shape(row, caller.may_write), "explain": explain(row.evidence), "evidence": row.evidence})


@routes.get("/incidents/{incident}/deliveries", response_model=Deliveries)
async def list_incident_deliveries(incident: IncidentId, caller: Writer, session: Session) -> JSONResponse:
    """Whom it was told to and how that went, oldest first."""
    row = await incidents.get(session, caller.project, id_of(incident))
    sent = await channels.of_incident(session, caller.project, row.id)
    return JSONResponse({"deliveries": [delivery_shape(one) for one in sent]})


@routes.post("/incidents/{incident}/acknowledge", response_model=Incident)
async def acknowledge_incident(incident: IncidentId, caller: Writer, actor: Program, session: Session, now: Now) -> JSONResponse:
    """Somebody has seen it, and others see who and when. The first time counts."""
    row = await incidents.get(session, caller.project, id_of(incident))
    await incidents.acknowledge(session, caller.project, row.id, now, actor.words)
    return JSONResponse(shape(await incidents.get(session, caller.project, row.id), may_write=True))


@routes.get("/deliveries/{delivery}", response_model=Delivery)
async def get_delivery(
    delivery: Annotated[str, Path(description="The delivery's id", examples=[EXAMPLE_ID])], caller: Writer, session: Session
) -> JSONResponse:
    """One message to one channel, with every attempt."""
    return JSONResponse(delivery_shape(await channels.delivery(session, caller.project, id_of(delivery))))


def shape(row: IncidentRow, may_write: bool) -> dict[str, Any]:
    """An incident as the API shows it; a read-only key is told the check's unique_key in place of its id."""
    shown = {"check": str(row.monitor_id)} if may_write else {"check_unique_key": unique_key(row.monitor_id)}
    return {
        "id": str(row.id), **shown, "name": row.monitor_name, "reason": row.reason, "explain": explain(row.evidence),
        "opened_at": instant(row.opened_at), "closed_at": instant(row.closed_at), "closed_by": row.closed_by,
        "acknowledged_at": instant(row.acknowledged_at), "fine_until": instant(row.fine_until),
    }  # fmt: skip
