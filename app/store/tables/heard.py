"""What was heard of monitors: check-ins by day, runs by month, answers to repeats. No foreign key, no default partition."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables.columns import Base, Json


class CheckInRow(Base):
    """A signal heard. `n` is gap-free per monitor. `reported_at`: when the client says it happened, where it said so.
    Partitioned by day of `received_at`."""

    __tablename__ = "check_ins"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    monitor_id: Mapped[UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    received_at: Mapped[datetime] = mapped_column(primary_key=True)
    signal: Mapped[str]
    run_id: Mapped[str | None]
    exit_status: Mapped[int | None]
    duration: Mapped[float | None]
    scheme: Mapped[str]
    method: Mapped[str]
    remote_addr: Mapped[str]
    user_agent: Mapped[str]
    body: Mapped[bytes | None]
    body_truncated: Mapped[bool] = mapped_column(server_default="false")
    reported_at: Mapped[datetime | None]
    __table_args__ = ({"postgresql_partition_by": "RANGE (received_at)"},)


class KeptCheckInRow(Base):
    """A check-in among its monitor's newest, saved from a day that was dropped, so that a monthly job keeps its log."""

    __tablename__ = "check_ins_kept"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    monitor_id: Mapped[UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    received_at: Mapped[datetime]
    signal: Mapped[str]
    run_id: Mapped[str | None]
    exit_status: Mapped[int | None]
    duration: Mapped[float | None]
    scheme: Mapped[str]
    method: Mapped[str]
    remote_addr: Mapped[str]
    user_agent: Mapped[str]
    body: Mapped[bytes | None]
    body_truncated: Mapped[bool]
    reported_at: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(["project_id", "monitor_id"], ["monitors.project_id", "monitors.id"], ondelete="CASCADE"),
    )


class RunRow(Base):
    """An execution, a success without a start, or a slot missed or unknown. Partitioned by month of `at`, which never changes."""

    __tablename__ = "runs"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    monitor_id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    key: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    outcome: Mapped[str | None]
    run_id: Mapped[str | None]
    attempt: Mapped[int]
    slot: Mapped[datetime | None]
    last_slot: Mapped[datetime | None]
    count: Mapped[int]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    cause: Mapped[str | None]
    __table_args__ = ({"postgresql_partition_by": "RANGE (at)"},)


class IdempotencyRow(Base):
    """What was answered to an Idempotency-Key; kept 24 h, written under the monitor's row lock."""

    __tablename__ = "idempotency"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    monitor_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    signal: Mapped[str] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)
    answer: Mapped[int]
    receipt: Mapped[Json | None]
    at: Mapped[datetime]
    __table_args__ = (Index("idempotency_at", "at"),)
