"""P11 in forms: ids, secrets and addresses of other people and projects in the body of a form are as those that nobody has."""

import re
from collections.abc import Mapping
from uuid import UUID, uuid4

import pytest

from app.domain.role import Role
from app.domain.tokens import new_secret
from app.manage.access import ANYONE
from app.store.accounts import NewProject
from tests.faults.rig import measured
from tests.manage.pages.visitor import PASSWORD, Browser, Page, Person, joined, signed_up
from tests.manage.test_described_tenants import ID, rows_of
from tests.manage.test_every_route import Route, routes, things
from tests.world import World, living

pytestmark = pytest.mark.anyio

NAMES = (
    "session", "user", "member", "invitation", "key", "project", "id", "check", "channel", "before", "token", "name", "email",
    "address", "next", "code",
)  # fmt: skip
FIXED = {"role": "viewer", "scope": "ro", "zone": "UTC", "theme": "auto", "present": PASSWORD}
ENDS = re.compile(r"/(leave|logout|remove|revoke|sessions|delete)$")  # what ends something of one's own: it goes last
MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d|\d+ \w+ \d{4}, \d\d:\d\d")
SECRET = re.compile(r"mb_r[ow]_\w+…?|(?<=/)[\w-]{43}|<svg.*?</svg>|(?:[A-Z2-7]{4} ?){8}", re.DOTALL)


async def of_person(world: World, person: Person) -> list[dict[str, object]]:
    """The rows of an account, byte for byte."""
    tables = ("users WHERE id", "user_sessions WHERE user_id", "memberships WHERE user_id", "links WHERE user_id")
    one = " UNION ALL ".join(f"SELECT t::text AS line FROM {table.replace(' WHERE', ' t WHERE')} = :id" for table in tables)
    return await world.rows(f"SELECT line FROM ({one}) t ORDER BY line", id=person.id)


async def sent(browser: Browser, route: Route, own: Mapping[str, str], kind: str, value: str) -> Page:
    """A form of one's own with the value in every field of it."""
    path = re.sub(r"{(\w+)}", lambda found: own.get(found[1], "1"), route.path)
    fields = {**{name: value for name in NAMES}, **FIXED}
    return await browser.send(path, {**fields, **({"password": value} if kind != "email" else {})})


def plain(page: Page, own: Mapping[str, str], foreign: Mapping[str, str]) -> tuple[int, str, list[str]]:
    """An answer without what was ever sent, without whose it is, and without chance: of two keys made at one instant either is
    first."""
    said = [page.goes_to, page.html]
    for values, whose in ((foreign, "foreign"), (own, "own")):
        for name, value in values.items():
            said = [text.replace(value, f"<{whose} {name}>") for text in said]
    for pattern in (ID, MOMENT, SECRET):
        said = [pattern.sub("<chance>", text) for text in said]
    return page.status, said[0], sorted(said[1].splitlines())


async def in_a_project(world: World, browser: Browser, email: str) -> tuple[NewProject, dict[str, str]]:
    """Somebody signed in as the owner of a project; what is theirs, by the names that paths have for it."""
    project, person = await world.new_project("Mine"), await signed_up(world, email)
    await joined(world, person, Role.OWNER, project.id)
    await browser.sign_in(person)
    made = await browser.send(f"/projects/{project.id}/invitations", {"email": f"guest-of-{email}", "role": "viewer"})
    assert made.status == 303
    (offer,) = await world.rows("SELECT id FROM invitations WHERE project_id = :id", id=project.id)
    (key,) = await world.rows("SELECT id FROM api_keys WHERE project_id = :id AND scope = 'ro'", id=project.id)
    other = await signed_up(world, f"other-than-{email}")
    await joined(world, other, Role.VIEWER, project.id)
    return project, {
        "project": str(project.id), "user": str(other.id), "invitation": str(offer["id"]), "key": str(key["id"]), "email": email,
        "secret": new_secret(),
    }  # fmt: skip


@pytest.mark.timeout(300)
async def test_what_is_others_in_the_body_of_a_form_is_as_what_is_nobodys(dsn: str) -> None:
    """Two owners with one history send every form, one with ids and secrets of another project and its people in every field, one
    with what nobody has: the answers are the same, and nothing of the other project or of its people is changed."""
    async with (
        living(dsn, smtp_host="127.0.0.1") as world,
        Browser(world) as mine,
        Browser(world) as ours,
        Browser(world) as theirs,
    ):
        victim = await signed_up(world, "victim@example.org")
        await joined(world, victim, Role.OWNER)
        await theirs.sign_in(victim)
        (session,) = await world.rows("SELECT id FROM user_sessions")
        foreign = {**await things(world, victim), "session": str(session["id"]), "email": victim.email}
        foreign.pop("n")
        ghosts = {name: str(uuid4()) if ID.fullmatch(value) else new_secret() for name, value in foreign.items()}
        ghosts["email"] = "ghosts@example.org"
        owns = [(await in_a_project(world, browser, f"{name}@example.org"))[1] for browser, name in ((mine, "aa"), (ours, "ab"))]
        before = await rows_of(world, world.project.id), await of_person(world, victim)
        walked = [route for route in routes(world) if route.method == "POST" and route.rule not in ("", ANYONE)]
        walked.sort(key=lambda route: (bool(ENDS.search(route.path)), route.path))
        for route in walked:
            for kind, value in foreign.items():
                await world.run("DELETE FROM attempts")
                real, ghost = await sent(mine, route, owns[0], kind, value), await sent(ours, route, owns[1], kind, ghosts[kind])
                assert plain(real, owns[0], foreign) == plain(ghost, owns[1], ghosts), (route.path, kind)
            assert (await rows_of(world, world.project.id), await of_person(world, victim)) == before, route.path
        assert (await theirs.see("/account")).status == 200
    measured(f"{len(walked)} forms, each with {len(foreign)} things of others in every field")


async def test_the_log_shows_nothing_of_others_whichever_entry_is_named(world: World, browser: Browser, anna: Person) -> None:
    """`before` counts entries over all projects: a number that is another project's leads to what is older in one's own."""
    other = await world.new_project("Other")
    await joined(world, anna, Role.OWNER)
    await browser.sign_in(anna)
    for name, project in (("older", world.project), ("foreign", other), ("newer", world.project), ("later", other)):
        made = (await world.api("POST", "keys/", {"name": name, "scope": "ro"}, project.api_key)).json()
        assert UUID(made["id"])
    numbers = {row["subject"]: row["id"] for row in await world.rows("SELECT id, subject FROM audit_entries")}
    pages = {}
    for name in ("foreign", "newer", "later"):
        (number,) = [number for subject, number in numbers.items() if name in subject]
        pages[name] = await browser.see(f"/projects/{world.project.id}/log?before={number}")
    assert pages["foreign"].html == pages["newer"].html
    assert "older" in pages["newer"].text
    assert "newer" in pages["later"].text
    assert not any(word in page.text for page in pages.values() for word in ("foreign", "later"))
