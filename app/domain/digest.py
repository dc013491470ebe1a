"""What is said after a blackout: which jobs were expected in it and have not been heard of since. One message for each project
and channel."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from app.domain.horizon import Blackout
from app.domain.message import Told, clean, duration

LIST_LIMIT = 900  # characters; a message shows about a thousand
NAME_LIMIT = 60


@dataclass(frozen=True, slots=True)
class Silent:
    """A job by the name people know it by, when it was expected, and the zone it is planned in."""

    name: str
    expected: datetime
    zone: str


def digest(blackout: Blackout, silent: Sequence[Silent], project: str) -> Told:
    """The message about these jobs, those expected first in front."""
    jobs = sorted(silent, key=lambda s: (s.expected, s.name))
    count = f"{len(jobs)} jobs were" if len(jobs) > 1 else "This job was"
    since = "and have not been heard of since. They are" if len(jobs) > 1 else "and has not been heard of since. It is"
    words = (
        f"Missedbeat could not hear for {duration(max(blackout.end - blackout.start, timedelta(seconds=1)))}, until "
        f"{_clock(blackout.end, 'UTC')}. {count} expected in that time {since} not called missed; please look yourself."
    )
    name = jobs[0].name if len(jobs) == 1 else f"{len(jobs)} jobs"
    return Told(
        kind="blackout", at=blackout.end, project=project, name=name, explain=words, down_since=blackout.start,
        output=_list(jobs),
    )  # fmt: skip


def _list(jobs: Sequence[Silent]) -> str:
    """A line for each, as many as a message shows, and the number of the rest."""
    lines: list[str] = []
    for job in jobs:
        lines.append(f"{clean(job.name, NAME_LIMIT) or '(no name)'}: expected {_clock(job.expected, job.zone)}")
        if sum(len(line) + 1 for line in lines) > LIST_LIMIT:
            lines.pop()
            break
    if len(lines) < len(jobs):
        lines.append(f"and {len(jobs) - len(lines)} more")
    return "\n".join(lines)


def _clock(at: datetime, zone: str) -> str:
    try:
        known: tzinfo = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):  # a zone that this machine does not know (any more) must not cost the message
        known = UTC
    return at.astimezone(known).strftime("%Y-%m-%d %H:%M:%S %Z")
