"""Jobs of plain programs: a key in an environment, declared one by one, alive while they are listed, with words of their own."""

import asyncio
from typing import Any

import pytest

from tests.events.saying import Event, Program, monitors
from tests.world import World

pytestmark = pytest.mark.anyio
CRON = {"kind": "cron", "expression": "0 3 13 * fri", "zone": "Europe/Berlin"}
MINUTELY = {"kind": "every", "seconds": 60}


async def declared(program: Program, name: str = "nightly", ago: float = 0, **more: Any) -> Event:
    """One job says when it is due."""
    return await program.event("job.declared", ago, **{"name": name, "schedule": CRON, **more})


async def test_a_job_that_says_when_it_is_due_is_watched(world: World) -> None:
    """By cron's own rule for two restricted days, with all channels; nothing dispatches it, and so it is missed."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    program = Program(world, "python", environment="production")
    answer = await program.said(await declared(program, grace=120, max_runtime=600, tags=["db"]))
    assert (answer["accepted"], answer["warnings"]) == (1, [])
    row = (await monitors(world))["nightly"]
    assert [row[c] for c in ("slug", "kind", "expression", "zone", "grace", "max_runtime", "tags", "dispatched", "source")] == [
        "nightly", "cron", "0 3 13 * fri", "Europe/Berlin", 120, 600, "db", False, "",
    ]  # fmt: skip
    assert len(await world.rows("SELECT * FROM subscriptions")) == 1
    seen = (await world.api("GET", "checks/")).json()["checks"][0]
    assert seen["aliases"] == [{"service": "celery", "token": "@production/job/nightly"}]
    kept = await world.api("POST", f"checks/{seen['uuid']}", {"aliases": seen["aliases"]})
    assert kept.status_code == 200, "what is shown may be written back"
    await world.advance(8 * 86_400)
    await world.sweep()
    assert [row["reason"] for row in await world.rows("SELECT reason FROM transitions")] == ["missed"]


async def test_a_job_retires_nothing_and_no_schedule_retires_it(world: World) -> None:
    """Programs of one name, Celery's too, know nothing of each other's jobs; each declares its own, in any order."""
    program = Program(world)
    await program.said(await declared(program, "b", ago=1))
    await program.said(await declared(program, "a", ago=5))
    entry = {"name": "a", "schedule": MINUTELY}
    await program.said(await program.sync(entry), await program.sync({"name": "c", "schedule": MINUTELY}))
    assert {(row["slug"], row["retired_at"] is None) for row in (await world.rows("SELECT slug, retired_at FROM monitors"))} == {
        ("a", True), ("b", True), ("c", True),
    }  # fmt: skip


async def test_of_processes_that_declare_a_new_job_at_once_no_run_is_lost(world: World) -> None:
    """As the children of a pool do: whoever comes second has its runs counted too, though its declaration says nothing new."""
    for n in range(5):
        programs = [Program(world, "python", boot=f"boot {n} {process}") for process in range(6)]
        batches = []
        for process, program in enumerate(programs):
            run = await program.run("succeeded", f"job:new {n}", f"run {process}")
            batches.append((await declared(program, f"new {n}", ago=process), run))
        answers = await asyncio.gather(*(program.said(*batch) for program, batch in zip(programs, batches, strict=True)))
        assert [(answer["unknown_monitors"], answer["warnings"]) for answer in answers] == [(0, [])] * 6


async def test_the_newest_word_of_a_job_counts(world: World) -> None:
    """One that comes late, from before a release, takes nothing back; the same again writes nothing."""
    program = Program(world)
    await program.said(await declared(program, schedule=MINUTELY), await declared(program, ago=60))
    assert (await program.said(await declared(program, ago=30)))["repeated"] == 1
    before = await world.rows("SELECT *, xmin::text FROM monitors")
    assert (before[0]["kind"], before[0]["period"]) == ("every", 60)
    await program.said(await declared(program, schedule=MINUTELY))
    assert await world.rows("SELECT *, xmin::text FROM monitors") == before


async def test_a_job_that_its_scheduler_paused_or_removed_is_not_expected(world: World) -> None:
    """Whatever was said of it before, and until it is declared anew; a run that is under way may still fail."""
    program = Program(world)
    nothing = {"kind": "declared", "next_due": None, "zone": "UTC"}
    for name, before in (
        ("a", MINUTELY),
        ("b", {"kind": "declared", "next_due": await program.now() + 3_600_000, "zone": "UTC"}),
    ):
        await program.said(await declared(program, name, schedule=before), await program.run("succeeded", f"job:{name}"))
        await program.said(await declared(program, name, schedule=nothing))
    await world.advance(86_400)
    await world.sweep()
    assert {name: row["status"] for name, row in (await monitors(world)).items()} == {"a": "up", "b": "up"}
    due = {"kind": "declared", "next_due": await program.now() + 60_000, "zone": "UTC"}
    await program.said(await declared(program, "a", schedule=due), await program.run("failed", "job:b", "r2"))
    await world.advance(200)
    await world.sweep()
    rows = await world.rows("SELECT reason FROM transitions WHERE to_status = 'down' ORDER BY at")
    assert [row["reason"] for row in rows] == ["failed", "missed"]


async def test_an_interval_that_a_program_begins_anew_is_put_off_once(world: World) -> None:
    """A scheduler in memory starts with a whole period at each deploy; deployed for ever, its job never runs."""
    program = Program(world)
    await program.said(await declared(program, schedule={"kind": "every", "seconds": 3600}))
    await program.said(await program.run("succeeded", "job:nightly"))
    for status in ("up", "up", "down"):
        await world.advance(3000)
        anew = {"kind": "every", "seconds": 3600, "next_due": await program.now() + 3_600_000}
        await program.said(await declared(program, schedule=anew))
        await world.sweep()
        assert (await monitors(world))["nightly"]["status"] == status


async def test_a_key_is_one_check_in_an_environment_whichever_program_says_it(world: World) -> None:
    """A success in staging must never hide a death in production."""
    one, other = Program(world, "backup", environment="production"), Program(world, "shell", environment="production")
    staging = Program(world, "backup", environment="staging")
    await one.said(await declared(one))
    await staging.said(await declared(staging))
    await other.said(await other.run("failed", "job:nightly"))
    await staging.said(await staging.run("succeeded", "job:nightly"))
    assert {row["slug"]: row["status"] for row in await world.rows("SELECT slug, status FROM monitors")} == {
        "nightly": "down", "nightly-2": "up",
    }  # fmt: skip
    elsewhere = Program(world, "backup")
    assert (await elsewhere.said(await elsewhere.run("succeeded", "job:nightly")))["unknown_monitors"] == 1


async def test_a_key_may_be_the_slug_or_the_id_of_a_check_that_is_there(world: World) -> None:
    """It reports to that one, and may say when it is due; what a person set otherwise stays."""
    check = await world.check(name="The backup", slug="backup", grace=3600)
    program = Program(world)
    for n, key in enumerate(("backup", check["uuid"], check["uuid"].upper())):
        answer = await program.said(await program.run("succeeded", f"job:{key}", f"r{n}"))
        assert (answer["accepted"], answer["unknown_monitors"]) == (1, 0)
    await program.said(await declared(program, "backup", schedule=MINUTELY))
    row = (await monitors(world))["The backup"]
    assert [row[c] for c in ("period", "grace", "source", "status")] == [60, 3600, "", "up"]
    answer = await program.said(await program.run("succeeded", "job:bakcup"))
    assert answer["warnings"] == [
        "there is no check for job:bakcup: make one with this slug, or let the program say when it is due"
    ]


async def test_a_run_lives_as_long_as_its_program_lists_it(world: World) -> None:
    """However long it takes; lost within 2.5 heartbeats once nobody does. No check of workers is made for it."""
    program = Program(world)
    await program.said(await declared(program, schedule=MINUTELY), await program.run("started", "job:nightly"))
    alive = [["job:nightly", "r1", "x1", 15.0], ["job:gone", "r1", "x1", 1]]
    for _ in range(20):
        await world.advance(15)
        answer = await program.said(await program.event("runs.alive", active=alive))
        assert (answer["accepted"], answer["unknown_monitors"]) == (1, 0)
        await world.sweep()
    assert {name: row["status"] for name, row in (await monitors(world)).items()} == {"nightly": "new"}
    await world.advance(40)
    await world.sweep()
    assert [row["reason"] for row in await world.rows("SELECT reason FROM transitions")] == ["lost"]


async def test_a_key_that_may_ping_may_say_that_its_runs_live(world: World) -> None:
    """It makes nothing, and is not warned of it."""
    program = Program(world)
    await program.said(await declared(program), await program.run("started", "job:nightly"))
    await world.advance(30)
    alive = await program.event("runs.alive", active=[["job:nightly", "r1", "x1", 30]])
    answer = await program.said(alive, key=world.project.ping_key)
    assert (answer["accepted"], answer["warnings"]) == (1, [])
    await world.advance(30)
    await world.sweep()
    assert await world.rows("SELECT * FROM transitions") == []


async def test_what_a_run_says_stands_in_the_log_and_changes_nothing(world: World) -> None:
    """Lines, numbers, how far it is: kept once, however often they come; a run that ended is not opened by them."""
    program = Program(world)
    said = await program.run("log", "job:nightly", log="half of it", metrics={"rows": 10, "MB": 1.5}, progress=0.5)
    await program.said(await declared(program), await program.run("started", "job:nightly", ago=1), said)
    assert (await program.said(said))["repeated"] == 1
    end = await program.run("failed", "job:nightly", error="exit code 3", exit=3, log="out\nand \0out", metrics={"rows": 20})
    await program.said(end)
    assert (await program.said(await program.run("log", "job:nightly", log="afterwards")))["accepted"] == 1
    rows = await world.rows("SELECT signal, exit_status, body FROM check_ins ORDER BY n")
    assert [(row["signal"], row["exit_status"], (row["body"] or b"").decode()) for row in rows] == [
        ("start", None, ""), ("log", None, "progress 50%\nrows = 10\nMB = 1.5\nhalf of it"),
        ("fail", 3, "exit code 3\nrows = 20\nout\nand out"), ("log", None, "afterwards"),
    ]  # fmt: skip
    assert (await monitors(world))["nightly"]["status"] == "down"
    assert await world.rows("SELECT ended_at FROM runs WHERE ended_at IS NULL") == []


async def test_nonsense_of_a_job_is_named(world: World) -> None:
    """Each by its line and what to write instead; the others count."""
    program = Program(world)
    for broken, why in (
        (await declared(program, schedule={"kind": "cron"}), "schedule: a cron has its five fields"),
        (await declared(program, schedule={"kind": "cron", "expression": "61 * * * *"}), "schedule:"),
        (await declared(program, ""), "name: must be text of 1 to 200 characters"),
        (await program.run("log", "job:a", progress=50), "progress: must be a number from 0 to 1"),
        (await program.run("failed", "job:a", exit=-9), "exit: must be a number from 0 to 255"),
        (await program.run("log", "job:"), "monitor: must be"),
    ):
        answer = await program.send(broken, await declared(program, "good"))
        assert (answer.status_code, why in answer.json()["error"]) == (400, True), answer.text
    assert list(await monitors(world)) == ["good"]
