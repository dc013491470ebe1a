"""The breaker for mass silence: where very many jobs of several projects fall silent at once, it is more likely that we are deaf
than that all of them died. Their verdicts are held for a while, and always released."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

AT_LEAST = 20
SHARE = 0.1  # of the active monitors
PROJECTS = 3
LOOKS_BACK = timedelta(seconds=60)
HELD_AT_MOST = timedelta(minutes=10)
RESTS_FOR = timedelta(minutes=10)  # after a hold ran out: what is silent then is told, whatever else falls silent


def is_mass(silent: Mapping[UUID, int], active: int) -> bool:
    """Whether so many fell silent (by project, those of the last minute included) that it is taken for our own trouble."""
    projects = sum(count > 0 for count in silent.values())
    return projects >= PROJECTS and sum(silent.values()) > max(AT_LEAST, SHARE * active)


def may_hold(now: datetime, last_ran_out: datetime | None) -> bool:
    """Whether a new hold may begin: not soon after one that ran out."""
    return last_ran_out is None or now - last_ran_out > RESTS_FOR
