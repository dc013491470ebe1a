"""A world grown large: filled once for each process of the test run that asks for it, and never emptied."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager

import pytest

from app.store.accounts import NewProject
from app.sweeper.prune import keep_partitions
from tests.database import database, use_virtual_clock
from tests.large import Filler, Size
from tests.world import World, living_on

Grown = tuple[str, NewProject]


def unhurried(dsn: str) -> AbstractAsyncContextManager[World]:
    """A world on what is there, whose guard no load reaches."""
    return living_on(dsn, guard_seconds=30, metrics_token="t" * 20)


async def _grow(dsn: str) -> NewProject:
    async with unhurried(dsn) as world:
        await keep_partitions(world.sessions, 90, 1000)
        project = await world.new_project(email="owner@example.org")
        Filler(dsn, await world.now(), Size(), {project.id: 500}).run()
    return project


@pytest.fixture(scope="session")
def large() -> Iterator[Grown]:
    """The DSN of a database with large tables, and the project that asks there: it has 500 monitors of 100,000."""
    with database() as dsn:
        use_virtual_clock(dsn)
        yield dsn, asyncio.run(_grow(dsn))


@pytest.fixture
async def grown(large: Grown, anyio_backend: str) -> AsyncIterator[World]:
    """The service on large tables."""
    dsn, project = large
    async with unhurried(dsn) as world:
        world.project = project
        await world.tick()
        yield world
