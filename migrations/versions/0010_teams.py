"""Teams: who made a key and when it was used last, and what was paused and not told yet.

Revision ID: 0010

The new table is small. Two others are locked for an instant, all or nothing: a migration that gets no lock at once is tried again
(app/store/migrate.py).
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

LOCK = "LOCK TABLE projects, api_keys IN ACCESS EXCLUSIVE MODE"
KEYS = """
ALTER TABLE api_keys
    ADD COLUMN made_by TEXT DEFAULT '' NOT NULL,
    ADD COLUMN last_used_at timestamptz
"""
PAUSES = """
ALTER TABLE projects ADD COLUMN pauses_told_at timestamptz;
CREATE TABLE pauses (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    monitor TEXT NOT NULL,
    actor TEXT NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX pauses_of_project ON pauses (project_id);
"""


def upgrade() -> None:
    """Two columns of keys; a table of what the members are still to be told."""
    for step in (LOCK, KEYS, PAUSES):
        op.execute(step)


def downgrade() -> None:
    """What was not told yet is not told."""
    op.execute(LOCK)
    op.execute("""
        DROP TABLE pauses;
        ALTER TABLE projects DROP COLUMN pauses_told_at;
        ALTER TABLE api_keys DROP COLUMN last_used_at, DROP COLUMN made_by;
    """)
