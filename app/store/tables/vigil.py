"""When we could hear, and when our loops last ran."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables.columns import Base


class TickRow(Base):
    """An ingest process could commit at this instant; kept 48 h. `last` is the tick with which it signed off."""

    __tablename__ = "ticks"
    at: Mapped[datetime] = mapped_column(primary_key=True)
    process: Mapped[UUID] = mapped_column(primary_key=True)
    last: Mapped[bool] = mapped_column(server_default="false")


class BlackoutRow(Base):
    """Time [from_at, to_at) in which we could not hear."""

    __tablename__ = "blackouts"
    from_at: Mapped[datetime] = mapped_column(primary_key=True)
    to_at: Mapped[datetime]


class CanaryRow(Base):
    """A check-in of our own, sent through the public address; kept 48 h."""

    __tablename__ = "canaries"
    sent_at: Mapped[datetime] = mapped_column(primary_key=True)
    heard_at: Mapped[datetime | None]


class HoldRow(Base):
    """Mass silence: what was due from `from_at` on was not judged before `until`, or before it was released."""

    __tablename__ = "holds"
    opened_at: Mapped[datetime] = mapped_column(primary_key=True)
    from_at: Mapped[datetime]
    until: Mapped[datetime]
    released_at: Mapped[datetime | None]
    silent: Mapped[int]
    projects: Mapped[int]


class UnheardRow(Base):
    """A slot or run of a monitor was expected while we could not hear; told once for each blackout, unless it was heard since."""

    __tablename__ = "unheard"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    monitor_id: Mapped[UUID] = mapped_column(primary_key=True)
    from_at: Mapped[datetime] = mapped_column(primary_key=True)
    to_at: Mapped[datetime]
    expected_at: Mapped[datetime]
    heard: Mapped[int] = mapped_column(BigInteger)
    settled_at: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(["project_id", "monitor_id"], ["monitors.project_id", "monitors.id"], ondelete="CASCADE"),
        Index("unheard_open", "to_at", postgresql_where=text("settled_at IS NULL")),
    )


class HeartbeatRow(Base):
    """When a loop of the worker last finished a round; read by /readyz and /metrics."""

    __tablename__ = "heartbeats"
    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
