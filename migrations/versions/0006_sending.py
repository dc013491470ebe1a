"""Channels that fail are left alone for a while, and what is past its time is found without a search.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SENDING = """
ALTER TABLE channels
    ADD COLUMN failures INTEGER DEFAULT 0 NOT NULL,
    ADD COLUMN failing_since timestamptz,
    ADD COLUMN open_until timestamptz;
CREATE INDEX channels_open ON channels (failing_since) WHERE open_until IS NOT NULL;
DROP INDEX deliveries_due;
CREATE INDEX deliveries_fresh ON deliveries (project_id, channel_id, seq) WHERE state = 'waiting' AND first_try_at IS NULL;
CREATE INDEX deliveries_tried ON deliveries (project_id, channel_id, due_at)
    WHERE state IN ('waiting', 'sending') AND first_try_at IS NOT NULL;
CREATE INDEX deliveries_tests ON deliveries (project_id, channel_id) WHERE state = 'waiting' AND cause_kind = 'test';
CREATE INDEX deliveries_sending ON deliveries (project_id, channel_id) WHERE state = 'sending';
CREATE INDEX deliveries_untold ON deliveries (project_id, channel_id, created_at)
    WHERE state IN ('waiting', 'sending') AND NOT fallback_told;
CREATE INDEX deliveries_dead ON deliveries (project_id, channel_id) WHERE state = 'dead';
CREATE INDEX incidents_closed_at ON incidents (closed_at) WHERE closed_at IS NOT NULL;
CREATE TABLE removed_monitors (
    project_id UUID NOT NULL,
    monitor_id UUID NOT NULL,
    removed_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, monitor_id)
);
CREATE INDEX removed_monitors_removed_at ON removed_monitors (removed_at);
INSERT INTO removed_monitors (project_id, monitor_id, removed_at)
    SELECT DISTINCT t.project_id, t.monitor_id, missedbeat_now() FROM transitions t
    WHERE NOT EXISTS (SELECT FROM monitors m WHERE (m.project_id, m.id) = (t.project_id, t.monitor_id));
"""


def upgrade() -> None:
    """Add columns, indexes and a table."""
    op.execute(SENDING)


def downgrade() -> None:
    """Take them away again."""
    op.execute("""
        DROP TABLE removed_monitors;
        DROP INDEX incidents_closed_at, channels_open, deliveries_dead, deliveries_untold,
            deliveries_sending, deliveries_tests, deliveries_tried, deliveries_fresh;
        CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state IN ('waiting', 'sending');
        ALTER TABLE channels DROP COLUMN failures, DROP COLUMN failing_since, DROP COLUMN open_until;
    """)
