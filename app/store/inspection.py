"""What a doctor wants to know of the database: read once, over a connection of its own, within seconds."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from app.errors import Unavailable

PATIENCE = 5  # seconds to connect, and again for each question

SERVER = text("""
    SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
        clock_timestamp() AS clock, to_regclass('alembic_version') IS NOT NULL AS migrated, r.rolsuper AS superuser,
        (SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL)::int AS connections
    FROM pg_roles r WHERE r.rolname = current_user""")
SETTINGS = text("""
    SELECT name, setting FROM pg_settings WHERE name IN (
        'fsync', 'full_page_writes', 'synchronous_commit', 'max_connections', 'superuser_reserved_connections')""")
LIFE = text("""
    SELECT (SELECT version_num FROM alembic_version) AS revision,
        (SELECT extract(epoch FROM missedbeat_now() - at)::float8 FROM heartbeats WHERE name = 'sweep') AS sweep_age,
        (SELECT extract(epoch FROM missedbeat_now() - at)::float8 FROM heartbeats WHERE name = 'deliver') AS deliver_age,
        (SELECT extract(epoch FROM missedbeat_now() - max(at))::float8 FROM ticks) AS tick_age,
        (SELECT count(DISTINCT process) FROM ticks WHERE at > missedbeat_now() - interval '5 s' AND NOT last)::int AS webs""")
RIGHTS = text("""
    SELECT w.word || ' on ' || c.relname FROM pg_class c, (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS w(word)
    WHERE c.oid IN (to_regclass('monitors'), to_regclass('check_ins'), to_regclass('deliveries'), to_regclass('notices'))
        AND NOT has_table_privilege(c.oid, w.word)
    UNION ALL SELECT 'CREATE in the schema, for the partition of each day'
    WHERE NOT has_schema_privilege(current_schema(), 'CREATE')
    UNION ALL SELECT 'ownership of check_ins, for the partition of each day'
    FROM pg_class c WHERE c.oid = to_regclass('check_ins') AND NOT pg_has_role(c.relowner, 'USAGE')""")
SEALED = text("SELECT project_id, id, secret FROM channels WHERE secret IS NOT NULL ORDER BY created_at DESC LIMIT 1")


@dataclass(frozen=True, slots=True)
class Life:
    """What a migrated database says of the service: ages in seconds, None where it never was."""

    revision: str
    sweep_age: float | None
    deliver_age: float | None
    tick_age: float | None
    webs: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """The server, its settings as our role gets them, the rights we lack, one sealed secret; `life` is None before `migrate`."""

    version: str
    number: int
    clock: datetime
    superuser: bool
    connections: int
    settings: dict[str, str]
    missing_rights: list[str]
    sealed: tuple[UUID, UUID, bytes] | None
    life: Life | None


def inspect(dsn: str) -> Inspection:
    """Look at everything. Raises Unavailable, in one line without the password, where the database cannot be asked."""
    limits = {"connect_timeout": PATIENCE, "options": f"-c statement_timeout={PATIENCE * 1000} -c timezone=UTC"}
    engine = create_engine(dsn, poolclass=NullPool, hide_parameters=True, connect_args=limits)
    try:
        with engine.connect() as connection:
            return _inspect(connection)
    except OperationalError as error:
        raise Unavailable(str(error.orig).splitlines()[0]) from None
    finally:
        engine.dispose()


def _inspect(connection: Connection) -> Inspection:
    server = connection.execute(SERVER).one()
    settings = {name: setting for name, setting in connection.execute(SETTINGS)}
    settings["statement_timeout"] = _role_limit(connection)
    life, sealed, rights = None, None, []
    if server.migrated:
        rights = list(connection.execute(RIGHTS).scalars())
    if server.migrated and not rights:
        life = Life(*connection.execute(LIFE).one())
        found = connection.execute(SEALED).one_or_none()
        sealed = None if found is None else (found[0], found[1], found[2])
    return Inspection(
        server.version, server.number, server.clock, server.superuser, server.connections, settings, rights, sealed, life
    )


def _role_limit(connection: Connection) -> str:
    """The statement_timeout that the role or the database brings along, in PostgreSQL's words; empty where neither does."""
    query = text("""
        SELECT split_part(c, '=', 2) FROM pg_db_role_setting s, unnest(s.setconfig) AS c
        WHERE s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))
            AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
            AND c LIKE 'statement_timeout=%' ORDER BY s.setrole DESC, s.setdatabase DESC LIMIT 1""")
    return connection.execute(query).scalar() or ""
