"""Check-ins: the log of every signal heard, gap-free per monitor, and the answers to Idempotency-Keys."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.replay import Said
from app.domain.state import Signal
from app.errors import NotFound
from app.store.together import Asked, Row, nothing
from app.store.unnest import arrays, picked, unnest

COLUMNS = {
    "project_id": "uuid", "monitor_id": "uuid", "n": "bigint", "received_at": "timestamptz", "signal": "text", "run_id": "text",
    "exit_status": "int", "duration": "float8", "scheme": "text", "method": "text", "remote_addr": "text", "user_agent": "text",
    "body": "bytea", "body_truncated": "bool", "reported_at": "timestamptz",
}  # fmt: skip
IDEMPOTENCY = {
    "project_id": "uuid", "monitor_id": "uuid", "key": "text", "signal": "text", "n": "bigint", "answer": "int",
    "receipt": "jsonb", "at": "timestamptz",
}  # fmt: skip
REPEATS_KNOWN_FOR = timedelta(hours=24)

ADD = text(f"INSERT INTO check_ins ({', '.join(COLUMNS)}) SELECT {picked(COLUMNS)} FROM {unnest(COLUMNS)}")  # noqa: S608
REMEMBER = text(f"""
    INSERT INTO idempotency ({", ".join(IDEMPOTENCY)}) SELECT {picked(IDEMPOTENCY)} FROM {unnest(IDEMPOTENCY)}
    ON CONFLICT (project_id, monitor_id, key, signal) DO UPDATE
    SET n = excluded.n, answer = excluded.answer, receipt = excluded.receipt, at = excluded.at""")  # noqa: S608
_REPEAT = {"monitor_id": "uuid", "key": "text", "signal": "text"}
REPEATED = text(f"""
    SELECT i.monitor_id, i.key, i.signal, i.n, i.answer, i.receipt FROM idempotency i
    JOIN {unnest(_REPEAT)} ON (i.monitor_id, i.key, i.signal) = (v.monitor_id, v.key, v.signal)
    WHERE i.project_id = ANY(CAST(:projects AS uuid[])) AND i.at > :since""")  # noqa: S608

# Rows read at once: their making takes the processor for some 20 ms. By their numbers, so that the index bounds each page; by
# LIMIT the planner, who takes every monitor for an average one, reads all of the window for each.
PAGE = 2000
EVER = datetime(1970, 1, 1, tzinfo=UTC)
SIGNALS = {str(signal): signal for signal in Signal}
WARM = 50  # of those before the window: they tell how the monitor stood when it began
HEARD = text("""
    SELECT n, signal, received_at, run_id, exit_status, reported_at, scheme = 'sdk' FROM check_in_log
    WHERE project_id = :project AND monitor_id = :monitor AND n >= :first AND n < :before AND received_at >= :since
    ORDER BY n DESC""")

Repeat = tuple[UUID, str, str]  # monitor, Idempotency-Key, signal


class Answered(NamedTuple):
    """What an Idempotency-Key was answered: its check-in's number, the HTTP status, the receipt."""

    n: int
    status: int
    receipt: dict[str, Any] | None


def adding(rows: Sequence[dict[str, Any]]) -> list[Asked[None]]:
    """Keep these check-ins, in one statement."""
    return [Asked(ADD, arrays(COLUMNS, rows), nothing)] if rows else []


async def answered(
    session: AsyncSession, projects: Sequence[UUID], repeats: Sequence[Repeat], at: datetime
) -> dict[Repeat, Answered]:
    """What was answered to those of these keys that were heard in the last 24 h."""
    if not repeats:
        return {}
    given = {"monitor_id": [r[0] for r in repeats], "key": [r[1] for r in repeats], "signal": [r[2] for r in repeats]}
    rows = await session.execute(REPEATED, {**given, "projects": list(projects), "since": at - REPEATS_KNOWN_FOR})
    return {(monitor, key, signal): Answered(n, answer, receipt) for monitor, key, signal, n, answer, receipt in rows}


def remembering(rows: Sequence[dict[str, Any]]) -> list[Asked[None]]:
    """Keep the answers given to Idempotency-Keys."""
    return [Asked(REMEMBER, arrays(IDEMPOTENCY, rows), nothing)] if rows else []


async def forget_answers(session: AsyncSession, at: datetime) -> None:
    """Drop answers past their time."""
    await session.execute(text("DELETE FROM idempotency WHERE at < :before"), {"before": at - REPEATS_KNOWN_FOR})


async def listed(session: AsyncSession, project: UUID, monitor: UUID, limit: int) -> list[dict[str, Any]]:
    """The newest check-ins of a monitor, newest first, without their bodies but with the size of each."""
    rows = await session.execute(
        text("""SELECT n, received_at, signal, run_id, exit_status, duration, scheme, method, remote_addr, user_agent,
                octet_length(body) AS body_size, body_truncated, reported_at
            FROM check_in_log WHERE project_id = :project AND monitor_id = :monitor ORDER BY n DESC LIMIT :limit"""),
        {"project": project, "monitor": monitor, "limit": limit},
    )
    return [dict(row) for row in rows.mappings()]


async def excerpts(
    session: AsyncSession, project: UUID, monitor: UUID, between: tuple[int, int], limit: int, most: int
) -> list[dict[str, Any]]:
    """The newest check-ins of a monitor whose number lies between two others, newest first, each with the first `most` bytes of
    its body."""
    rows = await session.execute(
        text("""SELECT n, received_at, signal, run_id, exit_status, duration, scheme, method, remote_addr, user_agent,
                octet_length(body) AS body_size, body_truncated, reported_at, substring(body FROM 1 FOR :most) AS excerpt
            FROM check_in_log WHERE project_id = :project AND monitor_id = :monitor AND n > :first AND n < :below
            ORDER BY n DESC LIMIT :limit"""),
        {"project": project, "monitor": monitor, "first": between[0], "below": between[1], "limit": limit, "most": most},
    )
    return [dict(row) for row in rows.mappings()]


async def heard_since(
    session: AsyncSession, project: UUID, monitor: UUID, newest: int, since: datetime, most: int
) -> tuple[datetime, list[Said]]:
    """What a monitor whose newest check-in is number `newest` was heard to say in a window, oldest first, with the last few
    before it; and where the window begins: later than `since` where it holds more than `most`, or more was heard than is kept."""
    rows: list[Row] = []
    before, least = newest + 1, max(1, newest + 1 - most)
    while before > least:
        start = max(least, before - PAGE)
        page = await _heard(session, project, monitor, since, start, before)
        rows += page
        if len(page) < before - start:  # numbers have no gaps
            break
        before = start
    oldest = rows[-1][0] if rows else before
    if oldest > least:
        rows += await _heard(session, project, monitor, EVER, oldest - WARM, oldest)
    is_all = not rows or rows[-1][0] in (1, oldest - WARM) or rows[-1][2] < since
    return since if is_all else rows[-1][2], [_said(row) for row in reversed(rows)]


async def _heard(session: AsyncSession, project: UUID, monitor: UUID, since: datetime, first: int, before: int) -> Sequence[Row]:
    """Numbers from `first` to before `before`, newest first."""
    given = {"project": project, "monitor": monitor, "since": since, "first": first, "before": before}
    return (await session.execute(HEARD, given)).all()


def _said(row: Row) -> Said:
    _, signal, received, run_id, exit_status, at, by_program = row
    return Said(SIGNALS[signal], received, run_id, exit_status, at, by_program)


async def body(session: AsyncSession, project: UUID, monitor: UUID, n: int) -> bytes:
    """What came with the n-th check-in. Raises NotFound where there is none, or it was empty."""
    query = text("SELECT body FROM check_in_log WHERE project_id = :project AND monitor_id = :monitor AND n = :n")
    found: bytes | None = (await session.execute(query, {"project": project, "monitor": monitor, "n": n})).scalar_one_or_none()
    if not found:
        raise NotFound("not found")
    return bytes(found)
