"""What the operator is to hear, what the audits found, and the indexes that make them cheap.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE notices (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    words TEXT NOT NULL,
    at timestamptz NOT NULL,
    claimed_until timestamptz,
    told_at timestamptz,
    PRIMARY KEY (kind, key)
);
CREATE INDEX notices_untold ON notices (at) WHERE told_at IS NULL;
CREATE INDEX notices_told ON notices (told_at);
CREATE TABLE audits (
    audit TEXT PRIMARY KEY,
    at timestamptz NOT NULL,
    found INTEGER NOT NULL,
    words TEXT NOT NULL
);
"""
# None holds a column that a check-in changes: those stay HOT updates.
INDEXES = """
CREATE INDEX monitors_not_woken ON monitors (project_id) WHERE wake_at IS NULL AND status IN ('up', 'new');
CREATE INDEX monitors_down ON monitors (project_id, id) WHERE status = 'down';
CREATE INDEX monitors_set_aside ON monitors (set_aside_until) WHERE set_aside_until IS NOT NULL;
"""


def upgrade() -> None:
    """Add both tables and the indexes."""
    op.execute(TABLES)
    op.execute(INDEXES)


def downgrade() -> None:
    """Take them away again."""
    op.execute("""
        DROP INDEX monitors_set_aside; DROP INDEX monitors_down; DROP INDEX monitors_not_woken;
        DROP TABLE audits; DROP TABLE notices""")
