"""Why something was decided, as a table for people: the evidence that is kept with a transition (`domain/evidence.py`)."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from app.domain.message import REASONS
from app.manage.pages.when import When, short

Value = str | list[str]


def why(evidence: Mapping[str, Any], when: When) -> list[tuple[str, Value]]:
    """Label and value, or lines, in the order people ask; what is not known is left out."""

    def at(name: str) -> str:
        return _at(evidence.get(name), when)

    def span(name: str) -> str:
        seconds = evidence.get(name)
        return short(float(seconds)) if seconds is not None else ""

    facts: list[tuple[str, Value]] = [
        ("Reason", REASONS.get(str(evidence.get("rule")), "")),
        ("Cause", str(evidence.get("cause") or "")),
        ("Schedule", str(evidence.get("schedule") or "")),
        ("Zone of the schedule", str(evidence.get("zone") or "")),
        ("Expected at", at("slot")),
        ("Grace", span("grace")),
        ("A run may take", span("max_runtime")),
        ("Deadline", at("deadline")),
        ("Judged as of", at("horizon")),
        ("Failures in a row", _failures(evidence)),
        ("Last success", at("last_success")),
        ("Run", _run(evidence.get("run"), when)),
        ("Runs not finished", [_run(run, when) for run in evidence.get("open_runs") or []]),
        ("Heard last", [_check_in(one, when) for one in evidence.get("check_ins") or []]),
        ("We could not hear", [f"{_at(start, when)} to {_at(end, when)}" for start, end in evidence.get("blackouts") or []]),
        ("Schedules that wait for it", _listed(evidence.get("holds"), lambda name, due: _held(name, due, when))),
    ]
    return [(label, value) for label, value in facts if value]


def _at(text: str | None, when: When) -> str:
    return when.exact(datetime.fromisoformat(text)) if text else ""


def _failures(evidence: Mapping[str, Any]) -> str:
    count, alert = evidence.get("failures"), evidence.get("failures_to_alert")
    return f"{count}; it alerts at {alert}" if count is not None and alert is not None else ""


def _run(run: Mapping[str, Any] | None, when: When) -> str:
    if not run:
        return ""
    name = run.get("id") or "without an id"
    started = _at(run.get("started_at"), when)
    heard = _at(run.get("heard_at"), when)
    more = [f"started {started}" if started else "", f"last heard {heard}" if heard else ""]
    return ", ".join([str(name), *(words for words in more if words)])


def _check_in(one: Mapping[str, Any], when: When) -> str:
    status, run = one.get("exit_status"), one.get("run_id")
    more = [f"exit status {status}" if status else "", f"run {run}" if run else ""]
    return ", ".join([f"{one.get('signal')} at {_at(one.get('at'), when)}", *(words for words in more if words)])


def _held(name: str, due: str | None, when: When) -> str:
    return f"{name}, due {_at(due, when)}" if due else name


def _listed(pairs: Any, write: Callable[[str, str | None], str]) -> list[str]:
    return [write(name, due) for name, due in pairs or []]
