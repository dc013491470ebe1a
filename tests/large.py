"""Tables as large as a service has after months, so that the planner must choose: filled by COPY, in one order, then analysed.

Nothing in them is due, so that what a test does is all that happens. `bench/scale.py` fills its own with the same.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from app.store.partitions import day_of, month_of

BEATS = "celery:shop"  # the source of the tenth of the monitors that wait for a scheduler


@dataclass(frozen=True)
class Size:
    """How many of what. The monitors that no known project has belong to so many `projects` in equal shares."""

    monitors: int = 100_000
    projects: int = 200
    check_ins: int = 1_200_000
    days: int = 6  # of which the check-ins are, today the last
    runs: int = 300_000
    deliveries: int = 100_000
    incidents: int = 100_000
    ticks: int = 170_000


SEED = """
CREATE UNLOGGED TABLE seed AS
SELECT i, coalesce(({known}), md5('project ' || i %% %(projects)s)::uuid) AS project_id,
    gen_random_uuid() AS id, CASE WHEN i %% 100 < 97 THEN 'up' WHEN i %% 100 = 97 THEN 'down' WHEN i %% 100 = 98 THEN 'paused'
        ELSE 'new' END AS status,
    3600 * (1 + i %% 24) AS period, %(now)s - random() * (1 + i %% 24) * interval '30 min' AS ended
FROM generate_series(1, %(monitors)s) AS i"""
PROJECTS = """
SELECT md5('project ' || i)::uuid AS id, 'project ' || i AS name, 'owner@example.org' AS owner_email, %(now)s AS created_at
FROM generate_series(0, %(projects)s - 1) AS i"""
CHANNELS = """
SELECT p.id AS project_id, md5(p.id || kind)::uuid AS id, kind, kind AS name, '{"address": "a@example.org"}'::jsonb AS settings,
    kind = 'email' AS fallback, %(now)s AS created_at
FROM projects p, (VALUES ('email'), ('webhook'), ('slack')) AS k(kind)
WHERE kind <> 'email' OR NOT EXISTS (SELECT FROM channels c WHERE c.project_id = p.id)"""
API_KEYS = """
SELECT id AS project_id, gen_random_uuid() AS id, 'rw' AS scope, sha256(id::text::bytea) AS hash, 'hint' AS hint,
    %(now)s AS created_at FROM projects"""
# Four of five by period, one of five by cron; every tenth waits for its project's scheduler.
MONITORS = f"""
SELECT project_id, id, left(encode(sha256('monitor:'::bytea || uuid_send(id)), 'hex'), 40) AS unique_key,
    ended - interval '90 d' AS created_at, 'job ' || i AS name, 'job-' || i AS slug,
    CASE i %% 3 WHEN 0 THEN 'prod db' WHEN 1 THEN 'prod' ELSE '' END AS tags,
    CASE WHEN i %% 5 = 0 THEN 'cron' ELSE 'every' END AS kind, CASE WHEN i %% 5 > 0 THEN period END AS period,
    CASE WHEN i %% 5 = 0 THEN '0 */6 * * *' END AS expression, 'UTC' AS zone, 3600 AS grace, status,
    CASE WHEN i %% 10 = 0 THEN '{BEATS}' ELSE '' END AS source,
    CASE WHEN i = 1 OR i BETWEEN %(own)s + 1 AND %(own)s + %(projects)s THEN '{BEATS}' ELSE '' END AS beat_of,
    CASE WHEN status = 'up' THEN CASE WHEN i %% 5 = 0 THEN slot ELSE ended END END AS satisfied,
    CASE WHEN status = 'up' THEN ended END AS anchor, CASE WHEN status = 'up' THEN due END AS due,
    CASE WHEN status = 'up' THEN due + interval '1 h' END AS deadline,
    CASE WHEN status = 'up' THEN due + interval '1 h' - i %% 2 * interval '1 min' END AS wake_at,
    ended AS last_end_at, ended AS last_applied_at, ended AS last_success_at,
    CASE WHEN status = 'down' THEN ended END AS down_since, {{each}} AS heard, {{runs_each}} AS run_count,
    CASE status WHEN 'new' THEN 0 WHEN 'up' THEN 1 ELSE 2 END AS transition_count,
    jsonb_build_object('turned_at', ended, 'plain_end', jsonb_build_array(ended, NULL), 'recent', (
        SELECT jsonb_agg(jsonb_build_array(ended - n * interval '1 h', 'success', NULL, NULL)) FROM generate_series(4, 0, -1) AS n
    )) AS memory
FROM (SELECT *, CASE WHEN i %% 5 = 0 THEN slot + interval '6 h' ELSE ended + period * interval '1 s' END AS due
    FROM seed, (SELECT date_bin('6 h', %(now)s, '2000-01-01 Z') AS slot) AS now) AS seed"""
ADDRESSES = """
SELECT 'ping' AS kind, id::text AS key, project_id, id AS monitor_id FROM seed
UNION ALL SELECT 'celery', project_id || ':job ' || i, project_id, id FROM seed WHERE i %% 10 = 0"""
SUBSCRIPTIONS = """
SELECT project_id, id AS monitor_id, md5(project_id || 'webhook')::uuid AS channel_id FROM seed"""
EVIDENCE = """jsonb_build_object('at', ended, 'to', 'up', 'run', NULL, 'from', 'new', 'rule', 'heard', 'slot', NULL,
    'zone', 'UTC', 'cause', '', 'grace', 3600, 'horizon', ended, 'version', 1, 'deadline', NULL, 'failures', 0,
    'schedule', 'every 1 h', 'blackouts', '[]'::jsonb, 'open_runs', '[]'::jsonb, 'down_since', NULL, 'max_runtime', NULL,
    'last_success', ended, 'failures_to_alert', 1, 'check_ins', jsonb_build_array(jsonb_build_object('at', ended,
        'run_id', NULL, 'signal', 'success', 'exit_status', NULL)))"""
TRANSITIONS = f"""
SELECT project_id, id AS monitor_id, 1 AS n, 'new' AS from_status, 'up' AS to_status, ended - i %% 90 * interval '1 d' AS at,
    ended - i %% 90 * interval '1 d' AS noticed_at, 'heard' AS reason, {EVIDENCE} AS evidence,
    CAST('{{}}' AS uuid[]) AS announced_to
FROM seed WHERE status <> 'new'
UNION ALL SELECT project_id, id, 2, 'up', status, ended, ended, 'missed', {EVIDENCE}, '{{}}' FROM seed
    WHERE status IN ('down', 'paused')"""
INCIDENTS = f"""
SELECT project_id, gen_random_uuid() AS id, s.id AS monitor_id, 'job ' || i AS monitor_name,
    ended - (30 + n) * interval '1 h' AS opened_at, 2 AS opened_by, 'missed' AS reason, {EVIDENCE} AS evidence,
    CASE WHEN status <> 'down' OR n > 0 THEN ended - (30 + n) * interval '59 min' END AS closed_at, 'heard' AS closed_by
FROM seed s, generate_series(0, greatest(%(incidents)s / %(monitors)s, 1) - 1) AS n WHERE i <= %(incidents)s"""
DELIVERIES = """
SELECT project_id, gen_random_uuid() AS id, md5(project_id || 'webhook')::uuid AS channel_id, s.id AS monitor_id,
    'transition' AS cause_kind, s.id || ':' || n AS cause_id, jsonb_build_object('kind', 'monitor.down', 'at', ended,
        'project', 'project', 'name', 'job ' || i, 'schedule', 'every 1 h', 'explain', 'It was not heard of.') AS told,
    CASE WHEN i %% 50 = 0 THEN 'dead' WHEN i %% 50 = 1 THEN 'suppressed' ELSE 'delivered' END AS state,
    ended - n * interval '1 d' AS due_at, ended - n * interval '1 d' AS first_try_at, ended - n * interval '1 d' AS created_at,
    ended - n * interval '1 d' AS settled_at, 1 AS tries, true AS fallback_told
FROM seed s, generate_series(1, greatest(%(deliveries)s / %(monitors)s, 1)) AS n WHERE i <= %(deliveries)s"""
IDEMPOTENCY = """
SELECT project_id, id AS monitor_id, 'key ' || i AS key, 'success' AS signal, 1 AS n, 200 AS answer,
    %(now)s - random() * interval '23 h' AS at FROM seed WHERE i %% 2 = 0"""
REPORTED = """
SELECT project_id, id AS monitor_id, 'run ' || i AS run_id, '{}'::jsonb AS facts, %(now)s - random() * interval '60 h' AS heard_at
FROM seed WHERE i %% 10 = 0"""
KEPT = """
SELECT project_id, id AS monitor_id, -n AS n, ended - interval '200 d' AS received_at, 'success' AS signal, 'http' AS scheme,
    'GET' AS method, '192.0.2.1' AS remote_addr, 'curl/8' AS user_agent, false AS body_truncated
FROM seed, generate_series(1, 4) AS n WHERE i %% 20 = 0"""
TICKS = """
SELECT %(now)s - n * interval '1 s' AS at, md5('process')::uuid AS process, false AS last
FROM generate_series(1, %(ticks)s) AS n"""
CANARIES = """
SELECT %(now)s - n * interval '10 s' AS sent_at, %(now)s - n * interval '10 s' AS heard_at
FROM generate_series(1, %(ticks)s / 10) AS n"""
CHECK_INS = """
SELECT project_id, id AS monitor_id, {first} + n AS n,
    %(day)s::timestamp AT TIME ZONE 'UTC' + (n + random()) * interval '1 d' / {each} AS received_at,
    'success' AS signal, 'http' AS scheme, 'GET' AS method, '192.0.2.1' AS remote_addr, 'curl/8.5.0' AS user_agent,
    CASE WHEN i %% 10 = 0 THEN 'said by job '::bytea || i::text::bytea END AS body
FROM generate_series(0, {each} - 1) AS n, seed"""
RUNS = """
SELECT project_id, id AS monitor_id, {first} + n AS key, %(day)s + (n + random()) * interval '20 d' / {each} AS at,
    'success' AS outcome, 1 AS attempt, 1 AS count, %(day)s + n * interval '20 d' / {each} AS ended_at
FROM generate_series(0, {each} - 1) AS n, seed"""


class Filler:
    """Fills one database."""

    def __init__(self, dsn: str, now: datetime, size: Size, known: Mapping[UUID, int]) -> None:
        """`known`: projects that are there, with their keys, and how many monitors each is to have."""
        self._dsn = dsn.replace("+psycopg", "", 1)
        self._size = size
        self._known = known
        self._given: dict[str, Any] = {"own": sum(known.values()), "now": now, **vars(size)}
        self._now = now

    def run(self) -> None:
        """Everything, then ANALYZE. Triggers of foreign keys are off meanwhile: what is copied fits together."""
        with self._connected() as reader, self._connected() as writer:
            writer.execute("SET session_replication_role = replica")
            reader.execute(self._seed())
            self._few(reader, writer)
            self.check_ins(reader, writer)
            self._runs(reader, writer)
            writer.execute("VACUUM ANALYZE")

    def _seed(self) -> str:
        """The first monitors are those of the known projects, one after the other."""
        cases, last = [], 0
        for project, count in self._known.items():
            last += count
            cases.append(f"WHEN i <= {last} THEN uuid '{project}'")
        return SEED.format(known=f"CASE {' '.join(cases)} END") % self._literals()

    def _few(self, reader: psycopg.Connection, writer: psycopg.Connection) -> None:
        size = self._size
        monitors = MONITORS.format(each=self.check_ins_each * size.days, runs_each=self._runs_each * 2)
        for table, select in (
            ("projects", PROJECTS), ("channels", CHANNELS), ("api_keys", API_KEYS), ("monitors", monitors),
            ("addresses", ADDRESSES), ("subscriptions", SUBSCRIPTIONS), ("transitions", TRANSITIONS), ("incidents", INCIDENTS),
            ("deliveries", DELIVERIES), ("idempotency", IDEMPOTENCY), ("reported_runs", REPORTED), ("check_ins_kept", KEPT),
            ("ticks", TICKS), ("canaries", CANARIES),
        ):  # fmt: skip
            self.copy(reader, writer, table, select)

    @property
    def check_ins_each(self) -> int:
        """Check-ins of a monitor on a day."""
        return max(self._size.check_ins // self._size.monitors // self._size.days, 1)

    @property
    def _runs_each(self) -> int:
        return max(self._size.runs // self._size.monitors // 2, 1)

    def check_ins(self, reader: psycopg.Connection, writer: psycopg.Connection) -> None:
        """Day by day, in the order in which they come, each day attached once it is full and has its key."""
        writer.execute("CREATE INDEX ON seed (i)")
        for ago in range(self._size.days):
            part = day_of(self._now - timedelta(days=ago))
            first = (self._size.days - 1 - ago) * self.check_ins_each + 1
            select = CHECK_INS.format(first=first, each=self.check_ins_each)
            self._partition(reader, writer, part.parent, part.name, (part.start, part.end), select)

    def _runs(self, reader: psycopg.Connection, writer: psycopg.Connection) -> None:
        this = month_of(self._now)
        last = month_of(datetime.combine(this.start, datetime.min.time(), UTC) - timedelta(days=1))
        for part, first in ((last, 1), (this, 1 + self._runs_each)):
            select = RUNS.format(first=first, each=self._runs_each)
            self._partition(reader, writer, part.parent, part.name, (part.start, part.end), select)

    def _partition(
        self, reader: psycopg.Connection, writer: psycopg.Connection, parent: str, name: str, bounds: tuple[Any, Any], select: str
    ) -> None:
        writer.execute(f"DROP TABLE IF EXISTS {name}")
        writer.execute(f"CREATE TABLE {name} (LIKE {parent} INCLUDING DEFAULTS)")
        self.copy(reader, writer, name, select, {"day": bounds[0]})
        writer.execute(f"ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ('{bounds[0]} Z') TO ('{bounds[1]} Z')")

    def copy(
        self, reader: psycopg.Connection, writer: psycopg.Connection, table: str, select: str, more: Mapping[str, Any] = {}
    ) -> None:
        """What the server selects goes into a table by COPY."""
        query = select % self._literals(more)
        columns, cast = self._columns(reader, table, query)
        with (
            reader.cursor().copy(f"COPY (SELECT {cast} FROM ({query}) AS q) TO STDOUT (FORMAT binary)") as out,
            writer.cursor().copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT binary)") as into,
        ):
            for block in out:
                into.write(block)

    def _columns(self, reader: psycopg.Connection, table: str, query: str) -> tuple[str, str]:
        """The columns that the query gives, and the same cast to what the table has: binary COPY converts nothing."""
        names = [c.name for c in reader.execute(f"SELECT * FROM ({query}) AS q LIMIT 0").description or ()]
        types = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass"
        kinds: dict[str, str] = dict(reader.execute(types, [table]).fetchall())
        return ", ".join(names), ", ".join(f"CAST(q.{name} AS {kinds[name]})" for name in names)

    def _literals(self, more: Mapping[str, Any] = {}) -> dict[str, Any]:
        """As COPY takes no parameters."""
        types = {datetime: "timestamptz", date: "date", UUID: "uuid"}
        values = {**self._given, **more}
        return {name: value if isinstance(value, int) else f"{types[type(value)]} '{value}'" for name, value in values.items()}

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self._dsn, autocommit=True, options="-c timezone=UTC") as connection:
            yield connection
