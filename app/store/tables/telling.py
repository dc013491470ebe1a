"""Channels, who hears of what, and every message."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables.columns import Base, Json

OPEN = "state IN ('waiting', 'sending')"
WAITING = "state = 'waiting'"


class ChannelRow(Base):
    """A way to people. `secret` is ciphertext. `tags`: it hears of checks with one of them, or of all; `hours`: when, or at any
    time, and `closed_until` the next of them, once somebody looked. `fallback` marks the owner's mail, told when all else fails.
    `failures` counts those in a row, since `failing_since`; from the fifth on the channel is left alone until `open_until`."""

    __tablename__ = "channels"
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    settings: Mapped[Json]
    secret: Mapped[bytes | None]
    hears: Mapped[str] = mapped_column(server_default="all")
    tags: Mapped[str] = mapped_column(server_default="")
    hours: Mapped[Json | None]
    closed_until: Mapped[datetime | None]
    fallback: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    disabled_why: Mapped[str | None]
    owner_told_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default="0")
    failing_since: Mapped[datetime | None]
    open_until: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        Index("channels_one_fallback", "project_id", unique=True, postgresql_where=text("fallback")),
        Index("channels_open", "failing_since", postgresql_where=text("open_until IS NOT NULL")),
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
    be tried again after the attempt under way; `fallback_told`, that another channel hears it instead, or that it is such a
    stand-in itself."""

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
        Index(
            "deliveries_fresh", "project_id", "channel_id", "seq", postgresql_where=text(f"{WAITING} AND first_try_at IS NULL")
        ),
        Index(
            "deliveries_tried",
            "project_id",
            "channel_id",
            "due_at",
            postgresql_where=text(f"{OPEN} AND first_try_at IS NOT NULL"),
        ),
        Index("deliveries_tests", "project_id", "channel_id", postgresql_where=text(f"{WAITING} AND cause_kind = 'test'")),
        Index("deliveries_sending", "project_id", "channel_id", postgresql_where=text("state = 'sending'")),
        Index(
            "deliveries_untold", "project_id", "channel_id", "created_at", postgresql_where=text(f"{OPEN} AND NOT fallback_told")
        ),
        Index("deliveries_of_channel", "project_id", "channel_id", "seq"),
        Index("deliveries_of_incident", "project_id", "incident_id"),
        Index("deliveries_settled", "settled_at", postgresql_include=["state"], postgresql_where=text("settled_at IS NOT NULL")),
        Index("deliveries_dead", "project_id", "channel_id", postgresql_where=text("state = 'dead'")),
    )
