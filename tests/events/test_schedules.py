"""schedule.sync: a program says when everything of it is due; what people changed since stays theirs."""

from typing import Any

import pytest

from tests.events.saying import MINUTELY, NIGHTLY, Program, entry, monitors, ms
from tests.many import statements
from tests.world import World

pytestmark = pytest.mark.anyio
ROWS = "SELECT *, xmin::text FROM monitors ORDER BY id"
BERLIN = {"kind": "crontab", "expression": "*/10 8-17 * * mon-fri", "zone": "Europe/Berlin"}


async def test_a_whole_schedule_appears_and_is_expected(world: World) -> None:
    """Names, schedules, zones, grace by rule, tags, all channels; a job that never ran once is missed."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    shop = Program(world, environment="production")
    due = ms(await world.now()) + 7_200_000
    answer = await shop.said(
        await shop.sync(
            entry("Nightly Backup", tags=["prod", "db one"], description="All of it"),
            entry("often", BERLIN, grace=90, max_runtime=600, max_wait=120),
            entry("fast", {"kind": "every", "seconds": 5}),
            entry("sunset", {"kind": "declared", "next_due": due, "zone": "UTC"}),
            entry("some day", {"kind": "declared", "next_due": None, "zone": "UTC"}),
        )
    )
    assert (answer["accepted"], answer["warnings"], answer["errors"]) == (1, [], [])
    found = await monitors(world)
    shown = {name: [row[c] for c in ("kind", "expression", "zone", "period", "grace")] for name, row in found.items()}
    assert shown["Nightly Backup"] == ["crontab", "0 3 * * *", "UTC", None, 3600]
    assert shown["often"][0::2] == ["crontab", "Europe/Berlin", 90]
    assert shown["fast"] == ["every", None, "UTC", 5, 60]
    assert (shown["sunset"][0], shown["sunset"][4], shown["some day"][0]) == ("declared", 60, "declared")
    backup, often = found["Nightly Backup"], found["often"]
    assert [backup[c] for c in ("slug", "source", "tags", "description", "dispatched", "status")] == [
        "nightly-backup", "celery:shop@production", "prod db one", "All of it", True, "new",
    ]  # fmt: skip
    assert (often["max_runtime"], often["max_wait"]) == (600, 120)
    assert len(await world.rows("SELECT * FROM subscriptions")) == 5
    assert [name for name, row in found.items() if row["deadline"] is None] == ["some day"]
    seen = {check["name"]: check for check in (await world.api("GET", "checks/")).json()["checks"]}
    assert seen["Nightly Backup"]["aliases"] == [{"service": "celery", "token": "shop@production/entry/Nightly Backup"}]
    await world.advance(4 * 86_400)
    await world.sweep()
    assert {name: row["status"] for name, row in (await monitors(world)).items()} == {
        "Nightly Backup": "down", "often": "down", "fast": "down", "sunset": "down", "some day": "new",
    }  # fmt: skip
    assert {row["reason"] for row in await world.rows("SELECT reason FROM transitions")} == {"not_dispatched"}


async def test_the_same_schedule_again_writes_nothing(world: World) -> None:
    """Every quarter of an hour, from each worker: no deadline moves, no row is written."""
    shop, due = Program(world), ms(await world.now()) + 3_600_000
    entries = [entry("a"), entry("b", MINUTELY, tags=["x"]), entry("c", {"kind": "declared", "next_due": due})]
    await shop.said(await shop.sync(*entries), await shop.event("beat.up"))
    await shop.said(await shop.run("started", monitor="entry:b"))
    before = await world.rows(ROWS)
    await world.advance(20)
    await shop.said(await shop.sync(*reversed(entries)))
    await shop.said(await shop.sync(*entries[:2], reconcile=False))
    await shop.said({**await shop.sync(*entries, reconcile=False), "only_new": True})
    assert await world.rows(ROWS) == before


async def test_what_changed_is_changed_and_what_is_gone_is_retired(world: World) -> None:
    """A new schedule counts from now on; an entry no longer named is paused without a word, and resumed when it is back."""
    shop = Program(world)
    await shop.said(await shop.sync(entry("a", MINUTELY), entry("b", MINUTELY)), await shop.run("failed", monitor="entry:b"))
    told = await world.rows("SELECT id FROM deliveries")
    await shop.said(await shop.sync(entry("a", NIGHTLY)))
    found = await monitors(world)
    assert (found["a"]["expression"], found["a"]["grace"]) == ("0 3 * * *", 3600)
    assert (found["b"]["status"], found["b"]["retired_at"] is not None) == ("paused", True)
    await world.advance(600)
    await world.sweep()
    assert {name: row["status"] for name, row in (await monitors(world)).items()} == {"a": "new", "b": "paused"}
    assert await world.rows("SELECT id FROM deliveries") == told
    await shop.said(await shop.sync(entry("a", NIGHTLY), entry("b", MINUTELY)))
    back = (await monitors(world))["b"]
    assert (back["status"], back["retired_at"], back["deadline"] is not None) == ("new", None, True)


@pytest.mark.parametrize(("left", "told"), [(4, 0), (3, 4), (1, 6)])
async def test_a_schedule_that_loses_most_of_its_entries_is_told_to_the_members(world: World, left: int, told: int) -> None:
    """A deploy with the wrong database looks like an edit: nothing is expected any more, and somebody should know."""
    shop, entries = Program(world), [entry(name, MINUTELY) for name in "abcdefg"]
    await shop.said(await shop.sync(*entries))
    await shop.said(await shop.sync(*entries[:left]))
    assert [row["status"] for row in (await monitors(world)).values()].count("paused") == 7 - left
    noted = await world.rows("SELECT monitor, actor FROM pauses")
    assert [row["actor"] for row in noted] == ["A sync of celery:shop"] * told
    await shop.said(await shop.sync(*entries[:left]))
    assert len(await world.rows("SELECT 1 FROM pauses")) == told


async def test_what_is_said_to_be_paused_is_retired_until_it_is_due_again(world: World) -> None:
    """Whole or not, and though nothing else is left; a check is made only when it is due, and workers pause nothing."""
    shop = Program(world)
    a, b, never = ({"name": name, "paused": True} for name in ("a", "b", "never"))
    await shop.said(await shop.sync(entry("a", MINUTELY), entry("b", MINUTELY)), await shop.run("succeeded", monitor="entry:b"))
    await shop.said({**await shop.sync(a, reconcile=False), "only_new": True})
    assert {name: row["status"] for name, row in (await monitors(world)).items()} == {"a": "new", "b": "up"}
    await shop.said(await shop.sync(a, reconcile=False))
    assert {name: row["status"] for name, row in (await monitors(world)).items()} == {"a": "paused", "b": "up"}
    answer = await shop.said(await shop.sync(a, b, never))
    assert (answer["accepted"], answer["warnings"], answer["errors"]) == (1, [], [])
    await world.advance(600)
    await world.sweep()
    found = await monitors(world)
    assert {name: (row["status"], row["retired_at"] is not None) for name, row in found.items()} == {
        "a": ("paused", True), "b": ("paused", True),
    }  # fmt: skip
    assert not await world.rows("SELECT id FROM deliveries")
    await shop.said(await shop.sync(a, entry("b", MINUTELY), entry("never", MINUTELY)))
    assert {name: row["status"] for name, row in (await monitors(world)).items()} == {"a": "paused", "b": "new", "never": "new"}


async def test_of_parts_of_a_schedule_the_later_word_on_a_pause_counts(world: World) -> None:
    """Two syncs in one batch are one."""
    shop = Program(world)
    await shop.said(await shop.sync(entry("a"), entry("b"), ago=10))
    a, b = ({"name": name, "paused": True} for name in ("a", "b"))
    parts = [await shop.sync(a, entry("b"), ago=2, reconcile=False), await shop.sync(entry("a"), b, ago=1, reconcile=False)]
    await shop.said(*parts)
    assert {name: row["status"] for name, row in (await monitors(world)).items()} == {"a": "new", "b": "paused"}


async def test_what_people_changed_stays_theirs(world: World) -> None:
    """Name, grace, tags, channels outlive every sync, until the program itself says something new of them."""
    shop = Program(world)
    await shop.said(await shop.sync(entry(grace=300, tags=["a"])))
    check = (await world.api("GET", "checks/")).json()["checks"][0]
    changed = {"name": "Backup of ours", "grace": 1200, "tags": "mine", "channels": ""}
    await world.api("POST", f"checks/{check['uuid']}", changed)
    await shop.said(await shop.sync(entry(grace=300, tags=["a"])))
    await shop.said(await shop.sync(entry(schedule=BERLIN, grace=300, tags=["a"])))
    row = (await monitors(world))["Backup of ours"]
    assert [row[c] for c in ("grace", "tags", "zone")] == [1200, "mine", "Europe/Berlin"]
    await shop.said(await shop.sync(entry(schedule=BERLIN, tags=["a"])))
    assert (await monitors(world))["Backup of ours"]["grace"] == 1200
    await shop.said(await shop.sync(entry(schedule=BERLIN, grace=500, tags=["b"])))
    row = (await monitors(world))["Backup of ours"]
    assert [row[c] for c in ("grace", "tags")] == [500, "b"]
    await shop.said(await shop.sync(entry(schedule=BERLIN)))
    row = (await monitors(world))["Backup of ours"]
    assert [row[c] for c in ("grace", "tags")] == [60, ""]


async def test_a_pause_by_hand_outlives_every_sync(world: World) -> None:
    """A person's pause is no retirement."""
    shop = Program(world)
    await shop.said(await shop.sync(entry("a"), entry("b")))
    ids = {name: row["id"] for name, row in (await monitors(world)).items()}
    await world.api("POST", f"checks/{ids['a']}/pause")
    await shop.said(await shop.sync(entry("b")))
    await shop.said(await shop.sync(entry("a"), entry("b")))
    assert {name: row["status"] for name, row in (await monitors(world)).items()} == {"a": "paused", "b": "new"}


async def test_a_renamed_entry_keeps_its_history_where_a_person_says_so(world: World) -> None:
    """The name that the entry has now is given to the check it had: nothing is made, nothing is retired."""
    shop = Program(world)
    await shop.said(await shop.sync(entry("old")), await shop.run("succeeded", monitor="entry:old"))
    check = (await world.api("GET", "checks/")).json()["checks"][0]
    aliases = [{"service": "celery", "token": "shop/entry/new"}]
    assert (await world.api("POST", f"checks/{check['uuid']}", {"aliases": aliases})).status_code == 200
    await shop.said(await shop.sync(entry("new")), await shop.run("succeeded", monitor="entry:new", run="r2"))
    rows = await world.rows("SELECT name, status, heard FROM monitors")
    assert rows == [{"name": "new", "status": "up", "heard": 2}]
    for token in ("new", "a/b", "/entry/x", "x" * 321):
        wrong = await world.api("POST", f"checks/{check['uuid']}", {"aliases": [{"service": "celery", "token": token}]})
        assert wrong.status_code == 400


async def test_an_older_sync_that_comes_late_changes_nothing(world: World) -> None:
    """By the time it was said, not by the time it came; each source by itself."""
    shop, other = Program(world), Program(world, "other")
    older = await shop.sync(entry("a"), ago=60)
    newer = await shop.sync(entry("b", MINUTELY), ago=30)
    await shop.said(newer)
    answer = await shop.said(older)
    assert (answer["accepted"], answer["repeated"]) == (0, 1)
    assert list(await monitors(world)) == ["b"]
    await other.said(await other.sync(entry("c"), ago=90))
    assert list(await monitors(world)) == ["b", "c"]


async def test_a_worker_says_what_it_knows_and_undoes_nothing(world: World) -> None:
    """With `only_new` what was never named is made; what Beat has declared or retired stays, and no order is made of it."""
    shop = Program(world)
    by_beat = await shop.sync(entry("b"), ago=30)
    await shop.said({**await shop.sync(entry("a"), entry("b", MINUTELY)), "only_new": True})
    await shop.said(await shop.sync(entry("a", MINUTELY), entry("b", MINUTELY), reconcile=False, ago=60))
    assert (await monitors(world))["a"]["kind"] == "every"
    await shop.said(by_beat)
    before = await world.rows(ROWS)
    await shop.said({**await shop.sync(entry("a"), entry("b", MINUTELY), reconcile=False), "only_new": True})
    assert await world.rows(ROWS) == before
    await shop.said({**await shop.sync(entry("a"), entry("b", MINUTELY), entry("c"), reconcile=False), "only_new": True})
    assert {name: (row["status"], row["kind"]) for name, row in (await monitors(world)).items()} == {
        "a": ("paused", "every"), "b": ("new", "crontab"), "c": ("new", "crontab"),
    }  # fmt: skip


async def test_a_broken_entry_is_named_and_stops_no_other(world: World) -> None:
    """400 with each of them; the good ones are taken over, and what is broken now is neither changed nor retired."""
    shop = Program(world)
    await shop.said(await shop.sync(entry("known"), entry("gone")))
    sent = await shop.sync(
        entry("good"), entry("known", {"kind": "crontab", "expression": "61 * * * *"}),
        entry("zone", {**BERLIN, "zone": "Mars"}), entry("never", {"kind": "crontab", "expression": "0 0 31 2 *"}),
        entry("good", MINUTELY), {"schedule": NIGHTLY},
        entry("grace", grace="much"), entry("kind", {"kind": "solar"}), "text",
    )  # fmt: skip
    answer = await shop.send(sent)
    found = answer.json()
    assert (answer.status_code, found["accepted"]) == (400, 1)
    assert [error["error"].split("'")[1] for error in found["errors"]] == [
        "known", "zone", "never", "good", "None", "grace", "kind", "None",
    ]  # fmt: skip
    assert {name: (row["status"], row["kind"]) for name, row in (await monitors(world)).items()} == {
        "good": ("new", "crontab"), "known": ("new", "crontab"), "gone": ("new", "crontab"),
    }  # fmt: skip
    await shop.send(await shop.sync(entry("good"), entry("known", {"kind": "solar"})))
    assert {name: row["status"] for name, row in (await monitors(world)).items()} == {
        "good": "new", "known": "new", "gone": "paused",
    }  # fmt: skip


async def test_an_empty_schedule_retires_nothing(world: World) -> None:
    """A broken deploy looks just like it: a warning, and everything is watched on."""
    shop = Program(world)
    await shop.said(await shop.sync(entry("a")))
    answer = await shop.said(await shop.sync())
    assert "empty schedule" in answer["warnings"][0]
    assert (await monitors(world))["a"]["status"] == "new"


async def test_of_a_full_plan_as_many_as_fit_are_made(world: World) -> None:
    """Those who watch first; the others are named, and nothing else of the batch is lost."""
    await world.run("UPDATE projects SET monitor_limit = 3")
    shop = Program(world)
    names = [f"job-{n}" for n in range(5)]
    answer = await shop.said(
        await shop.sync(*(entry(name) for name in names)),
        await shop.event("worker.up"),
        await shop.run("succeeded", monitor="entry:job-0"),
    )
    assert (answer["accepted"], answer["unknown_monitors"]) == (3, 0)
    assert [words for words in answer["warnings"] if "plan is full" in words and "job-4" in words]
    assert {name: row["status"] for name, row in (await monitors(world)).items()} == {
        "Workers of shop": "up", "job-0": "up", "job-1": "new",
    }  # fmt: skip


async def test_parts_of_a_schedule_in_one_batch_are_put_together(world: World) -> None:
    """In whatever order they stand, the later word of an entry counts; a whole one replaces what came before it."""
    shop = Program(world)
    first = await shop.sync(entry("one", MINUTELY), entry("two", MINUTELY), reconcile=False, ago=9)
    later = await shop.sync(entry("two", NIGHTLY), entry("three", MINUTELY), reconcile=False, ago=8)
    answer = await shop.said(later, first)
    assert (answer["accepted"], answer["repeated"]) == (2, 0)
    assert {name: row["kind"] for name, row in (await monitors(world)).items()} == {
        "one": "every", "two": "crontab", "three": "every",
    }  # fmt: skip
    same = {"ts": await shop.now()}
    answer = await shop.said(
        await shop.sync(entry("four"), reconcile=False, ago=3),
        await shop.sync(entry("one"), ago=2), await shop.sync(entry("one"), ago=1),
        {**await shop.sync(entry("five"), reconcile=False), **same}, {**await shop.sync(entry("six"), reconcile=False), **same},
    )  # fmt: skip
    assert (answer["accepted"], answer["repeated"]) == (3, 2)
    assert {name: row["status"] for name, row in (await monitors(world)).items()} == {
        "one": "new", "two": "paused", "three": "paused", "five": "new", "six": "new",
    }  # fmt: skip


async def test_two_programs_of_one_name_retire_nothing_of_each_other(world: World) -> None:
    """Both are watched, and told to take names of their own; a restart is one program, and retires what it no longer has."""
    one, two = Program(world, boot="one"), Program(world, boot="two")
    await one.said(await one.sync(entry("a"), entry("old")))
    assert (await one.said(await one.sync(entry("a"))))["warnings"] == []
    await two.said(await two.sync(entry("b")))
    warned = []
    for n in range(4):
        for program, name in ((one, "a"), (two, "b")):
            await world.advance(900)
            warned += (await program.said(await program.sync(entry(name))))["warnings"]
            found = {name: row["status"] for name, row in (await monitors(world)).items()}
            assert found == {"a": "new", "b": "new", "old": "paused"}, n
    assert warned == ['two programs call themselves shop: give each its own name (Celery("name")) or MISSEDBEAT_ENVIRONMENT'] * 8
    new = Program(world, boot="three")
    assert (await new.said(await new.sync(entry("b"))))["warnings"] == []
    assert {name: row["status"] for name, row in (await monitors(world)).items()} == {"a": "paused", "b": "new", "old": "paused"}
    again = await new.said(await new.sync(entry("c")))
    assert again["warnings"] == []
    assert (await monitors(world))["b"]["status"] == "paused"
    for n in range(20):
        many = Program(world, boot=f"boot-{n}")
        await many.said(await many.sync(entry("c")))
    assert (await world.rows("SELECT boots FROM syncs"))[0]["boots"] == [f"boot-{n}" for n in range(10, 20)]


async def test_two_schedulers_of_one_schedule_are_no_trouble(world: World) -> None:
    """One of them stands by: they say the same, and what nobody names any more goes with the next that begins."""
    one, two = Program(world, boot="one"), Program(world, boot="two")
    said = [await program.said(await program.sync(entry("a"))) for program in (one, two, one, two, one)]
    assert [answer["warnings"] for answer in said] == [[]] * 5


async def test_what_is_dispatched_is_scheduled(world: World) -> None:
    """A retired entry that its scheduler sends is watched again at once; a late word of before, or of a worker, wakes nothing."""
    shop = Program(world, boot="one")
    await shop.said(await shop.sync(entry("a", MINUTELY), entry("b", MINUTELY)), await shop.run("succeeded", "entry:b", "r0"))
    late = await shop.run("dispatched", "entry:b", "late")
    await world.advance(5)
    await shop.said(await shop.sync(entry("a", MINUTELY)))
    await world.advance(10)
    await shop.said(late, await shop.run("started", "entry:b", "late"), await shop.run("succeeded", "entry:b", "late"))
    assert (await monitors(world))["b"]["status"] == "paused"
    await shop.said(await shop.run("dispatched", "entry:b", "r1"))
    row = (await monitors(world))["b"]
    assert (row["status"], row["retired_at"], row["due"] is not None) == ("new", None, True)
    await shop.said(await shop.run("started", "entry:b", "r1"), await shop.run("failed", "entry:b", "r1"))
    assert (await monitors(world))["b"]["status"] == "down"
    await world.api("POST", f"checks/{row['id']}/pause")
    await shop.said(await shop.run("dispatched", "entry:b", "r2"))
    assert (await monitors(world))["b"]["status"] == "paused"


async def test_a_dispatch_of_long_ago_expects_nothing_of_the_time_since(world: World) -> None:
    """A backlog after a network that was away: the entry is expected from now on."""
    shop = Program(world)
    await shop.said(await shop.sync(entry("a", MINUTELY), entry("b", MINUTELY)), await shop.run("succeeded", "entry:b", "r0"))
    await shop.said(await shop.sync(entry("a", MINUTELY)))
    await world.advance(3600)
    await shop.said(await shop.run("dispatched", "entry:b", "r1", ago=3000))
    await world.sweep()
    row = (await monitors(world))["b"]
    assert (row["status"], row["due"] > await world.now()) == ("new", True)


async def test_intervals_that_a_scheduler_begins_anew_are_put_off_once(world: World) -> None:
    """Without its file it counts from its start: less than a period later, and not again for a start after that."""
    shop, hour = Program(world), {"kind": "every", "seconds": 3600}
    await shop.said(await shop.sync(entry("a", hour)), await shop.run("succeeded", "entry:a"))
    due = ms((await monitors(world))["a"]["due"])
    await world.advance(3000)
    said = entry("a", {**hour, "next_due": await shop.now() + 3_600_000})
    shop.skew = 500
    skewed = entry("a", {**hour, "next_due": await shop.now() + 3_600_000})
    await shop.said(await shop.sync(skewed))
    shop.skew = 0
    row = (await monitors(world))["a"]
    assert abs(ms(row["due"]) - said["schedule"]["next_due"]) < 3000
    before = await world.rows(ROWS)
    await shop.said(await shop.sync(entry("a", hour)), await shop.event("run.else"))
    await shop.said(await shop.sync(entry("a", {**hour, "next_due": due})))
    assert await world.rows(ROWS) == before
    await world.advance(3000)
    await shop.said(await shop.sync(entry("a", {**hour, "next_due": await shop.now() + 3_600_000})))
    assert abs(ms((await monitors(world))["a"]["due"]) - due - 3_600_000) < 3000
    wrong = await shop.send(await shop.sync(entry("a", {**hour, "next_due": "soon"})))
    assert "entry 'a': next_due: must be a number" in wrong.json()["error"]


async def test_what_only_the_scheduler_knows_it_says_again_and_again(world: World) -> None:
    """`next_due` of a heartbeat and of a dispatch moves what is expected; a slot that nobody dispatched is missed."""
    shop, now = Program(world), ms(await world.now())
    declared = {"kind": "declared", "next_due": now + 60_000, "zone": "UTC"}
    await shop.said(await shop.sync(entry("sunset", declared)), await shop.event("beat.up"))
    await shop.said(await shop.event("beat.beat", next_due={"sunset": now + 100_000, "unknown": 5}))
    row = (await monitors(world))["sunset"]
    assert ms(row["due"]) // 1000 == (now + 100_000) // 1000
    await world.advance(100)
    dispatched = await shop.run("dispatched", "entry:sunset", next_due=now + 200_000)
    await shop.said(dispatched, await shop.run("succeeded", monitor="entry:sunset"), await shop.event("beat.beat"))
    row = (await monitors(world))["sunset"]
    assert (row["status"], row["period"], ms(row["due"]) // 1000) == ("up", 100, (now + 200_000) // 1000)
    for _ in range(15):
        await world.advance(15)
        await shop.said(await shop.event("beat.beat"))
    await world.sweep()
    assert (await monitors(world))["sunset"]["status"] == "down"


@pytest.mark.timeout(60)
async def test_a_thousand_entries_and_events_cost_as_many_statements_as_ten(calm: World) -> None:
    """Made, said again, run and retired: they go in a few pieces."""
    counts: list[list[int]] = []
    for app, many in (("few", 10), ("many", 1000)):
        shop = Program(calm, app)
        said: list[int] = []

        async def sent(*events: Any, shop: Program = shop, said: list[int] = said) -> dict[str, Any]:
            with statements() as found:
                answer = await shop.said(*events)
            said.append(len(found))
            return answer

        entries = [entry(f"{app}.job_{n}", {**NIGHTLY, "expression": f"{n % 60} 3 * * *"}) for n in range(many)]
        await sent(await shop.sync(*entries))
        await sent(await shop.sync(*entries))
        names = [f"entry:{app}.job_{n % 400}" for n in range(many)][:490]
        events = [await shop.run("started", name, f"r{n}") for n, name in enumerate(names)]
        assert (await sent(*events))["accepted"] == len(names)
        assert (await sent(*events))["repeated"] == len(names)
        await sent(await shop.event("worker.beat", active=[[name, f"r{n}", "x1", 1] for n, name in enumerate(names)][:300]))
        await sent(await shop.event("worker.beat", active=[[name, f"r{n}", "x1", 1] for n, name in enumerate(names)][:300]))
        await sent(await shop.sync(entries[0]))
        counts.append(said)
    assert all(many <= few + 3 for few, many in zip(*counts, strict=True)), counts
