"""Who has seen an incident, beside when.

Revision ID: 0012

`incidents` is locked for an instant; its rows are not rewritten.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Whom, in words; empty for those that were seen before this was noted."""
    op.execute("ALTER TABLE incidents ADD COLUMN IF NOT EXISTS acknowledged_by TEXT DEFAULT '' NOT NULL")


def downgrade() -> None:
    """When it was seen stays."""
    op.execute("ALTER TABLE incidents DROP COLUMN acknowledged_by")
