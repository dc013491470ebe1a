"""What a program says itself of when its job is due: beside a ping (Sentry's monitor_config, CronRadar's schedule) or in a sync.

Who declares wins: the schedule stands in the program, and is said again with every release. What is not said stays as it is.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.domain.alias import Service
from app.domain.cron_list import condense
from app.domain.schedule import Every, Schedule, parse
from app.domain.state import Rule
from app.errors import Invalid

YEAR = timedelta(days=365)
MOST_COUNTED = 100
NEW = {
    Service.CRONRADAR: Rule(Every(timedelta(days=1)), timedelta(seconds=60), max_runtime=timedelta(hours=1)),
    Service.SENTRY: Rule(Every(timedelta(days=1)), timedelta(minutes=1), max_runtime=timedelta(minutes=30)),
}
"""What their monitors have where nobody says otherwise. Grace and Sentry's runtime are theirs; CronRadar names no runtime, and a
start given nothing but a minute's grace to finish would be an alert for every longer job."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is said: `expression` (in `zone`) or `period`, and more of the rule; `name` for people."""

    name: str = ""
    expression: str = ""
    zone: str | None = None
    period: timedelta | None = None
    grace: timedelta | None = None
    max_runtime: timedelta | None = None
    failures_to_alert: int | None = None
    successes_to_recover: int | None = None

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
        )
        if isinstance(schedule, Every):
            if not least <= schedule.period <= YEAR:
                raise Invalid(f"schedule: an interval lasts {int(least.total_seconds())} seconds to 365 days")
            if rule.early is not None and rule.early >= schedule.period:
                rule = replace(rule, early=None)
        return rule

    def _schedule(self, before: Schedule, now: datetime) -> Schedule:
        if self.period is not None:
            return Every(self.period)
        if not self.expression:
            return before
        old_zone, old = ("UTC", None) if isinstance(before, Every) else (before.zone, before.expression)
        expression, zone = condense(self.expression), self.zone or old_zone
        return before if (expression, zone) == (old, old_zone) else parse(expression, zone, now)


def _span(name: str, span: timedelta | None, least: timedelta) -> timedelta | None:
    if span is not None and span > YEAR:
        raise Invalid(f"{name}: lasts 365 days at most")
    return None if span is None else max(span, least)


def _count(name: str, count: int | None) -> int | None:
    if count is not None and not 1 <= count <= MOST_COUNTED:
        raise Invalid(f"{name}: a number from 1 to {MOST_COUNTED}")
    return count
