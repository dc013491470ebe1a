"""PostgreSQL alone: batches of check-ins over one connection, written to the tables that the service writes to, as few statements
as there can be, and nothing decided. What no service on this database can do better with one writer."""

import random
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from app.store.unnest import array

LOOK_UP = """
    SELECT a.project_id, a.monitor_id FROM unnest(%(keys)s::text[]) AS v(key)
    JOIN addresses a ON a.kind = 'ping' AND a.key = v.key AND a.revoked_at IS NULL"""
LOCK = """
    SELECT m.project_id, m.id, m.heard, m.run_count FROM monitors m
    JOIN unnest(%(projects)s::uuid[], %(ids)s::uuid[]) AS v(project_id, id)
        ON (m.project_id, m.id) = (v.project_id, v.id) ORDER BY m.id FOR NO KEY UPDATE OF m"""
SAVE = """
    UPDATE monitors m SET last_success_at = v.at, last_end_at = v.at, last_applied_at = v.at, heard = m.heard + 1,
        run_count = m.run_count + 1, memory = v.memory::jsonb
    FROM unnest(%(projects)s::uuid[], %(ids)s::uuid[], %(at)s::timestamptz[], %(memory)s::text[]) AS v(project_id, id, at, memory)
    WHERE (m.project_id, m.id) = (v.project_id, v.id)"""
ADD = """
    INSERT INTO check_ins (project_id, monitor_id, n, received_at, signal, scheme, method, remote_addr, user_agent)
    SELECT v.project_id, v.id, v.n, v.at, 'success', 'http', 'GET', '127.0.0.1', ''
    FROM unnest(%(projects)s::uuid[], %(ids)s::uuid[], %(n)s::bigint[], %(at)s::timestamptz[]) AS v(project_id, id, n, at)"""
RUN = """
    INSERT INTO runs (project_id, monitor_id, key, at, outcome, attempt, count, ended_at)
    SELECT v.project_id, v.id, v.key, v.at, 'success', 1, 1, v.at
    FROM unnest(%(projects)s::uuid[], %(ids)s::uuid[], %(key)s::bigint[], %(at)s::timestamptz[]) AS v(project_id, id, key, at)"""
MEMORY = '{"recent": [["2026-01-01T00:00:00+00:00", "success", null, null]]}'


def rate(dsn: str, ids: Sequence[str], batch: int, seconds: float) -> float:
    """Check-ins a second in batches of this size, each committed; no monitor twice in one."""
    with psycopg.connect(dsn, options="-c timezone=UTC") as connection:
        record(connection, random.sample(ids, batch))
        count, began = 0, time.monotonic()
        while (took := time.monotonic() - began) < seconds:
            record(connection, random.sample(ids, batch))
            count += batch
    return count / took


def record(connection: psycopg.Connection[Any], keys: Sequence[str]) -> None:
    """One batch, in one transaction."""
    with connection.transaction(), connection.cursor() as cursor:
        places = cursor.execute(LOOK_UP, {"keys": array("text", keys)}).fetchall()
        given = {"projects": array("uuid", [p for p, _ in places]), "ids": array("uuid", [m for _, m in places])}
        rows = cursor.execute(LOCK, given).fetchall()
        projects, ids, heard, runs = zip(*rows, strict=True)
        (at,) = cursor.execute("SELECT clock_timestamp()").fetchone() or (None,)
        given = {
            "projects": array("uuid", projects), "ids": array("uuid", ids), "at": array("timestamptz", [at] * len(rows)),
            "n": array("bigint", [n + 1 for n in heard]), "key": array("bigint", [n + 1 for n in runs]),
            "memory": array("text", [MEMORY] * len(rows)),
        }  # fmt: skip
        for statement in (SAVE, ADD, RUN):
            cursor.execute(statement, given)
