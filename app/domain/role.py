"""Who may do what in a project: the one table of it."""

from enum import StrEnum


class Role(StrEnum):
    """What a member of a project is, from the most to the least."""

    OWNER = "owner"
    MANAGER = "manager"
    MEMBER = "member"
    VIEWER = "viewer"

    def covers(self, other: "Role") -> bool:
        """Whether it may do all that the other may."""
        return RANKS[self] >= RANKS[other]


class Action(StrEnum):
    """What pages let somebody do in a project."""

    SEE = "see the project"
    EDIT_MONITORS = "change its monitors"  # pause, acknowledge and mute too
    EDIT_CHANNELS = "change its channels"
    EDIT_KEYS = "change its keys"
    EDIT_MEMBERS = "change its members"
    EDIT_PROJECT = "change the project"
    SEE_AUDIT = "see its log"
    EXPORT = "export it"
    TRANSFER = "hand it to another owner"
    DELETE = "delete it"


RANKS = {Role.VIEWER: 0, Role.MEMBER: 1, Role.MANAGER: 2, Role.OWNER: 3}
LEAST = {
    Action.SEE: Role.VIEWER,
    Action.EDIT_MONITORS: Role.MEMBER,
    Action.EDIT_CHANNELS: Role.MANAGER,
    Action.EDIT_KEYS: Role.MANAGER,
    Action.EDIT_MEMBERS: Role.MANAGER,
    Action.EDIT_PROJECT: Role.MANAGER,
    Action.SEE_AUDIT: Role.MANAGER,
    Action.EXPORT: Role.MANAGER,
    Action.TRANSFER: Role.OWNER,
    Action.DELETE: Role.OWNER,
}
"""The least role for each action; whoever is more may do it too."""


def may(role: Role, action: Action) -> bool:
    """Whether a member of this role may do this."""
    return role.covers(LEAST[action])


def may_change(by: Role, now: Role, then: Role | None) -> bool:
    """Whether somebody may make a member of one role one of another, or with None remove them: nobody touches whoever is more
    than themselves, and nobody gives more than they have."""
    return may(by, Action.EDIT_MEMBERS) and by.covers(now) and (then is None or by.covers(then))
