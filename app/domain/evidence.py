"""Why did this fire? What a transition was decided from, as data to keep with it, and the same as one sentence."""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from app.domain.horizon import Horizon
from app.domain.run import Run
from app.domain.schedule import Every, describe

if TYPE_CHECKING:
    from app.domain.state import Monitor, Reason, Status

RULE_VERSION = 1
BY_SILENCE = ("missed", "overrun", "not_dispatched", "not_started", "lost")
NAMED = 5  # schedules that a message about their scheduler names


def evidence(
    m: "Monitor",
    before: "Status",
    after: "Status",
    at: datetime,
    reason: "Reason",
    horizon: Horizon,
    run: Run | None,
    cause: str = "",
) -> dict[str, Any]:
    """Everything the verdict was decided from; instants as ISO text in UTC, spans in seconds."""
    rule = m.rule
    return {
        "version": RULE_VERSION,
        "rule": str(reason),
        "from": str(before),
        "to": str(after),
        "at": stamp(at),
        "schedule": _described(rule.schedule),
        "zone": "UTC" if isinstance(rule.schedule, Every) else rule.schedule.zone,
        "grace": rule.grace.total_seconds(),
        "max_runtime": rule.max_runtime.total_seconds() if rule.max_runtime is not None else None,
        "slot": stamp(m.due),
        "deadline": stamp(at) if reason in BY_SILENCE else stamp(m.deadline()),
        "horizon": stamp(horizon.at),
        "run": None if run is None else _run(run),
        "cause": cause.rstrip(" ."),
        "open_runs": [{"id": r.run_id, "started_at": stamp(r.started_at)} for r in m.runs][:5],
        "failures": m.failures,
        "failures_to_alert": rule.failures_to_alert,
        "down_since": stamp(m.down_since),
        "last_success": stamp(m.last_success_at),
        "check_ins": [
            {"at": stamp(h.at), "signal": str(h.signal), "run_id": h.run_id, "exit_status": h.exit_status} for h in m.recent
        ],
        "blackouts": [[stamp(b.start), stamp(b.end)] for b in horizon.blackouts if b.end > at - timedelta(days=1)][-5:],
    }  # fmt: skip


_described = lru_cache(maxsize=4096)(describe)


def stamp(t: datetime | None) -> str | None:
    """An instant as ISO text, to the millisecond."""
    return None if t is None else t.isoformat(timespec="milliseconds")


def explain(facts: dict[str, Any], zone: str = "") -> str:
    """One sentence for people: what was expected, what was heard, and what followed. Times stand in this zone, else in that of
    the schedule."""
    facts = {**facts, "zone": zone} if zone else facts
    tell = _TOLD.get(facts["rule"])
    if tell is None:
        return f"It was {facts['rule']} by hand at {_clock(facts['at'], facts)}."
    counted = ""
    if facts["to"] == "down" and facts["failures_to_alert"] > 1:
        counted = f" This was failure {facts['failures']} in a row; it alerts at {facts['failures_to_alert']}."
    return tell(facts) + counted


def _run(run: Run) -> dict[str, Any]:
    told = {"id": run.run_id, "started_at": stamp(run.started_at), "slot": stamp(run.slot)}
    if run.phase is None:
        return told
    listed = run.alive_until is not None
    return {**told, "phase": str(run.phase), "attempt": run.attempt, "heard_at": stamp(run.heard_at), "listed": listed}


def _missed(facts: dict[str, Any]) -> str:
    if "holds" in facts:
        return _silent(facts)
    heard = _last_heard(facts)
    open_run = facts["open_runs"][-1] if facts["open_runs"] else None
    started = f" It started at {_clock(open_run['started_at'], facts)} and has not finished." if open_run else ""
    return (
        f"Expected at {_clock(facts['slot'], facts)} by its schedule, {facts['schedule']}; "
        f"not heard of by {_clock(facts['deadline'], facts)}, "
        f"{_span(facts['grace'])} of grace included; {heard}.{started}{_deaf(facts)}"
    )


def _overrun(facts: dict[str, Any]) -> str:
    run = facts["run"] or {"id": None, "started_at": facts["at"]}
    name = f"The run {run['id']}" if run["id"] else "The run"
    allowed = facts["max_runtime"] if facts["max_runtime"] is not None else facts["grace"]
    began, by = _clock(run["started_at"], facts), _clock(facts["deadline"], facts)
    alive = " Its worker still lists it: it is alive." if run.get("listed") else ""
    return f"{name} that started at {began} did not finish by {by}; it is given {_span(allowed)}.{alive}"


def _not_dispatched(facts: dict[str, Any]) -> str:
    if facts.get("cause"):
        return f"It was not dispatched at {_clock(facts['at'], facts)}: {facts['cause']}."
    return (
        f"Expected at {_clock(facts['slot'], facts)} by its schedule, {facts['schedule']}; its scheduler did not dispatch it by "
        f"{_clock(facts['deadline'], facts)}, {_span(facts['grace'])} of grace included; {_last_heard(facts)}.{_deaf(facts)}"
    )


def _not_started(facts: dict[str, Any]) -> str:
    run = facts["run"] or {"started_at": facts["at"]}
    by = _clock(facts["deadline"], facts)
    if facts.get("cause"):
        return f"It was dispatched, and no worker began it by {by}: {facts['cause']}."
    if run.get("phase") == "retrying":
        return f"The run {run['id']} was to be tried again, and no worker had begun that by {by}: it is lost in the queue."
    began = _clock(run["started_at"], facts)
    return f"It was dispatched at {began}, and no worker had begun it by {by}: it is lost in the queue."


def _lost(facts: dict[str, Any]) -> str:
    run = facts["run"] or {"id": None, "started_at": facts["at"]}
    name, began = f"The run {run['id']}" if run["id"] else "The run", _clock(run["started_at"], facts)
    if facts.get("cause"):
        return f"{name} that started at {began} was lost at {_clock(facts['at'], facts)}: {facts['cause']}."
    heard = _clock(run.get("heard_at") or run["started_at"], facts)
    return f"{name} that started at {began} is lost: its worker was last heard at {heard}, and nothing since."


def _stalled(facts: dict[str, Any]) -> str:
    trouble = facts.get("cause") or "nothing is dispatched"
    return f"It is alive, but at {_clock(facts['at'], facts)} it said: {trouble}.{_waiting(facts)}"


def _silent(facts: dict[str, Any]) -> str:
    heard = facts.get("last_success")
    last = f"last heard at {_clock(heard, facts)}" if heard else "never heard"
    return f"It was {last}, and nothing is dispatched while it is silent.{_waiting(facts)}"


def _waiting(facts: dict[str, Any]) -> str:
    """The schedules that a silent scheduler holds back, those due first by name."""
    count, first = facts.get("waiting", 0), facts.get("holds", [])
    if not count:
        return ""
    named = ", ".join(f"{name} (due {_clock(due, facts)})" if due else name for name, due in first)
    more = f" and {count - len(first)} more" if count > len(first) else ""
    return f" {count} schedule{'s wait' if count > 1 else ' waits'} for it: {named}{more}."


def _failed(facts: dict[str, Any]) -> str:
    if facts.get("cause"):
        return f"The run failed at {_clock(facts['at'], facts)}: {facts['cause']}."
    last = facts["check_ins"][-1] if facts["check_ins"] else {}
    status = last.get("exit_status")
    how = f"exit status {status}" if status else "a fail signal"
    return f"The job itself reported failure ({how}) at {_clock(facts['at'], facts)}."


def _heard(facts: dict[str, Any]) -> str:
    what = facts.get("cause") or "success"
    if facts["from"] != "down" or facts["down_since"] is None:
        return f"A {what} was heard at {_clock(facts['at'], facts)}."
    return f"A {what} was heard at {_clock(facts['at'], facts)}; it had been down since {_clock(facts['down_since'], facts)}."


def _withdrawn(facts: dict[str, Any]) -> str:
    heard, since = _clock(facts["at"], facts), _clock(facts["down_since"], facts)
    if facts.get("cause"):
        return f"The alarm of {since} is withdrawn: {facts['cause']}, and the news of that came late, at {heard}."
    return f"The alarm of {since} was wrong: the job was fine, and the news of that came late, at {heard}."


def _last_heard(facts: dict[str, Any]) -> str:
    if not facts["check_ins"]:
        beat = facts.get("last_success")
        return f"last heartbeat at {_clock(beat, facts)}" if beat else "nothing was ever heard of it"
    last = facts["check_ins"][-1]
    return f"last heard: {last['signal']} at {_clock(last['at'], facts)}"


def _deaf(facts: dict[str, Any]) -> str:
    """When we could not hear, where that was between what was heard last and the deadline: it explains a deadline put off."""
    heard = facts["check_ins"][-1]["at"] if facts["check_ins"] else facts.get("last_success") or ""
    deaf = [(start, end) for start, end in facts.get("blackouts", []) if heard < end and start < facts["deadline"]]
    return f" We could not hear from {_clock(deaf[-1][0], facts)} to {_clock(deaf[-1][1], facts)}." if deaf else ""


def _clock(text: str | None, facts: dict[str, Any]) -> str:
    """In one zone, as every other time of the message."""
    return "an unknown time" if text is None else _told_in(text, facts["zone"])


@lru_cache(maxsize=1024)
def _told_in(text: str, zone: str) -> str:
    """Where thousands fall silent at once, most instants are the same."""
    return datetime.fromisoformat(text).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S %Z")


def _span(seconds: float) -> str:
    whole = int(seconds)
    parts = [(whole // 86400, "d"), (whole % 86400 // 3600, "h"), (whole % 3600 // 60, "min"), (whole % 60, "s")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n) or "0 s"


_TOLD = {
    "missed": _missed, "overrun": _overrun, "failed": _failed, "heard": _heard, "withdrawn": _withdrawn, "lost": _lost,
    "not_dispatched": _not_dispatched, "not_started": _not_started, "stalled": _stalled,
}  # fmt: skip
