"""Bringing the schema up to date: what `migrate` and the start of `serve` do. Works from any folder."""

from time import sleep

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from app.errors import Unavailable
from app.store import row_security
from app.store.engine import waited_in_vain
from app.store.revision import SCRIPTS

LOCK_LIMIT = "200ms"  # whoever waits for a table's lock has every ping wait behind it
TRIES, PAUSE = 300, 0.2  # seconds
ONE_AT_A_TIME = 0x6D69_7373_6564  # the word "missed": an advisory lock that every migrating process takes


def migrate(dsn: str) -> str:
    """Run every migration that is still to come; returns the revision reached. Two at once wait for each other.

    Raises Unavailable, in one line, where the database cannot be reached or refuses: read-only, a right that is missing.
    """
    engine = create_engine(dsn, poolclass=NullPool, hide_parameters=True, connect_args={"connect_timeout": 10})
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ONE_AT_A_TIME})
            connection.execute(text(f"SET lock_timeout = '{LOCK_LIMIT}'"))
            connection.commit()
            _upgrade(connection)
            row_security.allow(connection)
            connection.commit()
            return _revision(connection)
    except OperationalError as error:
        words = str(error.orig).splitlines()[0]
        raise Unavailable(f"DATABASE_URL: the database cannot be reached or refuses: {words}") from None
    except DBAPIError as error:
        raise Unavailable(f"the database refuses the migration: {str(error.orig).splitlines()[0]}") from error
    finally:
        engine.dispose()


def _upgrade(connection: Connection) -> None:
    """Each migration is a transaction: one that does not get its locks at once leaves nothing, and is tried again."""
    for tried in range(1, TRIES + 1):
        try:
            command.upgrade(_config(connection), "head")
            return
        except OperationalError as error:
            if not waited_in_vain(error) or tried == TRIES:
                raise
        connection.rollback()
        sleep(PAUSE)


def pending(dsn: str) -> bool:
    """Whether migrations of this version are still to come: then neither web nor worker can work. A newer schema is fine,
    versions run side by side. Raises what the driver raises where the database cannot be reached."""
    engine = create_engine(dsn, poolclass=NullPool, hide_parameters=True, connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            scripts = ScriptDirectory.from_config(_config(connection))
            older = {script.revision for script in scripts.walk_revisions()} - {scripts.get_current_head()}
            return _revision(connection) in {"", *older}
    finally:
        engine.dispose()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or ""
