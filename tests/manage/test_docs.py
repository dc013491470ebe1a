"""The API's description and the page that shows it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel

from app.errors import Invalid
from app.main import Web
from app.manage.api.check_given import read_check
from app.manage.api.described import channels, checks, history, incidents, keys, projects
from app.settings import Settings
from tests.patient import client_of
from tests.receivers import HttpReceiver
from tests.world import SECRET_KEY, World

pytestmark = pytest.mark.anyio

MODELS: dict[str, type[BaseModel]] = {
    "checks": checks.Check, "pings": history.Ping, "flips": history.Flip, "transitions": history.Transition,
    "runs": history.Run, "incidents": incidents.Incident, "deliveries": incidents.Delivery, "channels": channels.Channel,
    "keys": keys.Key, "projects": projects.Project,
}  # fmt: skip


class Links(HTMLParser):
    """What a page links to, and what stands in it that a strict policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Tags."""
        self._in = tag
        for name, value in attrs:
            if name in ("src", "href") and value:
                self.links.append(value)
            if name.startswith("on") or name == "style":
                self.inline.append(f"{tag} {name}")

    def handle_data(self, data: str) -> None:
        """Text between tags."""
        if self._in in ("script", "style") and data.strip():
            self.inline.append(data)


@asynccontextmanager
async def served(world: World, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Another door on the same database, with other settings."""
    given = {"database_url": world.dsn, "secret_key": SECRET_KEY, "base_url": "http://missedbeat.test", **settings}
    web = Web(Settings(_env_file=None, **given), world.dsn)
    async with client_of(web) as client:
        yield client
    await web.dispose()


async def written(client: httpx.AsyncClient, path: str = "/api/openapi.json") -> dict[str, Any]:
    """The OpenAPI document."""
    answer = await client.get(path)
    assert answer.status_code == 200
    return dict(answer.json())


# ---- the document


async def test_every_route_is_described_with_its_answers(world: World) -> None:
    """Each operation has a sentence, its good answer with a schema, and the refusals with theirs; none has FastAPI's 422."""
    document = await written(world.client)
    assert document["openapi"].startswith("3.0.")
    routes = set()
    for context in iter_route_contexts(world.web.app.routes):
        path, methods = context.path or "", context.methods or ()
        routes |= {(path, method.lower()) for method in methods if path.startswith("/api/v") and context.include_in_schema}
    assert {(path, method) for path, operations in document["paths"].items() for method in operations} == routes
    names = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            names.append(operation["operationId"])
            assert operation["description"].endswith("."), (path, method)
            assert "422" not in operation["responses"]
            assert {"400", "401", "404", "503"} <= set(operation["responses"])
            good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            assert all(content["schema"] for answer in good for content in answer["content"].values())
            assert good
    assert len(names) == len(set(names))


async def test_nothing_in_the_document_is_newer_than_version_3_0(world: World) -> None:
    """The installed Swagger UI reads 3.0: no null type, no const, no list of examples; every $ref leads somewhere."""
    document = await written(world.client)

    def walk(part: Any) -> None:
        if isinstance(part, list):
            for item in part:
                walk(item)
        if not isinstance(part, dict):
            return
        assert part.get("type") != "null"
        assert "const" not in part or isinstance(part["const"], dict)
        assert not isinstance(part.get("examples"), list)
        assert "$defs" not in part
        if isinstance(part.get("$ref"), str):
            assert part["$ref"].removeprefix("#/components/schemas/") in document["components"]["schemas"]
        for value in part.values():
            walk(value)

    walk(document)
    assert list(document["components"]["securitySchemes"]) == ["X-Api-Key", "Bearer"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_every_example_body_is_taken_as_it_stands(world: World) -> None:
    """Pages and generators send it: each body that is described has one."""
    document = await written(world.client)
    check, made = await world.check(), await world.api("POST", "channels/", {"kind": "email", "address": "a@example.com"})
    things = {"check": check["uuid"], "channel": made.json()["id"], "project": str(world.project.id)}
    sent = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if "requestBody" in operation:
                ((kind, body),) = operation["requestBody"]["content"].items()
                sent_as = {"json": body["example"]} if kind == "application/json" else {"content": body["example"]}
                answer = await world.client.request(
                    method, path.format(**things), headers={"X-Api-Key": world.project.api_key}, **sent_as
                )
                assert answer.status_code in (200, 201), (path, answer.text)
                sent.add(f"{method} {path.removeprefix('/api/v3/')}")
    assert sent == {
        "post checks", "post checks/{check}", "post checks/{check}/simulate", "post channels", "post channels/{channel}",
        "post keys", "post projects/{project}", "post events",
    }  # fmt: skip
    assert (await world.api("GET", "projects/")).json()["projects"][0]["ping_key"] == world.project.ping_key


async def test_answers_have_exactly_the_fields_that_are_described(world: World) -> None:
    """Read-write and read-only, of everything that is listed; and every described field is seen in some answer."""
    async with HttpReceiver() as receiver:
        await world.api("POST", "channels/", {"kind": "webhook", "name": "w", "url": receiver.url()})
        await world.api("POST", "channels/", {"kind": "email", "name": "e", "address": "a@example.com"})
        check = await world.check(channels="*", aliases=[{"service": "sentry", "token": "job"}])
        timed = await world.check(schedule="0 3 * * *")
        for pinged, suffix in ((timed, "/start"), (timed, ""), (check, "/start"), (check, ""), (check, "/fail")):
            await world.ping(pinged, suffix)
        said: dict[str, Any] = {"params": {"at": (await world.now() - timedelta(minutes=1)).isoformat()}}
        await world.ping(check, "", **said, headers={"Authorization": f"Bearer {world.project.api_key}"})
        await world.deliver()
        lists = [f"checks/{check['uuid']}/{part}/" for part in ("pings", "flips", "transitions", "runs", "incidents")]
        incident = (await world.api("GET", "incidents/")).json()["incidents"][0]["id"]
        seen: dict[str, set[str]] = {name: set() for name in MODELS}
        for path in ("checks/", "channels/", "incidents/", "keys/", "projects/", f"incidents/{incident}/deliveries/", *lists):
            for key in (world.project.api_key, world.project.api_key_readonly):
                for name, items in (await world.api("GET", path, key=key)).json().items():
                    for item in items if name in MODELS else ():
                        MODELS[name].model_validate(item, strict=True)
                        seen[name] |= set(item)
        attempts = (await world.api("GET", f"incidents/{incident}/deliveries/")).json()["deliveries"][0]["attempts"]
    async with served(world, ping_email_domain="ping.example.com") as client:
        answer = await client.get("/api/v3/checks/", headers={"X-Api-Key": world.project.api_key})
        for item in answer.json()["checks"]:
            MODELS["checks"].model_validate(item, strict=True)
            seen["checks"] |= set(item)
    for name, model in MODELS.items():
        assert seen[name] == {field.alias or key for key, field in model.model_fields.items()}, name
    assert [set(attempt) for attempt in attempts] == [set(incidents.Attempt.model_fields)]
    explained = (await world.api("GET", f"incidents/{incident}/explain")).json()
    incidents.Explained.model_validate(explained, strict=True)


def test_the_described_body_of_a_check_is_what_is_read() -> None:
    """Its defaults are taken, and a field that is described is one that is looked at."""
    fields = checks.CheckBody.model_fields
    defaults = checks.CheckBody().model_dump()
    assert read_check({key: value for key, value in defaults.items() if key != "schedule"}, 60).timeout is not None
    for name in fields:
        with pytest.raises(Invalid, match=f"json validation error: {name} "):
            read_check({name: 10.5}, 60)


async def test_the_described_bodies_of_key_and_project_are_what_is_read(world: World) -> None:
    """Each field is looked at, and refused by its name."""
    for path, model in (("keys/", keys.KeyBody), (f"projects/{world.project.id}", projects.ProjectBody)):
        for name in model.model_fields:
            answer = await world.api("POST", path, {name: 10.5})
            assert answer.status_code == 400
            assert answer.json()["error"].startswith(f"json validation error: {name} ")


# ---- the page


async def test_the_page_needs_nothing_that_a_strict_policy_forbids(world: World) -> None:
    """No inline script or style, no other host; every file it names is there with its type, and so is the document."""
    page = await world.client.get("/api/docs")
    assert page.status_code == 200
    policy = page.headers.get_list("content-security-policy")
    assert len(policy) == 1
    for part in ("default-src 'none'", "script-src 'self'", "style-src 'self' 'unsafe-inline'", "connect-src 'self'"):
        assert part in policy[0].split("; ")
    assert "img-src 'self' data:" in policy[0]
    links = Links()
    links.feed(page.text)
    assert links.inline == []
    assert len(links.links) == 4
    kinds = set()
    for link in links.links:
        assert not re.match(r"\w+:|/", link), link
        asset = await world.client.get(str(httpx.URL("http://missedbeat.test/api/docs").join(link)))
        assert (asset.status_code, asset.headers["x-content-type-options"]) == (200, "nosniff")
        kinds.add(asset.headers["content-type"].partition(";")[0])
    assert kinds == {"text/css", "text/javascript", "image/png"}
    assert "SwaggerUIBundle" in (await world.client.get("/api/docs/assets/start.js")).text
    for name in ("nothing.js", "..%2fdocs.py", "index.html"):
        assert (await world.client.get(f"/api/docs/assets/{name}")).status_code == 404


async def test_the_page_with_a_last_slash_leads_to_the_page(world: World) -> None:
    """Its relative links would lead astray there."""
    answer = await world.client.get("/api/docs/")
    assert answer.status_code == 308
    assert answer.headers["location"] == "../docs"
    assert (await world.client.get("/api/docs/", follow_redirects=True)).url.path == "/api/docs"


async def test_page_and_document_work_under_a_prefix(world: World) -> None:
    """The links are relative, and the document names the prefix as its server."""
    async with served(world, base_url="http://missedbeat.test/under/here") as client:
        page = await client.get("/under/here/api/docs")
        links = Links()
        links.feed(page.text)
        for link in links.links:
            assert (await client.get(str(page.url.join(link)))).status_code == 200
        assert (await written(client, "/under/here/api/openapi.json"))["servers"] == [{"url": "/under/here"}]
        answer = await client.get("/under/here/api/v3/checks/", headers={"X-Api-Key": world.project.api_key})
        assert answer.json() == {"checks": []}
        made = await client.post("/under/here/api/v2/checks/", headers={"X-Api-Key": world.project.api_key})
        assert made.json()["ping_url"].startswith("http://missedbeat.test/under/here/ping/")
        assert made.json()["update_url"].startswith("http://missedbeat.test/under/here/api/v2/checks/")
    assert (await written(world.client))["servers"] == [{"url": "/"}]


async def test_both_can_be_switched_off(world: World) -> None:
    """MISSEDBEAT_DOCS=false: neither page nor document nor files; the API itself stays."""
    async with served(world, docs=False) as client:
        for path in ("/api/docs", "/api/docs/", "/api/openapi.json", "/api/docs/assets/start.js"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/api/v3/checks/")).status_code == 401
