"""Every page names who may see it, and the rule is held before the page is reached."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from fastapi.routing import iter_route_contexts

from app.domain.role import LEAST, RANKS, Action, Role, may
from app.manage.access import ANYONE, RULE, SIGNED_IN, Member, PageRoutes, Rule
from tests.manage.pages.visitor import Browser, Person, joined, signed_up
from tests.world import World

pytestmark = pytest.mark.anyio

BY_KEY = (
    "/api/v3/",
    "/api/sync",
    "/projects/{project}/metrics",
    "/projects/{project}/checks/metrics",
)  # tests/manage/test_tenants.py
OPEN = ("/livez", "/readyz", "/healthz/deep", "/metrics", "/api/docs", "/api/openapi.json", "/badge/", "/b/")


def pages(world: World) -> Iterator[tuple[str, str, Any]]:
    """Method, path and rule of every route that is neither the API nor open to all by its nature; None for one without."""
    for context in iter_route_contexts(world.web.app.routes):
        path = context.path or ""
        if not path.startswith((*BY_KEY, *OPEN)):
            rule = (getattr(context, "openapi_extra", None) or {}).get(RULE)
            yield from ((method, path, rule) for method in context.methods or ())


def filled(world: World, path: str) -> str:
    """A path with the world's project, and ids that nobody has."""
    return path.replace("{project}", str(world.project.id)).format_map(defaultdict(uuid4))


async def test_every_route_is_of_the_api_or_open_or_has_a_rule(world: World) -> None:
    """A new page without one turns this red: add it to the PageRoutes of its file, with who may see it."""
    found = list(pages(world))
    assert len(found) >= 7
    assert [page for page in found if page[2] not in (ANYONE, SIGNED_IN, *Action)] == []
    world.web.app.add_api_route("/forgotten", lambda: "")
    assert ("GET", "/forgotten", None) in pages(world)


async def test_whoever_is_not_signed_in_sees_only_what_is_for_anyone(world: World) -> None:
    """Every other page sends to the sign-in, whatever it is asked for."""
    async with Browser(world) as browser:
        for method, path, rule in pages(world):
            if rule == ANYONE:
                continue
            asked = filled(world, path)
            page = await (browser.see(asked) if method in ("GET", "HEAD") else browser.send(asked))
            assert (page.status, page.goes_to.partition("?")[0]) == (303, "/login"), (method, path)


async def test_a_form_of_another_site_is_refused_by_every_page(world: World) -> None:
    """Before anything else is looked at."""
    async with Browser(world) as browser:
        for method, path, _ in pages(world):
            if method not in ("GET", "HEAD"):
                page = await browser.send(filled(world, path), origin="https://evil.example")
                assert page.status == 403, (method, path)


@pytest.mark.parametrize("action", Action)
async def test_a_page_of_a_project_is_reached_by_the_roles_of_its_rule_alone(world: World, action: Action) -> None:
    """Too low a role is told so; for all others another's project is one that is not there."""
    trial = PageRoutes()

    @trial.get("/projects/{project}/trial", action)
    async def page(member: Member) -> dict[str, str]:
        return {"name": member.name, "role": member.role}

    world.web.app.include_router(trial.router)
    for role in Role:
        person = await signed_up(world, f"{role}@example.org")
        await joined(world, person, role)
        async with Browser(world) as browser:
            await browser.sign_in(person)
            seen = await browser.see(f"/projects/{world.project.id}/trial")
            assert seen.status == (200 if RANKS[role] >= RANKS[LEAST[action]] else 403)
            said = f"You are a {role.value} of this project, and may not {action.value}"
            assert (seen.status == 200) == may(role, action) == (said not in seen.text)
            foreign = await world.new_project("Foreign")
            answers = {
                (page.status, page.html, page.headers["content-type"])
                for project in (foreign.id, uuid4(), "x", "projects")
                for page in [await browser.see(f"/projects/{project}/trial")]
            }
            assert {answer[0] for answer in answers} == {404}
            assert len(answers) == 1
    async with Browser(world) as browser:
        page_of_theirs = await browser.see(f"/projects/{world.project.id}/trial?a=b")
        assert page_of_theirs.goes_to == f"/login?next=%2Fprojects%2F{world.project.id}%2Ftrial%3Fa%3Db"


async def test_every_page_of_a_project_refuses_lower_roles_and_outsiders(world: World) -> None:
    """All of them as they are: 403 in words for too low a role; for who is no member the answer of a project that is not there.
    Nothing is changed by any of it."""
    walked = [(method, path, rule) for method, path, rule in pages(world) if isinstance(rule, Action) and method != "HEAD"]
    assert len(walked) >= 15
    outsider = await signed_up(world, "outsider@example.org")
    people: list[tuple[Role | None, Person]] = [(None, outsider)]
    for role in Role:
        people.append((role, await signed_up(world, f"{role}@example.org")))
        await joined(world, people[-1][1], role)
    before = await world.rows("SELECT p::text FROM projects p UNION ALL SELECT m::text FROM memberships m")
    for is_a, person in people:
        async with Browser(world) as browser:
            await browser.sign_in(person)
            for method, path, rule in walked:
                if is_a is not None and may(is_a, rule):
                    continue
                asked = filled(world, path)
                page = await (browser.see(asked) if method == "GET" else browser.send(asked, {"name": "x", "role": "owner"}))
                assert page.status == (404 if is_a is None else 403), (is_a, method, path)
                assert ("may not" in page.text) == (is_a is not None)
    assert await world.rows("SELECT p::text FROM projects p UNION ALL SELECT m::text FROM memberships m") == before


def test_each_role_may_all_that_a_lower_one_may_and_only_owners_may_all() -> None:
    """One ladder, from viewer to owner."""
    ladder = sorted(Role, key=RANKS.__getitem__)
    allowed = [{action for action in Action if may(role, action)} for role in ladder]
    assert all(lower < higher for lower, higher in pairwise(allowed))
    assert allowed[0] == {Action.SEE}
    assert allowed[-1] == set(Action)


def test_a_rule_about_a_project_needs_one_in_the_path() -> None:
    """Else there would be nothing to look up."""
    rule: Rule = Action.SEE
    with pytest.raises(AssertionError, match="the path must name"):
        PageRoutes().get("/projects", rule)
