"""The first tables: projects, monitors, check-ins by day, runs by month, transitions, the outbox.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CLOCK = """
CREATE FUNCTION missedbeat_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT clock_timestamp()';
COMMENT ON FUNCTION missedbeat_now() IS 'The clock of every verdict. Not now(), which stands still in a transaction.';
"""

TABLES = """
CREATE TABLE blackouts (
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL,
    PRIMARY KEY (from_at)
);
CREATE TABLE check_ins (
    project_id UUID NOT NULL,
    monitor_id UUID NOT NULL,
    n BIGINT NOT NULL,
    received_at timestamptz NOT NULL,
    signal TEXT NOT NULL,
    run_id TEXT,
    exit_status INTEGER,
    duration DOUBLE PRECISION,
    scheme TEXT NOT NULL,
    method TEXT NOT NULL,
    remote_addr TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    body BYTEA,
    body_truncated BOOLEAN DEFAULT 'false' NOT NULL,
    PRIMARY KEY (project_id, monitor_id, n, received_at)
) PARTITION BY RANGE (received_at);
CREATE TABLE heartbeats (
    name TEXT NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE idempotency (
    project_id UUID NOT NULL,
    monitor_id UUID NOT NULL,
    key TEXT NOT NULL,
    signal TEXT NOT NULL,
    n BIGINT NOT NULL,
    answer INTEGER NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (project_id, monitor_id, key, signal)
);
CREATE INDEX idempotency_at ON idempotency (at);
CREATE TABLE projects (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    owner_email TEXT,
    ping_key TEXT,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE runs (
    project_id UUID NOT NULL,
    monitor_id UUID NOT NULL,
    key BIGINT NOT NULL,
    at timestamptz NOT NULL,
    outcome TEXT,
    run_id TEXT,
    attempt INTEGER NOT NULL,
    slot timestamptz,
    last_slot timestamptz,
    count INTEGER NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    PRIMARY KEY (project_id, monitor_id, key, at)
) PARTITION BY RANGE (at);
CREATE TABLE ticks (
    at timestamptz NOT NULL,
    process UUID NOT NULL,
    last BOOLEAN DEFAULT 'false' NOT NULL,
    PRIMARY KEY (at, process)
);
CREATE TABLE transitions (
    project_id UUID NOT NULL,
    monitor_id UUID NOT NULL,
    n BIGINT NOT NULL,
    from_status TEXT NOT NULL,
    to_status TEXT NOT NULL,
    at timestamptz NOT NULL,
    noticed_at timestamptz NOT NULL,
    reason TEXT NOT NULL,
    evidence JSONB NOT NULL,
    announced_to UUID[] NOT NULL,
    PRIMARY KEY (project_id, monitor_id, n),
    CONSTRAINT transitions_change_something CHECK (from_status <> to_status)
);
CREATE TABLE addresses (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    project_id UUID NOT NULL,
    monitor_id UUID,
    revoked_at timestamptz,
    PRIMARY KEY (kind, key),
    FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE
);
CREATE INDEX addresses_of_monitor ON addresses (project_id, monitor_id);
CREATE TABLE api_keys (
    project_id UUID NOT NULL,
    id UUID NOT NULL,
    scope TEXT NOT NULL,
    hash BYTEA NOT NULL,
    hint TEXT NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (project_id, id),
    FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE,
    UNIQUE (hash)
);
CREATE TABLE channels (
    project_id UUID NOT NULL,
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    settings JSONB NOT NULL,
    secret BYTEA,
    hears TEXT DEFAULT 'all' NOT NULL,
    fallback BOOLEAN DEFAULT 'false' NOT NULL,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz,
    disabled_why TEXT,
    owner_told_at timestamptz,
    PRIMARY KEY (project_id, id),
    FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX channels_one_fallback ON channels (project_id) WHERE fallback;
CREATE TABLE deliveries (
    project_id UUID NOT NULL,
    id UUID NOT NULL,
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    channel_id UUID NOT NULL,
    monitor_id UUID,
    incident_id UUID,
    cause_kind TEXT NOT NULL,
    cause_id TEXT NOT NULL,
    told JSONB NOT NULL,
    state TEXT DEFAULT 'waiting' NOT NULL,
    due_at timestamptz NOT NULL,
    tries INTEGER DEFAULT '0' NOT NULL,
    claim_no INTEGER DEFAULT '0' NOT NULL,
    owner UUID,
    first_try_at timestamptz,
    attempts JSONB DEFAULT '[]' NOT NULL,
    reason TEXT,
    withdrawn TEXT,
    fallback_told BOOLEAN DEFAULT 'false' NOT NULL,
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    PRIMARY KEY (project_id, id),
    FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE
);
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state IN ('waiting', 'sending');
CREATE INDEX deliveries_of_channel ON deliveries (project_id, channel_id, seq);
CREATE INDEX deliveries_of_incident ON deliveries (project_id, incident_id);
CREATE UNIQUE INDEX deliveries_one_per_cause ON deliveries (project_id, cause_kind, cause_id, channel_id);
CREATE INDEX deliveries_open ON deliveries (project_id, channel_id, monitor_id, seq) WHERE state IN ('waiting', 'sending');
CREATE INDEX deliveries_settled ON deliveries (settled_at);
CREATE TABLE incidents (
    project_id UUID NOT NULL,
    id UUID NOT NULL,
    monitor_id UUID NOT NULL,
    monitor_name TEXT NOT NULL,
    opened_at timestamptz NOT NULL,
    opened_by BIGINT NOT NULL,
    reason TEXT NOT NULL,
    evidence JSONB NOT NULL,
    closed_at timestamptz,
    closed_by TEXT,
    acknowledged_at timestamptz,
    PRIMARY KEY (project_id, id),
    FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE
);
CREATE INDEX incidents_newest ON incidents (project_id, opened_at);
CREATE INDEX incidents_of_monitor ON incidents (project_id, monitor_id, opened_at);
CREATE UNIQUE INDEX incidents_one_open ON incidents (project_id, monitor_id) WHERE closed_at IS NULL;
CREATE TABLE monitors (
    project_id UUID NOT NULL,
    id UUID NOT NULL,
    unique_key TEXT NOT NULL,
    created_at timestamptz NOT NULL,
    name TEXT DEFAULT '' NOT NULL,
    slug TEXT DEFAULT '' NOT NULL,
    tags TEXT DEFAULT '' NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    methods TEXT DEFAULT '' NOT NULL,
    kind TEXT NOT NULL,
    period INTEGER,
    expression TEXT,
    zone TEXT DEFAULT 'UTC' NOT NULL,
    grace INTEGER NOT NULL,
    early INTEGER,
    max_runtime INTEGER,
    failures_to_alert INTEGER DEFAULT '1' NOT NULL,
    successes_to_recover INTEGER DEFAULT '1' NOT NULL,
    manual_resume BOOLEAN DEFAULT 'false' NOT NULL,
    status TEXT DEFAULT 'new' NOT NULL,
    satisfied timestamptz,
    due timestamptz,
    anchor timestamptz,
    floor timestamptz,
    deadline timestamptz,
    wake_at timestamptz,
    taker BIGINT,
    failures INTEGER DEFAULT '0' NOT NULL,
    failure_slot timestamptz,
    successes INTEGER DEFAULT '0' NOT NULL,
    success_slot timestamptz,
    last_end_at timestamptz,
    last_applied_at timestamptz,
    last_success_at timestamptz,
    last_start_at timestamptz,
    last_duration DOUBLE PRECISION,
    down_since timestamptz,
    heard BIGINT DEFAULT '0' NOT NULL,
    run_count BIGINT DEFAULT '0' NOT NULL,
    transition_count BIGINT DEFAULT '0' NOT NULL,
    memory JSONB DEFAULT '{}' NOT NULL,
    set_aside_until timestamptz,
    set_aside_why TEXT,
    PRIMARY KEY (project_id, id),
    FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE,
    CONSTRAINT monitors_are_woken CHECK (deadline IS NULL OR (wake_at IS NOT NULL AND wake_at <= deadline))
) WITH (fillfactor = 75);
CREATE UNIQUE INDEX monitors_slug ON monitors (project_id, slug) WHERE slug <> '';
CREATE UNIQUE INDEX monitors_unique_key ON monitors (project_id, unique_key);
CREATE INDEX monitors_wake_at ON monitors (wake_at) WHERE wake_at IS NOT NULL;
CREATE TABLE check_ins_kept (
    project_id UUID NOT NULL,
    monitor_id UUID NOT NULL,
    n BIGINT NOT NULL,
    received_at timestamptz NOT NULL,
    signal TEXT NOT NULL,
    run_id TEXT,
    exit_status INTEGER,
    duration DOUBLE PRECISION,
    scheme TEXT NOT NULL,
    method TEXT NOT NULL,
    remote_addr TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    body BYTEA,
    body_truncated BOOLEAN NOT NULL,
    PRIMARY KEY (project_id, monitor_id, n),
    FOREIGN KEY(project_id, monitor_id) REFERENCES monitors (project_id, id) ON DELETE CASCADE
);
CREATE TABLE subscriptions (
    project_id UUID NOT NULL,
    monitor_id UUID NOT NULL,
    channel_id UUID NOT NULL,
    PRIMARY KEY (project_id, monitor_id, channel_id),
    FOREIGN KEY(project_id, monitor_id) REFERENCES monitors (project_id, id) ON DELETE CASCADE,
    FOREIGN KEY(project_id, channel_id) REFERENCES channels (project_id, id) ON DELETE CASCADE
);
CREATE INDEX subscriptions_of_channel ON subscriptions (project_id, channel_id);
"""

LOG = """
CREATE VIEW check_in_log AS
    SELECT * FROM check_ins
    UNION ALL
    SELECT * FROM check_ins_kept;
COMMENT ON VIEW check_in_log IS 'Every check-in there is, those saved from dropped days too.';
"""


def upgrade() -> None:
    """Make everything."""
    op.execute(CLOCK)
    op.execute(TABLES)
    op.execute(LOG)


def downgrade() -> None:
    """There is nothing before the first migration to go back to."""
    raise NotImplementedError("there is nothing before the first migration")
