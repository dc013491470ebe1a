"""Projects, their keys, and the one directory over all of them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables.columns import Base


class ProjectRow(Base):
    """A tenant: everything else belongs to one. `delete_at`: when it goes, unless somebody repents. `pauses_told_at`: when its
    members were last told of monitors that were paused."""

    __tablename__ = "projects"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    owner_email: Mapped[str | None]
    ping_key: Mapped[str | None]
    created_at: Mapped[datetime]
    badge_key: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    monitor_limit: Mapped[int | None]
    plan: Mapped[str] = mapped_column(server_default="unlimited")
    delete_at: Mapped[datetime | None]
    pauses_told_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("plan IN ('unlimited', 'free')", name="projects_plan"),
        Index("projects_badge_key", "badge_key", unique=True),
        Index("projects_delete_at", "delete_at", postgresql_where=text("delete_at IS NOT NULL")),
    )


class ApiKeyRow(Base):
    """A key, as its hash: ours with its scope (rw, ro, ping), or with a `service` that service's own key, by which its ping URLs
    and its sync find the project. `made_by`: whom, in words; `last_used_at`: by the API, to the minute."""

    __tablename__ = "api_keys"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    scope: Mapped[str]
    hash: Mapped[bytes] = mapped_column(unique=True)
    hint: Mapped[str]
    name: Mapped[str] = mapped_column(server_default="")
    service: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    made_by: Mapped[str] = mapped_column(server_default="")
    last_used_at: Mapped[datetime | None]
    __table_args__ = (ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),)


class AddressRow(Base):
    """(kind, key) -> project and monitor. Kinds: `ping` (a monitor's ping id), `ping_key` (a project's key), and the services of
    `domain/alias.py`: a token of theirs, or `<project>:<key>` where their keys are told apart by project."""

    __tablename__ = "addresses"
    kind: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[UUID]
    monitor_id: Mapped[UUID | None]
    revoked_at: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        Index("addresses_of_monitor", "project_id", "monitor_id"),
    )
