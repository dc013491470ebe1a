"""A COMMIT that waits for a standby."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from app.store import embedded
from app.store.migrate import migrate
from tests.world import living

pytestmark = pytest.mark.anyio

WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'missedbeat-ingest'"


async def test_a_commit_cancelled_while_it_waits_for_a_standby_is_not_acknowledged(tmp_path: Path) -> None:
    """PostgreSQL calls it a success, with a warning: it may be lost with the primary, so it is 503; asked again it is kept."""
    server = embedded.start(tmp_path / "database", fsync=False)
    try:
        migrate(server.dsn)
        async with living(server.dsn) as world:
            check = await world.check()
            with psycopg.connect(server.dsn.replace("+psycopg", ""), autocommit=True) as other:
                other.execute("SET synchronous_commit = local")
                other.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
                other.execute("SELECT pg_reload_conf()")
                async with asyncio.timeout(20):
                    while True:
                        asking = asyncio.create_task(world.ping(check))
                        while not asking.done() and not (found := other.execute(WAITING).fetchone()):
                            await asyncio.sleep(0.02)
                        if not asking.done():
                            break
                other.execute("SELECT pg_cancel_backend(%s)", found)
                assert (await asking).status_code == 503
                other.execute("ALTER SYSTEM RESET synchronous_standby_names")
                other.execute("SELECT pg_reload_conf()")
            assert (await world.ping(check)).status_code == 200
    finally:
        server.stop()
