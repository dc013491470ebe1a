"""Large tables: indexes that a look at them lacked, runs in the order in which they are listed, and a table of counts.

Revision ID: 0007

Indexes are built CONCURRENTLY: nobody waits for them. What is left then takes its locks for an instant.
"""

from time import sleep

from alembic import op
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COUNTS = """
CREATE TABLE counts (
    what TEXT NOT NULL,
    value TEXT NOT NULL,
    count BIGINT NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (what, value)
);
"""
INDEXES = {
    "monitors_beat_of": "INDEX {} ON monitors (project_id, beat_of) WHERE beat_of <> ''",
    "deliveries_settled_new": "INDEX {} ON deliveries (settled_at) INCLUDE (state) WHERE settled_at IS NOT NULL",
}
NEW_KEY, OLD_KEY = "project_id, monitor_id, at, key", "project_id, monitor_id, key, at"
LOCK_TRIES, LOCK_PAUSE = 100, 0.2  # seconds
MONTHS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'runs'::regclass ORDER BY 1"


def upgrade() -> None:
    """Build what is new beside what is there, then let it take the place."""
    with op.get_context().autocommit_block():
        for name, index in INDEXES.items():
            _build(name, index)
        _build_keys(NEW_KEY)
    _lock()
    op.execute(COUNTS)
    op.execute("DROP INDEX deliveries_settled; ALTER INDEX deliveries_settled_new RENAME TO deliveries_settled")
    _take_key(NEW_KEY)


def downgrade() -> None:
    """The same the other way round."""
    with op.get_context().autocommit_block():
        _build("deliveries_settled_old", "INDEX {} ON deliveries (settled_at)")
        _build_keys(OLD_KEY)
    _lock()
    op.execute("DROP TABLE counts; DROP INDEX monitors_beat_of")
    op.execute("DROP INDEX deliveries_settled; ALTER INDEX deliveries_settled_old RENAME TO deliveries_settled")
    _take_key(OLD_KEY)


def _lock() -> None:
    """Both tables, or none: whoever waits for a lock has everybody else wait behind it, so this never waits for long."""
    op.execute("SET LOCAL lock_timeout = '200ms'")
    for tried in range(LOCK_TRIES):
        try:
            with op.get_bind().begin_nested():
                op.execute("LOCK TABLE runs, deliveries IN ACCESS EXCLUSIVE MODE")
            return
        except OperationalError:
            if tried == LOCK_TRIES - 1:
                raise
            sleep(LOCK_PAUSE)


def _build(name: str, index: str) -> None:
    """A build that broke off leaves an index that is invalid: away with it first."""
    op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.execute("CREATE " + index.format(name).replace("INDEX ", "INDEX CONCURRENTLY ", 1))


def _build_keys(key: str) -> None:
    for month in _months():
        _build(f"{month}_key", f"UNIQUE INDEX {{}} ON {month} ({key})")


def _take_key(key: str) -> None:
    """A month that was made meanwhile is empty, or nearly so, and gets its index here."""
    op.execute("ALTER TABLE runs DROP CONSTRAINT runs_pkey")
    for month in _months():
        op.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {month}_key ON {month} ({key})")
        op.execute(f"ALTER TABLE {month} ADD CONSTRAINT {month}_pkey PRIMARY KEY USING INDEX {month}_key")
    op.execute(f"ALTER TABLE runs ADD CONSTRAINT runs_pkey PRIMARY KEY ({key})")


def _months() -> list[str]:
    return list(op.get_bind().execute(text(MONTHS)).scalars())
