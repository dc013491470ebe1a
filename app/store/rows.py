"""A monitor between its row and its value: every column of the state has one place here, in one order."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

from app.domain.filters import Filters
from app.domain.run import EndedRun, Outcome, Phase, PlainEnd, Run
from app.domain.schedule import Cron, Crontab, Declared, Every, OnCalendar, Schedule
from app.domain.state import Heard, Missing, Monitor, Rule, Signal, Status

STATE = {
    "status": "text", "satisfied": "timestamptz", "due": "timestamptz", "anchor": "timestamptz", "floor": "timestamptz",
    "deadline": "timestamptz", "wake_at": "timestamptz", "taker": "bigint", "failures": "int", "failure_slot": "timestamptz",
    "successes": "int", "success_slot": "timestamptz", "last_end_at": "timestamptz", "last_applied_at": "timestamptz",
    "last_success_at": "timestamptz", "last_start_at": "timestamptz", "last_duration": "float8", "down_since": "timestamptz",
    "heard": "bigint", "run_count": "bigint", "transition_count": "bigint", "held_since": "timestamptz",
    "memory": "jsonb",
}  # fmt: skip
RULE = (
    "kind", "period", "expression", "grace", "early", "max_runtime", "failures_to_alert", "successes_to_recover",
    "manual_resume", "max_wait", "dispatched",
)  # fmt: skip
NAMES = (
    "project_id", "id", "unique_key", "name", "slug", "tags", "methods", "filters", "source", "retired_at", "beat_of", "zone",
)  # fmt: skip
REMEMBERED = ("down_by", "failed_by", "releases", "fine_by")  # of the state, kept in `memory` as they are
INSTANTS = ("taken_at", "turned_at", "barred_at", "left_at", "unheard_from")  # of the state, kept in `memory`
EXPRESSED: dict[str, type[Cron | OnCalendar | Crontab]] = {"cron": Cron, "oncalendar": OnCalendar, "crontab": Crontab}
NO_FILTERS = Filters()
STATUSES = {str(status): status for status in Status}
SIGNALS = {str(signal): signal for signal in Signal}  # found, not made: five of them stand in every row
Buckets = dict[str, tuple[float, datetime]]  # of the throttle: tokens left at an instant
COLUMN_NAMES = (*NAMES, *RULE, *STATE)
NO_JSON = {"filters": "nullif(m.filters, '{}') AS filters"}  # nearly all have none, and reading JSON is dear, even if empty
COLUMNS = ", ".join(NO_JSON.get(column, f"m.{column}") for column in COLUMN_NAMES)


class Columns(Protocol):
    """A row, however it was read: a mapping, a plain dict, or a MonitorRow."""

    def __getitem__(self, column: str, /) -> Any:
        """The value of a column."""


@dataclass(slots=True)
class Locked:
    """A monitor's row, locked by this transaction (or only read): what people call it, and its judged part."""

    project_id: UUID
    id: UUID
    unique_key: str
    name: str
    slug: str
    tags: str
    methods: str
    filters: Filters
    wake_at: datetime | None
    monitor: Monitor
    buckets: Buckets = field(default_factory=dict)
    source: str = ""
    retired_at: datetime | None = None  # paused by a sync of its source that no longer named it
    beat_of: str = ""  # the source whose slots wait while this monitor, its scheduler's, is down
    zone: str = "UTC"  # of its calendar; of a period none, but it stays for the next calendar

    def wake_for(self, deadline: datetime | None) -> datetime | None:
        """When the sweeper must look: a deadline further away leaves it, a nearer one moves it."""
        if deadline is None:
            return None
        return deadline if self.wake_at is None or self.wake_at > deadline else self.wake_at


def locked(row: Columns) -> Locked:
    """The value of a row that was read with `COLUMNS`."""
    names = {name: row[name] for name in NAMES}
    names["filters"] = Filters(**names["filters"]) if names["filters"] else NO_FILTERS
    buckets = {name: (tokens, _at(at)) for name, (tokens, at) in row["memory"].get("buckets", {}).items()}
    return Locked(**names, wake_at=row["wake_at"], monitor=monitor_of(row), buckets=buckets)


def monitor_of(row: Columns) -> Monitor:
    """The judged part of a row."""
    memory = row["memory"]
    plain_end, missing, last_duration = memory.get("plain_end"), memory.get("missing"), row["last_duration"]
    return Monitor(
        rule=rule_of(row),
        status=STATUSES[row["status"]],
        satisfied=row["satisfied"], due=row["due"], anchor=row["anchor"], floor=row["floor"],
        runs=tuple(_run(r) for r in memory.get("runs", ())),
        ended=tuple(EndedRun(e[0], e[1], _at(e[2])) for e in memory.get("ended", ())),
        plain_end=PlainEnd(_at(plain_end[0]), _maybe(plain_end[1])) if plain_end else None,
        taker=row["taker"],
        taken_at=_maybe(memory.get("taken_at")),
        missing=Missing(missing[0], _at(missing[1]), _at(missing[2])) if missing else None,
        failures=row["failures"], failure_slot=row["failure_slot"],
        successes=row["successes"], success_slot=row["success_slot"],
        last_end_at=row["last_end_at"], last_applied_at=row["last_applied_at"],
        last_success_at=row["last_success_at"], last_start_at=row["last_start_at"],
        last_duration=timedelta(seconds=last_duration) if last_duration is not None else None,
        down_since=row["down_since"], turned_at=_maybe(memory.get("turned_at")), barred_at=_maybe(memory.get("barred_at")),
        held_since=row["held_since"], left_at=_maybe(memory.get("left_at")), unheard_from=_maybe(memory.get("unheard_from")),
        **{name: memory[name] for name in REMEMBERED if name in memory},
        heard=row["heard"], run_count=row["run_count"], transition_count=row["transition_count"],
        recent=tuple(Heard(_at(h[0]), SIGNALS[h[1]], h[2], h[3]) for h in memory.get("recent", ())),
    )  # fmt: skip


def state_of(row: Locked, m: Monitor) -> dict[str, Any]:
    """The columns of STATE for a monitor's new state; `memory` as a plain dict."""
    deadline = m.deadline()
    return {
        "status": str(m.status), "satisfied": m.satisfied, "due": m.due, "anchor": m.anchor, "floor": m.floor,
        "deadline": deadline, "wake_at": row.wake_for(deadline), "taker": m.taker,
        "failures": m.failures, "failure_slot": m.failure_slot, "successes": m.successes, "success_slot": m.success_slot,
        "last_end_at": m.last_end_at, "last_applied_at": m.last_applied_at,
        "last_success_at": m.last_success_at, "last_start_at": m.last_start_at,
        "last_duration": m.last_duration.total_seconds() if m.last_duration is not None else None,
        "down_since": m.down_since, "heard": m.heard, "run_count": m.run_count, "transition_count": m.transition_count,
        "held_since": m.held_since, "memory": _memory(m, row.buckets),
    }  # fmt: skip


def rule_of(row: Columns) -> Rule:
    """The rule of a row; raises where the row holds none that makes sense."""
    return _rule("" if row["kind"] == "every" else row["zone"], *(row[name] for name in RULE))


@lru_cache(maxsize=4096)
def _rule(
    zone: str, kind: str, period: int | None, expression: str | None, grace: int, early: int | None, max_runtime: int | None,
    failures_to_alert: int, successes_to_recover: int, manual_resume: bool, max_wait: int | None, dispatched: bool,
) -> Rule:  # fmt: skip
    return Rule(
        schedule=_schedule(kind, period, expression, zone),
        grace=timedelta(seconds=grace),
        early=None if early is None else timedelta(seconds=early),
        max_runtime=None if max_runtime is None else timedelta(seconds=max_runtime),
        failures_to_alert=failures_to_alert,
        successes_to_recover=successes_to_recover,
        manual_resume=manual_resume,
        max_wait=None if max_wait is None else timedelta(seconds=max_wait),
        dispatched=dispatched,
    )


def _schedule(kind: str, period: int | None, expression: str | None, zone: str) -> Schedule:
    if kind == "every" and period is not None:
        return Every(timedelta(seconds=period))
    if kind in EXPRESSED and expression is not None:
        return EXPRESSED[kind](expression, zone)
    if kind == "declared":
        return Declared(_at(expression) if expression else None, None if period is None else timedelta(seconds=period), zone)
    raise ValueError(f"a monitor's row holds no schedule that makes sense: {kind!r} {period!r} {expression!r}")


def _schedule_columns(schedule: Schedule) -> dict[str, Any]:
    """Its kind, the zone where it has one, and a period or an expression; of a declared one the gap and the due."""
    match schedule:
        case Every(period):
            return {"kind": "every", "period": _seconds(period), "expression": None}
        case Declared(due, gap, zone):
            return {"kind": "declared", "period": _seconds(gap), "expression": _text(due) or "", "zone": zone}
        case _:
            kind = next(kind for kind, type_ in EXPRESSED.items() if isinstance(schedule, type_))
            return {"kind": kind, "period": None, "expression": schedule.expression, "zone": schedule.zone}


def rule_columns(rule: Rule) -> dict[str, Any]:
    """The columns of RULE for a rule, and its zone where it has one."""
    return _schedule_columns(rule.schedule) | {
        "grace": _seconds(rule.grace), "early": _seconds(rule.early), "max_runtime": _seconds(rule.max_runtime),
        "failures_to_alert": rule.failures_to_alert, "successes_to_recover": rule.successes_to_recover,
        "manual_resume": rule.manual_resume, "max_wait": _seconds(rule.max_wait), "dispatched": rule.dispatched,
    }  # fmt: skip


def _memory(m: Monitor, buckets: Buckets) -> dict[str, Any]:
    memory: dict[str, Any] = {}
    if buckets:
        memory["buckets"] = {name: [tokens, _text(at)] for name, (tokens, at) in buckets.items()}
    if m.runs:
        memory["runs"] = [_run_out(r) for r in m.runs]
    if m.ended:
        memory["ended"] = [[e.run_id, e.attempt, _text(e.at)] for e in m.ended]
    if m.plain_end is not None:
        memory["plain_end"] = [_text(m.plain_end.at), _text(m.plain_end.ended_started_at)]
    if m.missing is not None:
        memory["missing"] = [m.missing.key, _text(m.missing.at), _text(m.missing.slot)]
    memory |= {name: value for name in REMEMBERED if (value := getattr(m, name))}
    memory |= {name: _text(at) for name in INSTANTS if (at := getattr(m, name)) is not None}
    if m.recent:
        memory["recent"] = [[_text(h.at), h.signal, h.run_id, h.exit_status] for h in m.recent]
    return memory


def _run_out(r: Run) -> list[Any]:
    run = [r.key, r.run_id, _text(r.started_at), _text(r.deadline), _text(r.slot), r.attempt, r.outcome, _text(r.settled_at)]
    if r.phase is not None:
        run += [r.phase, _text(r.opened_at), _text(r.heard_at), _text(r.alive_until)]
    return run


def _run(r: list[Any]) -> Run:
    outcome = None if r[6] is None else Outcome(r[6])
    run = Run(r[0], r[1], _at(r[2]), _maybe(r[3]), _maybe(r[4]), r[5], outcome, _maybe(r[7]))
    if len(r) == 8:
        return run
    return replace(run, phase=Phase(r[8]), opened_at=_maybe(r[9]), heard_at=_maybe(r[10]), alive_until=_maybe(r[11]))


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _maybe(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _seconds(span: timedelta | None) -> int | None:
    return None if span is None else int(span.total_seconds())
