"""Partitions made ahead and dropped after their time: check-ins by day, runs by month."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

DAYS_AHEAD = 14
MONTHS_AHEAD = 2
MONTHS_KEPT = 13
KEEPER = 0x6D69_7373_6502  # an advisory lock held for one transaction: partitions are made by one at a time


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: its table, its parent, and the dates [start, end) it holds."""

    parent: str
    name: str
    start: date
    end: date


def day_of(at: datetime) -> Partition:
    """The partition of check-ins that holds this instant."""
    day = at.astimezone(UTC).date()
    return Partition("check_ins", f"check_ins_{day:%Y%m%d}", day, day + timedelta(days=1))


def month_of(at: datetime) -> Partition:
    """The partition of runs that holds this instant."""
    first = at.astimezone(UTC).date().replace(day=1)
    return Partition("runs", f"runs_{first:%Y%m}", first, (first + timedelta(days=32)).replace(day=1))


def wanted(now: datetime) -> list[Partition]:
    """The partitions that should exist at `now`: yesterday's and this month's on, some way ahead."""
    days = [day_of(now + timedelta(days=n)) for n in range(-1, DAYS_AHEAD + 1)]
    months, first = [], now - timedelta(days=1)
    for _ in range(MONTHS_AHEAD + 1):
        months.append(month_of(first))
        first = datetime.combine(months[-1].end, datetime.min.time(), UTC)
    return days + months


def wanted_since(now: datetime, oldest: timedelta) -> list[Partition]:
    """Those, and those of the past that something reported as long ago as `oldest` may be of."""
    past = [month_of(now - timedelta(days=day)) for day in range(0, oldest.days + 2, 20)]
    return list(dict.fromkeys([*wanted(now), *past]))


def are_missing(error: BaseException) -> bool:
    """Whether a row could not be written for want of its partition."""
    return isinstance(error, IntegrityError) and "no partition of relation" in str(error)


async def existing(session: AsyncSession) -> set[str]:
    """The names of all partitions attached to check_ins and runs."""
    rows = await session.execute(
        text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent IN ('check_ins'::regclass, 'runs'::regclass)")
    )
    return set(rows.scalars())


async def make(session: AsyncSession, partitions: list[Partition]) -> list[str]:
    """Make those that are missing, in this transaction; returns their names. CREATE and ATTACH lock no reader or writer."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": KEEPER})
    there, made = await existing(session), []
    for part in partitions:
        if part.name in there:
            continue
        await session.execute(text(f"CREATE TABLE {part.name} (LIKE {part.parent} INCLUDING ALL)"))
        bounds = f"FROM ('{part.start} 00:00+00') TO ('{part.end} 00:00+00')"
        await session.execute(text(f"ALTER TABLE {part.parent} ATTACH PARTITION {part.name} FOR VALUES {bounds}"))
        made.append(part.name)
    return made


async def days_ahead(session: AsyncSession, now: datetime) -> int:
    """How many days of check-ins after today have their partition; red below 3."""
    there = await existing(session)
    ahead = 0
    while day_of(now + timedelta(days=ahead + 1)).name in there:
        ahead += 1
    return ahead


async def outlived(session: AsyncSession, now: datetime, retention_days: int) -> list[str]:
    """The partitions past their time, oldest first."""
    oldest_day = day_of(now - timedelta(days=retention_days)).name
    oldest_month = month_of(now - timedelta(days=31 * MONTHS_KEPT)).name
    there = await existing(session)
    limits = {"check_ins": oldest_day, "runs": oldest_month}
    return sorted(name for name in there if name < limits[name.rpartition("_")[0]])


async def drop(session: AsyncSession, name: str, log_limit: int) -> None:
    """Drop one partition. Check-ins among their monitor's newest `log_limit` are saved first, the older saved ones go."""
    if name.startswith("check_ins_"):
        await session.execute(
            text(f"""
                INSERT INTO check_ins_kept SELECT c.* FROM {name} c JOIN monitors m
                    ON m.project_id = c.project_id AND m.id = c.monitor_id AND c.n > m.heard - :limit
                ON CONFLICT DO NOTHING"""),  # noqa: S608
            {"limit": log_limit},
        )
        await session.execute(
            text("""DELETE FROM check_ins_kept k USING monitors m
                WHERE m.project_id = k.project_id AND m.id = k.monitor_id AND k.n <= m.heard - :limit"""),
            {"limit": log_limit},
        )
    await session.execute(text(f"DROP TABLE {name}"))
