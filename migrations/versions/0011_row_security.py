"""Row security: what pages and API ask for one project is kept to it by the database, too.

Revision ID: 0011

Of every table that belongs to projects. Whoever is not the role `missedbeat_tenant` sees what they saw; the owner of the tables,
who records pings and sweeps, is not even asked. Each table is a transaction, and locked for an instant: a migration that gets no
lock at once is tried again (app/store/migrate.py), from the first table on.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

OF_PROJECTS = (
    "addresses", "api_keys", "audit_entries", "channels", "check_ins", "check_ins_kept", "deliveries", "idempotency", "incidents",
    "invitations", "memberships", "monitors", "pauses", "removed_monitors", "reported_runs", "runs", "subscriptions", "syncs",
    "transitions", "unheard",
)  # fmt: skip
POLICY = """
DROP POLICY IF EXISTS of_one_project ON {table};
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_one_project ON {table} USING (
    (SELECT current_user <> 'missedbeat_tenant')
    OR {column} = (SELECT nullif(current_setting('missedbeat.project', true), '')::uuid)
)
"""
CONFINE = """
CREATE OR REPLACE FUNCTION missedbeat_confine(project uuid) RETURNS uuid LANGUAGE plpgsql VOLATILE AS $$
DECLARE tenant oid := to_regrole('missedbeat_tenant');
BEGIN
    IF tenant IS NOT NULL AND has_table_privilege(tenant, 'monitors', 'INSERT') AND pg_has_role(tenant, 'MEMBER') THEN
        PERFORM set_config('missedbeat.project', project::text, true), set_config('role', 'missedbeat_tenant', true);
    END IF;
    RETURN project;
END $$;
COMMENT ON FUNCTION missedbeat_confine IS 'Until this transaction ends nothing is seen or changed of other projects.'
"""
# Where rows are hidden, an index is used only with operators that are trusted to tell nobody what they saw. That of tags is not.
TAGGED = """
CREATE OR REPLACE FUNCTION missedbeat_tagged(project uuid, wanted text[]) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER ROWS 50 SET search_path FROM CURRENT AS $$
    SELECT id FROM monitors WHERE tags <> ''
        AND string_to_array((project_id::text || ':') || replace(tags, ' ', (' ' || project_id::text) || ':'), ' ')
            @> ARRAY(SELECT project::text || ':' || tag FROM unnest(wanted) AS tag)
        AND project = coalesce(nullif(current_setting('missedbeat.project', true), '')::uuid, project)
$$;
COMMENT ON FUNCTION missedbeat_tagged IS 'The monitors of a project that have all of these tags.'
"""


def upgrade() -> None:
    """The policies, and how a transaction comes to be bound by them. The role is made at the end of `migrate`."""
    with op.get_context().autocommit_block():
        for table in OF_PROJECTS:
            op.execute(POLICY.format(table=table, column="project_id"))
        op.execute(POLICY.format(table="projects", column="id"))
    op.execute("ALTER VIEW check_in_log SET (security_invoker = true)")  # else it reads as its owner
    op.execute(CONFINE)
    op.execute(TAGGED)


def downgrade() -> None:
    """Statements name their project all the same."""
    op.execute("DROP FUNCTION missedbeat_tagged; DROP FUNCTION missedbeat_confine")
    op.execute("ALTER VIEW check_in_log RESET (security_invoker)")
    for table in (*OF_PROJECTS, "projects"):
        op.execute(f"DROP POLICY of_one_project ON {table}; ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
