"""What programs report by themselves: what was heard of each run, and when each source spoke of its schedule."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables.columns import Base, Json


class ReportedRunRow(Base):
    """All that was heard of a run (`domain/facts.py`), written under its monitor's row lock and forgotten some days after the
    last word."""

    __tablename__ = "reported_runs"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    monitor_id: Mapped[UUID] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(primary_key=True)
    facts: Mapped[Json]
    heard_at: Mapped[datetime]
    __table_args__ = (
        ForeignKeyConstraint(["project_id", "monitor_id"], ["monitors.project_id", "monitors.id"], ondelete="CASCADE"),
        Index("reported_runs_heard_at", "heard_at"),
    )


class SyncRow(Base):
    """When a source said last what its schedule is, and the starts of programs that said it, the newest last."""

    __tablename__ = "syncs"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    boots: Mapped[list[str]] = mapped_column(ARRAY(Text))
    __table_args__ = (ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),)
