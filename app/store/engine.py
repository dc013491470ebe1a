"""Connections: one engine per purpose, so that none can starve another, with time limits on everything a server may hold,
and on how long we hold a connection: a frozen server answers nothing, not even that it took too long."""

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

STATEMENT_LIMIT = 2000  # milliseconds
HELD_AT_MOST = 10.0  # seconds
PING_LIMIT = 3.0  # seconds; a server that takes longer to say SELECT 1 is frozen or gone
WAIT = 0.5  # seconds
TIMEOUTS = {
    "lock_timeout": "1000",
    "idle_in_transaction_session_timeout": "5000",
    "timezone": "UTC",
}
Sessions = async_sessionmaker[AsyncSession]


def make_engine(
    dsn: str, purpose: str, size: int = 5, patience: int = STATEMENT_LIMIT, held_at_most: float = HELD_AT_MOST, wait: float = WAIT
) -> AsyncEngine:
    """An engine whose pool refuses after `wait` seconds instead of queueing, and whose connections notice a dead server.

    `patience`: how long a statement may take, in milliseconds. `held_at_most`: seconds after which a connection in use is cut,
    whatever it waits for; what it was doing fails then, and may or may not have been committed.
    """
    options = " ".join(f"-c {name}={value}" for name, value in {**TIMEOUTS, "statement_timeout": patience}.items())
    engine = create_async_engine(
        dsn,
        pool_size=size,
        max_overflow=0,
        pool_timeout=wait,
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
    # A check-in is tried again by its client, and must not wait for one more round trip.
    _watch(engine, held_at_most, asks_first=purpose != "ingest")
    return engine


def make_sessions(engine: AsyncEngine) -> Sessions:
    """Sessions that begin a transaction with their first statement and keep what they read after a commit."""
    return async_sessionmaker(engine, expire_on_commit=False)


def _watch(engine: AsyncEngine, seconds: float, asks_first: bool) -> None:
    """Cut a connection that is in use for longer. Cancelling would ask the server first, and a frozen one never answers.

    A connection used before is asked whether it still lives before it is given out, by us and not by the pool: its own
    pre-ping comes before any event, so nothing would bound it.
    """
    timers: dict[int, asyncio.TimerHandle] = {}

    def cut_after(limit: float, record: Any) -> None:
        stop(record)
        fd = record.driver_connection.pgconn.socket
        timers[id(record)] = asyncio.get_running_loop().call_later(limit, _cut, fd)

    def stop(record: Any) -> None:
        timer = timers.pop(id(record), None)
        if timer is not None:
            timer.cancel()

    def taken(connection: Any, record: Any, __: Any) -> None:
        if asks_first and record.info.get("used"):
            cut_after(min(PING_LIMIT, seconds), record)
            try:
                engine.dialect.do_ping(connection)
            except psycopg.Error as error:
                stop(record)
                raise InvalidatePoolError from error  # SQLAlchemy opens another in its place, and asks no more of the old ones
        record.info["used"] = True
        cut_after(seconds, record)

    def given_back(_: Any, record: Any) -> None:
        stop(record)

    event.listen(engine.sync_engine, "checkout", taken)
    event.listen(engine.sync_engine, "checkin", given_back)


def _cut(fd: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(fd)) as connection:
        connection.shutdown(socket.SHUT_RDWR)
