"""Who may report what, and that no project sees or moves another's."""

import asyncio

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from app.domain import tokens
from tests.events.saying import MINUTELY, Program, entry, monitors
from tests.world import World

pytestmark = pytest.mark.anyio


async def ping_scope(world: World) -> str:
    """A key of ours that may ping."""
    return str((await world.api("POST", "keys/", {"scope": "ping"})).json()["key"])


async def test_a_key_that_may_ping_reports_and_registers_nothing(world: World) -> None:
    """The project's ping key too: runs of what is there count; schedules, new tasks and new groups are left, with a warning."""
    shop = Program(world)
    await shop.said(await shop.sync(entry("known", MINUTELY)))
    for n, key in enumerate((await ping_scope(world), world.project.ping_key)):
        sent = [
            await shop.run("succeeded", "entry:known", f"r{n}"), await shop.sync(entry("other")), await shop.event("beat.up"),
            await shop.event("worker.beat"), await shop.run("started", "task:new"), await shop.run("started", "check:none"),
        ]  # fmt: skip
        answer = await shop.said(*sent, key=key)
        assert (answer["accepted"], answer["unknown_monitors"]) == (1, 5)
        assert "this key registers nothing" in answer["warnings"][0]
    assert {name: row["status"] for name, row in (await monitors(world)).items()} == {"known": "up"}
    await shop.said(await shop.event("beat.up"))
    answer = await shop.said(await shop.event("beat.beat"), key=world.project.ping_key)
    assert (answer["accepted"], answer["warnings"]) == (1, [])


async def test_other_keys_are_refused(world: World) -> None:
    """401 unknown, missing, revoked, or another service's; 403 one that may only read. Before the body is looked at."""
    shop = Program(world)
    revoked = await world.api("POST", "keys/", {"scope": "rw"})
    await world.api("DELETE", f"keys/{revoked.json()['id']}")
    foreign = {"service": "cronitor", "key": "c" * 20}
    await world.api("POST", "keys/", foreign)
    for key in ("mb_rw_wrong", "", "a\0b", tokens.new_api_key("rw"), revoked.json()["key"], foreign["key"]):
        assert (await shop.post(b"\xff", key)).status_code == 401, key
    answer = await shop.post(b"\xff", world.project.api_key_readonly)
    assert (answer.status_code, list(answer.json())) == (403, ["error"])
    assert (await world.client.post("/api/v3/events", content=b"{}")).status_code == 401
    assert (await world.client.get("/api/v3/events", headers={"X-Api-Key": shop.key})).status_code == 405
    line = b'{"app":"shop","sent_at":1760000000123}'
    for path, headers in (
        ("/api/v3/events/", {"X-Api-Key": shop.key}),
        ("/api/v1/events", {"Authorization": f"bearer {shop.key}"}),
    ):
        assert (await world.client.post(path, content=line, headers=headers)).status_code == 200


async def test_projects_never_meet(world: World) -> None:
    """The same program, entries, runs and slugs in two projects; a foreign check's id is an unknown one."""
    theirs = await world.new_project("Theirs")
    check = await world.check(slug="backup")
    shop = Program(world)
    both = [await shop.sync(entry("a", MINUTELY)), await shop.event("beat.up"), await shop.run("succeeded", "entry:a")]
    mine = await shop.said(*both)
    assert mine == {**await shop.said(*both, key=theirs.api_key), "server_time": mine["server_time"]}
    before = await world.rows("SELECT *, xmin::text FROM monitors WHERE project_id = :p ORDER BY id", p=world.project.id)
    foreign = await shop.said(
        await shop.run("failed", f"check:{check['uuid']}"), await shop.run("failed", "check:backup"),
        await shop.run("failed", "entry:a", "r2"), await shop.event("beat.beat", publish_error="no"), await shop.sync(entry("b")),
        key=theirs.api_key,
    )  # fmt: skip
    assert (foreign["accepted"], foreign["unknown_monitors"]) == (3, 2)
    assert await world.rows("SELECT *, xmin::text FROM monitors WHERE project_id = :p ORDER BY id", p=world.project.id) == before


async def test_while_the_database_is_busy_the_answer_is_503_and_again_is_safe(world: World) -> None:
    """With Retry-After; nothing of the events was recorded, and sent again each counts once."""
    shop = Program(world)
    await shop.said(await shop.sync(entry("a", MINUTELY)))
    sent = [await shop.run("started", "entry:a"), await shop.run("succeeded", "entry:a")]
    engine = create_engine(world.dsn, poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT id FROM monitors FOR UPDATE"))
        answer = await shop.send(*sent)
    engine.dispose()
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
    assert await world.rows("SELECT n FROM check_ins") == []
    assert (await shop.said(*sent))["accepted"] == 2


async def test_what_took_longer_than_the_margin_is_not_recorded(world: World) -> None:
    """The sweeper may have judged meanwhile what these events disprove: it is refused, and counts once when it comes again."""
    shop = Program(world)
    await shop.said(await shop.sync(entry("a", MINUTELY)))
    event = await shop.run("succeeded", "entry:a")
    engine = create_engine(world.dsn, poolclass=NullPool)
    world.asking.patient = False
    with engine.connect() as connection:
        connection.execute(text("SELECT id FROM monitors FOR UPDATE"))
        sending = asyncio.create_task(shop.send(event))
        await asyncio.sleep(0.5)
        world.sleep(10)
    engine.dispose()
    assert (await sending).status_code == 503
    assert await world.rows("SELECT n FROM check_ins") == []
    assert (await shop.said(event))["accepted"] == 1
    assert len(await world.rows("SELECT n FROM check_ins")) == 1
