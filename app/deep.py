"""/healthz/deep: every figure by which we judge ourselves, what is wrong in words, and what to do."""

import platform
from dataclasses import asdict
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app.clock import utc_now
from app.domain.fitness import Complaint, Vitals, clock_complaint, complaints
from app.store import blackouts, vitals
from app.store.engine import Sessions
from app.store.revision import head
from app.store.vitals import Server, Ticking


async def look(sessions: Sessions, margin: timedelta) -> dict[str, Any]:
    """What /healthz/deep answers; `healthy` is False where anything is wrong. Never raises for a database that is away."""
    versions = {"missedbeat": version("missedbeat-server"), "python": platform.python_version()}
    try:
        async with sessions() as session:
            before = utc_now()
            server = await vitals.server(session)
            difference = (server.clock - before - (utc_now() - before) / 2).total_seconds()
            read = await vitals.read(session, margin)
            ticking = await vitals.ticking(session, await blackouts.now(session))
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        words = f"the database cannot be asked: {type(error).__name__}"
        wrong = Complaint("database", words, "Is it running and reachable? See: missedbeat-server doctor", grave=True)
        return {"healthy": False, "wrong": [asdict(wrong)], "versions": versions}
    wrong_now = [*complaints(read), *clock_complaint(difference), *_schema(server)]
    return {
        "healthy": not wrong_now,
        "wrong": [asdict(complaint) for complaint in wrong_now],
        **_figures(read, ticking),
        "clock_difference_seconds": round(difference, 3),
        "schema": {"revision": server.revision, "expected": head()},
        "versions": {**versions, "postgresql": server.version},
    }


def found(read: Vitals) -> dict[str, int]:
    """How much each audit found."""
    return {name: audit.found for name, audit in read.audits.items()}


def _figures(read: Vitals, ticking: list[Ticking]) -> dict[str, Any]:
    return {
        "sweep": {"lag_seconds": read.sweep_lag, "age_seconds": read.sweep_age, "set_aside": read.set_aside},
        "deliveries": {
            "age_seconds": read.deliver_age, "oldest_seconds": read.oldest_delivery, "stuck_seconds": read.stuck_delivery,
        },
        "horizon_lag_seconds": read.horizon_lag,
        "canary_age_seconds": read.canary_age,
        "held_seconds": read.held,
        "clock_set_back_seconds": read.set_back,
        "blackout_seconds_day": read.deaf_today,
        "web": [{"process": str(t.process), "tick_age_seconds": round(t.age, 3), "signed_off": t.left} for t in ticking],
        "partition_days_ahead": read.days_ahead,
        "audits": {"age_seconds": read.audit_age, "findings": {name: asdict(audit) for name, audit in read.audits.items()}},
        "notices_untold": read.untold,
        "notices_untold_seconds": read.untold_age,
    }  # fmt: skip


def _schema(server: Server) -> list[Complaint]:
    """Newer is fine: versions N and N+1 run side by side."""
    if server.revision >= head():
        return []
    words = f"the schema is at revision {server.revision}, this version works with {head()}"
    return [Complaint("schema", words, "Run: missedbeat-server migrate")]
