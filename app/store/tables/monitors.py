"""Monitors: their rule and their state, which is written only under the row lock."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables.columns import Base, Json

TAGS = "string_to_array(({0}project_id::text || ':') || replace({0}tags, ' ', (' ' || {0}project_id::text) || ':'), ' ')"
"""The tags of a monitor, each behind its project, so that an index finds those of one project. {0}: the table and a dot."""


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
    filters: Mapped[Json] = mapped_column(server_default="{}")
    badge_key: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    source: Mapped[str] = mapped_column(server_default="")
    retired_at: Mapped[datetime | None]
    beat_of: Mapped[str] = mapped_column(server_default="")
    declared: Mapped[Json] = mapped_column(server_default="{}")
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
    max_wait: Mapped[int | None]
    dispatched: Mapped[bool] = mapped_column(server_default="false")
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
    held_since: Mapped[datetime | None]
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
        Index("monitors_badge_key", "badge_key", unique=True),
        Index("monitors_source", "project_id", "source", postgresql_where=text("source <> ''")),
        Index("monitors_held", "project_id", "source", postgresql_where=text("held_since IS NOT NULL")),
        Index("monitors_beats", "wake_at", postgresql_where=text("beat_of <> ''")),
        Index("monitors_beat_of", "project_id", "beat_of", postgresql_where=text("beat_of <> ''")),
        Index("monitors_not_woken", "project_id", postgresql_where=text("wake_at IS NULL AND status IN ('up', 'new')")),
        Index("monitors_down", "project_id", "id", postgresql_where=text("status = 'down'")),
        Index(
            "monitors_tags",
            text(TAGS.format("")),
            postgresql_using="gin",
            postgresql_where=text("tags <> ''"),
            postgresql_with={"fastupdate": "off"},
        ),
        Index("monitors_set_aside", "set_aside_until", postgresql_where=text("set_aside_until IS NOT NULL")),
        Index("monitors_wake_at", "wake_at", postgresql_where=text("wake_at IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "75"}},
    )
