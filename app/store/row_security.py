"""The second belt between tenants: what pages and API ask for a project runs as a role to which the database shows no other.

The first belt is the project in every statement. The policies stand in migration 0011; here is the role that they bind, made
where the database lets us. Without it the first belt holds alone, and `doctor` says so.
"""

from uuid import UUID

from sqlalchemy import Connection, Function, func, text
from sqlalchemy.orm import InstrumentedAttribute

ALLOW = text("""
    DO $$
    DECLARE lacking text;
    BEGIN
        IF to_regrole('missedbeat_tenant') IS NULL THEN
            BEGIN
                CREATE ROLE missedbeat_tenant NOLOGIN;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of this server was quicker
            END;
        END IF;
        IF NOT pg_has_role('missedbeat_tenant', 'MEMBER') THEN
            GRANT missedbeat_tenant TO CURRENT_USER;
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO missedbeat_tenant', current_schema());
        SELECT string_agg(oid::regclass::text, ', ') INTO lacking FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition
                AND relname NOT IN ('alembic_version', 'audit_entries')
                AND NOT has_table_privilege('missedbeat_tenant', oid, 'INSERT');
        IF lacking IS NOT NULL THEN
            EXECUTE 'GRANT SELECT, INSERT, UPDATE, DELETE ON ' || lacking || ' TO missedbeat_tenant';
        END IF;
        GRANT SELECT, INSERT ON audit_entries TO missedbeat_tenant;
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END $$""")


def allow(connection: Connection) -> None:
    """Make the role, if that can be, and let it into all tables but the partitions. After every migration, for new tables."""
    connection.execute(ALLOW)


def confine(project: InstrumentedAttribute[UUID]) -> Function[UUID]:
    """An expression of the statement that finds out whose project it is: from then on this transaction sees no other, nor
    changes any. It costs no round trip."""
    return func.missedbeat_confine(project)
