"""What tests of pages may ask for."""

from collections.abc import AsyncIterator

import pytest

from tests.manage.pages.visitor import Browser, Person, signed_up
from tests.world import World


@pytest.fixture
async def browser(world: World) -> AsyncIterator[Browser]:
    """A browser in which nobody is signed in."""
    async with Browser(world) as browser:
        yield browser


@pytest.fixture
async def anna(world: World) -> Person:
    """Somebody with an account and no project."""
    return await signed_up(world)
