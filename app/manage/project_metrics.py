"""Metrics of a project for Prometheus, in its text format: those of Healthchecks under their names, and ours beside them. The
service's own stand in `health.py`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.errors import NotAllowed, NotFound
from app.manage.standing import seen
from app.store import accounts, blackouts, project_metrics
from app.store.accounts import Caller
from app.store.blackouts import Moment
from app.store.project_metrics import Channel
from app.store.rows import Columns
from app.web import House, Session, Shared, caller_of

routes = APIRouter(include_in_schema=False)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NEWEST = 100  # runs of a check that are counted
REACH = timedelta(days=31)  # how old they may be
HELP = {
    "hc_check_up": "Whether the check is up (1), or down (0); late, new and paused ones are up.",
    "hc_check_started": "Whether the check runs now: a start waits for its end.",
    "hc_check_grace": "Whether the check is late, but still inside its grace.",
    "hc_check_paused": "Whether the check is paused.",
    "missedbeat_check_last_duration_seconds": "How long the check's last run took, from its start to its end.",
    "missedbeat_check_last_success_timestamp_seconds": "When the check last succeeded.",
    "missedbeat_check_next_expected_timestamp_seconds": "When the check is expected next; its grace comes on top.",
    "missedbeat_check_recent_runs": f"How the newest {NEWEST} runs of the last {REACH.days} days ended; a missed slot is a run.",
    "hc_tag_up": "Whether no check with this tag is down.",
    "hc_checks_total": "How many checks there are.",
    "hc_checks_down_total": "How many checks are down.",
    "missedbeat_channel_failing": "Whether every message to the channel fails at present (1), or it is disabled.",
    "missedbeat_channel_dead_deliveries": "How many of the messages to the channel that are kept could not be told there.",
}
ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: a value with its labels, as they are written."""

    name: str
    labels: str
    value: float


@routes.get("/projects/{project}/metrics")
@routes.get("/projects/{project}/metrics/")
async def metrics_by_header(project: str, request: Request, session: Session, house: House) -> Response:
    """With a read-write or read-only key in `Authorization: Bearer` or `X-Api-Key`. Without any the answer is 401, as those who
    scrape expect; a wrong one finds nothing."""
    if not {"authorization", "x-api-key"} & set(request.headers):
        raise NotAllowed("missing api key")
    try:
        caller = await caller_of(request, session, {})
    except NotAllowed:
        raise NotFound("not found") from None
    return await _metrics(session, house, project, caller)


@routes.get("/projects/{project}/metrics/{key}")
@routes.get("/projects/{project}/checks/metrics/{key}")
async def metrics_by_address(project: str, key: str, session: Session, house: House) -> Response:
    """With a read-only key in the address, for addresses are seen by many; any other finds nothing."""
    try:
        caller = await accounts.caller(session, key)
    except NotAllowed:
        raise NotFound("not found") from None
    if caller.may_write:
        raise NotFound("not found")
    if house.api_limit is not None:
        await house.api_limit.count(caller.key)
    return await _metrics(session, house, project, caller)


async def _metrics(session: Session, house: Shared, project: str, caller: Caller) -> Response:
    """All metrics, in four queries however many checks there are."""
    if project.lower() != str(caller.project):
        raise NotFound("not found")
    moment = await blackouts.moment(session, house.margin)
    rows = await project_metrics.monitors(session, caller.project)
    outcomes = await project_metrics.outcomes(session, caller.project, NEWEST, moment.now - REACH)
    ways = await project_metrics.channels(session, caller.project)
    found = chain(samples(rows, moment, outcomes), of_channels(ways))
    return Response(written(found), media_type=CONTENT_TYPE)


def samples(rows: Iterable[Columns], moment: Moment, outcomes: Mapping[UUID, Mapping[str, int]]) -> Iterator[Sample]:
    """Every sample of these monitors, as they stand at that moment."""
    total, down, tags = 0, 0, dict[str, bool]()
    for row in rows:
        now, named = seen(row, moment), _named(row)
        total, down = total + 1, down + (now.status == "down")
        for tag in filter(None, row["tags"].split(" ")):
            tags[tag] = tags.get(tag, True) and now.status != "down"
        yield Sample("hc_check_up", named, now.status != "down")
        yield Sample("hc_check_started", named, now.running)
        yield Sample("hc_check_grace", named, now.status == "late")
        yield Sample("hc_check_paused", named, now.status == "paused")
        if row["last_duration"] is not None:
            yield Sample("missedbeat_check_last_duration_seconds", named, row["last_duration"])
        yield from _instant("missedbeat_check_last_success_timestamp_seconds", named, row["last_success_at"])
        yield from _instant("missedbeat_check_next_expected_timestamp_seconds", named, now.due)
        for outcome, runs in outcomes.get(row["id"], {}).items():
            yield Sample("missedbeat_check_recent_runs", f"{named}, {_label('outcome', outcome)}", runs)
    for tag, is_up in sorted(tags.items()):
        yield Sample("hc_tag_up", _label("tag", tag), is_up)
    yield Sample("hc_checks_total", "", total)
    yield Sample("hc_checks_down_total", "", down)


def of_channels(channels: Iterable[Channel]) -> Iterator[Sample]:
    """How each channel fares."""
    for channel in channels:
        named = ", ".join((_label("channel", channel.name), _label("kind", channel.kind), _label("channel_id", str(channel.id))))
        yield Sample("missedbeat_channel_failing", named, channel.failing)
        yield Sample("missedbeat_channel_dead_deliveries", named, channel.dead)


def written(found: Iterable[Sample]) -> str:
    """Prometheus' text format 0.0.4, in which all samples of a metric stand together."""
    lines: dict[str, list[str]] = {name: [] for name in HELP}
    for sample in found:
        labels = f"{{{sample.labels}}}" if sample.labels else ""
        lines[sample.name].append(f"{sample.name}{labels} {+sample.value}\n")
    return "".join(
        f"# HELP {name} {HELP[name]}\n# TYPE {name} gauge\n{''.join(written)}" for name, written in lines.items() if written
    )


def _instant(name: str, labels: str, at: datetime | None) -> Iterator[Sample]:
    if at is not None:
        yield Sample(name, labels, at.timestamp())


def _named(row: Columns) -> str:
    return ", ".join(_label(name, row[name]) for name in ("name", "tags", "unique_key"))


def _label(name: str, value: str) -> str:
    return f'{name}="{value.translate(ESCAPED)}"'
