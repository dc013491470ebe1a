"""What a program says itself of when its job is due: beside a ping (Sentry's monitor_config, CronRadar's schedule) or in a sync.

Who declares wins: the schedule stands in the program, and is said again with every release. What is not said stays as it is.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Any

from app.domain.alias import Service
from app.domain.cron_list import condense
from app.domain.message import clean
from app.domain.schedule import Calendar, Declared, Every, Schedule, knows_zone, next_after, parse, parse_crontab, written
from app.domain.state import Rule
from app.errors import Invalid

YEAR = timedelta(days=365)
MOST_COUNTED = 100
SHORTEST_GRACE, LONGEST_GRACE = timedelta(seconds=60), timedelta(hours=1)
SLOTS_LOOKED_AT = 10
LATEST_DUE = datetime(2200, 1, 1, tzinfo=UTC)
NEW = {
    Service.CRONRADAR: Rule(Every(timedelta(days=1)), timedelta(seconds=60), max_runtime=timedelta(hours=1)),
    Service.SENTRY: Rule(Every(timedelta(days=1)), timedelta(minutes=1), max_runtime=timedelta(minutes=30)),
}
"""What their monitors have where nobody says otherwise. Grace and Sentry's runtime are theirs; CronRadar names no runtime, and a
start given nothing but a minute's grace to finish would be an alert for every longer job."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is said: a whole `schedule`, or `expression` (in `zone`) or `period`, and more of the rule; `name` for people."""

    name: str = ""
    expression: str = ""
    zone: str | None = None
    period: timedelta | None = None
    grace: timedelta | None = None
    max_runtime: timedelta | None = None
    failures_to_alert: int | None = None
    successes_to_recover: int | None = None
    schedule: Schedule | None = None
    max_wait: timedelta | None = None

    def rule_after(self, before: Rule, now: datetime, least: timedelta) -> Rule:
        """The rule with what is said in it; what is shorter than `least` becomes that. Raises Invalid, saying what is wrong."""
        schedule = self._schedule(before.schedule, now)
        rule = replace(
            before,
            schedule=schedule,
            grace=_span("grace", self.grace, least) or before.grace,
            max_runtime=_span("max_runtime", self.max_runtime, least) or before.max_runtime,
            failures_to_alert=_count("failures_to_alert", self.failures_to_alert) or before.failures_to_alert,
            successes_to_recover=_count("successes_to_recover", self.successes_to_recover) or before.successes_to_recover,
            max_wait=_span("max_wait", self.max_wait, least) or before.max_wait,
        )
        if isinstance(schedule, Every):
            if not least <= schedule.period <= YEAR:
                raise Invalid(f"schedule: an interval lasts {int(least.total_seconds())} seconds to 365 days")
            if rule.early is not None and rule.early >= schedule.period:
                rule = replace(rule, early=None)
        return rule

    def _schedule(self, before: Schedule, now: datetime) -> Schedule:
        if self.schedule is not None:
            return _told(before, self.schedule, now)
        if self.period is not None:
            return Every(self.period)
        if not self.expression:
            return before
        old_zone = "UTC" if isinstance(before, Every) else before.zone
        expression, zone = condense(self.expression), self.zone or old_zone
        return before if (expression, zone) == (written(before), old_zone) else parse(expression, zone, now)


def grace_for(schedule: Schedule, now: datetime) -> timedelta:
    """How late a slot may be where nobody says: a tenth of the least time between the next slots, 60 s at least, 1 h at most."""
    gaps = [schedule.period] if isinstance(schedule, Every) else [b - a for a, b in pairwise(_next_slots(schedule, now))]
    tenth = timedelta(seconds=min(gaps, default=timedelta()) // timedelta(seconds=10))
    return min(max(tenth, SHORTEST_GRACE), LONGEST_GRACE)


def _next_slots(calendar: Calendar, now: datetime) -> list[datetime]:
    slots: list[datetime] = []
    slot = next_after(calendar, now)
    while slot is not None and len(slots) < SLOTS_LOOKED_AT:
        slots.append(slot)
        slot = next_after(calendar, slot)
    return slots


def read_schedule(given: dict[str, Any], now: datetime) -> Schedule:
    """The `schedule` of an entry of a sync (docs/events.md, Schedules). Raises Invalid, saying what to write instead."""
    match given.get("kind"):
        case "crontab":
            expression = given.get("expression")
            if not isinstance(expression, str):
                raise Invalid("schedule: a crontab has its five fields as `expression`")
            return parse_crontab(expression, _zone(given), now)
        case "cron":
            text = given.get("expression")
            if not isinstance(text, str):
                raise Invalid("schedule: a cron has its five fields, @daily or the like, or an OnCalendar, as `expression`")
            return parse(condense(text), _zone(given), now)
        case "every":
            return Every(_period(given.get("seconds")))
        case "declared":
            zone = given.get("zone")
            return Declared(_due(given.get("next_due")), None, zone if isinstance(zone, str) and knows_zone(zone) else "UTC")
        case kind:
            raise Invalid(f"schedule: kind is cron, crontab, every or declared, not {clean(str(kind), 50)!r}")


def _told(before: Schedule, said: Schedule, now: datetime) -> Schedule:
    """What was told of a declared one outlives being declared again."""
    if not isinstance(before, Declared) or not isinstance(said, Declared):
        return said
    here = replace(before, zone=said.zone)
    return here if said.due is None else here.told(said.due, now)


def _zone(given: dict[str, Any]) -> str:
    """The zone of a crontab, UTC where none is said: of an unknown one nobody could say when it is due."""
    zone = given.get("zone") or "UTC"
    if not isinstance(zone, str) or not knows_zone(zone):
        raise Invalid(
            f"zone: {clean(str(zone), 50)!r} is none we know; let the program use an IANA zone such as Europe/Berlin or UTC"
        )
    return zone


def _period(seconds: object) -> timedelta:
    """Whole seconds, rather one too many than too few. What is too short for this service `rule_after` refuses."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= YEAR.total_seconds():
        raise Invalid("schedule: `seconds` is a number over 0, at most 31536000, which is 365 days")
    return timedelta(seconds=ceil(seconds))


def _due(at: object) -> datetime | None:
    """Milliseconds since 1970; null where the scheduler does not know."""
    if at is None:
        return None
    if isinstance(at, bool) or not isinstance(at, (int, float)) or not 0 <= at < LATEST_DUE.timestamp() * 1000:
        raise Invalid("schedule: `next_due` is milliseconds since 1970 and before the year 2200, or null")
    return datetime.fromtimestamp(at // 1000, UTC)


def _span(name: str, span: timedelta | None, least: timedelta) -> timedelta | None:
    if span is not None and span > YEAR:
        raise Invalid(f"{name}: lasts 365 days at most")
    return None if span is None else max(span, least)


def _count(name: str, count: int | None) -> int | None:
    if count is not None and not 1 <= count <= MOST_COUNTED:
        raise Invalid(f"{name}: a number from 1 to {MOST_COUNTED}")
    return count
