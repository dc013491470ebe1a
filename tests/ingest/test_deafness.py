"""What cannot be recorded, for whatever reason, is our deafness: nobody is called dead for a ping that we refused."""

import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from app.ingest.deafness import QUIET, Deafness
from tests.world import World

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def table_locked(world: World) -> AsyncIterator[None]:
    """As while an index is built: the table can be read, not written."""
    with psycopg.connect(world.dsn.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE monitors IN SHARE MODE")
        yield
        other.rollback()


@asynccontextmanager
async def table_away(world: World) -> AsyncIterator[None]:
    """An error of the database that no retry mends, and no connection is lost by."""
    await world.run("ALTER TABLE runs RENAME TO runs_away")
    yield
    await world.run("ALTER TABLE runs_away RENAME TO runs")


@asynccontextmanager
async def trigger_raises(world: World) -> AsyncIterator[None]:
    """Only a real check-in meets it: whatever we try out beforehand goes well."""
    await world.run("CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken page'; END $$")
    await world.run("CREATE TRIGGER broken BEFORE UPDATE ON monitors FOR EACH ROW EXECUTE FUNCTION broken()")
    yield
    await world.run("DROP FUNCTION broken CASCADE")


@pytest.mark.parametrize("trouble", [table_locked, table_away, trigger_raises])
async def test_while_every_ping_is_refused_nobody_is_called_dead(world: World, trouble: object) -> None:
    """A minute and more of it, though a tick could be written all the while: a blackout, and who pings again is up."""
    check = await world.check(timeout=60, grace=10)
    await world.web.ticker.tick_once()
    assert (await world.ping(check)).status_code == 200
    world.asking.patient = False
    async with trouble(world):  # type: ignore[operator]
        for _ in range(25):
            world.sleep(4)
            await world.web.ticker.tick_once()
            assert (await world.ping(check)).status_code == 503
    assert (await world.ping(check)).status_code == 200
    await world.web.ticker.tick_once()
    world.sleep(3)
    await world.web.ticker.tick_once()
    assert (await world.sweep()).turned == 0
    assert (await world.api("GET", "blackouts/")).json()["blackouts"]


async def test_a_ping_to_nobody_proves_nothing(world: World) -> None:
    """404 is answered without writing anything: that does not show that others are heard."""
    check = await world.check()
    async with table_away(world):
        assert (await world.ping(check)).status_code == 503
        assert (await world.client.get("/ping/2f2c1b7e-0000-4000-8000-000000000000")).status_code == 404
        assert world.web.inbox.deafness.since is not None
    assert (await world.ping(check)).status_code == 200
    assert world.web.inbox.deafness.since is None


async def test_a_process_that_can_open_no_file_does_not_tick(world: World) -> None:
    """No connection comes in then: it could say that it is well over the one to its database, and hear nobody."""
    await world.web.ticker.tick_once()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        assert not await world.web.ticker.tick_once()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert await world.web.ticker.tick_once()


def test_deafness_ends_with_the_first_that_is_recorded_or_when_nothing_fails_any_more() -> None:
    """Longer than a hole it is kept, to be written; else forgotten."""
    deaf = Deafness()
    deaf.failed(10)
    deaf.failed(12)
    deaf.recorded(14)
    assert [deaf.since, *deaf.over] == [None]
    deaf.failed(20)
    deaf.failed(26)
    deaf.settle(26 + QUIET - 1)
    assert [deaf.since, *deaf.over] == [20]
    deaf.settle(26 + QUIET)
    assert [deaf.since, *deaf.over] == [None, (20, 26)]
    deaf.failed(40)
    deaf.recorded(50)
    assert list(deaf.over) == [(20, 26), (40, 50)]
