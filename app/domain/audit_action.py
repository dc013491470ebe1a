"""What the log of who did what tells of: a closed list, so that a reader can search it."""

from enum import StrEnum


class AuditAction(StrEnum):
    """One kind of entry. The first ones are of an account, the others of a project."""

    USER_CREATED = "user.created"
    USER_DELETED = "user.deleted"
    LINK_MADE = "user.link_made"  # by the command line
    SIGNED_IN = "user.signed_in"
    SIGNED_OUT = "user.signed_out"
    SESSION_REVOKED = "user.session_revoked"
    PASSWORD_CHANGED = "user.password_changed"  # noqa: S105
    ADDRESS_CHANGED = "user.address_changed"
    TOTP_ON = "user.totp_on"
    TOTP_OFF = "user.totp_off"
    RECOVERY_CODE_USED = "user.recovery_code_used"
    RECOVERY_CODES_MADE = "user.recovery_codes_made"

    PROJECT_CREATED = "project.created"
    PROJECT_RENAMED = "project.renamed"
    PROJECT_EXPORTED = "project.exported"
    PROJECT_DELETING = "project.deleting"
    PROJECT_KEPT = "project.kept"
    PROJECT_TRANSFERRED = "project.transferred"
    PLAN_CHANGED = "project.plan_changed"
    PING_KEY_CHANGED = "project.ping_key_changed"
    MEMBER_INVITED = "member.invited"
    INVITATION_REVOKED = "member.invitation_revoked"
    MEMBER_JOINED = "member.joined"
    MEMBER_ROLE_CHANGED = "member.role_changed"
    MEMBER_REMOVED = "member.removed"
    MEMBER_LEFT = "member.left"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    CHANNEL_CREATED = "channel.created"
    CHANNEL_CHANGED = "channel.changed"
    CHANNEL_DELETED = "channel.deleted"
    MONITOR_PAUSED = "monitor.paused"
    MONITOR_RESUMED = "monitor.resumed"
    MONITOR_DELETED = "monitor.deleted"


IN_WORDS = {
    AuditAction.PROJECT_CREATED: "made the project",
    AuditAction.PROJECT_RENAMED: "renamed the project to",
    AuditAction.PROJECT_EXPORTED: "took a file of",
    AuditAction.PROJECT_DELETING: "deleted the project, which goes a week later",
    AuditAction.PROJECT_KEPT: "kept the project after all",
    AuditAction.PROJECT_TRANSFERRED: "made an owner of",
    AuditAction.PLAN_CHANGED: "changed the plan to",
    AuditAction.PING_KEY_CHANGED: "changed the ping key",
    AuditAction.MEMBER_INVITED: "invited",
    AuditAction.INVITATION_REVOKED: "took back the invitation of",
    AuditAction.MEMBER_JOINED: "joined",
    AuditAction.MEMBER_ROLE_CHANGED: "changed the role of",
    AuditAction.MEMBER_REMOVED: "removed",
    AuditAction.MEMBER_LEFT: "left",
    AuditAction.KEY_CREATED: "made the key",
    AuditAction.KEY_REVOKED: "revoked the key",
    AuditAction.CHANNEL_CREATED: "made the channel",
    AuditAction.CHANNEL_CHANGED: "changed the channel",
    AuditAction.CHANNEL_DELETED: "deleted the channel",
    AuditAction.MONITOR_PAUSED: "paused",
    AuditAction.MONITOR_RESUMED: "resumed",
    AuditAction.MONITOR_DELETED: "deleted the check",
}
"""What was done in a project, in words that stand between who did it and to what."""
