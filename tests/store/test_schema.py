"""The schema: what the migrations make is what the code believes, and the database itself refuses what must not be."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from app.store.migrate import migrate, pending
from app.store.tables import Base
from tests.world import World

pytestmark = pytest.mark.anyio


def test_the_migrations_make_exactly_the_tables_of_the_code(dsn: str) -> None:
    """No column, key or index stands in one and not in the other."""
    engine = create_engine(dsn, poolclass=NullPool)
    tables = set(Base.metadata.tables)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, parents: kind != "table" or name in tables}
        )
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_migrating_twice_is_migrating_once(dsn: str) -> None:
    """`migrate` beside a running service changes nothing that is there."""
    assert migrate(dsn) == migrate(dsn)
    assert not pending(dsn)


@pytest.mark.parametrize(
    "wrong",
    [
        "UPDATE monitors SET wake_at = NULL",
        "UPDATE monitors SET wake_at = deadline + interval '1 s'",
        "INSERT INTO transitions SELECT * FROM transitions",
        "UPDATE transitions SET from_status = to_status",
        """INSERT INTO incidents (project_id, id, monitor_id, monitor_name, opened_at, opened_by, reason, evidence)
            SELECT project_id, gen_random_uuid(), monitor_id, '', opened_at, 9, '', '{}' FROM incidents""",
        """INSERT INTO deliveries (project_id, id, channel_id, cause_kind, cause_id, told, due_at, created_at)
            SELECT project_id, gen_random_uuid(), channel_id, cause_kind, cause_id, told, due_at, created_at FROM deliveries""",
        "UPDATE monitors SET slug = 'taken'",
    ],
)
async def test_the_database_refuses_what_must_not_be(world: World, wrong: str) -> None:
    """A deadline nobody wakes for, a transition twice, two open incidents, two deliveries of a cause, two monitors of a slug."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    for name in ("one", "two"):
        await world.ping(await world.check(name=name, slug=name, channels="*"), "/fail")
    with pytest.raises(IntegrityError):
        await world.run(wrong)
