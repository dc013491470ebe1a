"""P11 with the API's own description: another project's real ids, names and instants in paths, queries and bodies are as those
that nobody has.

Two askers with the same history send the same: one names what belongs to the other project, one what belongs to nobody. Their
answers must not differ, and the other project's rows must stay as they are, byte for byte.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID, uuid4

import httpx
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from app.domain.role import Role
from app.store.accounts import NewProject
from app.store.tables import Base
from tests.events.saying import Program, entry
from tests.faults.rig import measured
from tests.generated import each
from tests.manage.pages.visitor import joined, signed_up
from tests.world import World

pytestmark = pytest.mark.anyio

OF_PROJECTS = sorted(name for name, table in Base.metadata.tables.items() if "project_id" in table.columns)
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
EVENTS = "/api/v3/events"
OWN, FOREIGN = "own", "foreign"
IDS = ("check", "unique_key", "channel", "incident", "delivery", "key", "project", "badge_key")
WORDS = ("name", "slug", "tag", "alias", "address", "source", "entry", "run")
PLANTS = [f"<<{FOREIGN} {name}>>" for name in (*IDS, *WORDS, "opened_at")]
OWNS = [f"<<{OWN} {name}>>" for name in (*IDS, *WORDS, "opened_at")]
PLANTED = re.compile(r"<<(own|foreign) (\w+)>>")
BY_CHANCE = (  # what differs between two askers whatever they ask
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+(?:\+[\d:]+|Z)?"), "<instant>"),
    (re.compile(r"mb_(rw|ro|ping)_\w+…?"), "<key>"),
    (ID, "<id>"),
    (re.compile(r'"(unique_key|check_unique_key|ping_key|secret|hint)":"[^"]*"'), r'"\1":"<secret>"'),
    (re.compile(r"\b[0-9a-f]{40}\b"), "<unique key>"),
    (re.compile(r"/[\w-]{22}(?=[-./]|$)"), "/<signature>"),
    (re.compile(r'"(status|duration|explain|server_time)":("[^"]*"|[\d.]+|null)'), r'"\1":<time>'),
)  # fmt: skip
CHANNELS = st.sampled_from([
    "<<foreign channel>>", "<<foreign name>>", "<<own channel>>,<<foreign channel>>", "*", "<<own channel>>",
])  # fmt: skip
BODY: dict[str, st.SearchStrategy[Any]] = {
    "channels": CHANNELS,
    "aliases": st.sampled_from([[{"service": "cronitor", "token": f"<<{whose} alias>>"}] for whose in (OWN, FOREIGN)]),
    "unique": st.sampled_from([["name"], ["slug"], ["name", "tags"]]),
    "tags": st.sampled_from(["<<foreign tag>>", "<<foreign tag>> shared"]),
    "slug": st.just("<<foreign slug>>"),
    "address": st.just("<<foreign address>>"),
}
LINES = st.lists(
    st.builds(
        lambda kind, monitor, run, more: {"type": kind, "ts": 1_760_000_000_123, "monitor": monitor, "run": run, **more},
        st.sampled_from(["run.started", "run.failed", "run.succeeded", "run.lost", "beat.beat", "schedule.sync"]),
        st.sampled_from(["entry:<<foreign entry>>", "entry:<<own entry>>", "check:<<foreign check>>", "check:<<foreign slug>>"]),
        st.sampled_from(["<<foreign run>>", "<<own run>>", "<<foreign delivery>>"]),
        st.sampled_from([{}, *({"reconcile": True, "entries": [entry(f"<<{whose} entry>>")]} for whose in (OWN, FOREIGN))]),
    ),
    max_size=3,
)  # fmt: skip


@dataclass(slots=True)
class Asker:
    """A project that asks: its key, the values that placeholders stand for, and what it was ever shown as foreign."""

    project: NewProject
    values: dict[str, dict[str, str]] = field(default_factory=dict)

    def filled(self, text: str) -> str:
        """The text with this asker's values in it."""
        return PLANTED.sub(lambda found: self.values[found[1]][found[2]], text)

    def plain(self, answer: str) -> list[str]:
        """An answer without what this asker put in it and without chance; of two things made at one instant either is first."""
        for whose, values in self.values.items():
            for name, value in values.items():
                if len(value) > 5:
                    answer = answer.replace(value, f"<<{whose} {name}>>")
        for pattern, instead in BY_CHANCE:
            answer = pattern.sub(instead, answer)
        return sorted(re.split(r"[\[\]{}]", answer))


async def things(world: World, project: NewProject, word: str) -> dict[str, str]:
    """Something of everything for a project, each of its words holding `word`; by the names that placeholders have."""
    key = project.api_key
    names = {name: f"{name}-{word}" for name in WORDS} | {"address": f"{word}@example.org"}
    channel = {"kind": "email", "name": f"channel {word}", "address": names["address"]}
    names["channel"] = (await world.api("POST", "channels/", channel, key)).json()["id"]
    body = {"name": names["name"], "slug": names["slug"], "tags": f"{names['tag']} shared", "desc": f"about {word}",
            "channels": "*", "aliases": [{"service": "cronitor", "token": names["alias"]}]}  # fmt: skip
    check = (await world.api("POST", "checks/", body, key)).json()
    names["check"] = check["uuid"]
    assert (await world.ping(check, "/fail", content=f"output of {word}".encode())).status_code == 200
    (incident,) = (await world.api("GET", f"checks/{check['uuid']}/incidents/", key=key)).json()["incidents"]
    names["incident"], names["opened_at"] = incident["id"], incident["opened_at"]
    delivery = (await world.api("GET", f"incidents/{incident['id']}/deliveries/", key=key)).json()["deliveries"][0]
    names["delivery"] = delivery["id"]
    names["key"] = (await world.api("POST", "keys/", {"name": f"key {word}", "scope": "ro"}, key)).json()["id"]
    program = Program(world, app=names["source"])
    events = await program.sync(entry(names["entry"])), await program.run("started", f"entry:{names['entry']}", names["run"])
    assert (await program.send(*events, key=key)).status_code == 200
    (row,) = await world.rows("SELECT badge_key FROM projects WHERE id = :id", id=project.id)
    (kept,) = await world.rows("SELECT unique_key FROM monitors WHERE id = :id", id=UUID(check["uuid"]))
    return {**names, "unique_key": kept["unique_key"], "project": str(project.id), "badge_key": str(row["badge_key"]), "n": "1"}


def ghosts_of(real: Mapping[str, str]) -> dict[str, str]:
    """What nobody has, each of the kind and length of something real."""
    made = {name: str(uuid4()) if ID.fullmatch(value) else value.replace("theirs", "theirz") for name, value in real.items()}
    return {**made, "unique_key": uuid4().hex + "01234567"}


async def rows_of(world: World, project: UUID) -> str:
    """Every row of a project, byte for byte."""
    tables = [f"SELECT '{name}: ' || t::text AS line FROM {name} t WHERE project_id = :project" for name in OF_PROJECTS]
    tables.append("SELECT 'projects: ' || t::text AS line FROM projects t WHERE id = :project")
    found = await world.rows(f"SELECT line FROM ({' UNION ALL '.join(tables)}) t ORDER BY line", project=project)
    return "\n".join(row["line"] for row in found)


def cases(operation: APIOperation[Any, Any, Any, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """What is sent: as the document describes it, with placeholders in the place of much of it."""
    parameters = operation.definition.raw.get("parameters", [])
    queries = [one["name"] for one in parameters if one["in"] == "query"]
    paths = [one["name"] for one in parameters if one["in"] == "path" and one["name"] != "n"]
    schema: dict[str, Any] = next(
        iter(operation.definition.raw.get("requestBody", {}).get("content", {}).values()), {"schema": {}}
    )["schema"]
    known = {name: plant for name, plant in BODY.items() if name in schema.get("properties", {})}
    texts = {
        name: st.just("<<foreign name>>") | st.sampled_from(PLANTS)
        for name in ("name", "desc")
        if name in schema.get("properties", {})
    }
    return st.fixed_dictionaries({
        "case": operation.as_strategy() if operation.path != EVENTS else st.none(),  # its lines are not described
        "version": st.sampled_from([1, 2, 3]),
        "path": st.fixed_dictionaries({name: st.sampled_from([f"<<own {name}>>", f"<<foreign {name}>>"]) for name in paths}),
        "query": st.fixed_dictionaries({}, optional={name: st.sampled_from([*PLANTS, *OWNS]) for name in queries}),
        "body": st.fixed_dictionaries({}, optional={**texts, **known}),
        "lines": LINES,
    })  # fmt: skip


class Walk:
    """Two askers who do the same, one with what is the victim's and one with what is nobody's."""

    def __init__(self, world: World, victim: NewProject, askers: tuple[Asker, Asker]) -> None:
        self.world, self.victim = world, victim
        self.real, self.ghost = askers
        self.marks: set[str] = set()
        self.unsaid: set[str] = set()
        self.asked = self.went_well = 0

    async def things(self) -> None:
        """What both have of their own, anew."""
        for asker in (self.real, self.ghost):
            asker.values[OWN] = await things(self.world, asker.project, f"mine-{self.asked}")

    async def ask(self, operation: APIOperation[Any, Any, Any, Any], drawn: dict[str, Any]) -> None:
        """The same of both; what the answers say of it."""
        real = await self._send(self.real, operation, drawn)
        ghost = await self._send(self.ghost, operation, drawn)
        self.asked += 2
        self.went_well += real.is_success
        assert real.status_code == ghost.status_code, (operation.label, drawn["path"], real.text, ghost.text)
        assert self.real.plain(_whole(real)) == self.ghost.plain(_whole(ghost)), operation.label
        sent = _sent(real)
        self.unsaid = {mark for mark in self.unsaid if mark not in sent}  # what was said may be kept and shown again
        assert [mark for mark in self.unsaid if mark in _whole(real)] == []
        assert [mark for mark in self.marks if mark in _whole(ghost)] == []

    async def _send(self, asker: Asker, operation: APIOperation[Any, Any, Any, Any], drawn: dict[str, Any]) -> httpx.Response:
        case = drawn["case"]
        path = operation.path.replace("/api/v3/", f"/api/v{drawn['version']}/")
        for name, value in {"n": "1", **drawn["path"]}.items():
            path = path.replace(f"{{{name}}}", quote(asker.filled(value), safe=""))
        query = {**(case.query if case else {}), **drawn["query"]} | ({"wait": "0"} if path.endswith("/test") else {})
        sent: dict[str, Any] = {}
        if operation.method == "post":
            sent["content"] = asker.filled(_body(case.body, drawn) if operation.path != EVENTS else _lines(drawn))
        headers = {"X-Api-Key": asker.project.api_key}
        params = {name: asker.filled(value) if isinstance(value, str) else value for name, value in query.items()}
        return await self.world.client.request(operation.method, path, params=params, headers=headers, **sent)


def _body(given: Any, drawn: dict[str, Any]) -> str:
    body = {**given, **drawn["body"]} if isinstance(given, dict) else drawn["body"]
    return json.dumps({name: value for name, value in body.items() if name not in ("ping_key", "service", "key")})


def _lines(drawn: dict[str, Any]) -> str:
    head = {"app": "<<foreign source>>", "sent_at": 1_760_000_000_123, "host": "<<foreign name>>"}
    return "".join(json.dumps(line) + "\n" for line in (head, *drawn["lines"]))


def _whole(answer: httpx.Response) -> str:
    return "\n".join([*(f"{name}: {value}" for name, value in answer.headers.items() if name != "content-length"), answer.text])


def _sent(answer: httpx.Response) -> str:
    asked = answer.request
    return unquote(str(asked.url)) + asked.content.decode("utf-8", "replace")


async def operations(world: World) -> list[APIOperation[Any, Any, Any, Any]]:
    """Every one that the document has; what deletes goes last."""
    schema = schemathesis.openapi.from_dict((await world.client.get("/api/openapi.json")).json())
    found = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
    return sorted(found, key=lambda one: one.method == "delete")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("examples", [3, pytest.param(20, marks=pytest.mark.prove)])
async def test_what_is_anothers_is_like_what_is_nobodys_wherever_it_is_named(world: World, examples: int) -> None:
    """Paths, queries, bodies and events, of v1 to v3: status, body and headers are the same and hold nothing that was not
    asked with, and not a byte of the other project is changed."""
    victim = world.project
    theirs = await things(world, victim, "theirs")
    await joined(world, await signed_up(world, "owner-of-theirs@example.org"), Role.OWNER)
    asking = [Asker(await world.new_project("asker")) for _ in range(2)]
    for asker, foreign in zip(asking, (theirs, ghosts_of(theirs)), strict=True):
        asker.values[FOREIGN] = foreign
    walked = Walk(world, victim, (asking[0], asking[1]))
    await walked.things()
    before = await rows_of(world, victim.id)
    walked.unsaid = walked.marks = {
        *ID.findall(before),
        *(value for name, value in theirs.items() if len(value) > 5 and name != "opened_at"),
    }
    all_of_them = await operations(world)
    for operation in all_of_them:
        times = 8 if "requestBody" in operation.definition.raw else 1
        await each(cases(operation), examples * times, operation.label, partial(walked.ask, operation))
        assert await rows_of(world, victim.id) == before, operation.label
        if operation.method == "delete":
            await walked.things()
    assert len(all_of_them) >= 30
    assert walked.went_well > walked.asked / 10, "much of it must have come through, else this proves little"
    measured(f"{len(all_of_them)} operations, {walked.asked} requests, {len(walked.marks)} marks of the other project")
