"""How monitors turned, and trouble from open to close."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables.columns import Base, Json


class TransitionRow(Base):
    """A status turning: numbered without gaps, each from where the last one led. `announced_to`: the channels told."""

    __tablename__ = "transitions"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    monitor_id: Mapped[UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    from_status: Mapped[str]
    to_status: Mapped[str]
    at: Mapped[datetime]
    noticed_at: Mapped[datetime]
    reason: Mapped[str]
    evidence: Mapped[Json]
    announced_to: Mapped[list[UUID]]
    __table_args__ = (
        CheckConstraint("from_status <> to_status", name="transitions_change_something"),
        Index("transitions_noticed", "noticed_at"),
    )


class IncidentRow(Base):
    """Trouble from open to close; one open per monitor. `acknowledged_by`: whom, in words; empty where that was not noted.
    `fine_until`: late news shows that the monitor was fine until then: up to the close, where all of it was a false alarm."""

    __tablename__ = "incidents"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    monitor_id: Mapped[UUID]
    monitor_name: Mapped[str]
    opened_at: Mapped[datetime]
    opened_by: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str]
    evidence: Mapped[Json]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str] = mapped_column(server_default="")
    fine_until: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        Index("incidents_one_open", "project_id", "monitor_id", unique=True, postgresql_where=text("closed_at IS NULL")),
        Index("incidents_closed_at", "closed_at", postgresql_where=text("closed_at IS NOT NULL")),
        Index("incidents_newest", "project_id", "opened_at"),
        Index("incidents_of_monitor", "project_id", "monitor_id", "opened_at"),
        Index("incidents_fine", "project_id", "monitor_id", "opened_by", postgresql_where=text("fine_until IS NOT NULL")),
    )


class RemovedMonitorRow(Base):
    """A monitor that was deleted, until nothing is left of it."""

    __tablename__ = "removed_monitors"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    monitor_id: Mapped[UUID] = mapped_column(primary_key=True)
    removed_at: Mapped[datetime]
    __table_args__ = (Index("removed_monitors_removed_at", "removed_at"),)
