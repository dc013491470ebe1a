"""What programs report: the monitors they name, and what was heard of their runs, which adds up and is kept until nothing more
is to be expected."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.facts import Facts
from app.domain.schedule import Schedule
from app.store.addresses import Address, alias_key
from app.store.monitors import UNREADABLE
from app.store.rows import RULE, Columns, rule_of
from app.store.tables import ReportedRunRow
from app.store.unnest import arrays, picked, unnest

KEPT = timedelta(days=8)  # after the last word: the spool of an SDK says it again for a week
KEY = {"project_id": "uuid", "monitor_id": "uuid", "run_id": "text"}
COLUMNS = {**KEY, "facts": "jsonb", "heard_at": "timestamptz"}
READ = text(f"""
    SELECT r.project_id, r.monitor_id, r.run_id, r.facts FROM reported_runs r
    JOIN {unnest(KEY)} ON (r.project_id, r.monitor_id, r.run_id) = (v.project_id, v.monitor_id, v.run_id)""")  # noqa: S608
WRITE = text(f"""
    INSERT INTO reported_runs ({", ".join(COLUMNS)}) SELECT {picked(COLUMNS)} FROM {unnest(COLUMNS)}
    ON CONFLICT (project_id, monitor_id, run_id) DO UPDATE SET facts = excluded.facts, heard_at = excluded.heard_at""")  # noqa: S608

_FOUND = ", ".join(["v.kind AS asked", "v.key", "m.id", "m.zone", *(f"m.{column}" for column in RULE)])
PLACES = text(f"""
    WITH v AS (SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:keys AS text[])) AS v(kind, key))
    SELECT {_FOUND}, m.declared ->> 'heartbeat' AS heartbeat FROM v
    JOIN addresses a ON a.kind = v.kind AND a.key = v.key AND a.project_id = :project AND a.revoked_at IS NULL
    JOIN monitors m ON (m.project_id, m.id) = (a.project_id, a.monitor_id)
    UNION ALL
    SELECT {_FOUND}, NULL FROM v
    JOIN monitors m ON v.kind IN ('slug', 'job') AND m.project_id = :project AND m.slug = v.key AND m.slug <> ''
        AND (v.kind = 'slug' OR NOT EXISTS (SELECT FROM addresses o
             WHERE o.project_id = m.project_id AND o.monitor_id = m.id AND o.kind = 'celery'))""")  # noqa: S608


class Known(NamedTuple):
    """A monitor that is named: its schedule, None where its row makes no sense, and what its group said last of how often it
    says that it lives, in seconds."""

    id: UUID
    schedule: Schedule | None
    heartbeat: int | None


RunKey = tuple[UUID, UUID, str]  # project, monitor, run


async def places(session: AsyncSession, project: UUID, asked: Collection[Address]) -> dict[Address, Known]:
    """The monitors of this project that are named: by what they are called in Celery, by ping id (`ping`), by slug (`slug`). An
    address with a name is a job: where none is called so, the check with that slug is meant, if no program calls it otherwise."""
    if not asked:
        return {}
    at = {(a.kind, alias_key(project, a.kind, a.key)): a for a in asked}
    at |= {("job", a.name): a for a in asked if a.name}
    given = {"project": project, "kinds": [kind for kind, _ in at], "keys": [key for _, key in at]}
    rows = sorted((await session.execute(PLACES, given)).mappings(), key=lambda row: row["asked"] != "job")
    return {
        at[row["asked"], row["key"]]: Known(row["id"], _schedule(row), row["heartbeat"] and int(row["heartbeat"])) for row in rows
    }


def _schedule(row: Columns) -> Schedule | None:
    try:
        return rule_of(row).schedule
    except UNREADABLE:
        return None


async def read(session: AsyncSession, keys: Collection[RunKey]) -> dict[RunKey, Facts]:
    """What was heard of those of these runs that were heard of."""
    if not keys:
        return {}
    rows = await session.execute(READ, {name: [key[n] for key in keys] for n, name in enumerate(KEY)})
    return {(project, monitor, run): Facts.from_json(facts) for project, monitor, run, facts in rows}


async def write(session: AsyncSession, heard: Mapping[RunKey, Facts], now: datetime) -> None:
    """Keep what is known now of these runs, whose monitors are locked."""
    rows = [{**dict(zip(KEY, key, strict=True)), "facts": facts.to_json(), "heard_at": now} for key, facts in heard.items()]
    if rows:
        await session.execute(WRITE, arrays(COLUMNS, rows))


async def forget(session: AsyncSession, now: datetime) -> None:
    """Drop what is known of runs that nothing was heard of for long."""
    await session.execute(delete(ReportedRunRow).where(ReportedRunRow.heard_at < now - KEPT))
