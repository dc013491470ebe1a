"""Runs that programs report by themselves, and schedulers that are watched beside the jobs they dispatch.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE monitors
    ADD COLUMN max_wait INTEGER,
    ADD COLUMN dispatched BOOLEAN DEFAULT false NOT NULL,
    ADD COLUMN beat_of TEXT DEFAULT '' NOT NULL,
    ADD COLUMN declared JSONB DEFAULT '{}' NOT NULL,
    ADD COLUMN held_since timestamptz;
CREATE INDEX monitors_held ON monitors (project_id, source) WHERE held_since IS NOT NULL;
CREATE INDEX monitors_beats ON monitors (wake_at) WHERE beat_of <> '';
ALTER TABLE runs ADD COLUMN cause TEXT;
CREATE TABLE reported_runs (
    project_id UUID NOT NULL,
    monitor_id UUID NOT NULL,
    run_id TEXT NOT NULL,
    facts JSONB NOT NULL,
    heard_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, monitor_id, run_id),
    FOREIGN KEY (project_id, monitor_id) REFERENCES monitors (project_id, id) ON DELETE CASCADE
);
CREATE INDEX reported_runs_heard_at ON reported_runs (heard_at);
CREATE TABLE syncs (
    project_id UUID NOT NULL REFERENCES projects ON DELETE CASCADE,
    source TEXT NOT NULL,
    at timestamptz NOT NULL,
    boots TEXT[] NOT NULL,
    PRIMARY KEY (project_id, source)
);
"""


def upgrade() -> None:
    """Add columns and tables."""
    op.execute(COLUMNS)


def downgrade() -> None:
    """Take them away again; checks of the kinds crontab and declared, which the version before cannot judge, go with them."""
    op.execute("""
        DELETE FROM addresses a USING monitors m
            WHERE (a.project_id, a.monitor_id) = (m.project_id, m.id) AND m.kind IN ('crontab', 'declared');
        DELETE FROM monitors WHERE kind IN ('crontab', 'declared');
        DELETE FROM addresses WHERE kind = 'celery';
        DROP TABLE syncs;
        DROP TABLE reported_runs;
        ALTER TABLE runs DROP COLUMN cause;
        ALTER TABLE monitors DROP COLUMN max_wait, DROP COLUMN dispatched, DROP COLUMN beat_of,
            DROP COLUMN held_since, DROP COLUMN declared;
    """)
