"""Tags: an index that finds the checks of a project by them.

Revision ID: 0008

Built CONCURRENTLY: nobody waits for it. Each tag stands in it behind its project. Without a list of what is pending, so that no
check-in has to clear one away; checks without tags are not in it.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TAGS = """
CREATE INDEX CONCURRENTLY monitors_tags ON monitors USING gin (
    string_to_array(project_id::text || ':' || replace(tags, ' ', ' ' || project_id::text || ':'), ' ')
) WITH (fastupdate = off) WHERE tags <> ''
"""


def upgrade() -> None:
    """A build that broke off leaves an index that is invalid: away with it first."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS monitors_tags")
        op.execute(TAGS)


def downgrade() -> None:
    """Tags are looked for in all checks of a project again."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS monitors_tags")
