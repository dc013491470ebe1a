"""When we could hear, and when our loops last ran."""

from datetime import datetime
from uuid import UUID

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


class HeartbeatRow(Base):
    """When a loop of the worker last finished a round; read by /readyz and /metrics."""

    __tablename__ = "heartbeats"
    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
