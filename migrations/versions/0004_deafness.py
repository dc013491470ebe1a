"""What follows where we could not hear: canaries through the public address, holds at mass silence, and who is told of it.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables, and an index for the downs of the last minute."""
    op.execute("""
        CREATE TABLE canaries (sent_at timestamptz PRIMARY KEY, heard_at timestamptz);
        CREATE TABLE holds (
            opened_at timestamptz PRIMARY KEY,
            from_at timestamptz NOT NULL,
            until timestamptz NOT NULL,
            released_at timestamptz,
            silent INTEGER NOT NULL,
            projects INTEGER NOT NULL
        );
        CREATE TABLE unheard (
            project_id UUID NOT NULL,
            monitor_id UUID NOT NULL,
            from_at timestamptz NOT NULL,
            to_at timestamptz NOT NULL,
            expected_at timestamptz NOT NULL,
            heard BIGINT NOT NULL,
            settled_at timestamptz,
            PRIMARY KEY (project_id, monitor_id, from_at),
            FOREIGN KEY (project_id, monitor_id) REFERENCES monitors (project_id, id) ON DELETE CASCADE
        );
        CREATE INDEX unheard_open ON unheard (to_at) WHERE settled_at IS NULL;
        CREATE INDEX transitions_noticed ON transitions (noticed_at);
    """)


def downgrade() -> None:
    """Take them away again."""
    op.execute("DROP INDEX transitions_noticed; DROP TABLE unheard; DROP TABLE holds; DROP TABLE canaries;")
