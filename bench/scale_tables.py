"""The databases that are measured: made, migrated and filled once, found again where the folder was kept."""

import asyncio
import json
import time
from dataclasses import asdict, dataclass

import psycopg
from sqlalchemy import make_url

from app.store import accounts, blackouts
from app.store.accounts import NewProject
from app.store.engine import Sessions, make_engine, make_sessions
from app.store.migrate import migrate
from app.store.partitions import make, wanted
from tests.large import Filler, Size

DAYS = 10
SIZES = """
    SELECT CASE WHEN c.relname ~ '_[0-9]+$' THEN regexp_replace(c.relname, '_[0-9]+$', '') || ' (partitions)' ELSE c.relname END,
        sum(greatest(c.reltuples, 0))::bigint, sum(pg_table_size(c.oid))::bigint, sum(pg_indexes_size(c.oid))::bigint
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relname <> 'seed' GROUP BY 1 HAVING sum(c.reltuples) > 1000
    ORDER BY 3 + 4 DESC, 4 DESC"""


@dataclass(frozen=True)
class Database:
    """A filled one, and the projects that are asked in it: `due` has the monitors that fall silent, `listed` 1,000, `few` 50."""

    dsn: str
    monitors: int
    due: str
    listed: str
    few: str
    listed_key: str
    few_key: str

    def connected(self) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection that commits each statement."""
        return psycopg.connect(self.dsn.replace("+psycopg", "", 1), autocommit=True, options="-c timezone=UTC")


def filled(server: str, name: str, monitors: int, check_ins: int) -> Database:
    """The database of this name, filled now, or in the last hour where the folder was kept: later its monitors fall silent."""
    database = f"{name}_{monitors}_{check_ins}"
    dsn = make_url(server).set(database=database).render_as_string(hide_password=False)
    with psycopg.connect(server.replace("+psycopg", "", 1), autocommit=True) as admin:
        if admin.execute("SELECT FROM pg_database WHERE datname = %s", [database]).fetchone() is not None:
            if (found := _found(dsn)) is not None:
                return found
            admin.execute(f"DROP DATABASE {database} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {database}")
    began = time.monotonic()
    migrate(dsn)
    made = asyncio.run(_fill(dsn, monitors, check_ins))
    told = {key: value for key, value in asdict(made).items() if key != "dsn"}
    with made.connected() as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
        connection.execute("CREATE TABLE filled AS SELECT now() AS at, %s AS told", [json.dumps(told)])
        connection.execute("CHECKPOINT")
    print(f"{name}: {monitors} monitors and {check_ins} check-ins loaded in {time.monotonic() - began:.0f} s", flush=True)
    return made


def _found(dsn: str) -> Database | None:
    with psycopg.connect(dsn.replace("+psycopg", "", 1)) as connection:
        (there,) = connection.execute("SELECT to_regclass('filled')").fetchone() or (None,)
        row = connection.execute("SELECT told FROM filled WHERE at > now() - interval '1 h'").fetchone() if there else None
    return None if row is None else Database(dsn=dsn, **json.loads(row[0]))


async def _fill(dsn: str, monitors: int, check_ins: int) -> Database:
    engine = make_engine(dsn, "scale", 1, patience=600_000, held_at_most=3600)
    sessions: Sessions = make_sessions(engine)
    async with sessions() as session:
        now = await blackouts.now(session)
        await make(session, wanted(now))
        due, listed, few = [await accounts.create_project(session, name, None, now) for name in ("due", "listed", "few")]
        await session.commit()
    await engine.dispose()
    known = {due.id: monitors // 7, listed.id: 1000, few.id: 50}
    projects = max(monitors // 500, 4)
    size = Size(monitors, projects, check_ins, DAYS, min(check_ins, monitors * 4), monitors, monitors, 172_800)
    Filler(dsn, now, size, known).run()
    return Database(dsn, monitors, *_told(due, listed, few))


def _told(due: NewProject, listed: NewProject, few: NewProject) -> tuple[str, str, str, str, str]:
    return str(due.id), str(listed.id), str(few.id), listed.api_key, few.api_key


def sizes(database: Database) -> str:
    """A line for each table: rows, size of the table and of its indexes."""
    with database.connected() as connection:
        rows = connection.execute(SIZES).fetchall()
    lines = [f"{'table':26} {'rows':>12} {'MB':>8} {'indexes MB':>11}"]
    lines += [f"{name!s:26} {count!s:>12} {int(str(own)) >> 20:>8} {int(str(keys)) >> 20:>11}" for name, count, own, keys in rows]
    return "\n".join(lines)
