"""The cron of RQ: when its jobs are due, in the words of the service; and the mark by which a worker knows them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter
from rq import cron as rq_cron

from missedbeat.guard import guard
from missedbeat.program import LIMITS, this_program
from missedbeat.timetable import DAYS, HOURS, MINUTES, MONTHS, WEEKDAYS, field_of, zone_here
from missedbeat.wanted import Monitor

MARK = "missedbeat"
"""In the `meta` of a job: the key of its check."""

logger = logging.getLogger("missedbeat")

SPANS = (MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS)


def register(
    func: Callable[..., Any], queue_name: str, args: Any = None, kwargs: Any = None, interval: int | None = None,
    cron: str | None = None, *, key: str = "", monitor: Monitor | None = None, **named: Any,
) -> Any:  # fmt: skip
    """In the file of `rq cron`, in place of `rq.cron.register`, with the same arguments. `key`: of the check, else the `name` of
    the job, else that of its function; `monitor`: its limits. Raises what RQ raises."""
    found = guard.run(rq_cron.CronJob, queue_name, func, None, args, kwargs, interval, cron)
    key = key or named.get("name") or f"{func.__module__}.{func.__name__}"
    if found is not None:
        guard.run(_declare, key, found, monitor)
        named["meta"] = {**(named.get("meta") or {}), MARK: key}
    return rq_cron.register(func, queue_name, args, kwargs, interval, cron, **named)


def watch(scheduler: Any, monitors: Mapping[str, Monitor] | None = None) -> None:
    """The same for all jobs that a `CronScheduler` has by now; `monitors`: limits by the `name` of the job."""
    for job in scheduler.get_jobs():
        guard.run(_mark, job, monitors or {})


def _mark(job: Any, monitors: Mapping[str, Monitor]) -> None:
    if (job.job_options.get("meta") or {}).get(MARK):
        return  # `register` has said its key
    key = getattr(job, "name", "") or job.func_name  # before RQ 3 they have no names
    _declare(key, job, monitors.get(key))
    job.job_options["meta"] = {**(job.job_options.get("meta") or {}), MARK: key}


_known: dict[str, tuple[Any, ...]] = {}


def _declare(key: str, job: Any, monitor: Monitor | None) -> None:
    said = (job.func_name, job.queue_name, job.args, job.kwargs, job.interval, job.cron)
    if _known.setdefault(key, said) != said:
        logger.warning("Two jobs are called %r, and share one check, so that one hides that the other is gone: say a key", key)
    limits = {} if monitor is None else {name: getattr(monitor, name) or None for name in LIMITS}
    schedule = describe(job)
    if schedule is None:
        logger.warning("%r is due at %r, which only RQ can read: its runs are watched, one that is missing is not", key, job.cron)
    else:
        this_program().declare(key, schedule=schedule, **limits)


def describe(job: Any) -> dict[str, Any] | None:
    """The `schedule` of `job.declared`; None where the service cannot say the same."""
    if not job.cron:
        return {"kind": "every", "seconds": job.interval}
    fields = croniter(job.cron).expanded
    if len(fields) != len(SPANS) or not all(one == "*" or isinstance(one, int) for found in fields for one in found):
        return None
    zone = _zone()
    if zone is None:
        return None
    if "*" in fields[2] or "*" in fields[4]:
        numbers = [range(first, last + 1) if "*" in found else found for found, (first, last) in zip(fields, SPANS)]
        return {"kind": "crontab", "expression": " ".join(map(field_of, numbers, *zip(*SPANS))), "zone": zone}
    return {"kind": "cron", "expression": " ".join(",".join(map(str, found)) for found in fields), "zone": zone}


def _zone() -> str | None:
    """The zone in which this RQ reads expressions: that of the machine, or UTC before RQ 3; None if that has no name."""
    at_three: Any = rq_cron.CronJob("default", func_name="probe", cron="0 3 * * *").next_enqueue_time
    zones = [zone for zone in (zone_here(), "UTC") if zone is not None]
    return next((zone for zone in zones if at_three.astimezone(ZoneInfo(zone)).hour == 3), None)
