"""What tests in a browser may ask for."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from app.domain.role import Role
from tests.browser.screen import Site, chromium, listening
from tests.manage.pages.visitor import Person, joined, signed_up
from tests.world import World


@pytest.fixture
async def site(calm: World) -> AsyncIterator[Site]:
    """The service where a browser finds it."""
    async with listening(calm) as site:
        yield site


@pytest.fixture
async def window(anyio_backend: str) -> AsyncIterator[Browser]:
    """A browser."""
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def anna(calm: World) -> Person:
    """The owner of the world's project."""
    person = await signed_up(calm)
    await joined(calm, person, Role.OWNER)
    return person
