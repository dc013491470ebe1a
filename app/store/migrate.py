"""Bringing the schema up to date: what `migrate` and the start of `serve` do. Works from any folder."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

import migrations

ONE_AT_A_TIME = 0x6D69_7373_6564  # the word "missed": an advisory lock that every migrating process takes


def migrate(dsn: str) -> str:
    """Run every migration that is still to come; returns the revision reached. Two at once wait for each other."""
    engine = create_engine(dsn, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ONE_AT_A_TIME})
            connection.commit()
            command.upgrade(_config(connection), "head")
            return _revision(connection)
    finally:
        engine.dispose()


def pending(dsn: str) -> bool:
    """Whether the schema is not that of this version: then neither web nor worker may start."""
    engine = create_engine(dsn, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            head = ScriptDirectory.from_config(_config(connection)).get_current_head()
            return _revision(connection) != head
    finally:
        engine.dispose()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or ""
