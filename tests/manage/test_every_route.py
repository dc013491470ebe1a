"""Every route of the app, asked by everybody, with ids that are another project's and ids that nobody has."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from app.domain import tokens
from app.domain.role import Role
from app.domain.tokens import canary_path
from app.main import Web
from app.manage.access import ANYONE, RULE
from app.manage.pages.static import static_path
from app.settings import Settings
from app.store import blackouts, invitations, keys
from tests.faults.rig import measured
from tests.manage.pages.visitor import Browser, Person, joined, signed_up
from tests.manage.test_tenants import BODIES, BODY, everything, theirs
from tests.world import SECRET_KEY, World, living

pytestmark = pytest.mark.anyio

SAFE = ("GET", "HEAD", "OPTIONS")
FORM = {"name": "stolen", "role": "viewer", "scope": "rw", "email": "stolen@example.org", "address": "x", "session": "others"}
NOBODYS = ("/static/", "/docs", "/favicon.ico", "/api/docs/assets/", "/badge/", "/b/")  # what may be kept
SECRETS = ("secret", "badge_key", "rest", "states", "version", "name", "n")  # in paths, and no ids of a project's things
OPEN = (
    "/api/v3/status",
    "/livez",
    "/readyz",
    "/healthz/deep",
    "/metrics",
    "/api/docs",
    "/api/openapi.json",
    "/badge/",
    "/b/",
    "/static/",
)


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path, and the rule of a page; "" for what is no page."""

    method: str
    path: str
    rule: str

    @property
    def names(self) -> list[str]:
        """The ids in its path."""
        return [name for name in re.findall(r"{(\w+)(?::path)?}", self.path) if name not in SECRETS]


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who asks: a browser or a program, with what it sends along."""

    name: str
    client: httpx.AsyncClient
    key: str = ""

    async def ask(self, route: Route, ids: Mapping[str, str]) -> tuple[int, str, dict[str, str]]:
        """The whole answer, with the ids that were asked taken out of it."""
        path = re.sub(r"{(\w+)(?::path)?}", lambda found: ids.get(found[1], "1"), route.path)
        headers = {"sec-fetch-site": "same-origin", "origin": "http://missedbeat.test"} if route.rule else {}
        if self.key:
            headers |= {"x-api-key": self.key, "authorization": f"Bearer {self.key}"}
        sent: dict[str, Any] = {}
        if route.method == "POST":
            api = BODIES.get(route.path.removeprefix("/api/v3/"), BODY)
            sent = {"data": FORM} if route.rule else {"json": api}
        params = {"wait": "0"} if route.path.endswith("/test") else None
        answer = await self.client.request(route.method, path, headers=headers, params=params, **sent)
        return answer.status_code, _without(ids, answer.text), {n: _without(ids, v) for n, v in answer.headers.items()}


def _without(ids: Mapping[str, str], text: str) -> str:
    for name, value in ids.items():
        if len(value) > 20:
            text = text.replace(value, f"<{name}>")
    return text


def routes(world: World) -> Iterator[Route]:
    """All of them."""
    for context in iter_route_contexts(world.web.app.routes):
        rule = (getattr(context, "openapi_extra", None) or {}).get(RULE, "")
        for method in sorted(context.methods or ()):
            yield Route(method, context.path or "", str(rule))


async def things(world: World, person: Person) -> dict[str, str]:
    """What the world's project has, by the names that paths have for it."""
    found = await theirs(world)
    async with world.sessions() as session:
        now = await blackouts.now(session)
        secret = await invitations.make(session, world.project.id, "guest@example.org", Role.VIEWER, person.id, now)
        await session.commit()
    (offer,) = await world.rows("SELECT id FROM invitations WHERE project_id = :id", id=world.project.id)
    return {**found, "user": str(person.id), "invitation": str(offer["id"]), "secret": secret}


async def new_key(world: World, project: UUID, scope: tokens.Scope, revoked: bool = False) -> str:
    """A key of a scope."""
    made = tokens.new_api_key(scope)
    async with world.sessions() as session:
        now = await blackouts.now(session)
        row = await keys.add(session, project, scope, made, now)
        assert row is not None
        if revoked:
            await keys.revoke(session, project, row.id, now)
        await session.commit()
    return made


@asynccontextmanager
async def everybody(world: World, project: UUID) -> AsyncIterator[list[Asker]]:
    """Nobody, an outsider, each role of a project, and each kind of its keys."""
    async with AsyncExitStack() as stack:
        asking = [Asker("nobody", world.client)]
        for role in (None, *Role):
            person = await signed_up(world, f"{role or 'outsider'}@example.org")
            if role is not None:
                await joined(world, person, role, project)
            browser = await stack.enter_async_context(Browser(world))
            assert (await browser.sign_in(person)).status == 303
            asking.append(Asker(str(role or "outsider"), browser.client))
        for scope in ("rw", "ro", "ping"):
            asking.append(Asker(f"key {scope}", world.client, await new_key(world, project, scope)))
        asking.append(Asker("key revoked", world.client, await new_key(world, project, "rw", revoked=True)))
        yield asking


async def test_everybody_finds_a_foreign_id_like_an_unknown_one_on_every_route(world: World) -> None:
    """The whole path another's, and for pages and badges inside one's own project another's key, user, invitation: status, body
    and headers are those of an id that nobody has, and the database is as it was."""
    their_owner = await signed_up(world, "theirs@example.org")
    await joined(world, their_owner, Role.OWNER)
    foreign = await things(world, their_owner)
    mine = await world.new_project("Mine")
    asked = 0
    async with everybody(world, mine.id) as asking:
        before = await everything(world)
        walked = [route for route in routes(world) if route.names]
        for route in walked:
            unknown = {name: str(uuid4()) for name in route.names}
            other = {name: foreign[name] for name in route.names}
            nested = {"project": str(mine.id)} if "project" in other and len(other) > 1 else None
            for asker in asking:
                for more in ({}, nested) if nested else ({},):
                    theirs_, nobodys = await asker.ask(route, other | more), await asker.ask(route, unknown | more)
                    assert theirs_ == nobodys, (asker.name, route)
                    assert theirs_[0] in (303, 401, 403, 404), (asker.name, route, theirs_)
                    asked += 2
        assert await everything(world) == before
    assert len(walked) >= 40
    measured(f"{len(walked)} routes with ids, {asked} requests of {len(asking)} askers")


async def test_a_session_opens_no_route_of_the_api_and_a_key_no_page(world: World) -> None:
    """Each is let in by its own kind alone, whatever else it may do. A route without a rule turns this red as well: what is
    neither a page nor open must ask for a key."""
    owner = await signed_up(world, "theirs@example.org")
    await joined(world, owner, Role.OWNER)
    ids = await things(world, owner)
    async with everybody(world, world.project.id) as asking:
        by_name = {asker.name: asker for asker in asking}
        before = await everything(world)
        for route in routes(world):
            if route.path.startswith(OPEN) or route.rule == ANYONE:
                continue
            asker = by_name["key rw" if route.rule else "owner"]
            status, _, headers = await asker.ask(route, ids)
            if route.rule:
                assert (status, headers["location"].partition("?")[0]) == (303, "/login"), route
            else:
                assert status in (401, 404), route
        assert await everything(world) == before


async def test_looking_changes_nothing(world: World) -> None:
    """GET, HEAD and OPTIONS of every route, by an owner and by a read-write key, with their own ids. That somebody took a file of
    the project away stands in the log."""
    owner = await signed_up(world, "theirs@example.org")
    await joined(world, owner, Role.OWNER)
    ids = await things(world, owner)
    world.web.live.leaving = lambda: True  # a stream that is opened ends at once
    async with everybody(world, world.project.id) as asking:
        before = await everything(world)
        found = 0
        for route in {Route(method, r.path, r.rule) for r in routes(world) for method in (*SAFE, r.method) if method in SAFE}:
            for asker in asking:
                if asker.name in ("owner", "key rw"):
                    status, _, _ = await asker.ask(route, ids)
                    assert status < 500 or status == 503, (asker.name, route)
                    found += status == 200
        after = await everything(world)
        entries = after["audit_entries"].splitlines()
        after["audit_entries"] = "\n".join(entry for entry in entries if '"project.exported"' not in entry)
        assert after == before
    assert found >= 40, "most of it must have led somewhere"


async def answers(web: Web, check: Mapping[str, Any], walked: list[Route]) -> AsyncIterator[tuple[str, httpx.Response]]:
    """One of every kind that the app has: every route, unknown paths, wrong methods, a bug, pings of all kinds."""
    transport = httpx.ASGITransport(web, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://missedbeat.test") as client:
        for route in walked:
            path = re.sub(r"{(\w+)(?::path)?}", "1", route.path)
            for method in (route.method, "PUT", "OPTIONS"):
                for accept in ("text/html", "*/*"):
                    yield f"{method} {path}", await client.request(method, path, headers={"accept": accept})
        ping = f"/ping/{check['uuid']}"
        others = [
            "/nowhere", "/nowhere%0A", "/trial/bug", static_path("style.css"), "/static/x/none.css", "/favicon.ico", ping,
            f"{ping}/start", f"{ping}/999", f"/ping/{uuid4()}", "/ping/x", "/p/key/job?state=run", "/api/push/tokentoken",
            "/api/v1/heartbeat/tokentoken", "/tokentoken", canary_path(SECRET_KEY), "/api/v1/checks/", "/api/v2/checks",
        ]  # fmt: skip
        for path in others:
            for method in ("GET", "HEAD", "POST", "OPTIONS", "PROPFIND"):
                yield f"{method} {path}", await client.request(method, path)


def is_strict(answer: httpx.Response) -> bool:
    """Nothing may be loaded but what is named, nobody frames it or guesses its kind; it stays on https and is not kept unless it
    is nobody's own; it names no software."""
    given = answer.headers
    policy = given["content-security-policy"]
    return (
        policy.startswith("default-src 'none'") and "frame-ancestors 'none'" in policy
        and len(given.get_list("content-security-policy")) == len(given.get_list("cache-control")) == 1
        and given["x-content-type-options"] == "nosniff" and given["x-frame-options"] == "DENY"
        and given["referrer-policy"] in ("no-referrer", "same-origin")
        and given["strict-transport-security"].startswith("max-age=31536000")
        and "server" not in given and "x-powered-by" not in given
    )  # fmt: skip


async def test_every_answer_carries_strict_headers(dsn: str) -> None:
    """Whatever the status, over https: of all routes, of paths and methods that are none, of a bug, of pings in all words."""

    def bug() -> None:
        raise ZeroDivisionError

    statuses: set[int] = set()
    async with living(dsn, base_url="https://missedbeat.test") as world:
        check, walked = await world.check(), list(routes(world))
        world.web.app.add_api_route("/trial/bug", bug)
        async for asked, answer in answers(world.web, check, walked):
            assert is_strict(answer), (asked, answer.status_code, answer.headers)
            kept = answer.headers["cache-control"]
            assert kept == "no-store" or asked.split()[1].startswith(NOBODYS), (asked, kept)
            statuses.add(answer.status_code)
    assert statuses >= {200, 204, 303, 400, 401, 403, 404, 405, 500}


async def test_answers_without_a_database_are_as_strict(dsn: str) -> None:
    """503 and all: the same headers when nothing can be looked up."""
    away = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    settings = Settings(_env_file=None, database_url=away, secret_key=SECRET_KEY, base_url="https://missedbeat.test")
    web = Web(settings, away)
    transport = httpx.ASGITransport(web, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://missedbeat.test") as client:
        client.cookies.set("__Host-missedbeat", "x" * 43)
        headers = {"X-Api-Key": tokens.new_api_key("rw")}
        for path in ("/", "/login", "/api/v3/checks/", "/readyz", f"/b/2/{uuid4()}.svg"):
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 503, path
            assert is_strict(answer), (path, answer.headers)
    await web.dispose()
