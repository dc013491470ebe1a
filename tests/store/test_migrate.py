"""Migrating beside a running service: nobody waits long behind it, and every step goes back as it came."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect
from sqlalchemy.pool import NullPool

import migrations
from app.store import embedded
from app.store.migrate import migrate
from app.store.revision import head
from app.store.tables import Base

pytestmark = pytest.mark.anyio
FIRST = "0001"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[str]:
    """The DSN of a migrated database that nobody else uses."""
    server = embedded.start(tmp_path, fsync=False)
    try:
        migrate(server.dsn)
        yield server.dsn
    finally:
        server.stop()


def step_back(dsn: str, revision: str) -> None:
    """Undo the migrations after this revision."""
    engine = create_engine(dsn, poolclass=NullPool)
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    engine.dispose()


def tables(dsn: str) -> set[str]:
    """That are there."""
    engine = create_engine(dsn, poolclass=NullPool)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_every_migration_goes_back_and_comes_again(fresh: str) -> None:
    """To the first, and to the newest."""
    step_back(fresh, FIRST)
    assert "monitors" in tables(fresh)
    assert "holds" not in tables(fresh)
    assert migrate(fresh) == head()
    assert set(Base.metadata.tables) <= tables(fresh)


async def test_a_migration_that_gets_no_lock_lets_everybody_pass_and_tries_again(fresh: str) -> None:
    """A transaction that stays open for seconds holds up the migration, and the migration nobody: who waits for a table's lock
    has every ping wait behind it."""
    step_back(fresh, FIRST)
    dsn = fresh.replace("+psycopg", "")
    with psycopg.connect(dsn) as holding, psycopg.connect(dsn, autocommit=True) as pinging:
        holding.execute("SELECT FROM monitors")
        migrating = asyncio.create_task(asyncio.to_thread(migrate, fresh))
        pinging.execute("SET statement_timeout = '1500ms'")  # far more than it ever waits, far less than the lock is held
        for _ in range(30):
            await asyncio.to_thread(pinging.execute, "UPDATE monitors SET heard = heard")
            await asyncio.sleep(0.1)
        assert not migrating.done()
        holding.rollback()
        assert await migrating == head()
