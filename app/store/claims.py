"""Deliveries claimed under a lease, and settled behind a fence. How they come into the outbox stands in `outbox.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.message import Told
from app.domain.retry import GIVE_UP_AFTER
from app.store import channel_limits
from app.store.channel_limits import IS_OPEN, OPENED_AT
from app.store.monitors import UNREADABLE
from app.store.unnest import arrays, unnest

log = structlog.get_logger()

LEASE = timedelta(seconds=30)
ATTEMPTS_KEPT = 20
EARLIER_KEPT = 50  # of what is told together; of a job that went to and fro all night nobody takes more


@dataclass(frozen=True, slots=True)
class Room:
    """What a process may begin at once: `slots` in all, of them `slow` known to fail, and how much of both a project may have
    where it is not the `share` of one that has something under way already, (all, slow) each."""

    slots: int
    slow: int
    share: tuple[int, int]
    shares: Mapping[UUID, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process may send until its lease ends, with all that is needed to send it. `failing_since`: since
    when it could not be told, counted from when its turn came to be tried; `slow`: it, or its channel, has failed before."""

    project: UUID
    id: UUID
    claim_no: int
    lease_until: datetime
    channel: UUID
    kind: str
    channel_name: str
    settings: dict[str, Any]
    secret: bytes | None
    told: Told
    tries: int
    slow: bool
    failing_since: datetime
    status_now: str | None
    output: bytes | None
    fallback_told: bool


# However much waits, a look costs some index entries for each channel with something open, and no more.
_OPEN = "state IN ('waiting', 'sending')"
# Of a monitor only the oldest open delivery on a channel has its turn; what was tried before always is the oldest.
_FRESH = f"""
    SELECT d.* FROM deliveries d WHERE (d.project_id, d.channel_id) = ({{of}}) AND d.state = 'waiting' AND d.first_try_at IS NULL
        AND d.cause_kind <> 'test' AND (d.monitor_id IS NULL OR d.seq = (
            SELECT o.seq FROM deliveries o
            WHERE (o.project_id, o.channel_id, o.monitor_id) = (d.project_id, d.channel_id, d.monitor_id) AND o.{_OPEN}
            ORDER BY o.seq LIMIT 1))
    ORDER BY d.seq LIMIT {{limit}}"""  # noqa: S608
_TRIED = f"""
    SELECT d.* FROM deliveries d WHERE (d.project_id, d.channel_id) = ({{of}}) AND d.{_OPEN} AND d.first_try_at IS NOT NULL
        AND d.due_at <= :now ORDER BY d.due_at LIMIT {{limit}}"""  # noqa: S608
_TESTS = """
    SELECT d.* FROM deliveries d WHERE (d.project_id, d.channel_id) = ({of}) AND d.state = 'waiting' AND d.cause_kind = 'test'
        AND d.first_try_at IS NULL ORDER BY d.seq LIMIT {limit}"""
_BUSY = """
    SELECT count(*) AS n FROM deliveries d
    WHERE (d.project_id, d.channel_id) = ({of}) AND d.state = 'sending' AND d.due_at > :now"""
# While a channel is left alone only a test is sent, and what waited for a day in which it could be told; after its pause the
# oldest, alone.
_MAY_BE_TRIED = f"""({{c}}.open_until IS NULL OR {{test}} OR ({{busy}} = 0
    AND ({{c}}.open_until <= :now OR greatest({{made}}, {{c}}.failing_since, {OPENED_AT}) <= :a_day_ago)))"""
# The channels with something open, found by leaping from one to the next in an index.
OPEN_CHANNELS = f"""
    open AS (
        (SELECT project_id, channel_id FROM deliveries WHERE {_OPEN} ORDER BY project_id, channel_id LIMIT 1)
        UNION ALL
        SELECT n.project_id, n.channel_id FROM open o CROSS JOIN LATERAL (
            SELECT d.project_id, d.channel_id FROM deliveries d
            WHERE d.{_OPEN} AND (d.project_id, d.channel_id) > (o.project_id, o.channel_id)
            ORDER BY d.project_id, d.channel_id LIMIT 1) n)"""  # noqa: S608
_SHARES = """
    shares AS (SELECT * FROM unnest(CAST(:sharing AS uuid[]), CAST(:shares AS int[]), CAST(:slow_shares AS int[]))
        AS v(project_id, whole, slow))"""
_SHARE = """least(coalesce(s.whole, :share), CASE WHEN {of}.slow THEN coalesce(s.slow, :slow_share) END)"""


def _of(parts: str, of: str, limit: str) -> str:
    return parts.format(of=of, limit=limit)


LAY_OFF = text("""
    UPDATE deliveries SET state = 'suppressed', reason = withdrawn, owner = NULL, settled_at = :now
    WHERE state = 'sending' AND due_at <= :now AND withdrawn IS NOT NULL""")
CHANNELS = text(f"""
    WITH RECURSIVE {_SHARES}, {OPEN_CHANNELS},
    able AS (
        SELECT c.project_id, c.id AS channel_id, coalesce(f.seq, e.seq) AS fresh, least(f.due_at, t.due_at, e.due_at) AS oldest,
            c.failures > 0 OR coalesce(f.seq, e.seq) IS NULL AS slow
        FROM open o JOIN channels c ON (c.project_id, c.id) = (o.project_id, o.channel_id)
        CROSS JOIN LATERAL ({_of(_BUSY, "c.project_id, c.id", "")}) b
        LEFT JOIN LATERAL ({_of(_FRESH, "c.project_id, c.id", "1")}) f ON {IS_OPEN.format(c="c")}
        LEFT JOIN LATERAL ({_of(_TRIED, "c.project_id, c.id", "1")}) t ON true
        LEFT JOIN LATERAL ({_of(_TESTS, "c.project_id, c.id", "1")}) e ON true
        WHERE b.n < :per_channel AND coalesce(f.seq, t.seq, e.seq) IS NOT NULL
            AND {_MAY_BE_TRIED.format(c="c", test="e.seq IS NOT NULL", busy="b.n", made="least(f.created_at, t.created_at)")}),
    turns AS (
        SELECT *, row_number() OVER (PARTITION BY project_id, slow ORDER BY fresh NULLS LAST, oldest) AS turn FROM able),
    places AS (
        SELECT t.*, row_number() OVER (PARTITION BY t.slow ORDER BY t.turn, t.fresh NULLS LAST, t.oldest) AS place
        FROM turns t LEFT JOIN shares s ON s.project_id = t.project_id WHERE t.turn <= {_SHARE.format(of="t")})
    SELECT c.project_id, c.id, c.hours FROM places p JOIN channels c ON (c.project_id, c.id) = (p.project_id, p.channel_id)
    WHERE NOT p.slow OR p.place <= :slow ORDER BY p.place, p.slow LIMIT :slots FOR NO KEY UPDATE OF c SKIP LOCKED""")  # noqa: S608
# Counted anew now that the channels are ours: another process may have taken from them since the first look.
CLAIM = text(f"""
    WITH {_SHARES},
    chosen AS (
        SELECT v.turn, c.* FROM unnest(CAST(:projects AS uuid[]), CAST(:channels AS uuid[]))
            WITH ORDINALITY AS v(project_id, channel_id, turn)
        JOIN channels c ON (c.project_id, c.id) = (v.project_id, v.channel_id)),
    heads AS (
        SELECT c.turn, h.*, c.failures > 0 OR h.first_try_at IS NOT NULL AS slow
        FROM chosen c CROSS JOIN LATERAL ({_of(_BUSY, "c.project_id, c.id", "")}) b
        CROSS JOIN LATERAL (
            SELECT a.*, row_number() OVER (ORDER BY c.open_until IS NOT NULL AND a.cause_kind <> 'test',
                c.open_until IS NULL AND a.first_try_at IS NOT NULL, a.seq) AS place
            FROM (({_of(_FRESH, "c.project_id, c.id", ":per_channel")}) UNION ALL
                ({_of(_TRIED, "c.project_id, c.id", ":per_channel")}) UNION ALL
                ({_of(_TESTS, "c.project_id, c.id", ":per_channel")})) a
            WHERE {_MAY_BE_TRIED.format(c="c", test="a.cause_kind = 'test'", busy="b.n", made="a.created_at")}
                AND (a.first_try_at IS NOT NULL OR a.cause_kind = 'test' OR {IS_OPEN.format(c="c")})) h
        WHERE h.place <= :per_channel - b.n AND (c.open_until IS NULL OR h.place = 1)),
    picked AS (SELECT *, row_number() OVER (PARTITION BY project_id, slow ORDER BY place, turn) AS of_project FROM heads),
    laned AS (
        SELECT p.*, row_number() OVER (PARTITION BY p.slow ORDER BY p.of_project, p.place, p.turn) AS in_lane,
            row_number() OVER (PARTITION BY p.project_id ORDER BY p.of_project, p.slow) AS of_both,
            coalesce(s.whole, :share) AS share
        FROM picked p LEFT JOIN shares s ON s.project_id = p.project_id WHERE p.of_project <= {_SHARE.format(of="p")}),
    turned AS (
        SELECT * FROM laned WHERE of_both <= share AND (NOT slow OR in_lane <= :slow) ORDER BY in_lane, slow LIMIT :slots),
    told AS (
        SELECT t.project_id, t.channel_id, t.monitor_id, t.slow, t.id AS first, coalesce(n.id, t.id) AS id,
            coalesce(n.seq, t.seq) AS seq
        FROM turned t LEFT JOIN LATERAL (
            SELECT n.id, n.seq FROM deliveries n
            WHERE (n.project_id, n.channel_id, n.monitor_id) = (t.project_id, t.channel_id, t.monitor_id)
                AND n.state = 'waiting' AND n.cause_kind = 'transition' ORDER BY n.seq DESC LIMIT 1
            ) n ON t.first_try_at IS NULL AND t.cause_kind = 'transition'),
    overtaken AS (
        SELECT o.project_id, o.id, o.seq, o.told, t.id AS by FROM told t JOIN deliveries o
            ON (o.project_id, o.channel_id, o.monitor_id) = (t.project_id, t.channel_id, t.monitor_id)
            AND o.state = 'waiting' AND o.seq < t.seq
        WHERE t.first <> t.id),
    coalesced AS (
        UPDATE deliveries d SET state = 'suppressed', settled_at = :now, reason = 'coalesced: told together with ' || o.by
        FROM overtaken o WHERE (d.project_id, d.id) = (o.project_id, o.id) AND d.state = 'waiting'),
    earlier AS (
        SELECT project_id, by, max(turnings) AS turnings, jsonb_agg(told - 'earlier' ORDER BY seq) AS last FROM (
            SELECT *, count(*) OVER (PARTITION BY project_id, by) AS turnings,
                row_number() OVER (PARTITION BY project_id, by ORDER BY seq DESC) AS back FROM overtaken) o
        WHERE back <= :earlier_kept GROUP BY project_id, by)
    UPDATE deliveries d SET state = 'sending', claim_no = d.claim_no + 1, owner = :owner, due_at = :lease_until,
        first_try_at = coalesce(d.first_try_at, :now),
        told = CASE WHEN e.last IS NULL THEN d.told
            ELSE d.told || jsonb_build_object('earlier', e.last, 'earlier_count', e.turnings) END
    FROM told t LEFT JOIN earlier e ON (e.project_id, e.by) = (t.project_id, t.id)
    WHERE d.project_id = t.project_id AND d.id = t.id AND d.state IN ('waiting', 'sending')
    RETURNING d.project_id, d.id, t.slow""")  # noqa: S608
DETAILS = text(f"""
    SELECT d.project_id AS project, d.id, d.claim_no, d.due_at AS lease_until, d.channel_id AS channel, c.kind,
        c.name AS channel_name, c.settings, c.secret, d.told, d.tries, d.fallback_told, m.status AS status_now,
        CASE WHEN c.open_until IS NULL THEN d.first_try_at
            ELSE least(d.first_try_at, greatest(d.created_at, c.failing_since, {OPENED_AT.format(c="c")})) END AS failing_since,
        o.body AS output
    FROM deliveries d
    JOIN channels c ON (c.project_id, c.id) = (d.project_id, d.channel_id)
    LEFT JOIN monitors m ON (m.project_id, m.id) = (d.project_id, d.monitor_id)
    LEFT JOIN LATERAL (
        SELECT substr(k.body, 1, 4000) AS body FROM check_ins k
        WHERE (k.project_id, k.monitor_id) = (m.project_id, m.id) AND k.received_at >= m.last_applied_at
            AND k.signal IN ('success', 'fail') AND k.n > m.heard - 200
        ORDER BY k.n DESC LIMIT 1) o ON d.told ->> 'kind' = 'monitor.down'
    WHERE d.project_id = ANY(CAST(:projects AS uuid[])) AND d.id = ANY(CAST(:ids AS uuid[])) ORDER BY d.seq""")  # noqa: S608


async def claim(session: AsyncSession, now: datetime, owner: UUID, room: Room, per_channel: int) -> list[Claimed]:
    """Take deliveries that are due, as many as there is room for, under a lease of 30 s.

    1. What was withdrawn while a sender held it, and that sender never settled, is laid off. 2. The rows of channels with
    something due are locked, so that no two senders take from one at once; outside of its hours a channel is not told of what
    was never tried, but for tests. 3. Of one monitor on one channel only the oldest open
    delivery is taken, so that messages keep their order; where it was never tried and newer ones wait, the newest is taken in
    its place and tells of them too. Untried ones go before retries, and projects take turns.
    """
    await session.execute(LAY_OFF, {"now": now})
    given = {
        "now": now, "owner": owner, "lease_until": now + LEASE, "a_day_ago": now - GIVE_UP_AFTER, "per_channel": per_channel,
        "earlier_kept": EARLIER_KEPT,
        "slots": room.slots, "slow": room.slow, "share": room.share[0], "slow_share": room.share[1],
        "sharing": list(room.shares), "shares": [s[0] for s in room.shares.values()],
        "slow_shares": [s[1] for s in room.shares.values()],
    }  # fmt: skip
    channels = (await session.execute(CHANNELS, given)).mappings().all()
    if not channels:
        return []
    await channel_limits.close(session, channels, now)
    given |= {"projects": [c["project_id"] for c in channels], "channels": [c["id"] for c in channels]}
    taken = {row.id: row for row in await session.execute(CLAIM, given)}
    if not taken:
        return []
    found = {"now": now, "projects": list({t.project_id for t in taken.values()}), "ids": list(taken)}
    rows = await session.execute(DETAILS, found)
    return [Claimed(**{**row, "told": _read(row)}, slow=taken[row["id"]].slow) for row in rows.mappings()]


def _read(row: RowMapping) -> Told:
    """What is to be said. Of one that makes no sense what can be read of it: an alert is told, and one row stops no other."""
    try:
        return Told.from_json(row["told"])
    except UNREADABLE as error:
        log.error("a delivery cannot be read and is told as far as it can", delivery=str(row["id"]), error=repr(error))
        return Told.salvaged(row["told"], row["failing_since"])


SETTLE = text("""
    UPDATE deliveries d SET state = v.state, due_at = :due_at, tries = :tries, owner = NULL,
        reason = CASE WHEN v.state = 'suppressed' THEN d.withdrawn ELSE :reason END,
        settled_at = CASE WHEN v.state <> 'waiting' THEN CAST(:now AS timestamptz) END,
        attempts = (CASE WHEN jsonb_array_length(attempts) >= :kept THEN attempts - 0 ELSE attempts END)
            || CAST(:attempt AS jsonb)
    FROM (SELECT project_id, id,
            CASE WHEN :state = 'waiting' AND withdrawn IS NOT NULL THEN 'suppressed' ELSE :state END AS state
        FROM deliveries WHERE project_id = :project AND id = :id FOR NO KEY UPDATE) v
    WHERE (d.project_id, d.id) = (v.project_id, v.id) AND d.owner = :owner AND d.claim_no = :claim_no
        AND d.state = 'sending'""")


@dataclass(frozen=True, slots=True)
class Settled:
    """How an attempt ended: delivered, dead or suppressed, or waiting again until `due_at`."""

    state: str
    tries: int
    due_at: datetime
    reason: str | None
    attempt_json: str


async def settle(session: AsyncSession, claimed: Claimed, owner: UUID, now: datetime, settled: Settled) -> bool:
    """Write how an attempt ended. False behind the fence: the lease was lost meanwhile and the row is another's."""
    result = await session.execute(
        SETTLE,
        {
            "project": claimed.project, "id": claimed.id, "owner": owner, "claim_no": claimed.claim_no, "now": now,
            "state": settled.state, "due_at": settled.due_at, "tries": settled.tries, "reason": settled.reason,
            "attempt": settled.attempt_json, "kept": ATTEMPTS_KEPT,
        },
    )  # fmt: skip
    return int(result.rowcount) == 1  # type: ignore[attr-defined]


_DELIVERED = {
    "project_id": "uuid", "id": "uuid", "claim_no": "int", "tries": "int", "reason": "text", "attempt": "text",
}  # fmt: skip
# Nobody is waited for while rows are held, so that a group stands in nobody's way: what somebody holds is settled by itself.
SETTLE_FREE = text(f"""
    UPDATE deliveries d SET state = 'delivered', due_at = :now, tries = v.tries, owner = NULL, reason = v.reason,
        settled_at = :now,
        attempts = (CASE WHEN jsonb_array_length(d.attempts) >= :kept THEN d.attempts - 0 ELSE d.attempts END)
            || CAST(v.attempt AS jsonb)
    FROM (
        SELECT v.* FROM {unnest(_DELIVERED)} JOIN deliveries o ON (o.project_id, o.id) = (v.project_id, v.id)
        JOIN channels c ON (c.project_id, c.id) = (o.project_id, o.channel_id)
        WHERE o.owner = :owner AND o.claim_no = v.claim_no AND o.state = 'sending'
            AND c.failures = 0 AND c.owner_told_at IS NULL
        FOR NO KEY UPDATE OF o SKIP LOCKED) v
    WHERE (d.project_id, d.id) = (v.project_id, v.id) RETURNING d.id""")  # noqa: S608


async def settle_free(session: AsyncSession, settled: Sequence[tuple[Claimed, Settled]], owner: UUID, now: datetime) -> set[UUID]:
    """Write that these were delivered, in one statement; returns the ids of those that it wrote. Left to `settle` is what is
    another's by now, what somebody holds, and what came through a channel marked as failing, which works again by that."""
    rows = [
        {
            "project_id": claimed.project, "id": claimed.id, "claim_no": claimed.claim_no, "tries": s.tries, "reason": s.reason,
            "attempt": s.attempt_json,
        }
        for claimed, s in settled
    ]  # fmt: skip
    given = {**arrays(_DELIVERED, rows), "owner": owner, "now": now, "kept": ATTEMPTS_KEPT}
    return {row.id for row in await session.execute(SETTLE_FREE, given)}


async def give_back(session: AsyncSession, owner: UUID, now: datetime) -> None:
    """On the way out: what this process claimed and did not settle is due again at once."""
    await session.execute(
        text("""
            UPDATE deliveries SET due_at = :now, owner = NULL, reason = coalesce(withdrawn, reason),
                state = CASE WHEN withdrawn IS NULL THEN 'waiting' ELSE 'suppressed' END,
                settled_at = CASE WHEN withdrawn IS NULL THEN NULL ELSE CAST(:now AS timestamptz) END
            WHERE owner = :owner AND state = 'sending'"""),
        {"owner": owner, "now": now},
    )
