"""All checks on one axis of 24 hours, most of it past: runs as bars where they were, slots that are expected as hollow ones."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from markupsafe import Markup

from app.domain.schedule import Every, next_after
from app.manage.glance import Glance
from app.manage.pages.strip import LOOKS, words
from app.manage.pages.when import When
from app.store.glances import RunGlance
from app.store.rows import rule_of

AXIS, BACK = timedelta(hours=24), timedelta(hours=18)  # and at least so much of it is past
MINUTES = 24 * 60
HEIGHT, LEAST = 20, 4
MOST_RUNS = 400  # of a check on the axis: a bar every four minutes
DENSE = timedelta(minutes=15)  # where it is expected more often, it is drawn as expected all along


def axis(when: When) -> tuple[datetime, list[str]]:
    """Where the axis begins, at a multiple of three hours by the reader's clock, and what that clock shows every three hours."""
    start = when.three_hours(when.now - BACK)
    return start, [when.hour(start + timedelta(hours=3 * n)) for n in range(8)]


def day(glance: Glance, runs: Sequence[RunGlance], start: datetime, now: datetime) -> Markup:
    """The picture of one check, on an axis that begins there."""
    paths: dict[str, list[str]] = {}
    for run in runs:
        look, x = LOOKS.get(run.outcome, "other"), _minute(run.at, start)
        end = _minute(run.ended_at or (now if run.outcome is None else run.at), start)
        paths.setdefault(look, []).append(_bar(look, x, max(LEAST, end - x)))
    expected = "".join(
        f"M{_minute(at, start)} 3h{max(LEAST, _minute(until, start) - _minute(at, start))}v14H{_minute(at, start)}z"
        for at, until in slots(glance, now, start + AXIS)
    )
    drawn = [Markup('<path class="run-{}" d="{}"/>').format(look, "".join(d)) for look, d in paths.items()]
    if expected:
        drawn.append(Markup('<path class="slot" d="{}"/>').format(expected))
    return Markup('<svg class="day" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}{}</svg>').format(
        MINUTES, HEIGHT, words(runs) if runs else "No run in this time",
        Markup('<path class="now" d="M{} 0v{}"/>').format(_minute(now, start), HEIGHT), Markup("").join(drawn),
    )  # fmt: skip


def slots(glance: Glance, now: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """When it is expected from now on, as far as the axis goes: from and until."""
    due = glance.seen.due
    if due is None or glance.state == "paused":
        return
    schedule = rule_of(glance.row).schedule
    at: datetime | None = max(due, now)
    while at is not None and at <= end:
        following = at + schedule.period if isinstance(schedule, Every) else next_after(schedule, at)
        if following is not None and following - at < DENSE:
            yield at, end
            return
        yield at, at
        at = following


def _minute(at: datetime, start: datetime) -> int:
    return max(0, min(MINUTES, round((at - start).total_seconds() / 60)))


def _bar(look: str, x: int, width: int) -> str:
    match look:
        case "failed":  # cut through
            return f"M{x} 0h{width}v8h-{width}zM{x} 12h{width}v8h-{width}z"
        case "missed":  # hollow
            return f"M{x} 0h{width}v20h-{width}zM{x + 1} 2v16h{width - 2}v-16z"
        case "unknown" | "other":  # a stump
            return f"M{x} 14h{width}v6h-{width}z"
        case _:
            return f"M{x} 2h{width}v18h-{width}z"
