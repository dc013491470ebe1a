"""Accounts: people, their sessions, what they may do in which project, the mail to them, and the log of who did what.

Revision ID: 0009

All tables are new and small. `projects` is locked for an instant, all or nothing: a migration that gets no lock at once is tried
again (app/store/migrate.py).
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

LOCK = "LOCK TABLE projects IN ACCESS EXCLUSIVE MODE"  # the only table that others use: without it nothing is begun
PEOPLE = """
CREATE TABLE users (
    id UUID PRIMARY KEY,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL UNIQUE,
    password_hash TEXT,
    verified_at timestamptz,
    totp_secret BYTEA,
    totp_pending BYTEA,
    totp_last_step BIGINT,
    recovery_codes BYTEA[] DEFAULT '{}' NOT NULL,
    zone TEXT DEFAULT 'UTC' NOT NULL,
    theme TEXT DEFAULT 'auto' NOT NULL CONSTRAINT users_theme CHECK (theme IN ('auto', 'light', 'dark')),
    created_at timestamptz NOT NULL
);
CREATE TABLE user_sessions (
    hash BYTEA PRIMARY KEY,
    id UUID NOT NULL UNIQUE,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    authenticated_at timestamptz NOT NULL,
    by_link BOOLEAN NOT NULL,
    address TEXT NOT NULL,
    user_agent TEXT NOT NULL
);
CREATE INDEX user_sessions_of_user ON user_sessions (user_id);
CREATE INDEX user_sessions_expires_at ON user_sessions (expires_at);
CREATE TABLE links (
    hash BYTEA PRIMARY KEY,
    purpose TEXT NOT NULL,
    user_id UUID REFERENCES users (id) ON DELETE CASCADE,
    email_key TEXT NOT NULL,
    browser BYTEA,
    data JSONB DEFAULT '{}' NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX links_of_address ON links (email_key, purpose);
CREATE INDEX links_of_user ON links (user_id);
CREATE INDEX links_expires_at ON links (expires_at);
CREATE TABLE attempts (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    level DOUBLE PRECISION NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX attempts_at ON attempts (at);
CREATE TABLE letters (
    id UUID PRIMARY KEY,
    kind TEXT NOT NULL,
    recipient TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    claimed_until timestamptz,
    gave_up_at timestamptz,
    answer TEXT DEFAULT '' NOT NULL
);
CREATE INDEX letters_due ON letters (due_at) WHERE gave_up_at IS NULL;
CREATE INDEX letters_gave_up ON letters (gave_up_at) WHERE gave_up_at IS NOT NULL;
"""
TEAMS = """
ALTER TABLE projects
    ADD COLUMN plan TEXT DEFAULT 'unlimited' NOT NULL CONSTRAINT projects_plan CHECK (plan IN ('unlimited', 'free')),
    ADD COLUMN delete_at timestamptz;
CREATE INDEX projects_delete_at ON projects (delete_at) WHERE delete_at IS NOT NULL;
CREATE TABLE memberships (
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL CONSTRAINT memberships_role CHECK (role IN ('owner', 'manager', 'member', 'viewer')),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, user_id)
);
CREATE INDEX memberships_of_user ON memberships (user_id);
CREATE TABLE invitations (
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    id UUID NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    role TEXT NOT NULL CONSTRAINT invitations_role CHECK (role IN ('owner', 'manager', 'member', 'viewer')),
    hash BYTEA NOT NULL UNIQUE,
    invited_by UUID REFERENCES users (id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX invitations_one_open ON invitations (project_id, email_key)
    WHERE accepted_at IS NULL AND revoked_at IS NULL;
CREATE INDEX invitations_of_address ON invitations (email_key);
CREATE INDEX invitations_invited_by ON invitations (invited_by);
"""
AUDIT = """
CREATE TABLE audit_entries (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id UUID,
    user_id UUID,
    at timestamptz NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    details JSONB NOT NULL,
    address TEXT NOT NULL
);
CREATE INDEX audit_entries_of_project ON audit_entries (project_id, id);
CREATE INDEX audit_entries_of_user ON audit_entries (user_id, id);
CREATE INDEX audit_entries_at ON audit_entries (at);
"""
# An entry goes with the project it is of; one of no project with its user; else when it is older than 13 months, as runs are.
APPEND_ONLY = """
CREATE FUNCTION audit_entries_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND (
        OLD.at < missedbeat_now() - interval '13 months'
        OR (OLD.project_id IS NOT NULL AND NOT EXISTS (SELECT FROM projects WHERE id = OLD.project_id))
        OR (OLD.project_id IS NULL AND OLD.user_id IS NOT NULL AND NOT EXISTS (SELECT FROM users WHERE id = OLD.user_id))
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'entries of the audit log are not changed' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER audit_entries_stay BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION audit_entries_stay();
CREATE TRIGGER audit_entries_stay_all BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_stay();
"""


def upgrade() -> None:
    """Tables, and a trigger that keeps the log as it was written."""
    for step in (LOCK, PEOPLE, TEAMS, AUDIT, APPEND_ONLY):
        op.execute(step)


def downgrade() -> None:
    """Everything about people is gone."""
    op.execute(LOCK)
    op.execute("""
        DROP TABLE audit_entries, invitations, memberships, letters, attempts, links, user_sessions, users;
        DROP FUNCTION audit_entries_stay;
        ALTER TABLE projects DROP COLUMN delete_at, DROP COLUMN plan;
    """)
