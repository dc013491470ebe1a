"""Late news: until when an incident was none.

Revision ID: 0014

`incidents` is locked for an instant; its rows are not rewritten. The index, of the few that late news disproved, is built
CONCURRENTLY.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

FINE = """
CREATE INDEX CONCURRENTLY incidents_fine ON incidents (project_id, monitor_id, opened_by) WHERE fine_until IS NOT NULL
"""


def upgrade() -> None:
    """Incidents that were withdrawn before stay downtime, as they were counted. A build that broke off leaves an index that is
    invalid: away with it first."""
    op.execute("ALTER TABLE incidents ADD COLUMN IF NOT EXISTS fine_until TIMESTAMP WITH TIME ZONE")
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS incidents_fine")
        op.execute(FINE)


def downgrade() -> None:
    """What was withdrawn is downtime again."""
    op.execute("ALTER TABLE incidents DROP COLUMN fine_until")
