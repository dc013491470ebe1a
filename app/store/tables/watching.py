"""How we watch ourselves: what the operator is to hear, what the audits found last, and how many there are of what."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables.columns import Base


class NoticeRow(Base):
    """Something that whoever runs the service is to hear once. While a mail holds it, `claimed_until` is the end of the lease;
    `told_at` is when that mail was taken, or the line written where no address is set."""

    __tablename__ = "notices"
    kind: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    words: Mapped[str]
    at: Mapped[datetime]
    claimed_until: Mapped[datetime | None]
    told_at: Mapped[datetime | None]
    __table_args__ = (
        Index("notices_untold", "at", postgresql_where=text("told_at IS NULL")),
        Index("notices_told", "told_at"),
    )


class AuditRow(Base):
    """What an audit found when it was last asked: how many, and the first of them in words."""

    __tablename__ = "audits"
    audit: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    found: Mapped[int]
    words: Mapped[str]


class CountRow(Base):
    """How many there were when they were counted: `what` (monitors, deliveries) by the value of their status or state."""

    __tablename__ = "counts"
    what: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]
