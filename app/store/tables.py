"""The tables. Every key begins with the project; `addresses` is the one directory over all projects.

State of a monitor is written only under its row lock. Check-ins are partitioned by day and runs by month, from the first
migration; there is no foreign key to either, and no default partition.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKeyConstraint, Identity, Index, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = dict[str, Any]
OPEN = "state IN ('waiting', 'sending')"


class Base(DeclarativeBase):
    """What column types Python types become."""

    type_annotation_map = {  # noqa: RUF012
        datetime: DateTime(timezone=True),
        str: Text,
        bytes: BYTEA,
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        list[UUID]: ARRAY(Uuid),
    }


class ProjectRow(Base):
    """A tenant: everything else belongs to one."""

    __tablename__ = "projects"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    owner_email: Mapped[str | None]
    ping_key: Mapped[str | None]
    created_at: Mapped[datetime]


class ApiKeyRow(Base):
    """A key of the management API, as its hash."""

    __tablename__ = "api_keys"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    scope: Mapped[str]
    hash: Mapped[bytes] = mapped_column(unique=True)
    hint: Mapped[str]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    __table_args__ = (ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),)


class AddressRow(Base):
    """(kind, key) -> project and monitor. Kinds: `ping` (a monitor's ping id), `ping_key` (a project's key)."""

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


class MonitorRow(Base):
    """A monitor: what people call it, its rule, and its state, which is written only under this row's lock."""

    __tablename__ = "monitors"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    unique_key: Mapped[str]
    created_at: Mapped[datetime]
    name: Mapped[str] = mapped_column(server_default="")
    slug: Mapped[str] = mapped_column(server_default="")
    tags: Mapped[str] = mapped_column(server_default="")
    description: Mapped[str] = mapped_column(server_default="")
    methods: Mapped[str] = mapped_column(server_default="")
    # the rule; spans in whole seconds
    kind: Mapped[str]
    period: Mapped[int | None]
    expression: Mapped[str | None]
    zone: Mapped[str] = mapped_column(server_default="UTC")
    grace: Mapped[int]
    early: Mapped[int | None]
    max_runtime: Mapped[int | None]
    failures_to_alert: Mapped[int] = mapped_column(server_default="1")
    successes_to_recover: Mapped[int] = mapped_column(server_default="1")
    manual_resume: Mapped[bool] = mapped_column(server_default="false")
    # the state
    status: Mapped[str] = mapped_column(server_default="new")
    satisfied: Mapped[datetime | None]
    due: Mapped[datetime | None]
    anchor: Mapped[datetime | None]
    floor: Mapped[datetime | None]
    deadline: Mapped[datetime | None]
    wake_at: Mapped[datetime | None]
    taker: Mapped[int | None] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(server_default="0")
    failure_slot: Mapped[datetime | None]
    successes: Mapped[int] = mapped_column(server_default="0")
    success_slot: Mapped[datetime | None]
    last_end_at: Mapped[datetime | None]
    last_applied_at: Mapped[datetime | None]
    last_success_at: Mapped[datetime | None]
    last_start_at: Mapped[datetime | None]
    last_duration: Mapped[float | None]
    down_since: Mapped[datetime | None]
    heard: Mapped[int] = mapped_column(BigInteger, server_default="0")
    run_count: Mapped[int] = mapped_column(BigInteger, server_default="0")
    transition_count: Mapped[int] = mapped_column(BigInteger, server_default="0")
    memory: Mapped[Json] = mapped_column(server_default="{}")
    set_aside_until: Mapped[datetime | None]
    set_aside_why: Mapped[str | None]

    def __getitem__(self, column: str) -> Any:
        """A column by its name, as rows of plain queries have it."""
        return getattr(self, column)

    __table_args__ = (
        ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        CheckConstraint("deadline IS NULL OR (wake_at IS NOT NULL AND wake_at <= deadline)", name="monitors_are_woken"),
        Index("monitors_slug", "project_id", "slug", unique=True, postgresql_where=text("slug <> ''")),
        Index("monitors_unique_key", "project_id", "unique_key", unique=True),
        Index("monitors_wake_at", "wake_at", postgresql_where=text("wake_at IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "75"}},
    )


class CheckInRow(Base):
    """A signal heard. `n` is gap-free per monitor. Partitioned by day of `received_at`."""

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
    __table_args__ = (
        ForeignKeyConstraint(["project_id", "monitor_id"], ["monitors.project_id", "monitors.id"], ondelete="CASCADE"),
    )


class RunRow(Base):
    """An execution, a success without a start, or a slot missed or unknown. Partitioned by month of `at`, which never changes."""

    __tablename__ = "runs"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    monitor_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    outcome: Mapped[str | None]
    run_id: Mapped[str | None]
    attempt: Mapped[int]
    slot: Mapped[datetime | None]
    last_slot: Mapped[datetime | None]
    count: Mapped[int]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
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
    at: Mapped[datetime]
    __table_args__ = (Index("idempotency_at", "at"),)


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
    __table_args__ = (CheckConstraint("from_status <> to_status", name="transitions_change_something"),)


class IncidentRow(Base):
    """Trouble from open to close; one open per monitor."""

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
    __table_args__ = (
        ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        Index("incidents_one_open", "project_id", "monitor_id", unique=True, postgresql_where=text("closed_at IS NULL")),
        Index("incidents_newest", "project_id", "opened_at"),
        Index("incidents_of_monitor", "project_id", "monitor_id", "opened_at"),
    )


class ChannelRow(Base):
    """A way to people. `secret` is ciphertext. `fallback` marks the owner's mail, told when all else fails."""

    __tablename__ = "channels"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    settings: Mapped[Json]
    secret: Mapped[bytes | None]
    hears: Mapped[str] = mapped_column(server_default="all")
    fallback: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    disabled_why: Mapped[str | None]
    owner_told_at: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        Index("channels_one_fallback", "project_id", unique=True, postgresql_where=text("fallback")),
    )


class SubscriptionRow(Base):
    """Which channels hear of a monitor."""

    __tablename__ = "subscriptions"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    monitor_id: Mapped[UUID] = mapped_column(primary_key=True)
    channel_id: Mapped[UUID] = mapped_column(primary_key=True)
    __table_args__ = (
        ForeignKeyConstraint(["project_id", "monitor_id"], ["monitors.project_id", "monitors.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["project_id", "channel_id"], ["channels.project_id", "channels.id"], ondelete="CASCADE"),
        Index("subscriptions_of_channel", "project_id", "channel_id"),
    )


class DeliveryRow(Base):
    """One message to one channel: waiting, sending, then delivered, dead or suppressed. `seq` is the order of telling.

    While it is sent, `due_at` is the end of the lease: whoever finds it then may take it over. `withdrawn` says why it is not to
    be tried again after the attempt under way."""

    __tablename__ = "deliveries"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    channel_id: Mapped[UUID]
    monitor_id: Mapped[UUID | None]
    incident_id: Mapped[UUID | None]
    cause_kind: Mapped[str]
    cause_id: Mapped[str]
    told: Mapped[Json]
    state: Mapped[str] = mapped_column(server_default="waiting")
    due_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(server_default="0")
    claim_no: Mapped[int] = mapped_column(server_default="0")
    owner: Mapped[UUID | None]
    first_try_at: Mapped[datetime | None]
    attempts: Mapped[list[Any]] = mapped_column(server_default="[]")
    reason: Mapped[str | None]
    withdrawn: Mapped[str | None]
    fallback_told: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        Index("deliveries_one_per_cause", "project_id", "cause_kind", "cause_id", "channel_id", unique=True),
        Index("deliveries_open", "project_id", "channel_id", "monitor_id", "seq", postgresql_where=text(OPEN)),
        Index("deliveries_due", "due_at", postgresql_where=text(OPEN)),
        Index("deliveries_of_channel", "project_id", "channel_id", "seq"),
        Index("deliveries_of_incident", "project_id", "incident_id"),
        Index("deliveries_settled", "settled_at"),
    )


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
