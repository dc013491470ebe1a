"""Trouble from its opening to its close. One incident is open per monitor at most."""

from enum import StrEnum

from app.domain.state import Status, Transition


class Turning(StrEnum):
    """What a transition does to the incident of its monitor."""

    OPENS = "opens"
    CLOSES = "closes"
    NOTHING = "nothing"


def turning(transition: Transition) -> Turning:
    """An incident opens when a monitor goes down; it closes when that monitor is up again, or paused."""
    if transition.after is Status.DOWN:
        return Turning.OPENS
    if transition.before is Status.DOWN:
        return Turning.CLOSES
    return Turning.NOTHING
