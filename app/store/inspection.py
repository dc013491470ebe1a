"""What a doctor wants to know of the database: read once, over a connection of its own, within seconds."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from app.errors import Unavailable
from app.store.tables import Base

PATIENCE = 5  # seconds to connect, and again for each question

SERVER = text("""
    SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
        clock_timestamp() AS clock, to_regclass('alembic_version') IS NOT NULL AS migrated, r.rolsuper AS superuser,
        current_setting('default_transaction_read_only')::bool AS read_only, pg_is_in_recovery() AS standby,
        r.rolconnlimit AS of_role, d.datconnlimit AS of_database
    FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()""")
SETTINGS = text("""
    SELECT name, setting FROM pg_settings WHERE name IN (
        'fsync', 'full_page_writes', 'synchronous_commit', 'max_connections', 'superuser_reserved_connections',
        'reserved_connections', 'search_path')""")
REVISION = text("SELECT version_num FROM alembic_version")
LIFE = text("""
    SELECT (SELECT extract(epoch FROM missedbeat_now() - at)::float8 FROM heartbeats WHERE name = 'sweep') AS sweep_age,
        (SELECT extract(epoch FROM missedbeat_now() - at)::float8 FROM heartbeats WHERE name = 'deliver') AS deliver_age,
        (SELECT extract(epoch FROM missedbeat_now() - max(at))::float8 FROM ticks) AS tick_age,
        (SELECT count(DISTINCT process) FROM ticks WHERE at > missedbeat_now() - interval '5 s' AND NOT last)::int AS webs""")
UNSEEN = text("""
    SELECT name FROM unnest(CAST(:tables AS text[])) AS t(name) WHERE to_regclass(quote_ident(name)) IS NULL ORDER BY name""")
ELSEWHERE = text("""
    SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = ANY(:tables) AND c.relkind IN ('r', 'p') AND n.nspname <> ALL(current_schemas(true))
    GROUP BY 1 HAVING count(*) > 5 ORDER BY count(*) DESC LIMIT 1""")
RIGHTS = text("""
    WITH ours AS (
        SELECT c.oid, c.relname, c.relowner FROM unnest(CAST(:tables AS text[])) AS t(name)
        JOIN pg_class c ON c.oid = to_regclass(quote_ident(name)))
    SELECT string_agg(w.word, ', ' ORDER BY w.n) || ' on ' || relname FROM ours,
        (VALUES (1, 'SELECT'), (2, 'INSERT'), (3, 'UPDATE'), (4, 'DELETE')) AS w(n, word)
    WHERE NOT has_table_privilege(oid, w.word) GROUP BY relname
    UNION ALL SELECT 'SELECT on alembic_version'
    WHERE NOT has_table_privilege(to_regclass('alembic_version'), 'SELECT')
    UNION ALL SELECT 'EXECUTE on missedbeat_now()'
    WHERE NOT has_function_privilege(to_regprocedure('missedbeat_now()'), 'EXECUTE')
    UNION ALL SELECT 'CREATE in the schema, for new partitions'
    WHERE NOT has_schema_privilege(current_schema(), 'CREATE')
    UNION ALL SELECT 'ownership of ' || relname || ', for new partitions'
    FROM ours WHERE relname IN ('check_ins', 'runs') AND NOT pg_has_role(relowner, 'USAGE')""")
CONFINES = text("""
    SELECT coalesce(has_table_privilege(r.oid, to_regclass('monitors'), 'INSERT') AND pg_has_role(r.oid, 'MEMBER'), false)
    FROM (SELECT to_regrole('missedbeat_tenant')::oid AS oid) AS r""")
SEALED = text("SELECT project_id, id, secret FROM channels WHERE secret IS NOT NULL ORDER BY created_at DESC LIMIT 1")


@dataclass(frozen=True, slots=True)
class Life:
    """What a migrated database says of the service: ages in seconds, None where it never was."""

    sweep_age: float | None
    deliver_age: float | None
    tick_age: float | None
    webs: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """The server, its settings as our role gets them, what is there of ours and the rights we lack on it, one sealed secret.

    `limits`: how many connections may be open at once, by whose limit. `revision` is empty before `migrate`, None where it may
    not be read; `unseen` are tables of ours that the search path does not lead to, `elsewhere` is a schema outside it that holds
    tables of their names, or None. `confines`: whether row security keeps tenants apart. `life` is None where not all of it can
    be read.
    """

    version: str
    number: int
    clock: datetime
    superuser: bool
    read_only: bool
    standby: bool
    settings: dict[str, str]
    limits: dict[str, int]
    missing_rights: list[str]
    revision: str | None
    unseen: list[str]
    elsewhere: str | None
    sealed: tuple[UUID, UUID, bytes] | None
    confines: bool
    life: Life | None


def inspect(dsn: str) -> Inspection:
    """Look at everything. Raises Unavailable, in one line without the password, where the database cannot be asked."""
    limits = {"connect_timeout": PATIENCE, "options": f"-c statement_timeout={PATIENCE * 1000} -c timezone=UTC"}
    engine = create_engine(dsn, poolclass=NullPool, hide_parameters=True, connect_args=limits)
    try:
        with engine.connect() as connection:
            return _inspect(connection)
    except DBAPIError as error:
        raise Unavailable(str(error.orig).splitlines()[0]) from None
    finally:
        engine.dispose()


def _inspect(connection: Connection) -> Inspection:
    server = connection.execute(SERVER).one()
    settings = {name: setting for name, setting in connection.execute(SETTINGS)}
    settings["statement_timeout"] = _role_limit(connection)
    ours = {"tables": sorted(Base.metadata.tables)}
    unseen = list(connection.execute(UNSEEN, ours).scalars())
    life, sealed, rights = None, None, []
    revision: str | None = ""
    if server.migrated:
        rights = list(connection.execute(RIGHTS, ours).scalars())
        revision = None if rights else connection.execute(REVISION).scalar() or ""
    if server.migrated and not rights and not unseen:
        life = Life(*connection.execute(LIFE).one())
        found = connection.execute(SEALED).one_or_none()
        sealed = None if found is None else (found[0], found[1], found[2])
    return Inspection(
        version=server.version, number=server.number, clock=server.clock, superuser=server.superuser,
        read_only=server.read_only, standby=server.standby, settings=settings, limits=_limits(server, settings),
        missing_rights=rights, revision=revision, unseen=unseen,
        elsewhere=connection.execute(ELSEWHERE, ours).scalar() if unseen else None, sealed=sealed, life=life,
        confines=bool(connection.execute(CONFINES).scalar()),
    )  # fmt: skip


def _limits(server: Row[Any], settings: dict[str, str]) -> dict[str, int]:
    reserved = int(settings["superuser_reserved_connections"]) + int(settings.get("reserved_connections", "0"))
    limits = {"the server": int(settings["max_connections"]) - reserved}
    if not server.superuser:
        limits |= {who: n for who, n in (("the role", server.of_role), ("the database", server.of_database)) if n >= 0}
    return limits


def _role_limit(connection: Connection) -> str:
    """The statement_timeout that the role or the database brings along, in PostgreSQL's words; empty where neither does."""
    query = text("""
        SELECT split_part(c, '=', 2) FROM pg_db_role_setting s, unnest(s.setconfig) AS c
        WHERE s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))
            AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
            AND c LIKE 'statement_timeout=%' ORDER BY s.setrole DESC, s.setdatabase DESC LIMIT 1""")
    return connection.execute(query).scalar() or ""
