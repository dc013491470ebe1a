"""What a check said and went through: pings with their bodies, flips, transitions, runs, incidents. All of it is only read."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from app.domain.evidence import explain
from app.errors import NotFound
from app.manage.api.check_shape import second
from app.manage.api.checks import find
from app.manage.api.described.history import Flips, Pings, Runs, Transitions
from app.manage.api.described.incidents import Incidents
from app.manage.api.incidents import shape as incident_shape
from app.manage.api.wire import PAGE, Before, CheckId, CheckKey, Version, id_of, instant, read_before
from app.store import accounts, checkins, incidents, monitors, runs
from app.store.tables import RunRow, TransitionRow
from app.web import Caller, House, Now, Session, Writer

routes = APIRouter(tags=["checks"])

MOST_FLIPS, MOST_PINGS = 10_000, 1000
LAST_SECOND = 253_402_300_799  # of the year 9999
YEAR = 31_536_000
WRITTEN = {"ignored": "ign"}  # our word -> Healthchecks'
A_BODY: dict[int | str, dict[str, Any]] = {
    200: {"description": "The body", "content": {"text/plain": {"schema": {"type": "string", "format": "binary"}}}}
}
DIGITS = 18  # of a ping's number; PostgreSQL's bigint holds as many

Unix = Annotated[int | None, Query(description="Unix time", ge=0, le=LAST_SECOND)]


@routes.get("/checks/{check}/pings", response_model=Pings)
async def list_pings(check: CheckId, caller: Writer, session: Session, house: House, version: Version) -> JSONResponse:
    """The newest pings, newest first."""
    row = await monitors.get(session, caller.project, id_of(check))
    shown = await accounts.log_limit(session, caller.project, house.log_limit)
    heard = await checkins.listed(session, caller.project, row.id, min(shown, MOST_PINGS))
    own = f"{house.base_url}/api/v{version}/checks/{row.id}/pings"
    return JSONResponse({"pings": [_ping(ping, own) for ping in heard]})


@routes.get("/checks/{check}/pings/{n}/body", response_class=Response, responses=A_BODY)
async def get_ping_body(check: CheckId, n: str, caller: Writer, session: Session, house: House) -> Response:
    """What came with a ping, byte for byte."""
    row = await monitors.get(session, caller.project, id_of(check))
    shown = await accounts.log_limit(session, caller.project, house.log_limit)
    if not (n.isascii() and n.isdigit() and len(n) <= DIGITS) or int(n) <= row.heard - shown:
        raise NotFound("not found")
    body = await checkins.body(session, caller.project, row.id, int(n))
    headers = {"content-type": "text/plain", "content-disposition": f'attachment; filename="ping-{int(n)}.txt"'}
    return Response(body, headers=headers)


@routes.get("/checks/{check}/flips", response_model=Flips)
async def list_flips(
    check: CheckKey,
    caller: Caller,
    session: Session,
    now: Now,
    seconds: Annotated[int | None, Query(description="Only of the last so many seconds", ge=0, le=YEAR)] = None,
    start: Unix = None,
    end: Unix = None,
) -> JSONResponse:
    """When it turned up (1) or anything else (0), newest first."""
    row = await find(session, caller, check)
    limits = [now - timedelta(seconds=seconds)] if seconds else []
    limits += [datetime.fromtimestamp(start, UTC)] if start else []
    before = datetime.fromtimestamp(end, UTC) if end else None
    turned = await incidents.transitions(session, caller.project, row.id, max(limits, default=None), before, MOST_FLIPS)
    return JSONResponse({"flips": [{"timestamp": second(t.at), "up": int(t.to_status == "up")} for t in turned]})


@routes.get("/checks/{check}/transitions", response_model=Transitions)
async def list_transitions(check: CheckKey, caller: Caller, session: Session, before: Before = None) -> JSONResponse:
    """Every turning of its status with its reason, newest first, 100 at a time."""
    row = await find(session, caller, check)
    turned = await incidents.transitions(session, caller.project, row.id, before=read_before(before), limit=PAGE)
    return JSONResponse({"transitions": [_transition(t, caller.may_write) for t in turned]})


@routes.get("/checks/{check}/runs", response_model=Runs)
async def list_runs(check: CheckKey, caller: Caller, session: Session, before: Before = None) -> JSONResponse:
    """Its executions, and the slots nobody was heard in, newest first, 100 at a time."""
    row = await find(session, caller, check)
    found = await runs.listed(session, caller.project, row.id, read_before(before), PAGE)
    return JSONResponse({"runs": [_run(run) for run in found]})


@routes.get("/checks/{check}/incidents", response_model=Incidents)
async def list_check_incidents(check: CheckKey, caller: Caller, session: Session, before: Before = None) -> JSONResponse:
    """Its incidents, newest first, 100 at a time."""
    row = await find(session, caller, check)
    found = await incidents.listed(session, caller.project, row.id, read_before(before), PAGE)
    return JSONResponse({"incidents": [incident_shape(incident, caller.may_write) for incident in found]})


def _ping(ping: dict[str, Any], own: str) -> dict[str, Any]:
    shown = {
        "type": WRITTEN.get(ping["signal"], ping["signal"]), "date": instant(ping["received_at"]), "n": ping["n"],
        "scheme": ping["scheme"], "remote_addr": ping["remote_addr"], "method": ping["method"], "ua": ping["user_agent"],
        "rid": ping["run_id"], "exitstatus": ping["exit_status"],
        "body_url": f"{own}/{ping['n']}/body" if ping["body_size"] else None, "body_truncated": ping["body_truncated"],
    }  # fmt: skip
    if ping["reported_at"] is not None:
        shown["reported_at"] = instant(ping["reported_at"])
    return shown if ping["duration"] is None else {**shown, "duration": round(ping["duration"], 2)}


def _transition(t: TransitionRow, may_write: bool) -> dict[str, Any]:
    shown = {
        "n": t.n, "from": t.from_status, "to": t.to_status, "at": instant(t.at), "noticed_at": instant(t.noticed_at),
        "reason": t.reason, "explain": explain(t.evidence),
    }  # fmt: skip
    return {**shown, "announced_to": [str(channel) for channel in t.announced_to]} if may_write else shown


def _run(run: RunRow) -> dict[str, Any]:
    took = (run.ended_at - run.started_at).total_seconds() if run.started_at and run.ended_at else None
    return {
        "id": run.run_id, "attempt": run.attempt, "outcome": run.outcome, "at": instant(run.at), "slot": instant(run.slot),
        "last_slot": instant(run.last_slot), "count": run.count, "started_at": instant(run.started_at),
        "ended_at": instant(run.ended_at), "duration": took, "cause": run.cause,
    }  # fmt: skip
