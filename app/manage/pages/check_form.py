"""The form of a check, between what is typed and what the API takes: read by the API's own rules, and what they refuse stands
beside its field."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.domain.schedule import Crontab, Declared, Schedule
from app.domain.span import in_words
from app.domain.state import Rule
from app.errors import Invalid
from app.manage.api.check_given import FILTER_FLAGS, KEYWORDS, CheckGiven, read_check
from app.manage.pages.form import Form
from app.manage.pages.frame import sentence
from app.store.rows import Columns
from app.store.tables import ChannelRow

UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
AMOUNT = re.compile(r"[0-9]{1,9}([.,][0-9]{1,6})?")
SPANS = ("timeout", "grace", "max_runtime", "early", "max_wait")
MAY_BE_EMPTY = ("max_runtime", "early", "max_wait")
TIMED = ("schedule", "timeout", "tz", "grace", "early", "max_runtime")
COUNTS = ("failures_to_alert", "successes_to_recover")
LINES = ("name", "slug", "tags", *KEYWORDS)
FLAGS = ("manual_resume", *FILTER_FLAGS)
PROBLEM = re.compile(r"json validation error: (\w+) (.*)", re.DOTALL)
SLUG_TAKEN = "another check of this project has it: choose another"


def read(form: Form, least: int, sets_schedule: bool) -> CheckGiven:
    """What is typed, as a body of the API says it; `least`: of periods and grace, in seconds. What is wrong is refused beside its
    field and left out."""
    body = dict(_body(form, sets_schedule))
    while True:
        try:
            return read_check(body, least)
        except Invalid as error:
            field = _refuse(form, error, least)
            if body.pop(field, None) is None:
                return CheckGiven()


def rule(form: Form, given: CheckGiven, before: Rule, zone: str, now: datetime) -> Rule | None:
    """The rule that comes of it; None where something of it is wrong, which then stands beside its field."""
    if any(name in form.wrong for name in TIMED):
        return None
    try:
        return given.rule_after(before, zone, now)
    except Invalid as error:
        _refuse(form, error, 0)
        return None


def ears(form: Form, available: Sequence[ChannelRow]) -> list[UUID]:
    """The channels whose boxes are ticked."""
    ticked = set(form.several("channel"))
    return [row.id for row in available if str(row.id) in ticked]


def shown(row: Columns, channels: Sequence[str]) -> Form:
    """The form of a check as it is now."""
    said = [(name, f"{row[name]}") for name in ("name", "slug", "tags", *COUNTS)]
    said += [("desc", row["description"]), ("kind", "every" if row["kind"] == "every" else "calendar"), ("tz", row["zone"])]
    said += [("schedule", row["expression"] or "" if row["kind"] in ("cron", "oncalendar") else "")]
    for name, column in (("timeout", "period"), *((name, name) for name in SPANS[1:])):
        said += _span(name, row[column])
    said += [("methods", "POST")] if row["methods"] == "POST" else []
    said += [("manual_resume", "1")] if row["manual_resume"] else []
    said += [(name, f"{row['filters'].get(name, '')}") for name in KEYWORDS]
    said += [(name, "1") for name in FILTER_FLAGS if row["filters"].get(name)]
    return Form(said + [("channel", channel) for channel in channels])


def fresh(zone: str, channels: Sequence[str]) -> Form:
    """The form of a new one: once a day, an hour of grace, told to all channels."""
    said = [("kind", "every"), ("timeout", "1"), ("timeout_unit", "days"), ("grace", "1"), ("grace_unit", "hours"), ("tz", zone)]
    said += [(name, "1") for name in COUNTS]
    return Form(said + [("channel", channel) for channel in channels])


def is_said(schedule: Schedule, source: str) -> bool:
    """Whether a program says when it is due, and people only look on."""
    return bool(source) or isinstance(schedule, (Crontab, Declared))


def _body(form: Form, sets_schedule: bool) -> Iterator[tuple[str, Any]]:
    for name in LINES:
        yield name, form.text(name, 500)
    yield "desc", form.typed("desc").replace("\r\n", "\n").strip()
    if sets_schedule and form.typed("kind") == "calendar":
        yield "schedule", form.typed("schedule").replace("\r\n", "\n").strip()
        yield "tz", form.text("tz", 500)
    spans = SPANS if sets_schedule and form.typed("kind") != "calendar" else SPANS[1:]
    for name in spans:
        seconds = _seconds(form, name)
        if seconds is not None or (name in MAY_BE_EMPTY and name not in form.wrong):
            yield name, seconds
    for name in COUNTS:
        count = form.text(name, 20)
        yield name, int(count) if AMOUNT.fullmatch(count) and count.isdigit() else count or 1
    for name in FLAGS:
        yield name, bool(form.typed(name))
    yield "methods", "POST" if form.typed("methods") else ""


def _seconds(form: Form, name: str) -> int | None:
    """A number and its unit; None where there is none, which is refused where there must be one."""
    typed = form.text(name, 500)
    if not typed:
        if name not in MAY_BE_EMPTY:
            form.refuse(name, "write a number")
        return None
    if not AMOUNT.fullmatch(typed):
        form.refuse(name, "write a number, such as 15 or 1.5")
        return None
    seconds = Decimal(typed.replace(",", ".")) * UNITS.get(form.typed(f"{name}_unit"), 1)
    if seconds != int(seconds):
        form.refuse(name, "use whole seconds")
        return None
    return int(seconds)


def _refuse(form: Form, error: Invalid, least: int) -> str:
    """Say it beside the field that it names; returns which."""
    match = PROBLEM.fullmatch(str(error))
    if match is None:
        form.refuse("all", sentence(error))
        return ""
    field, problem = match.groups()
    form.refuse(field, _words(field, problem, error.detail, least))
    return field


def _words(field: str, problem: str, detail: str, least: int) -> str:
    """The API's words in people's."""
    span = field in SPANS
    shortest = in_words(timedelta(seconds=least if field in ("timeout", "grace") else 1))
    said = {
        ("slug", "does not match pattern"): "use small letters, digits, hyphens and underscores",
        ("slug", "is taken by another check of this project"): SLUG_TAKEN,
        ("tz", "is not a valid timezone"): "choose a zone of the list, such as Europe/Berlin or UTC",
        (field, "is too small"): f"use at least {shortest}" if span else "use at least 1",
        (field, "is too large"): "use at most 365 days" if span else "use at most 100",
        ("early", "is too large"): detail.replace("timeout", "the period") or "use at most 365 days",
        (field, "is not a number"): "write a whole number",
        (field, "is too long"): "make it shorter",
    }
    return said.get((field, problem)) or detail or problem


def _span(name: str, seconds: int | None) -> list[tuple[str, str]]:
    """In the largest unit that it is a whole number of."""
    if seconds is None:
        return [(name, ""), (f"{name}_unit", "minutes")]
    unit = next(unit for unit in reversed(UNITS) if seconds % UNITS[unit] == 0)
    return [(name, f"{seconds // UNITS[unit]}"), (f"{name}_unit", unit if seconds else "minutes")]
