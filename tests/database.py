"""A real PostgreSQL for the tests: one server a process, one database, emptied between tests; and a clock they can put ahead."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from app.store import embedded
from app.store.migrate import migrate
from app.store.tables import Base

MEMORY = Path("/dev/shm")
SPARE = 6 * 2**30  # bytes
NO_PROGRAMS = getattr(os, "ST_NOEXEC", 0)  # Linux has the flag, and it alone has the folder
_kept: dict[str, psycopg.Connection] = {}
CLOCK = """
CREATE TABLE IF NOT EXISTS test_clock (ahead interval NOT NULL);
DELETE FROM test_clock; INSERT INTO test_clock VALUES ('0'); GRANT SELECT ON test_clock TO PUBLIC;
CREATE OR REPLACE FUNCTION missedbeat_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    'SELECT clock_timestamp() + (SELECT ahead FROM test_clock)';
"""


@contextmanager
def database() -> Iterator[str]:
    """The DSN of a migrated database of our own; gone afterwards. TEST_DATABASE_URL names another server to use."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        with _on_server(given.replace("postgresql://", "postgresql+psycopg://")) as dsn, _connection_kept(dsn):
            yield dsn
        return
    with tempfile.TemporaryDirectory(prefix="missedbeat-test-", dir=in_memory()) as folder:
        server = embedded.start(Path(folder), fsync=False)
        try:
            migrate(server.dsn)
            with _connection_kept(server.dsn):
                yield server.dsn
        finally:
            server.stop()


def in_memory() -> Path | None:
    """A folder that is no disk, where the machine has one and memory to spare: the large tables alone are 1.4 GB, and while the
    disk is busy with them every process that needs a page of its own from it stands still. Not one whose programs do not run."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK) or os.statvfs(MEMORY).f_flag & NO_PROGRAMS:
        return None
    room = min(psutil.virtual_memory().available, psutil.disk_usage(str(MEMORY)).free)
    return MEMORY if room > SPARE else None


@contextmanager
def _on_server(server: str) -> Iterator[str]:
    name = f"missedbeat_test_{os.getpid()}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        dsn = make_url(server).set(database=name).render_as_string(hide_password=False)
        migrate(dsn)
        yield dsn
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


def use_virtual_clock(dsn: str) -> None:
    """From now on the clock of verdicts is the real one plus what `put_ahead` says."""
    _run(dsn, CLOCK)


def put_ahead(dsn: str, ahead: timedelta) -> None:
    """Let the clock of verdicts be ahead of the real one by this much."""
    _run(dsn, f"UPDATE test_clock SET ahead = '{ahead.total_seconds()} seconds'")


def empty(dsn: str) -> None:
    """Delete every row of every table, partitions stay. The log of who did what refuses that, but not its owner."""
    names = [table.name for table in reversed(Base.metadata.sorted_tables)]
    rows = "; ".join(f"DELETE FROM {name}" for name in names)
    _run(dsn, f"ALTER TABLE audit_entries DISABLE TRIGGER USER; {rows}; ALTER TABLE audit_entries ENABLE TRIGGER USER")


@contextmanager
def _connection_kept(dsn: str) -> Iterator[None]:
    """What every test begins with goes over one connection: a new one takes ten times as long as what is said on it."""
    with _connection(dsn) as _kept[dsn]:
        try:
            yield
        finally:
            del _kept[dsn]


def _run(dsn: str, sql: str) -> None:
    if dsn in _kept:
        _kept[dsn].execute(sql)
        return
    with _connection(dsn) as connection:
        connection.execute(sql)


def _connection(dsn: str) -> psycopg.Connection:
    return psycopg.connect(dsn.replace("+psycopg", "", 1), autocommit=True)
