"""The database itself keeps what is asked for one project to it, also where a statement forgot to say so."""

from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.store import accounts
from app.store.accounts import NewProject
from app.store.inspection import inspect
from app.store.migrate import migrate
from app.store.tables import Base, MembershipRow
from tests.world import World

pytestmark = pytest.mark.anyio

OF_PROJECTS = sorted(name for name, table in Base.metadata.tables.items() if "project_id" in table.columns)
EMPTY = {"audit_entries", "check_ins_kept", "idempotency", "invitations", "memberships", "pauses", "removed_monitors",
         "reported_runs", "runs", "syncs", "unheard"}  # fmt: skip
CHANGES = (
    "UPDATE monitors SET name = 'stolen' WHERE project_id <> :me",
    "DELETE FROM channels WHERE project_id <> :me",
    "UPDATE projects SET name = 'stolen' WHERE id <> :me",
)
REFUSED = (
    "INSERT INTO pauses (project_id, monitor, actor, at) VALUES (:other, 'theirs', 'somebody', now())",
    "UPDATE projects SET id = :other",
    "DELETE FROM audit_entries WHERE project_id <> :other",
)
MISSING = "SELECT relname FROM pg_class WHERE NOT relrowsecurity AND relname = ANY(:tables)"


async def kept_to(session: AsyncSession, project: NewProject) -> None:
    """As every call of the API begins."""
    assert (await accounts.caller(session, project.api_key)).project == project.id


async def counted(session: AsyncSession, table: str, project: UUID) -> int:
    """How many rows of a project somebody sees who asks for all."""
    column = "id" if table == "projects" else "project_id"
    query = text(f"SELECT count(*) FROM {table} WHERE {column} = :project")
    return int((await session.execute(query, {"project": project})).scalar_one())


async def filled(world: World) -> NewProject:
    """A project with something in most tables, beside an empty one, which is returned."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    check = await world.check(name="theirs", slug="theirs", tags="secret", channels="*")
    await world.ping(check, "/fail", content=b"output")
    return await world.new_project("Stranger")


async def test_every_table_of_projects_is_kept(world: World) -> None:
    """A new one without a policy turns this red."""
    assert await world.rows(MISSING, tables=[*OF_PROJECTS, "projects"]) == []
    policies = {row["tablename"] for row in await world.rows("SELECT tablename FROM pg_policies")}
    assert policies >= {*OF_PROJECTS, "projects"}


async def test_a_statement_without_its_project_sees_nothing_of_another(world: World) -> None:
    """Every table, asked for all of it: rows of another project are there, and whoever was let in by a key does not see them."""
    stranger = await filled(world)
    async with world.sessions() as session:
        there = {table for table in [*OF_PROJECTS, "projects"] if await counted(session, table, world.project.id)}
        assert there >= {*OF_PROJECTS, "projects"} - EMPTY
        await kept_to(session, stranger)
        assert {table for table in there if await counted(session, table, world.project.id)} == set()
        assert await counted(session, "projects", stranger.id) == 1
        tagged = text("SELECT * FROM missedbeat_tagged(:project, ARRAY['secret'])")
        assert (await session.execute(tagged, {"project": world.project.id})).all() == []
        assert (await session.execute(text("SELECT * FROM check_in_log"))).all() == []
    async with world.sessions() as session:  # the same connection, in another transaction, is free again
        assert await counted(session, "monitors", world.project.id) == 1


async def test_it_changes_nothing_of_another(world: World) -> None:
    """Rows of theirs are not hit, and none is put under their name; the log of who did what is written only."""
    stranger = await filled(world)
    async with world.sessions() as session:
        await kept_to(session, stranger)
        for change in CHANGES:
            hit = await session.execute(text(change).bindparams(me=stranger.id))
            assert hit.rowcount == 0, change  # type: ignore[attr-defined]
    for refused in REFUSED:
        async with world.sessions() as session:
            await kept_to(session, stranger)
            with pytest.raises(DBAPIError):
                await session.execute(text(refused).bindparams(other=world.project.id))


async def test_where_the_role_is_not_let_in_all_works_by_the_first_belt_until_the_next_migrate(world: World, dsn: str) -> None:
    """As after a restore without privileges, or where our role may make no other."""
    stranger = await filled(world)
    await world.run("REVOKE INSERT ON monitors FROM missedbeat_tenant")
    assert not inspect(dsn).confines
    assert (await world.api("GET", "checks/", key=stranger.api_key)).json() == {"checks": []}
    assert len((await world.api("GET", "checks/")).json()["checks"]) == 1
    async with world.sessions() as session:
        await kept_to(session, stranger)
        assert await counted(session, "monitors", world.project.id) == 1
    migrate(dsn)
    assert inspect(dsn).confines
    async with world.sessions() as session:
        await kept_to(session, stranger)
        assert await counted(session, "monitors", world.project.id) == 0


async def test_members_are_seen_in_ones_own_project_alone(world: World) -> None:
    """Sessions of people are kept as keys are (`memberships.find`)."""
    stranger = await filled(world)
    async with world.sessions() as session:
        await kept_to(session, stranger)
        assert (await session.execute(select(MembershipRow))).all() == []
