"""A project whose owner has an address, and the mail server behind it."""

from collections.abc import AsyncIterator

import pytest

from app.notify.email import Mailer
from tests.receivers import MailReceiver
from tests.world import World, living


@pytest.fixture
async def mail(anyio_backend: str) -> AsyncIterator[MailReceiver]:
    """The owner's mail server."""
    async with MailReceiver() as receiver:
        yield receiver


@pytest.fixture
async def house(dsn: str, mail: MailReceiver) -> AsyncIterator[World]:
    """A world whose project has an owner with an address."""
    async with living(dsn, Mailer(host="127.0.0.1", port=mail.port, tls="none")) as world:
        world.project = await world.new_project("Owned", "owner@example.org")
        yield world
