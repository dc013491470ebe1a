"""People, what they may do in which project, the mail to them, and the log of who did what."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables.columns import Base, Json

ROLES = "role IN ('owner', 'manager', 'member', 'viewer')"


class UserRow(Base):
    """Somebody who signs in. `email` as typed, `email_key` in lower case; without `password_hash` by links alone. The TOTP
    secrets are sealed, recovery codes hashed; `totp_last_step` is the last that was used, so that a code opens once."""

    __tablename__ = "users"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    email_key: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str | None]
    verified_at: Mapped[datetime | None]
    totp_secret: Mapped[bytes | None]
    totp_pending: Mapped[bytes | None]
    totp_last_step: Mapped[int | None] = mapped_column(BigInteger)
    recovery_codes: Mapped[list[bytes]] = mapped_column(server_default="{}")
    zone: Mapped[str] = mapped_column(server_default="UTC")
    theme: Mapped[str] = mapped_column(server_default="auto")
    created_at: Mapped[datetime]
    __table_args__ = (CheckConstraint("theme IN ('auto', 'light', 'dark')", name="users_theme"),)


class SessionRow(Base):
    """A browser that is signed in: the hash of its token, and an `id` to show and revoke it by. `authenticated_at`: when it last
    proved who it is. `by_link`: whether a mailed link began it. A session that is over is deleted."""

    __tablename__ = "user_sessions"
    hash: Mapped[bytes] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(unique=True)
    user_id: Mapped[UUID]
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    authenticated_at: Mapped[datetime]
    by_link: Mapped[bool]
    address: Mapped[str]
    user_agent: Mapped[str]
    __table_args__ = (
        ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        Index("user_sessions_of_user", "user_id"),
        Index("user_sessions_expires_at", "expires_at"),
    )


class LinkRow(Base):
    """A link that was mailed, as the hash of its secret; opens once. `browser`: the hash of what the asking browser keeps, where
    only that one may open it."""

    __tablename__ = "links"
    hash: Mapped[bytes] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    user_id: Mapped[UUID | None]
    email_key: Mapped[str]
    browser: Mapped[bytes | None]
    data: Mapped[Json] = mapped_column(server_default="{}")
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        Index("links_of_address", "email_key", "purpose"),
        Index("links_of_user", "user_id"),
        Index("links_expires_at", "expires_at"),
    )


class AttemptRow(Base):
    """A leaky bucket of attempts of one kind, by account or address: how full it was, and when."""

    __tablename__ = "attempts"
    kind: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    level: Mapped[float]
    at: Mapped[datetime]
    __table_args__ = (Index("attempts_at", "at"),)


class LetterRow(Base):
    """A mail to a person that was not taken yet. `sealed`: what it says, its link too. After `expires_at` it is of no use."""

    __tablename__ = "letters"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    recipient: Mapped[str]
    sealed: Mapped[bytes]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(server_default="0")
    claimed_until: Mapped[datetime | None]
    gave_up_at: Mapped[datetime | None]
    answer: Mapped[str] = mapped_column(server_default="")
    __table_args__ = (
        Index("letters_due", "due_at", postgresql_where=text("gave_up_at IS NULL")),
        Index("letters_gave_up", "gave_up_at", postgresql_where=text("gave_up_at IS NOT NULL")),
    )


class MembershipRow(Base):
    """What somebody may do in a project."""

    __tablename__ = "memberships"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    role: Mapped[str]
    created_at: Mapped[datetime]
    __table_args__ = (
        ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        CheckConstraint(ROLES, name="memberships_role"),
        Index("memberships_of_user", "user_id"),
    )


class InvitationRow(Base):
    """A place in a project that is offered to an address; one open offer each."""

    __tablename__ = "invitations"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    email_key: Mapped[str]
    role: Mapped[str]
    hash: Mapped[bytes] = mapped_column(unique=True)
    invited_by: Mapped[UUID | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["invited_by"], ["users.id"], ondelete="SET NULL"),
        CheckConstraint(ROLES, name="invitations_role"),
        Index(
            "invitations_one_open", "project_id", "email_key", unique=True,
            postgresql_where=text("accepted_at IS NULL AND revoked_at IS NULL"),
        ),
        Index("invitations_of_address", "email_key"),
        Index("invitations_invited_by", "invited_by"),
    )  # fmt: skip


class PauseRow(Base):
    """A monitor that was paused, by whom, while the members of its project are not told of it yet."""

    __tablename__ = "pauses"
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    project_id: Mapped[UUID]
    monitor: Mapped[str]
    actor: Mapped[str]
    at: Mapped[datetime]
    __table_args__ = (
        ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        Index("pauses_of_project", "project_id"),
    )


class AuditEntryRow(Base):
    """Who did what, as it was written: a trigger refuses changes. `actor` in words, an address or a key's hint. It goes with its
    project; of no project, with its user; else after 13 months."""

    __tablename__ = "audit_entries"
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    project_id: Mapped[UUID | None]
    user_id: Mapped[UUID | None]
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    details: Mapped[Json]
    address: Mapped[str]
    __table_args__ = (
        Index("audit_entries_of_project", "project_id", "id"),
        Index("audit_entries_of_user", "user_id", "id"),
        Index("audit_entries_at", "at"),
    )
