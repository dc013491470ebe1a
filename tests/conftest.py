"""What every test may ask for."""

import gc
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog

from tests.database import database, in_memory
from tests.world import World, living

LONG = ("journeys", "faults", "sdk", "clients")  # folders
structlog.configure(processors=[structlog.processors.format_exc_info, structlog.dev.ConsoleRenderer(colors=False)])


def pytest_configure() -> None:
    """The folders of tests too are in memory where there is room: a service that makes its database there starts four seconds
    sooner than on a disk that others write to. What is killed keeps what it wrote: for that no disk is needed."""
    if (memory := in_memory()) is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those first that start processes and wait for them: what is long and begins late is all that runs at the end."""
    items.sort(key=lambda item: item.path.parent.name not in LONG)


def pytest_collection_finish() -> None:
    """What is imported by now stays: no look for garbage goes through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio alone, as the service does."""
    return "asyncio"


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    """A migrated database, one for each process of the test run."""
    with database() as name:
        yield name


@pytest.fixture
async def world(dsn: str, anyio_backend: str) -> AsyncIterator[World]:
    """The service in this process, on an empty database, with one project and a clock to put ahead."""
    async with living(dsn) as world:
        yield world


@pytest.fixture
async def calm(dsn: str, anyio_backend: str) -> AsyncIterator[World]:
    """The same, for crowds whose every ping is to be answered 2xx however busy the machine is: a guard that no load reaches."""
    async with living(dsn, guard_seconds=30) as world:
        yield world


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What tests under fire measured, though they passed: how many kills, which seeds."""
    for report in terminalreporter.getreports("passed"):
        for line in report.capstdout.splitlines():
            if line.startswith("measured: "):
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {line.removeprefix('measured: ')}")
