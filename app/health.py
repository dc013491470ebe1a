"""Is it alive, is it ready, is it well, what does it count: /livez, /readyz, /healthz/deep, /metrics."""

import hmac
import ipaddress
import os
from collections.abc import Callable, Mapping
from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy.exc import SQLAlchemyError

from app.deep import found, look
from app.domain.fitness import Vitals
from app.errors import NotFound
from app.store import blackouts, counts, vitals
from app.web import House, shared

BEAT_FRESH_FOR = timedelta(seconds=10)


def health_routes(accepting: Callable[[], bool], metrics_token: str) -> APIRouter:
    """The routes; `accepting` says whether this process takes pings."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/livez", methods=["GET", "HEAD"])
    async def livez() -> PlainTextResponse:
        return PlainTextResponse("alive")

    @router.api_route("/readyz", methods=["GET", "HEAD"])
    async def readyz(request: Request) -> JSONResponse:
        missing = [] if accepting() else ["pings are not accepted: the database does not take our ticks"]
        try:
            async with shared(request).sessions() as session:
                missing += _not_beating(await blackouts.beats(session))
        except (SQLAlchemyError, OSError, TimeoutError):
            missing.append("the database cannot be reached")
        return JSONResponse({"ready": not missing, "missing": missing}, 503 if missing else 200)

    @router.get("/healthz/deep")
    async def deep(request: Request, house: House) -> JSONResponse:
        _may_read_metrics(request, metrics_token)
        said = await look(house.sessions, house.margin)
        return JSONResponse(said, 200 if said["healthy"] else 503)

    @router.get("/metrics")
    async def metrics(request: Request, house: House) -> Response:
        _may_read_metrics(request, metrics_token)
        async with house.sessions() as session:
            lines = _lines(await vitals.read(session, house.margin), await counts.read(session))
        return Response(lines.encode() + _counted(), media_type=CONTENT_TYPE_LATEST)

    return router


def _not_beating(beats: dict[str, timedelta]) -> list[str]:
    missing = []
    for name, done in (("sweep", "swept"), ("deliver", "delivered")):
        age = beats.get(name)
        if age is None:
            missing.append(f"nothing has ever {done}: is a worker running?")
        elif age > BEAT_FRESH_FOR:
            missing.append(f"nothing has {done} for {age.total_seconds():.0f} s")
    return missing


def _may_read_metrics(request: Request, token: str) -> None:
    """With a token set only its bearer, else only this machine itself. Raises NotFound."""
    if token:
        given = request.headers.get("authorization", "").encode()
        allowed = hmac.compare_digest(given, f"Bearer {token}".encode())
    else:
        allowed = _is_loopback(request.client.host if request.client else "") and "x-forwarded-for" not in request.headers
    if not allowed:
        raise NotFound("not found")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _counted() -> bytes:
    """The counters of this process, or of all processes that `serve` started."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _lines(read: Vitals, counted: Mapping[str, Mapping[str, int]]) -> str:
    gauges = {
        "missedbeat_sweep_lag_seconds": ("Age of the oldest passed deadline that nobody has judged.", read.sweep_lag),
        "missedbeat_sweep_age_seconds": ("Time since the last sweep ended.", read.sweep_age),
        "missedbeat_deliver_age_seconds": ("Time since a sender last looked for what is due.", read.deliver_age),
        "missedbeat_oldest_delivery_seconds": ("Age of the oldest delivery that waits to be sent.", read.oldest_delivery),
        "missedbeat_stuck_delivery_seconds": ("How long a delivery is due to a channel nobody sends to.", read.stuck_delivery),
        "missedbeat_horizon_lag_seconds": ("How far the horizon, up to which silence is judged, lies back.", read.horizon_lag),
        "missedbeat_canary_age_seconds": (
            "Time since a check-in of our own came through the public address, or the first did not; -1 while none is sent.",
            read.canary_age,
        ),
        "missedbeat_clock_set_back_seconds": (
            "How far the database's clock is behind its own newest tick; time stands still until it is there again.",
            read.set_back,
        ),
        "missedbeat_held_seconds": ("How far verdicts are held back by the breaker for mass silence.", read.held),
        "missedbeat_blackout_seconds_day": ("Time of the last 24 hours in which we could not hear.", read.deaf_today),
        "missedbeat_partition_days_ahead": ("Days of check-ins whose partition exists; red below 3.", read.days_ahead),
        "missedbeat_monitors_set_aside_now": ("Monitors that cannot be judged and are set aside.", read.set_aside),
        "missedbeat_audit_age_seconds": ("Time since every audit was asked.", read.audit_age),
        "missedbeat_notices_untold": ("Notices that the operator has not been told yet.", read.untold),
    }
    lines = []
    for name, (words, value) in gauges.items():
        lines += [f"# HELP {name} {words}", f"# TYPE {name} gauge", f"{name} {value}"]
    for name, words, label, values in (
        ("missedbeat_deliveries", "Deliveries kept, by state; settled ones as counted last.", "state", counted["deliveries"]),
        ("missedbeat_monitors", "Monitors, by stored status; all but down as counted last.", "status", counted["monitors"]),
        ("missedbeat_audit_findings", "What must never be in the tables, by audit; 0 where all is well.", "audit", found(read)),
    ):
        lines += [f"# HELP {name} {words}", f"# TYPE {name} gauge"]
        lines += [f'{name}{{{label}="{value}"}} {count}' for value, count in sorted(values.items())]
    return "\n".join(lines) + "\n"
