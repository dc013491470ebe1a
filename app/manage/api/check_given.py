"""What a body says a check is to be: read and checked field by field, then made into names and a rule. Unknown keys are
ignored, as Healthchecks does."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.domain.alias import check_alias
from app.domain.filters import Filters
from app.domain.message import clean
from app.domain.schedule import LONGEST, LONGEST_CRONTAB, Crontab, Declared, Every, Schedule, check_zone, parse, written
from app.domain.slug import SLUG
from app.domain.state import Rule
from app.errors import Invalid
from app.manage.api.given import Fields, wrong
from app.store.addresses import Alias
from app.store.tables import ChannelRow

YEAR = 31_536_000
LONGEST_NAME, LONGEST_SLUG = 100, 100
LONGEST_TAGS = 500
LONGEST_DESCRIPTION = 10_000
LONGEST_KEYWORDS = 200
LONGEST_CHANNELS = 10_000
MOST_COUNTED = 100
UNIQUE = ("name", "slug", "tags", "timeout", "grace")
TELLING = ("name", "slug")
KEYWORDS = ("start_kw", "success_kw", "failure_kw")
FILTER_FLAGS = ("filter_subject", "filter_body", "filter_http_body", "filter_default_fail")
SUBJECTS = {"subject": "success_kw", "subject_fail": "failure_kw"}  # Healthchecks' older names
MOST_ALIASES = 20
NEW_RULE = Rule(schedule=Every(timedelta(days=1)), grace=timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class CheckGiven:
    """A body, read. `names` are columns of the monitor, `rule` fields of its Rule; what is not there stays as it is."""

    names: dict[str, Any] = field(default_factory=dict)
    rule: dict[str, Any] = field(default_factory=dict)
    filters: dict[str, Any] = field(default_factory=dict)
    timeout: timedelta | None = None
    expression: str | None = None
    zone: str | None = None
    channels: str | None = None
    aliases: list[Alias] | None = None
    expect_first: bool = False
    unique: tuple[str, ...] = ()

    def rule_after(self, before: Rule, zone: str, now: datetime) -> Rule:
        """The rule with what is given in it; `zone` is the check's, which a period keeps for the next calendar. Raises
        Invalid."""
        rule = replace(before, schedule=self._schedule(before.schedule, zone, now), **self.rule)
        if isinstance(rule.schedule, Every) and rule.early is not None and rule.early >= rule.schedule.period:
            raise wrong("early", "is too large", "it must be shorter than timeout")
        return rule

    def names_after(self, before: Filters) -> dict[str, Any]:
        """The names that are given, the zone among them, and where filters are given those in force before with them in."""
        names = self.names if self.zone is None else {**self.names, "zone": self.zone}
        return {**names, "filters": self._filters(before).to_json()} if self.filters else names

    def alike(self) -> dict[str, Any] | None:
        """The columns that say whether this check is there already; None where `unique` names nothing, or what is not given.
        An empty name or slug tells no check from another, and empty tags do only beside one of them."""
        said = {**self.names, "timeout": self.timeout, "grace": self.rule.get("grace")}
        telling = [said.get(name) for name in self.unique if name in TELLING] or [said.get(name) for name in self.unique]
        if not self.unique or "" in telling or any(said.get(name) is None for name in self.unique):
            return None
        columns = {"kind": "every"} if "timeout" in self.unique else {}
        return columns | {"period" if name == "timeout" else name: _plain(said[name]) for name in self.unique}

    def _filters(self, before: Filters) -> Filters:
        """The older names look for keywords in a mail's subject; what is given by its own name wins. Source: Healthchecks."""
        after = before
        for old, name in SUBJECTS.items():
            if old in self.filters:
                words = {"success_kw": after.success_kw, "failure_kw": after.failure_kw, name: self.filters[old]}
                after = replace(after, **words, filter_subject=any(words.values()))
        return replace(after, **{name: value for name, value in self.filters.items() if name not in SUBJECTS})

    def _schedule(self, before: Schedule, old_zone: str, now: datetime) -> Schedule:
        """Said again as it was shown it stays what it is: what Celery or another scheduler declared becomes no cron."""
        shown = written(before)
        if self.expression is None and self.timeout is not None:
            return Every(self.timeout)
        expression, zone = self.expression or shown, self.zone or old_zone
        if not expression or (expression, zone) == (shown, old_zone):
            return before
        if expression == shown and isinstance(before, (Crontab, Declared)):
            return replace(before, zone=zone)
        if len(expression) > LONGEST:
            raise wrong("schedule", "is too long")
        try:
            return parse(expression, zone, now)
        except Invalid as error:
            detail = str(error).removeprefix("schedule: ")
            raise wrong("schedule", "is not a valid cron or OnCalendar expression", detail) from None


def read_check(given: dict[str, Any], least: int) -> CheckGiven:
    """Read a body; `least` is the floor of timeout and grace in seconds. Raises Invalid for the first field that is wrong."""
    fields = Fields(given)
    timeout = fields.number("timeout", least, YEAR)
    zone = fields.text("tz", LONGEST_NAME)
    if zone is not None:
        try:
            check_zone(zone)
        except Invalid:
            raise wrong("tz", "is not a valid timezone") from None
    expression = fields.text("schedule", LONGEST_CRONTAB)
    if expression is not None and not expression.strip():
        raise wrong("schedule", "is not a valid cron or OnCalendar expression", "it is empty")
    return CheckGiven(
        names=_names(fields),
        rule=_rule(fields, least),
        filters=_filters(fields),
        timeout=None if timeout is None else timedelta(seconds=timeout),
        expression=expression,
        zone=zone,
        channels=fields.text("channels", LONGEST_CHANNELS),
        aliases=_aliases(fields),
        expect_first=fields.flag("expect_first") or False,
        unique=tuple(fields.choices("unique", UNIQUE)),
    )


def chosen(given: str, available: Sequence[ChannelRow]) -> list[UUID]:
    """The channels that `*`, or ids and names separated by commas, stand for. Raises Invalid."""
    if given in ("", "*"):
        return [row.id for row in available if given]
    found: dict[UUID, None] = {}
    for name in given.split(","):
        if not name.strip():
            raise Invalid("empty channel identifier")
        matches = [row.id for row in available if name.strip() in (str(row.id), row.name) or name == row.name]
        if len(matches) != 1:
            raise Invalid(f"{'non-unique' if matches else 'invalid'} channel identifier: {clean(name, 100)}")
        found[matches[0]] = None
    return list(found)


def _names(fields: Fields) -> dict[str, Any]:
    slug = fields.line("slug", LONGEST_SLUG)
    if slug is not None and slug and not SLUG.fullmatch(slug):
        raise wrong("slug", "does not match pattern")
    said = {
        "name": fields.line("name", LONGEST_NAME),
        "slug": slug,
        "tags": fields.line("tags", LONGEST_TAGS),
        "description": fields.text("desc", LONGEST_DESCRIPTION),
        "methods": fields.choice("methods", ("", "POST")),
    }
    return {name: value for name, value in said.items() if value is not None}


def _rule(fields: Fields, least: int) -> dict[str, Any]:
    """The fields of a Rule but its schedule; null takes `early`, `max_runtime` and `max_wait` back to their default."""
    grace = fields.number("grace", least, YEAR)
    counts = {name: fields.number(name, 1, MOST_COUNTED) for name in ("failures_to_alert", "successes_to_recover")}
    said = {"grace": None if grace is None else timedelta(seconds=grace), "manual_resume": fields.flag("manual_resume"), **counts}
    rule: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    for name, shortest in (("early", 0), ("max_runtime", 1), ("max_wait", 1)):
        if fields.is_null(name):
            rule[name] = None
        elif (seconds := fields.number(name, shortest, YEAR)) is not None:
            rule[name] = timedelta(seconds=seconds)
    return rule


def _filters(fields: Fields) -> dict[str, Any]:
    said: dict[str, Any] = {name: fields.text(name, LONGEST_KEYWORDS) for name in (*SUBJECTS, *KEYWORDS)}
    said |= {name: fields.flag(name) for name in FILTER_FLAGS}
    return {name: value for name, value in said.items() if value is not None}


def _aliases(fields: Fields) -> list[Alias] | None:
    """Other services' names for it, each once."""
    given = fields.items("aliases", MOST_ALIASES)
    if given is None:
        return None
    found: dict[Alias, None] = {}
    for item in given:
        service, token = item.get("service"), item.get("token")
        if not isinstance(service, str) or not isinstance(token, str) or len(item) != 2:
            raise wrong("an item in 'aliases'", "has unexpected value", "each says service and token")
        try:
            found[check_alias(service, token)] = None
        except Invalid as error:
            raise wrong("an item in 'aliases'", "has unexpected value", str(error)) from None
    return list(found)


def _plain(value: object) -> object:
    return int(value.total_seconds()) if isinstance(value, timedelta) else value
