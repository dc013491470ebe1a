"""The list of checks: whatever happened, and whichever process is asked, it says what was committed, though little of it is
written anew."""

import json
import random
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.byte_cache import ByteCache
from app.main import Web
from tests import database
from tests.many import copy, patiently, statements
from tests.patient import client_of
from tests.world import World

pytestmark = pytest.mark.anyio

STANDING = """CREATE OR REPLACE FUNCTION missedbeat_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    'SELECT timestamptz ''epoch'' + (SELECT ahead FROM test_clock)'"""
TAGS = ("prod", "db", "prod db", "db  prod", "", "pro", "prod:db")
SCHEDULES: tuple[dict[str, Any], ...] = (
    {"timeout": 60}, {"timeout": 3600}, {"schedule": "*/5 * * * *", "tz": "Europe/Berlin"}, {"timeout": 60, "max_runtime": 40},
)  # fmt: skip
EDITS: tuple[dict[str, Any], ...] = (
    {"name": "größer"}, {"name": 'with "quotes" and \u2028'}, {"desc": "a\nb"}, {"slug": "one"}, {"tags": "prod"}, {"tags": ""},
    {"tags": "db prod"}, {"grace": 45}, {"grace": 30}, {"timeout": 90}, {"failures_to_alert": 2}, {"manual_resume": True},
    {"channels": "*"}, {"channels": ""}, {"aliases": [{"service": "cronitor", "token": "nightly"}]}, {"aliases": []},
    {"methods": "POST"}, {"methods": ""}, {"start_kw": "BEGIN", "filter_subject": True},
)  # fmt: skip
OFTEN = (
    *("ping",) * 6, *("edit",) * 4, *("pass",) * 6, *("channel",) * 2, "make", "sweep", "pause", "delete", "deaf",
)  # fmt: skip
QUERIES: tuple[dict[str, Any], ...] = (
    *({},) * 5, {"tag": ["prod"]}, {"tag": ["prod"]}, {"tag": ["db", "prod"]}, {"slug": "one"}, {"tag": ["", "x"]},
)  # fmt: skip
STEPS = (0.5, 1, 7, 29, 30, 31, 61, 300, 4000)


@asynccontextmanager
async def process(world: World, cache: ByteCache) -> AsyncIterator[httpx.AsyncClient]:
    """One more web process on the same database, with a memory of its own."""
    web = Web(world.settings, world.dsn)
    web.app.state.shared = replace(web.app.state.shared, written=cache)
    client = client_of(web)
    try:
        yield client
    finally:
        await client.aclose()
        await web.dispose()


async def asked(client: httpx.AsyncClient, key: str, query: dict[str, Any] | None = None, version: int = 3) -> bytes:
    """The list as it is answered."""
    answer = await client.get(f"/api/v{version}/checks/", headers={"X-Api-Key": key}, params=query)
    assert answer.status_code == 200, answer.text
    return answer.content


class Life:
    """What may happen to the checks of a project, at random."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)

    async def step(self) -> str:
        """Something happens; says what."""
        made = [row["id"] for row in await self.world.rows("SELECT id FROM monitors")]
        what = self.random.choice(
            ("ping",) * 6 + ("edit",) * 4 + ("pass",) * 5 + ("make", "channel", "sweep", "pause", "delete", "deaf")
        )
        if not made or (what == "make" and len(made) < 8):
            await self.api("POST", "checks/", {**self.random.choice(SCHEDULES), "grace": 30, "tags": self.random.choice(TAGS)})
            return "make"
        check = self.random.choice(made)
        match what:
            case "ping":
                await self.ping(check)
            case "edit":
                await self.api("POST", f"checks/{check}", self.random.choice(EDITS))
            case "pause":
                await self.api("POST", f"checks/{check}/{self.random.choice(('pause', 'resume'))}")
            case "delete":
                await self.api("DELETE", f"checks/{check}")
            case "channel":
                await self.channel()
            case "sweep":
                await self.world.sweep()
            case _:
                await self.wait(what == "deaf")
        return what

    async def ping(self, check: UUID) -> None:
        suffix, run = self.random.choice(("", "", "/start", "/start", "/fail", "/log")), self.random.choice((None, UUID(int=7)))
        params = {} if run is None else {"rid": str(run)}
        await patiently(lambda: self.world.ping({"uuid": check}, suffix, params=params))

    async def channel(self) -> None:
        """One more, or one less."""
        there = (await self.api("GET", "channels/")).json()["channels"]
        if not there or self.random.random() < 0.5:
            await self.api("POST", "channels/", {"kind": "slack", "name": str(uuid4()), "url": "https://hooks.example.com/a"})
        else:
            await self.api("DELETE", f"channels/{self.random.choice(there)['id']}")

    async def wait(self, deaf: bool) -> None:
        """Time passes: some of it, or until just before, at or after an instant at which something may turn."""
        until = await self.world.rows(
            "SELECT due, deadline, deadline + interval '2 s' AS judged FROM monitors WHERE due IS NOT NULL"
        )
        instants = [at for row in until for at in row.values() if at is not None and at > await self.world.now()]
        seconds = self.random.choice(STEPS)
        if instants and self.random.random() < 0.6:
            edge = self.random.choice((-1, 0, 1)) * timedelta(microseconds=1)
            seconds = (self.random.choice(instants) + edge - await self.world.now()) / timedelta(seconds=1)
        self.world.sleep(max(seconds, 0))
        if not deaf:
            await self.world.tick()

    async def api(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """A call that may well be refused: then nothing has changed."""
        answer = await patiently(lambda: self.world.api(method, path, body))
        assert answer.status_code < 500, answer.text
        return answer


async def stand_still(world: World) -> None:
    """The clock moves only when it is put ahead, so that answers given one after the other are of the same instant."""
    world.ahead = datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    await world.run(STANDING)
    database.put_ahead(world.dsn, world.ahead)
    await world.tick()


def wanted(checks: Sequence[dict[str, Any]], query: dict[str, Any]) -> list[dict[str, Any]]:
    """Those with all tags and the slug that are asked for."""
    tags = {tag for tag in query.get("tag", ()) if tag}
    return [c for c in checks if tags <= set(c["tags"].split(" ")) and query.get("slug") in (None, c["slug"])]


async def lives(world: World, seed: int, steps: int) -> None:
    """Two processes with a memory, however small, answer byte for byte what one without any does, and that is right."""
    await stand_still(world)
    life, rw, ro = Life(world, seed), world.project.api_key, world.project.api_key_readonly
    async with process(world, ByteCache(0)) as anew, process(world, ByteCache()) as one, process(world, ByteCache(9000)) as other:
        for number in range(steps):
            happened = await life.step()
            version, key = life.random.choice((1, 2, 3, 3, 3, 3)), life.random.choice((rw, rw, rw, ro))
            query = life.random.choice(QUERIES)
            right = await asked(anew, key, query, version)
            for client in (one, other):
                assert await asked(client, key, query, version) == right, (number, happened, version, query)
            every = json.loads(await asked(one, key, None, version))["checks"]
            assert json.loads(right)["checks"] == wanted(every, query), (number, happened, query)
        places = [row["id"] for row in await world.rows("SELECT id FROM monitors ORDER BY created_at, id")]
        singly = [(await world.api("GET", f"checks/{check}")).content for check in places]
        assert await asked(one, rw) == b'{"checks":[%b]}' % b",".join(singly)


@pytest.mark.parametrize("seed", range(2))
async def test_what_is_not_written_anew_is_what_would_be(calm: World, seed: int) -> None:
    """After random pings, edits, pauses, deletions, changed channels and time that passes, for every key and version."""
    await lives(calm, seed, 60)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(2, 12))
async def test_however_long_a_project_lives_its_list_is_right(calm: World, seed: int) -> None:
    """The same for longer lives."""
    await lives(calm, seed, 250)


async def test_time_alone_changes_what_is_shown(calm: World) -> None:
    """Up, late once it is due, down once that may be judged, at the instant and not before, though nobody writes anything."""
    await stand_still(calm)
    await calm.ping(await calm.check(timeout=60, grace=30))
    (row,) = await calm.rows("SELECT due, deadline FROM monitors")
    judged, instant = row["deadline"] + calm.web.app.state.shared.margin, timedelta(microseconds=1)
    for at, status in (
        (row["due"], "up"), (row["due"] + instant, "grace"), (row["deadline"], "grace"), (judged, "grace"),
        (judged + instant, "down"), (judged + 2 * instant, "down"),
    ):  # fmt: skip
        await calm.advance((at - await calm.now()) / timedelta(seconds=1))
        for key in (calm.project.api_key, calm.project.api_key_readonly):
            assert json.loads(await asked(calm.client, key))["checks"][0]["status"] == status, (at, status)


@pytest.mark.parametrize("query", [{}, {"tag": "prod"}, {"slug": "one"}])
async def test_what_leads_to_a_check_or_is_led_to_by_it_is_seen_to_change(world: World, query: dict[str, str]) -> None:
    """Channels and aliases stand elsewhere than the check, which stays as it is when they go."""
    channel = {"kind": "slack", "name": "chat", "url": "https://hooks.example.com/a"}
    made = (await world.api("POST", "channels/", channel)).json()["id"]
    alias = {"service": "cronitor", "token": "nightly"}
    await world.check(tags="prod", slug="one", channels="*", aliases=[alias])

    async def shown() -> tuple[str, list[dict[str, str]]]:
        (check,) = json.loads(await asked(world.client, world.project.api_key, query))["checks"]
        return check["channels"], check["aliases"]

    assert await shown() == (made, [alias])
    await world.run("UPDATE addresses SET key = replace(key, 'nightly', 'daily') WHERE kind = 'cronitor'")
    assert await shown() == (made, [{**alias, "token": "daily"}])
    await world.api("DELETE", f"channels/{made}")
    assert await shown() == ("", [{**alias, "token": "daily"}])


async def test_only_what_has_changed_is_read_whole(calm: World) -> None:
    """One look at the stamps, which are the same in every list; the rest only of those that are new or changed."""
    await calm.api("POST", "channels/", {"kind": "slack", "name": "chat", "url": "https://hooks.example.com/a"})
    alias = {"service": "cronitor", "token": "nightly"}
    check = await calm.check(timeout=3600, tags="prod", channels="*", aliases=[alias])
    await copy(calm, 40)

    class Noting(ByteCache):
        put_there = 0

        def put(self, key: str, value: bytes) -> None:
            self.put_there += 1
            super().put(key, value)

    async def written(query: str = "") -> int:
        before = cache.put_there
        with statements() as sent:
            assert len((await calm.api("GET", f"checks/{query}")).json()["checks"]) == 41
        assert len(sent) == (4 if cache.put_there > before else 3)
        return cache.put_there - before

    cache = Noting()
    calm.web.app.state.shared = replace(calm.web.app.state.shared, written=cache)
    assert [await written(), await written(), await written("?tag=prod")] == [41, 0, 0]
    await calm.ping(check)
    assert [await written("?tag=prod"), await written()] == [1, 0]


async def test_a_list_longer_than_what_is_read_at_once_is_whole_and_in_order(calm: World) -> None:
    """Oldest first, each once."""
    await calm.check(timeout=3600)
    await copy(calm, 1200)
    await calm.run("UPDATE monitors SET created_at = created_at + random() * interval '1 h'")
    ids = [str(row["id"]) for row in await calm.rows("SELECT id FROM monitors ORDER BY created_at, id")]
    for _ in range(2):
        assert [check["uuid"] for check in (await calm.api("GET", "checks/")).json()["checks"]] == ids


@pytest.mark.parametrize("length", [0, 1500, 40_000])
def test_what_is_kept_stays_within_its_bound_however_much_is_put_there(length: int) -> None:
    """Keys, tables and all; what was put last is there, and what is larger than the bound is not kept."""
    most = 1_000_000
    tracemalloc.start()
    try:
        cache = ByteCache(most)
        for n in range(3 * most // (length + 100)):
            cache.put(f"{n:0120}", bytes(length))
            assert cache.get(f"{n:0120}") == bytes(length)
            if n % 500 == 0:
                assert tracemalloc.get_traced_memory()[0] < most
        assert tracemalloc.get_traced_memory()[0] < most
    finally:
        tracemalloc.stop()
    cache.put("large", bytes(most))
    assert cache.get("large") is None


def test_what_is_asked_for_stays_and_the_rest_goes() -> None:
    """A list that is asked for again and again does not have to be written anew for those that were asked for once."""
    cache = ByteCache(100_000)
    cache.put("often", b"often")
    for n in range(10_000):
        cache.put(f"once {n}", b"once")
        assert cache.get("often") == b"often"
    assert cache.get("once 0") is None
