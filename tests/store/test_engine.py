"""Connections to a server that freezes, dies and comes back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.store import embedded
from app.store.engine import Sessions, make_engine, make_sessions
from tests.faults.proxy import HOLE, PASS, QUIET, Proxy
from tests.processes import standing_still

pytestmark = pytest.mark.anyio

HELD_AT_MOST = 1.0
NEVER = 60.0  # seconds; far beyond every limit


@pytest.fixture
async def server(tmp_path: Path, anyio_backend: str) -> AsyncIterator[embedded.Server]:
    """A PostgreSQL of its own, to be frozen."""
    running = embedded.start(tmp_path, fsync=False)
    try:
        yield running
    finally:
        running.stop()


async def answers(sessions: Sessions) -> bool:
    """Whether the database answers, or it is said to be away; never an endless wait."""
    async with asyncio.timeout(NEVER):
        try:
            async with sessions() as session:
                return (await session.execute(text("SELECT 1"))).scalar() == 1
        except (SQLAlchemyError, OSError, TimeoutError):
            return False


@pytest.mark.parametrize("purpose", ["web", "sweep", "deliver", "ingest"])
async def test_nobody_hangs_on_a_frozen_database(server: embedded.Server, purpose: str) -> None:
    """With connections waiting in the pool, which are asked first whether they live: an error, not a wait; and service again
    once it runs on."""
    engine = make_engine(server.dsn, purpose, 2, held_at_most=HELD_AT_MOST)
    sessions = make_sessions(engine)
    try:
        assert all(await asyncio.gather(answers(sessions), answers(sessions)))
        with standing_still(server.pid):
            assert not any(await asyncio.gather(*(answers(sessions) for _ in range(4))))
        async with asyncio.timeout(NEVER):
            while not await answers(sessions):
                await asyncio.sleep(0.05)
        assert await answers(sessions)
    finally:
        await engine.dispose()


async def test_a_statement_under_way_when_the_database_freezes_is_cut(server: embedded.Server) -> None:
    """After `held_at_most`, though the server would never say that it took too long."""
    engine = make_engine(server.dsn, "sweep", 2, held_at_most=HELD_AT_MOST)
    sessions = make_sessions(engine)
    try:
        async with asyncio.timeout(NEVER):
            async with sessions() as session:
                await session.execute(text("SELECT 1"))
                with standing_still(server.pid), pytest.raises(SQLAlchemyError):
                    await session.execute(text("SELECT 2"))
        assert await answers(sessions) or await answers(sessions)
    finally:
        await engine.dispose()


async def test_connections_that_the_server_cut_are_replaced_unseen(server: embedded.Server) -> None:
    """Who asks first finds another connection in the pool, and no error."""
    engine = make_engine(server.dsn, "web", 2)
    sessions = make_sessions(engine)
    try:
        assert all(await asyncio.gather(answers(sessions), answers(sessions)))
        async with sessions() as session:
            await session.execute(
                text("""
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE pid <> pg_backend_pid() AND application_name = 'missedbeat-web'""")
            )
        assert [await answers(sessions) for _ in range(3)] == [True] * 3
    finally:
        await engine.dispose()


@pytest.mark.parametrize("used_before", [True, False])
async def test_a_silent_line_is_given_up_whether_it_was_used_before_or_not(dsn: str, used_before: bool) -> None:
    """The ping of an idle connection, and the first questions to a new server, have an end as every statement has; once the
    line works again, so does the engine."""
    proxy = Proxy()
    await proxy.listen(f"{make_url(dsn).query['host']}/.s.PGSQL.5432")
    engine = make_engine(proxy.dsn.replace("postgresql", "postgresql+psycopg", 1), "sweep", 1, held_at_most=1.0)
    try:
        if used_before:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
            proxy.now(HOLE)
        else:
            proxy.now(QUIET)
        async with asyncio.timeout(30):
            with pytest.raises(DBAPIError):
                async with engine.connect() as connection:
                    await connection.execute(text("SELECT 1"))
        proxy.now(PASS)
        async with asyncio.timeout(30), engine.connect() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    finally:
        await engine.dispose()
        await proxy.aclose()


async def test_durable_means_durable_whatever_the_database_was_set_to(server: embedded.Server) -> None:
    """With synchronous_commit off it would acknowledge what a crash loses."""
    engine = make_engine(server.dsn, "ingest", 1)
    try:
        sessions = make_sessions(engine)
        async with sessions() as session:
            await session.execute(text("ALTER DATABASE missedbeat SET synchronous_commit = off"))
            await session.commit()
        await engine.dispose()
        async with sessions() as session:
            assert (await session.execute(text("SHOW synchronous_commit"))).scalar_one() == "on"
    finally:
        await engine.dispose()
