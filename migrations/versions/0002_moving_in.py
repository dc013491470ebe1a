"""Moving in from elsewhere: keyword filters, badges, keys of other services, monitors retired by a sync.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE projects
    ADD COLUMN badge_key UUID DEFAULT gen_random_uuid() NOT NULL,
    ADD COLUMN monitor_limit INTEGER;
CREATE UNIQUE INDEX projects_badge_key ON projects (badge_key);
ALTER TABLE api_keys
    ADD COLUMN name TEXT DEFAULT '' NOT NULL,
    ADD COLUMN service TEXT DEFAULT '' NOT NULL;
ALTER TABLE monitors
    ADD COLUMN filters JSONB DEFAULT '{}' NOT NULL,
    ADD COLUMN badge_key UUID DEFAULT gen_random_uuid() NOT NULL,
    ADD COLUMN source TEXT DEFAULT '' NOT NULL,
    ADD COLUMN retired_at timestamptz;
CREATE UNIQUE INDEX monitors_badge_key ON monitors (badge_key);
CREATE INDEX monitors_source ON monitors (project_id, source) WHERE source <> '';
ALTER TABLE idempotency ADD COLUMN receipt JSONB;
ALTER TABLE check_ins ADD COLUMN reported_at timestamptz;
ALTER TABLE check_ins_kept ADD COLUMN reported_at timestamptz;
CREATE OR REPLACE VIEW check_in_log AS
    SELECT * FROM check_ins
    UNION ALL
    SELECT * FROM check_ins_kept;
"""


def upgrade() -> None:
    """Add the columns."""
    op.execute(COLUMNS)


def downgrade() -> None:
    """Take them away again; filters, badge addresses and keys of other services are lost."""
    op.execute("""
        ALTER TABLE projects DROP COLUMN badge_key, DROP COLUMN monitor_limit;
        DELETE FROM api_keys WHERE service <> '' OR scope NOT IN ('rw', 'ro');
        ALTER TABLE api_keys DROP COLUMN name, DROP COLUMN service;
        DELETE FROM addresses WHERE kind NOT IN ('ping', 'ping_key');
        ALTER TABLE monitors DROP COLUMN filters, DROP COLUMN badge_key, DROP COLUMN source, DROP COLUMN retired_at;
        ALTER TABLE idempotency DROP COLUMN receipt;
        DROP VIEW check_in_log;
        ALTER TABLE check_ins DROP COLUMN reported_at;
        ALTER TABLE check_ins_kept DROP COLUMN reported_at;
        CREATE VIEW check_in_log AS SELECT * FROM check_ins UNION ALL SELECT * FROM check_ins_kept;
    """)
