"""Connections on a line that goes silent while TCP still says that all is well: nobody waits without end."""

import asyncio

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from app.store.engine import make_engine
from tests.faults.proxy import HOLE, PASS, QUIET, Proxy

pytestmark = pytest.mark.anyio


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
