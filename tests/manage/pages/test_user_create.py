"""`missedbeat-server user create`: the first account of a service, made by whoever has a shell on it."""

import asyncio
import subprocess

import pytest

from tests.journeys.running import COMMAND, environment
from tests.manage.pages.visitor import Browser, Person
from tests.world import World

pytestmark = pytest.mark.anyio


async def created(world: World, *words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """The command, on the world's database."""
    settings = environment(DATABASE_URL=world.dsn, MISSEDBEAT_BASE_URL="http://missedbeat.test")
    return await asyncio.to_thread(
        subprocess.run, [COMMAND, "user", "create", *words], env=settings, input=said, capture_output=True, text=True, check=False
    )


async def test_the_first_user_owns_the_projects_that_are_there_and_the_next_does_not(world: World) -> None:
    """A password is read from standard input, or made and shown; either way its owner signs in with it."""
    done = await created(world, "Anna@Example.org", said="a long walk by the sea\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["Anna@Example.org can sign in at http://missedbeat.test/login", "owner of  1 project"]
    done = await created(world, "bob@example.org", "--make-password")
    _, password = done.stdout.splitlines()
    for email, secret, sees in (
        ("anna@example.org", "a long walk by the sea", "Test owner"),
        ("bob@example.org", password.removeprefix("password").strip(), "not a member of any project"),
    ):
        async with Browser(world) as browser:
            assert (await browser.sign_in(Person(world.project.id, email, secret))).status == 303
            assert sees in (await browser.see("/?all")).text
    entries = await world.rows("SELECT actor, subject FROM audit_entries WHERE action = 'user.created' ORDER BY id")
    assert entries == [
        {"actor": "command line", "subject": "Anna@Example.org"}, {"actor": "command line", "subject": "bob@example.org"},
    ]  # fmt: skip


async def test_what_is_no_address_or_too_weak_or_there_already_is_refused_in_a_line(world: World) -> None:
    """And nothing is made."""
    assert (await created(world, "anna@example.org", "--make-password")).returncode == 0
    for address, said, words in (
        ("no address", "", "give one e-mail address"),
        ("bob@example.org", "password1\n", "one of the passwords that are tried first"),
        ("ANNA@example.org", "a long walk by the sea\n", "has an account already"),
    ):
        done = await created(world, address, said=said)
        assert done.returncode == 1
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert len(await world.rows("SELECT 1 FROM users")) == 1
