"""What is kept of people: links that open once, attempts that are counted once, a log that stays as it was written."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from app.domain.attempt import SIGN_IN_ACCOUNT, Limit, network_of
from app.domain.audit_action import AuditAction
from app.errors import BadSettings, Conflict, TooMany
from app.store import attempts, audit_entries, links, user_sessions, users
from app.store.audit_entries import Actor, Entry
from app.store.links import Link
from app.store.vault import Vault
from app.sweeper.prune import prune_once
from tests.manage.pages.visitor import Person, signed_up
from tests.world import SECRET_KEY, World

pytestmark = pytest.mark.anyio

ANNA = Link("login", "anna@example.org", data={"next": "/"})


async def made(world: World, link: Link = ANNA, browser: str | None = None) -> str:
    """A link's secret."""
    async with world.sessions() as session:
        secret = await links.make(session, link, await world.now(), browser=browser)
        await session.commit()
    return secret


async def used(world: World, secret: str, browser: str | None = None, purpose: str = "login") -> Link | None:
    """Open it, having looked first, as previewers do."""
    async with world.sessions() as session:
        now = await world.now()
        looked = await links.look(session, purpose, secret, browser, now)
        assert await links.look(session, purpose, secret, browser, now) == looked
        found = await links.use(session, purpose, secret, browser, now)
        await session.commit()
    assert found == looked
    return found


async def test_a_link_opens_once_and_not_after_ten_minutes(world: World) -> None:
    """Looking uses nothing up; another secret or purpose opens nothing; a newer one takes its place."""
    secret = await made(world)
    assert await used(world, secret, purpose="verify") is None
    assert await used(world, secret + "x") is None
    assert await used(world, secret) == ANNA
    assert await used(world, secret) is None
    older, newer = await made(world), await made(world)
    assert await used(world, older) is None
    world.sleep(601)
    assert await used(world, newer) is None
    (row,) = await world.rows("SELECT l::text AS whole FROM links l WHERE used_at IS NULL")
    assert newer not in row["whole"]


async def test_a_link_that_is_bound_opens_in_its_browser_alone(world: World) -> None:
    """Whoever only read the mail has half of it."""
    secret = await made(world, browser="nonce of the browser")
    assert await used(world, secret) is None
    assert await used(world, secret, "another nonce") is None
    assert await used(world, secret, "nonce of the browser") == ANNA


async def test_of_two_that_open_a_link_at_once_one_gets_in(world: World) -> None:
    """In two processes at the same time."""
    secret = await made(world)

    async def use() -> Link | None:
        async with world.sessions() as session:
            found = await links.use(session, "login", secret, None, await world.now())
            await session.commit()
        return found

    found = await asyncio.gather(use(), use(), use())
    assert sorted(link is not None for link in found) == [False, False, True]


async def test_attempts_at_once_are_counted_each_and_leak_away(world: World) -> None:
    """Over all processes: of twenty at once no more than the limit pass; each `every` seconds one more does."""
    limit = Limit("test", 5, 60)

    async def count() -> bool:
        async with world.sessions() as session:
            try:
                await attempts.count(session, limit, "anna", await world.now())
            except TooMany as error:
                waits.append(error.retry_after)
                return False
            await session.commit()
            return True

    waits: list[int] = []
    assert sum(await asyncio.gather(*(count() for _ in range(20)))) == 5
    assert all(1 <= wait <= 60 for wait in waits)
    world.sleep(61)
    assert [await count(), await count()] == [True, False]
    world.sleep(3600)
    assert sum([await count() for _ in range(7)]) == 5


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_of_ipv6_the_network_counts(address: str, counted: str) -> None:
    """One line has a whole /64 of them."""
    assert network_of(address) == counted


async def written(world: World, person: Person, **of: object) -> None:
    """An entry of the log."""
    async with world.sessions() as session:
        entry = Entry(AuditAction.SIGNED_IN, **of)  # type: ignore[arg-type]
        await audit_entries.write(session, Actor(person.email, user=person.id), entry, await world.now())
        await session.commit()


@pytest.mark.parametrize(
    "change", ["UPDATE audit_entries SET actor = 'nobody'", "DELETE FROM audit_entries", "TRUNCATE audit_entries"]
)
async def test_the_log_of_who_did_what_refuses_changes(world: World, change: str) -> None:
    """Whoever has the service's own role in the database, too."""
    anna = await signed_up(world)
    await written(world, anna)
    await written(world, anna, project=world.project.id)
    before = await world.rows("SELECT * FROM audit_entries")
    for where in ("", f" WHERE project_id = '{world.project.id}'", " WHERE project_id IS NULL"):
        with pytest.raises(IntegrityError):
            await world.run(change + ("" if change.startswith("TRUNCATE") else where))
    assert await world.rows("SELECT * FROM audit_entries") == before


async def test_entries_go_with_their_project_or_user_or_after_thirteen_months(world: World) -> None:
    """Nothing else of them is ever forgotten."""
    anna, other = await signed_up(world), await world.new_project("Other")
    await written(world, anna, project=world.project.id, subject="stays")
    await written(world, anna, project=other.id, subject="goes with its project")
    await written(world, anna, subject="goes with her")
    await world.run("DELETE FROM projects WHERE id = :one", one=other.id)
    await world.run("DELETE FROM users")
    await prune_once(world.sessions, 90)
    assert [row["subject"] for row in await world.rows("SELECT subject FROM audit_entries")] == ["stays"]
    world.sleep(timedelta(days=300).total_seconds())
    await prune_once(world.sessions, 90)
    assert len(await world.rows("SELECT subject FROM audit_entries")) == 1
    world.sleep(timedelta(days=100).total_seconds())
    await prune_once(world.sessions, 90)
    assert await world.rows("SELECT subject FROM audit_entries") == []


async def test_what_is_over_is_forgotten(world: World) -> None:
    """Sessions, links and attempts leave no trace of who was where."""
    anna = await signed_up(world)
    await made(world)
    async with world.sessions() as session:
        await user_sessions.begin(session, anna.id, "203.0.113.9", "Firefox", await world.now())
        await attempts.count(session, SIGN_IN_ACCOUNT, "anna", await world.now())
        await session.commit()
    tables = ("user_sessions", "links", "attempts")
    assert [len(await world.rows(f"SELECT 1 FROM {name}")) for name in tables] == [1, 1, 1]
    world.sleep(31 * 86400)
    await prune_once(world.sessions, 90)
    assert [len(await world.rows(f"SELECT 1 FROM {name}")) for name in tables] == [0, 0, 0]


async def test_an_address_has_one_account_however_it_is_spelt(world: World) -> None:
    """Two that differ in case alone are the same."""
    await signed_up(world, "Anna@Example.org")
    async with world.sessions() as session:
        with pytest.raises(Conflict):
            await users.create(session, "anna@example.ORG", None, await world.now())
        found = await users.of_address(session, " ANNA@example.org")
    assert found is not None
    assert found.email == "Anna@Example.org"


async def test_what_is_sealed_for_one_purpose_and_owner_opens_for_no_other(world: World) -> None:
    """A row that was moved, or a letter given out as a TOTP secret, opens nothing."""
    vault, one, other = Vault(SECRET_KEY), world.project.id, (await world.new_project("Other")).id
    sealed = vault.seal_for("totp", one, {"secret": "x"})
    assert vault.open_for("totp", one, sealed) == {"secret": "x"}
    for purpose, owner in (("letter", one), ("totp", other)):
        with pytest.raises(BadSettings):
            vault.open_for(purpose, owner, sealed)
    with pytest.raises(BadSettings):
        vault.open(one, one, sealed)
