"""Plans: how much a project may have. The one table of it, and the words for those who come near."""

from dataclasses import dataclass
from enum import StrEnum

NEAR = 0.8  # of a limit, from where on people are told
PEOPLE = "members, those invited included"  # what the limit of members counts


class PlanName(StrEnum):
    """What a project may be on."""

    UNLIMITED = "unlimited"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Plan:
    """So many monitors, members, and check-ins of each monitor that are shown; None: as many as they like."""

    monitors: int | None = None
    members: int | None = None
    log: int | None = None


PLANS = {PlanName.UNLIMITED: Plan(), PlanName.FREE: Plan(monitors=20, members=3, log=100)}


def plan_of(name: str) -> Plan:
    """What a project on the plan of this name may have."""
    return PLANS[PlanName(name)]


def least(*limits: int | None) -> int | None:
    """The strictest of several limits; None where there is none."""
    return min((limit for limit in limits if limit is not None), default=None)


def notice(count: int, limit: int | None, things: str) -> str:
    """What somebody who has so many `things` should know: nothing far from the limit, what is left near it, that it is full."""
    if limit is None or count < limit * NEAR:
        return ""
    if count >= limit:
        return f"This project has {count} of {limit} {things}: there is no room for more."
    return f"This project has {count} of {limit} {things}: room for {limit - count} more."
