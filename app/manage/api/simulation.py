"""What other settings of a check would have alerted, and when they would expect it next. Nothing is changed."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from app.domain.coming import Coming
from app.domain.evidence import explain
from app.domain.replay import Alert
from app.manage.api.check_given import read_check
from app.manage.api.checks import find
from app.manage.api.described import body
from app.manage.api.described.simulation import EXAMPLE, SimulateBody, Simulation
from app.manage.api.wire import CheckKey, instant
from app.manage.foresight import foreseen, past_of, replay
from app.store import blackouts
from app.store.rows import rule_of
from app.web import Given, House, caller_of, transaction

routes = APIRouter(tags=["checks"])


@routes.post("/checks/{check}/simulate", response_model=Simulation, openapi_extra=body(SimulateBody, EXAMPLE))
async def simulate_check(check: CheckKey, request: Request, house: House, given: Given) -> JSONResponse:
    """What these settings would have alerted in the last 30 days of its real check-ins, and when they expect it next. No database
    connection is held while that is found out."""
    async with transaction(house) as session:
        caller = await caller_of(request, session, given)
        row = await find(session, caller, check)
        moment = await blackouts.moment(session, house.margin)
        wanted = read_check(given, house.min_period)
        rule, zone = wanted.rule_after(rule_of(row), row.zone, moment.now), wanted.zone or row.zone
        past = await past_of(session, caller.project, row.id, moment)
    ahead = foreseen(rule, zone, moment.now)
    lived = await replay(rule, past, house.replays)
    return JSONResponse({
        "from": instant(lived.since), "to": instant(lived.until), "check_ins": lived.heard,
        "alerts": [_alert(alert) for alert in reversed(lived.alerts)], "alert_count": lived.count,
        "words": ahead.words, "next": [one.local.isoformat() for one in ahead.coming],
        "notes": [*(_noted(one) for one in ahead.coming if one.note), *lived.notes],
    })  # fmt: skip


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "down_at": instant(alert.down.at), "up_at": instant(alert.over.at) if alert.over is not None else None,
        "reason": str(alert.down.reason), "explain": explain(alert.down.evidence),
    }  # fmt: skip


def _noted(one: Coming) -> str:
    return f"{one.local:%Y-%m-%d %H:%M}: {one.note}."
