"""Connections: one engine per purpose, so that none can starve another, with time limits on everything a server may hold,
and on how long we hold a connection: a frozen server answers nothing, not even that it took too long."""

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

STATEMENT_LIMIT = 2000  # milliseconds
HELD_AT_MOST = 10.0  # seconds
PING_AT_MOST = 3.0  # seconds
INGEST_LOCK_LIMIT = 500  # milliseconds; then those that are free are taken, and that within the guard
WAIT = 0.5  # seconds
TIMEOUTS = {
    "lock_timeout": "1000",
    "synchronous_commit": "on",  # 2xx means durable, whatever the database or the role was set to
    "idle_in_transaction_session_timeout": "5000",
    "timezone": "UTC",
    "max_parallel_workers_per_gather": "0",  # to start helpers takes longer than queries as short as ours
}
Sessions = async_sessionmaker[AsyncSession]
WARNINGS = "warnings"
LOCK_NOT_AVAILABLE = "55P03"  # how PostgreSQL says that a lock_timeout passed


def waited_in_vain(error: DBAPIError) -> bool:
    """Whether it is that somebody else held a lock for longer than we wait."""
    return getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE


class InDoubt(OSError):
    """The database answered, and said in a warning that it did not do all that it promises. It may or may not be kept."""


def make_engine(
    dsn: str, purpose: str, size: int = 5, patience: int = STATEMENT_LIMIT, held_at_most: float = HELD_AT_MOST, wait: float = WAIT
) -> AsyncEngine:
    """An engine whose pool refuses after `wait` seconds instead of queueing, and whose connections notice a dead server.

    `patience`: how long a statement may take, in milliseconds. `held_at_most`: seconds after which a connection in use is cut,
    whatever it waits for; what it was doing fails then, and may or may not have been committed.
    """
    limits = {**TIMEOUTS, "statement_timeout": patience}
    if purpose == "ingest":
        limits["lock_timeout"] = INGEST_LOCK_LIMIT
    options = " ".join(f"-c {name}={value}" for name, value in limits.items())
    engine = create_async_engine(
        dsn,
        pool_size=size,
        max_overflow=0,
        pool_timeout=wait,
        pool_pre_ping=purpose != "ingest",  # a ping is tried again by its client, and must not wait for one more round trip
        hide_parameters=True,
        connect_args={
            "options": options,
            "application_name": f"missedbeat-{purpose}",
            "connect_timeout": 2,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 2,
            "tcp_user_timeout": 5000,
        },
    )
    _limit_holding(engine, held_at_most)
    _limit_pings(engine)
    _note_warnings(engine)
    return engine


def make_sessions(engine: AsyncEngine) -> Sessions:
    """Sessions that begin a transaction with their first statement and keep what they read after a commit."""
    return async_sessionmaker(engine, expire_on_commit=False)


def _limit_holding(engine: AsyncEngine, seconds: float) -> None:
    """Cut a connection that is in use for longer. Cancelling would ask the server first, and a frozen one never answers."""
    timers: dict[int, asyncio.TimerHandle] = {}

    def opened(_: Any, record: Any) -> None:
        given_back(_, record)
        fd = record.driver_connection.pgconn.socket
        timers[id(record)] = asyncio.get_running_loop().call_later(seconds, _cut, fd)

    def taken(_: Any, record: Any, __: Any) -> None:
        opened(_, record)

    def given_back(_: Any, record: Any) -> None:
        timer = timers.pop(id(record), None)
        if timer is not None:
            timer.cancel()

    event.listen(engine.sync_engine, "connect", opened, insert=True)  # before the dialect asks the server who it is
    event.listen(engine.sync_engine, "checkout", taken)
    event.listen(engine.sync_engine, "checkin", given_back)


async def warnings_of(session: AsyncSession) -> list[str]:
    """What the database warns of on this session's connection from now on; to be asked before a COMMIT and read after it."""
    info = (await session.connection()).sync_connection.info  # type: ignore[union-attr]
    heard: list[str] = info.setdefault(WARNINGS, [])
    heard.clear()
    return heard


def _note_warnings(engine: AsyncEngine) -> None:
    """A COMMIT that is cancelled while it waits for a standby returns success, with a warning."""

    def opened(_: Any, record: Any) -> None:
        heard = record.info[WARNINGS] = list[str]()

        def note(said: Any) -> None:
            if said.severity_nonlocalized == "WARNING":
                heard.append(said.message_primary)

        record.driver_connection.add_notice_handler(note)

    event.listen(engine.sync_engine, "connect", opened)


def _limit_pings(engine: AsyncEngine) -> None:
    """The pool pings before it says that a connection is taken: a line that has gone silent would be waited for without end."""
    dialect = engine.sync_engine.dialect
    ping = dialect.do_ping

    def bounded(connection: Any) -> bool:
        timer = asyncio.get_running_loop().call_later(PING_AT_MOST, _cut, connection.driver_connection.pgconn.socket)
        try:
            return ping(connection)
        finally:
            timer.cancel()

    dialect.do_ping = bounded  # type: ignore[method-assign, assignment]


def _cut(fd: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(fd)) as connection:
        connection.shutdown(socket.SHUT_RDWR)
