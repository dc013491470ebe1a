"""Members of projects: who may do what to whom, invitations, and one owner always."""

import asyncio
import re
from collections.abc import AsyncIterator
from itertools import product
from uuid import UUID, uuid4

import pytest

from app.domain.attempt import INVITATIONS
from app.domain.role import RANKS, Role, may_change
from app.domain.tokens import unique_key
from app.store import invitations
from tests.manage.pages.visitor import Browser, Page, Person, joined, signed_up
from tests.world import World, living

pytestmark = pytest.mark.anyio

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
async def owner(world: World, browser: Browser, anna: Person) -> Person:
    """Anna, signed in as the owner of the world's project."""
    await joined(world, anna, Role.OWNER)
    await browser.sign_in(anna)
    return anna


@pytest.fixture
async def planned(dsn: str, anyio_backend: str) -> AsyncIterator[World]:
    """The service with plans."""
    async with living(dsn, plans=True) as world:
        yield world


async def roles(world: World) -> dict[str, str]:
    """Who is what in the world's project."""
    sql = "SELECT email, role FROM memberships JOIN users ON users.id = user_id WHERE project_id = :project ORDER BY email"
    return {row["email"]: row["role"] for row in await world.rows(sql, project=world.project.id)}


async def actions(world: World) -> list[str]:
    """The log of the world's project, oldest first."""
    sql = "SELECT action FROM audit_entries WHERE project_id = :project ORDER BY id"
    return [row["action"] for row in await world.rows(sql, project=world.project.id)]


def link_of(page: Page) -> str:
    """The path of the invitation that a page without mail shows."""
    found = re.search(r"/invitations/[\w-]{43}", page.html)
    assert found is not None, page.text
    return found[0]


async def invited(world: World, browser: Browser, email: str, role: Role = Role.MEMBER) -> str:
    """The path of a new invitation."""
    return link_of(await browser.send(f"/projects/{world.project.id}/invitations", {"email": email, "role": role.value}))


async def test_whoever_makes_a_project_owns_it_and_finds_it(world: World, browser: Browser, anna: Person) -> None:
    """A name that is none comes back with what was typed; a hostile one is shown as words."""
    await browser.sign_in(anna)
    refused = await browser.send("/projects", {"name": "x" * 101})
    assert (refused.status, refused.value("name")) == (400, "x" * 101)
    assert "use at most 100 characters" in refused.text
    made = await browser.send("/projects", {"name": HOSTILE})
    assert made.status == 303
    for path in ("", "/monitors", "/settings"):
        page = await browser.see(made.goes_to + path)
        assert HOSTILE in page.text
        assert "<script>" not in page.html
    assert f"{HOSTILE} owner" in (await browser.see("/?all")).text
    renamed = await browser.send(f"{made.goes_to}/settings", {"name": "Backups"})
    assert renamed.status == 303
    assert "Backups" in (await browser.see("/?all")).text
    log = (await browser.see(f"{made.goes_to}/log")).text
    assert "renamed the project to Backups" in log
    assert "made the project" in log


@pytest.mark.parametrize(("by", "now"), list(product(Role, Role)))
async def test_nobody_touches_who_is_more_or_gives_more_than_they_have(
    world: World, browser: Browser, by: Role, now: Role
) -> None:
    """Every role against every role and to every role, and removal."""
    await joined(world, await signed_up(world, "owner@example.org"), Role.OWNER)
    person, other = await signed_up(world, "a@example.org"), await signed_up(world, "b@example.org")
    await joined(world, person, by)
    await joined(world, other, now)
    await browser.sign_in(person)
    path = f"/projects/{world.project.id}/members/{other.id}"
    for then in Role:
        await world.run("UPDATE memberships SET role = :role WHERE user_id = :user", role=now.value, user=other.id)
        page = await browser.send(f"{path}/role", {"role": then.value})
        assert page.status == (303 if may_change(by, now, then) else 403), then
        assert page.status == 303 or ("Invite somebody" in page.text) == (by is Role.MANAGER), "who may change some is back there"
        assert (await roles(world))["b@example.org"] == (then.value if page.status == 303 else now.value)
    await world.run("UPDATE memberships SET role = :role WHERE user_id = :user", role=now.value, user=other.id)
    page = await browser.send(f"{path}/remove")
    assert page.status == (303 if may_change(by, now, None) else 403)
    assert ("b@example.org" in await roles(world)) == (page.status == 403)


async def test_ids_of_other_projects_are_ids_that_nobody_has(world: World, browser: Browser, owner: Person) -> None:
    """A member, an invitation, a key and a project of somebody else: the answer of an unknown one, and nothing changes."""
    foreign, bob = await world.new_project("Foreign"), await signed_up(world, "bob@example.org")
    await joined(world, bob, Role.VIEWER, foreign.id)
    (key,) = await world.rows("SELECT id FROM api_keys WHERE project_id = :project AND scope = 'ro'", project=foreign.id)
    mine = f"/projects/{world.project.id}"
    for path in ("members/{}/role", "members/{}/remove", "invitations/{}/again", "invitations/{}/revoke", "keys/{}/revoke"):
        answers = [
            await browser.send(f"{mine}/{path.format(id_)}", {"role": "viewer"}) for id_ in (bob.id, key["id"], uuid4(), "x")
        ]
        assert {(page.status, page.html) for page in answers} == {(404, answers[0].html)}, path
    for path in ("settings", "members", "keys", "log", "delete"):
        answers = [await browser.see(f"/projects/{id_}/{path}") for id_ in (foreign.id, uuid4(), "x")]
        assert {(page.status, page.html) for page in answers} == {(404, answers[0].html)}, path
    assert await world.rows("SELECT 1 FROM api_keys WHERE revoked_at IS NOT NULL") == []


async def test_the_last_owner_stays_until_there_is_another(world: World, browser: Browser, owner: Person) -> None:
    """In clear words; making another owner hands the project over."""
    bob = await signed_up(world, "bob@example.org")
    await joined(world, bob, Role.VIEWER)
    mine = f"/projects/{world.project.id}"
    for path, fields in ((f"members/{owner.id}/role", {"role": "viewer"}), ("leave", {}), (f"members/{owner.id}/remove", {})):
        page = await browser.send(f"{mine}/{path}", fields)
        assert page.status == 409
        assert "A project needs an owner: make another member one first" in page.text
        assert page.html.count("<select") == 3, "the page with the members, where that is done"
    assert (await browser.send(f"{mine}/members/{bob.id}/role", {"role": "owner"})).status == 303
    assert (await browser.send(f"{mine}/leave")).goes_to == "/"
    assert await roles(world) == {"bob@example.org": "owner"}
    assert (await browser.see(f"{mine}/members")).status == 404
    assert await actions(world) == ["project.transferred", "member.left"]


async def test_of_two_owners_who_leave_at_once_one_stays(world: World) -> None:
    """The second sees that the first is gone."""
    people = [await signed_up(world, f"{n}@example.org") for n in range(2)]
    async with Browser(world) as first, Browser(world) as second:
        for person, browser in zip(people, (first, second), strict=True):
            await joined(world, person, Role.OWNER)
            await browser.sign_in(person)
        pages = await asyncio.gather(*(browser.send(f"/projects/{world.project.id}/leave") for browser in (first, second)))
    assert sorted(page.status for page in pages) == [303, 409]
    assert len(await roles(world)) == 1


async def test_an_invitation_is_taken_by_its_address_alone_and_once(world: World, browser: Browser, owner: Person) -> None:
    """Looking changes nothing; another address is told so; twice at once is once."""
    path = await invited(world, browser, "Bob@example.org")
    bob, eve = await signed_up(world, "bob@example.org"), await signed_up(world, "eve@example.org")
    async with Browser(world) as nobody:
        page = await nobody.see(path)
        assert "Bob@example.org is invited to the project Test as member" in page.text
        assert f"/signup?next={path}" in page.html
    async with Browser(world) as hers:
        await hers.sign_in(eve)
        assert "Open the link again as Bob@example.org".lower() in (await hers.see(path)).text.lower()
        assert "for another address" in (await hers.send(path)).text
    assert await roles(world) == {"anna@example.org": "owner"}
    async with Browser(world) as his:
        await his.sign_in(bob)
        pages = await asyncio.gather(his.send(path), his.send(path))
        assert {page.status for page in pages} == {303}
        assert (await his.see(path)).goes_to == f"/projects/{world.project.id}", "there is nothing to accept any more"
        assert await roles(world) == {"anna@example.org": "owner", "bob@example.org": "member"}
        await world.run("DELETE FROM memberships WHERE user_id = :user", user=bob.id)
        page = await his.see(path)
        assert ("accepted already" in page.text, "Accept<" in page.html) == (True, False)
        await joined(world, bob, Role.MEMBER)
    page = await browser.see(path)
    assert ("accepted already" in page.text, "open the link again" in page.text) == (True, False)
    assert await roles(world) == {"anna@example.org": "owner", "bob@example.org": "member"}
    assert await actions(world) == ["member.invited", "member.joined"]
    (row,) = await world.rows("SELECT i::text AS whole FROM invitations i")
    assert path.removeprefix("/invitations/") not in row["whole"]


async def test_an_invitation_sent_again_taken_back_or_run_out_opens_nothing(
    world: World, browser: Browser, owner: Person
) -> None:
    """The newest link alone counts, for seven days."""
    first = await invited(world, browser, "bob@example.org")
    (row,) = await world.rows("SELECT id FROM invitations WHERE revoked_at IS NULL")
    mine = f"/projects/{world.project.id}/invitations"
    second = link_of(await browser.send(f"{mine}/{row['id']}/again"))
    (row,) = await world.rows("SELECT id FROM invitations WHERE revoked_at IS NULL")
    async with Browser(world) as his:
        await his.sign_in(await signed_up(world, "bob@example.org"))
        assert "another was sent in its place" in (await his.send(first)).text
        assert (await browser.send(f"{mine}/{row['id']}/revoke")).status == 303
        assert "taken back" in (await his.send(second)).text
        third = await invited(world, browser, "bob@example.org")
        await world.advance(invitations.GOOD_FOR.total_seconds() + 1)
        assert "ran out" in (await his.send(third)).text
        assert (await his.see("/invitations/" + "x" * 43)).status == 404
    assert await roles(world) == {"anna@example.org": "owner"}


async def test_what_is_wrong_with_an_invitation_is_said_beside_what_was_typed(
    world: World, browser: Browser, owner: Person
) -> None:
    """No address, one that is a member; a manager invites no owner."""
    mine = f"/projects/{world.project.id}/invitations"
    page = await browser.send(mine, {"email": '"><b>', "role": "viewer"})
    assert (page.status, page.value("email")) == (400, '"><b>')
    assert "is a member already" in (await browser.send(mine, {"email": "ANNA@example.org", "role": "viewer"})).text
    async with Browser(world) as hers:
        mia = await signed_up(world, "mia@example.org")
        await joined(world, mia, Role.MANAGER)
        await hers.sign_in(mia)
        assert "may not invite with the role owner" in (await hers.send(mine, {"email": "x@example.org", "role": "owner"})).text
    assert await world.rows("SELECT 1 FROM invitations") == []


async def test_whoever_sends_very_many_invitations_has_to_wait(world: World, browser: Browser, owner: Person) -> None:
    """In words that say what there was too much of."""
    for n in range(INVITATIONS.at_once):
        await invited(world, browser, f"{n}@example.org")
    page = await browser.send(f"/projects/{world.project.id}/invitations", {"email": "x@example.org", "role": "viewer"})
    assert (page.status, page.value("email")) == (429, "x@example.org")
    assert "Too many invitations. Try again in 10 minutes." in page.text
    assert int(page.headers["retry-after"]) > 0


async def test_a_free_project_has_three_members_however_many_come_at_once(planned: World) -> None:
    """Those invited count; at the limit the words are clear, and from 80 % on they come before."""
    anna = await signed_up(planned)
    async with Browser(planned) as browser:
        await browser.sign_in(anna)
        made = await browser.send("/projects", {"name": "Small"})
        mine = made.goes_to
        assert "“free”" in (await browser.see(f"{mine}/settings")).text
        names = [f"{n}@example.org" for n in range(5)]
        pages = await asyncio.gather(*(browser.send(f"{mine}/invitations", {"email": name, "role": "member"}) for name in names))
        full = "This project has 3 of 3 members, those invited included: there is no room for more."
        assert full in (await browser.see(f"{mine}/members")).text
        assert full in (await browser.see(f"{mine}/settings")).text
    assert sorted(page.status for page in pages) == [200, 200, 400, 400, 400]
    assert "the plan of this project allows 3 members" in next(page.text for page in pages if page.status == 400).lower()


def test_the_table_of_who_may_change_whom() -> None:
    """Managers and owners alone, and nobody above themselves."""
    for by, now, then in product(Role, Role, (*Role, None)):
        fine = RANKS[by] >= RANKS[Role.MANAGER] and RANKS[by] >= RANKS[now] and (then is None or RANKS[by] >= RANKS[then])
        assert may_change(by, now, then) == fine


async def test_times_are_told_by_the_readers_clock(world: World, browser: Browser, anna: Person) -> None:
    """On the pages of settings as on the others, and in what is said of an incident; the zone stands beside them."""
    await joined(world, anna, Role.OWNER)
    await browser.sign_in(anna)
    await browser.send("/account/look", {"zone": "Asia/Kolkata", "theme": "auto"})
    (row,) = await world.rows(
        "SELECT to_char(created_at AT TIME ZONE 'Asia/Kolkata', 'YYYY-MM-DD HH24:MI') AS at FROM memberships"
    )
    page = await browser.see(f"/projects/{world.project.id}/members")
    assert "Since (Asia/Kolkata)" in page.text
    assert row["at"] in page.text
    check = await world.check()
    await world.ping(check, "/fail")
    (opened,) = await world.rows(
        "SELECT id, to_char(opened_at AT TIME ZONE 'Asia/Kolkata', 'YYYY-MM-DD HH24:MI:SS') AS at FROM incidents"
    )
    here = f"/projects/{world.project.id}"
    its_page = f"{here}/monitors/{unique_key(UUID(check['uuid']))}"
    for path in (here, f"{here}/incidents", f"{here}/incidents/{opened['id']}", its_page):
        assert f"reported failure (a fail signal) at {opened['at']} IST" in (await browser.see(path)).text, path
