"""Channels limited to tags and to hours.

Revision ID: 0013

`channels` is locked for an instant; its rows are not rewritten.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No tags and no hours: every check, at any time, as before."""
    op.execute("ALTER TABLE channels ADD COLUMN IF NOT EXISTS tags TEXT DEFAULT '' NOT NULL")
    op.execute("ALTER TABLE channels ADD COLUMN IF NOT EXISTS hours JSONB")
    op.execute("ALTER TABLE channels ADD COLUMN IF NOT EXISTS closed_until TIMESTAMP WITH TIME ZONE")


def downgrade() -> None:
    """They hear of everything again."""
    op.execute("ALTER TABLE channels DROP COLUMN closed_until, DROP COLUMN hours, DROP COLUMN tags")
