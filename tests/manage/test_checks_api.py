"""Checks over the API: what Healthchecks' clients rely on, and what is ours beside it."""

import asyncio
import re
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.store import listings
from app.store.listings import Listing
from tests.many import patiently, statements
from tests.world import World

pytestmark = pytest.mark.anyio

NAMES = {
    "name", "slug", "tags", "desc", "grace", "n_pings", "status", "started", "last_ping", "next_ping", "manual_resume", "methods",
    "subject", "subject_fail", "start_kw", "success_kw", "failure_kw", "filter_subject", "filter_body", "filter_http_body",
    "filter_default_fail", "badge_url",
}  # fmt: skip
ADDRESSES = {"uuid", "ping_url", "update_url", "pause_url", "resume_url", "channels", "aliases"}
OURS = {"kind", "early", "max_runtime", "max_wait", "failures_to_alert", "successes_to_recover", "deadline", "source", "retired"}
DOWN_DAILY = {"schedule": "0 3 * * *", "tz": "Europe/Berlin"}


def at(text: str) -> datetime:
    """An instant of the API, which must be without microseconds and in UTC."""
    assert text.endswith("+00:00"), text
    assert "." not in text, text
    return datetime.fromisoformat(text)


async def channel(world: World, name: str) -> str:
    """A new channel's id."""
    answer = await world.api("POST", "channels/", {"kind": "slack", "name": name, "url": f"https://hooks.example.com/{name}"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


# ---- made and read


async def test_a_check_made_of_nothing_has_the_defaults_and_fields_of_healthchecks(world: World) -> None:
    """An empty body makes a check of a day with an hour of grace, that nobody hears of and that expects nothing yet."""
    answer = await world.client.post("/api/v3/checks/", headers={"X-Api-Key": world.project.api_key})
    assert answer.status_code == 201
    check = answer.json()
    assert set(check) == NAMES | ADDRESSES | OURS | {"timeout"}
    assert (check["timeout"], check["grace"], check["name"], check["slug"], check["channels"]) == (86400, 3600, "", "", "")
    assert (check["status"], check["started"], check["n_pings"], check["kind"]) == ("new", False, 0, "every")
    assert check["last_ping"] is check["next_ping"] is check["deadline"] is None
    assert re.fullmatch(r"http://missedbeat.test/b/2/[0-9a-f-]{36}.svg", check["badge_url"])
    assert check["uuid"] not in check["badge_url"]
    assert check["aliases"] == []
    own = f"http://missedbeat.test/api/v3/checks/{check['uuid']}"
    assert check["ping_url"] == f"http://missedbeat.test/ping/{check['uuid']}"
    assert (check["update_url"], check["pause_url"], check["resume_url"]) == (own, f"{own}/pause", f"{own}/resume")


async def test_everything_that_is_said_of_a_check_is_read_back(world: World) -> None:
    """What goes in comes out, by every way of reading."""
    said = {
        "name": "Nightly backup", "slug": "nightly", "tags": "prod db", "desc": "two\nlines", "grace": 600, "manual_resume": True,
        "methods": "POST", "schedule": "0 3 * * *", "tz": "Europe/Berlin", "early": 120, "max_runtime": 900, "max_wait": 120,
        "failures_to_alert": 3, "successes_to_recover": 2,
    }  # fmt: skip
    made = await world.check(**said)
    assert said.items() <= made.items()
    assert "timeout" not in made
    assert made["kind"] == "cron"
    assert await world.seen(made) == made
    assert (await world.api("GET", "checks/")).json() == {"checks": [made]}


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_every_version_answers_with_and_without_the_last_slash(world: World, version: int, slash: str) -> None:
    """Clients differ in how they write a path; none is redirected, and URLs stay in the version asked."""
    key = {"X-Api-Key": world.project.api_key}
    root = f"/api/v{version}/checks"
    made = await world.client.post(f"{root}{slash}", json={"name": "a"}, headers=key)
    assert made.status_code == 201
    own = f"{root}/{made.json()['uuid']}"
    assert made.json()["update_url"] == f"http://missedbeat.test{own}"
    assert (await world.client.get(f"{root}{slash}", headers=key)).json()["checks"][0]["name"] == "a"
    assert (await world.client.post(f"{own}{slash}", json={"name": "b"}, headers=key)).json()["name"] == "b"
    assert (await world.client.post(f"{own}/pause{slash}", headers=key)).json()["status"] == "paused"
    assert (await world.client.post(f"{own}/resume{slash}", headers=key)).json()["status"] == "new"
    for part in ("pings", "flips", "transitions", "runs", "incidents"):
        assert list((await world.client.get(f"{own}/{part}{slash}", headers=key)).json()) == [part]
    assert (await world.client.delete(f"{own}{slash}", headers=key)).json()["name"] == "b"
    assert (await world.client.get(f"{own}{slash}", headers=key)).status_code == 404


async def test_a_browser_on_another_site_may_ask(world: World) -> None:
    """CORS on every answer, and OPTIONS answered without a key."""
    asked = await world.client.options("/api/v3/checks/")
    assert asked.status_code == 204
    answer = await world.client.get("/api/v3/checks/")
    assert asked.headers["access-control-allow-origin"] == answer.headers["access-control-allow-origin"] == "*"
    assert "X-Api-Key" in asked.headers["access-control-allow-headers"]
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    for path in ("/api/docs", "/api/openapi.json"):
        assert (await world.client.options(path)).status_code == 204


# ---- keys


async def test_a_key_is_taken_from_header_bearer_and_body(world: World) -> None:
    """All three forms open the same project."""
    key = world.project.api_key
    forms: list[dict[str, Any]] = [
        {"headers": {"X-Api-Key": key}}, {"headers": {"Authorization": f"Bearer {key}"}}, {"json": {"api_key": key}},
    ]  # fmt: skip
    for form in forms:
        assert (await world.client.post("/api/v3/checks/", **form)).status_code == 201
    assert len((await world.api("GET", "checks/")).json()["checks"]) == 3


async def test_without_a_right_key_nothing_is_told(world: World) -> None:
    """Missing, unknown, mistyped and read-only keys: 401 with the words of the protocol, and nothing is made."""
    key = world.project.api_key
    missing = await world.client.get("/api/v3/checks/")
    assert (missing.status_code, missing.json()) == (401, {"error": "missing api key"})
    other = await world.new_project("Other")
    wrongs: list[str | bytes]
    swapped = key[:6] + other.api_key[6:-6] + key[-6:]
    wrongs = ["x" * 43, key[:-1], swapped, "", " ", b"mb_rw_\xff"]
    for wrong in wrongs:
        answer = await world.client.get(
            "/api/v3/checks/", headers=[(b"X-Api-Key", wrong if isinstance(wrong, bytes) else wrong.encode())]
        )
        assert answer.status_code == 401
        assert answer.json()["error"] in ("wrong api key", "missing api key")
    check = await world.check()
    for method, path in (("POST", "checks/"), ("POST", f"checks/{check['uuid']}"), ("DELETE", f"checks/{check['uuid']}")):
        answer = await world.api(method, path, {}, key=world.project.api_key_readonly)
        assert (answer.status_code, answer.json()) == (401, {"error": "wrong api key"})
    assert len((await world.api("GET", "checks/")).json()["checks"]) == 1


async def test_a_revoked_key_opens_nothing(world: World) -> None:
    """At once, for keys are looked up on every call."""
    await world.run("UPDATE api_keys SET revoked_at = now() WHERE scope = 'rw'")
    assert (await world.api("GET", "checks/")).json() == {"error": "wrong api key"}
    assert (await world.api("GET", "checks/", key=world.project.api_key_readonly)).status_code == 200


async def test_a_read_only_key_sees_no_ping_id_anywhere(world: World) -> None:
    """`unique_key` stands for the id, and leads to the check, its flips, transitions, runs and incidents."""
    check = await world.check(name="seen", channels="")
    await world.ping(check, "/fail")
    key = world.project.api_key_readonly
    shown = (await world.api("GET", "checks/", key=key)).json()["checks"][0]
    assert set(shown) == NAMES | OURS | {"timeout", "unique_key"}
    own = f"checks/{shown['unique_key']}"
    assert (await world.api("GET", own, key=key)).json() == shown
    for path in ("checks/", own, f"{own}/flips/", f"{own}/transitions/", f"{own}/runs/", f"{own}/incidents/", "incidents/"):
        answer = await world.api("GET", path, key=key)
        assert answer.status_code == 200
        assert check["uuid"] not in answer.text
    assert len((await world.api("GET", f"{own}/flips/", key=key)).json()["flips"]) == 1
    assert len((await world.api("GET", "incidents/", key=key)).json()["incidents"]) == 1
    for path in (f"checks/{check['uuid']}/pings/", f"checks/{check['uuid']}/pings/1/body", "channels/"):
        assert (await world.api("GET", path, key=key)).json() == {"error": "wrong api key"}


# ---- found again


async def test_a_list_is_narrowed_by_every_tag_and_by_slug(world: World) -> None:
    """`tag` repeated means all of them, whole words only."""
    await world.check(name="a", tags="prod db", slug="a")
    await world.check(name="b", tags="prod web")
    await world.check(name="c", tags="production db")

    async def names(query: str) -> list[str]:
        return [check["name"] for check in (await world.api("GET", f"checks/?{query}")).json()["checks"]]

    assert await names("") == ["a", "b", "c"]
    assert await names("tag=prod") == ["a", "b"]
    assert await names("tag=db&tag=prod") == ["a"]
    assert await names("tag=db&slug=a") == ["a"]
    assert await names("slug=nothing") == []
    assert await names("slug=") == ["a", "b", "c"]


async def test_unique_edits_the_check_that_agrees(world: World) -> None:
    """200 and the same id where all named fields agree; a field that is not given agrees with nothing."""
    first = await world.check(name="job", tags="x", timeout=60)
    again = await world.api("POST", "checks/", {"name": "job", "tags": "x", "grace": 77, "unique": ["name", "tags"]})
    assert (again.status_code, again.json()["uuid"], again.json()["grace"]) == (200, first["uuid"], 77)
    assert again.json()["timeout"] == 60
    for body in (
        {"name": "job", "tags": "y", "unique": ["name", "tags"]},
        {"name": "job", "timeout": 61, "unique": ["name", "timeout"]},
        {"tags": "x", "unique": ["name", "tags"]},
        {"name": "job", "unique": []},
    ):
        assert (await world.api("POST", "checks/", body)).status_code == 201


async def test_unique_by_what_is_empty_edits_nobody(world: World) -> None:
    """A name or slug that a client left empty is no other job's; empty tags count beside a name."""
    other = await world.check(name="other", tags="")
    nameless = await world.check()
    for body in ({"slug": ""}, {"name": ""}, {"tags": ""}, {"name": "", "tags": ""}, {"name": "other", "slug": ""}):
        answer = await world.api("POST", "checks/", {**body, "unique": list(body), "grace": 77})
        assert answer.status_code == 201, body
        assert (await world.api("DELETE", f"checks/{answer.json()['uuid']}")).status_code == 200
    assert [await world.seen(check) for check in (other, nameless)] == [other, nameless]
    answer = await world.api("POST", "checks/", {"name": "other", "tags": "", "unique": ["name", "tags"]})
    assert (answer.status_code, answer.json()["uuid"]) == (200, other["uuid"])


async def test_twenty_upserts_at_once_make_one_check(world: World) -> None:
    """One 201, nineteen 200, one row; who had to wait too long for its turn is refused honestly, and asks again."""
    body = {"name": "once", "unique": ["name"]}
    answers = await asyncio.gather(*(patiently(lambda: world.api("POST", "checks/", body)) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["uuid"] for answer in answers}) == 1


async def test_a_slug_belongs_to_one_check_of_a_project(world: World) -> None:
    """A taken one is refused, when made and when edited; another project may have the same."""
    await world.check(slug="backup")
    other = await world.check(slug="other")
    for path in ("checks/", f"checks/{other['uuid']}"):
        answer = await world.api("POST", path, {"slug": "backup"})
        assert answer.status_code == 400
        assert "slug" in answer.json()["error"]
    assert (await world.seen(other))["slug"] == "other"
    project = await world.new_project("Other")
    assert (await world.api("POST", "checks/", {"slug": "backup"}, key=project.api_key)).status_code == 201


@pytest.mark.parametrize("version", [1, 2])
async def test_old_versions_derive_the_slug_from_the_name(world: World, version: int) -> None:
    """A taken one gets -2; renaming derives it anew, any other edit leaves it; a given one wins. v3 derives none."""
    key = {"X-Api-Key": world.project.api_key}

    async def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict((await world.client.post(f"/api/v{version}/checks/{path}", json=body, headers=key)).json())

    first, second = [await post("", {"name": "Große Sicherung: Nacht!"}) for _ in range(2)]
    assert (first["slug"], second["slug"]) == ("groe-sicherung-nacht", "groe-sicherung-nacht-2")
    assert (await post(second["uuid"], {"name": "Große Sicherung: Nacht!", "grace": 60}))["slug"] == "groe-sicherung-nacht-2"
    assert (await post(second["uuid"], {"name": "Tag"}))["slug"] == "tag"
    assert (await post(second["uuid"], {"slug": ""}))["slug"] == ""
    assert (await post(second["uuid"], {"grace": 70}))["slug"] == ""
    assert (await post(second["uuid"], {"name": "Tag"}))["slug"] == "tag"
    assert (await post("", {"name": "Other", "slug": "given"}))["slug"] == "given"
    assert (await post("", {"name": "!"}))["slug"] == ""
    assert (await world.check(name="Third"))["slug"] == ""


async def test_twenty_checks_of_one_long_name_at_once_get_twenty_slugs(world: World) -> None:
    """Derived slugs are never refused, however many want the same, and never longer than 100."""
    key = {"X-Api-Key": world.project.api_key}
    made = [patiently(lambda: world.client.post("/api/v1/checks/", json={"name": "x" * 100}, headers=key)) for _ in range(20)]
    slugs = [answer.json()["slug"] for answer in await asyncio.gather(*made)]
    assert len(set(slugs)) == 20
    assert {len(slug) <= 100 for slug in slugs} == {True}


# ---- edited


async def test_an_edit_changes_what_is_given_and_nothing_else(world: World) -> None:
    """Schedule wins over timeout; a period over a calendar; tz alone re-reads the calendar; null takes a default back."""
    made = await world.check(name="a", tags="x", early=5, max_runtime=9)

    async def edited(**body: Any) -> dict[str, Any]:
        answer = await world.api("POST", f"checks/{made['uuid']}", body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    assert await edited() == made
    assert await edited(grace=99) == {**made, "grace": 99}
    cron = await edited(schedule="*/5 * * * *", timeout=70)
    assert (cron["kind"], cron["schedule"], cron["tz"]) == ("cron", "*/5 * * * *", "UTC")
    assert (await edited(tz="Asia/Tokyo"))["tz"] == "Asia/Tokyo"
    calendar = await edited(schedule="Mon..Fri 03:00")
    assert (calendar["kind"], calendar["schedule"], calendar["tz"]) == ("oncalendar", "Mon..Fri 03:00", "Asia/Tokyo")
    every = await edited(timeout=70, early=None, max_runtime=None)
    assert (every["kind"], every["timeout"], every["early"], every["max_runtime"]) == ("every", 70, None, None)
    assert "schedule" not in every
    assert (await edited(tz="Asia/Tokyo"))["timeout"] == 70


async def test_a_zone_stays_for_the_next_calendar(world: World) -> None:
    """It is a field of its own: a period does without it and keeps it, made with it, edited to it or changed to a period; by
    itself it moves no deadline there."""
    made = await world.check(timeout=3600, tz="Europe/Riga")

    async def edited(**body: Any) -> dict[str, Any]:
        answer = await world.api("POST", f"checks/{made['uuid']}", body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    assert "tz" not in made
    assert (await edited(schedule="0 3 * * *"))["tz"] == "Europe/Riga"
    assert "tz" not in await edited(timeout=3600)
    assert (await edited(schedule="0 3 * * *"))["tz"] == "Europe/Riga"
    assert (await edited(timeout=3600))["kind"] == "every"
    await world.ping(made)
    before = await world.seen(made)
    await world.advance(10)
    assert await edited(tz="Asia/Tokyo") == before
    assert (await edited(schedule="Mon..Fri 03:00"))["tz"] == "Asia/Tokyo"
    assert (await edited(schedule="0 3 * * *", tz="UTC"))["tz"] == "UTC"
    assert (await world.check(timeout=3600))["kind"] == "every"


async def test_two_edits_at_once_both_count(world: World) -> None:
    """Neither writes back what the other changed."""
    made = await world.check()
    for n in range(1, 11):
        await asyncio.gather(
            world.api("POST", f"checks/{made['uuid']}", {"grace": 100 + n}),
            world.api("POST", f"checks/{made['uuid']}", {"timeout": 200 + n}),
        )
        seen = await world.seen(made)
        assert (seen["grace"], seen["timeout"]) == (100 + n, 200 + n)


async def test_a_regular_upsert_leaves_the_deadline_and_an_edit_gives_a_minute(world: World) -> None:
    """Posting the same again moves nothing; a shorter period is due no earlier than 60 s from now."""
    made = await world.check(name="a", timeout=600, grace=60)
    await world.ping(made)
    before = await world.seen(made)
    assert at(before["deadline"]) - at(before["last_ping"]) == timedelta(seconds=660)
    await world.advance(300)
    assert (await world.api("POST", f"checks/{made['uuid']}", {"timeout": 600, "grace": 60, "tags": "x"})).json()[
        "deadline"
    ] == before["deadline"]
    after = (await world.api("POST", f"checks/{made['uuid']}", {"timeout": 60, "grace": 1})).json()
    assert timedelta(seconds=58) <= at(after["deadline"]) - await world.now() <= timedelta(seconds=60)
    assert after["status"] in ("up", "grace")


async def test_an_upsert_of_a_one_shot_that_has_fired_is_not_refused(world: World) -> None:
    """A schedule that never fires again is refused when it is new, not when it is what stands there."""
    soon = (await world.now() + timedelta(minutes=2)).strftime("%Y-%m-%d %H:%M:%S")
    made = await world.check(schedule=soon)
    await world.advance(300)
    assert (await world.api("POST", f"checks/{made['uuid']}", {"schedule": soon, "tz": "UTC"})).status_code == 200
    assert (await world.api("POST", "checks/", {"schedule": soon})).status_code == 400


async def test_channels_are_given_by_star_ids_and_names(world: World) -> None:
    """`*` means all of now; a later channel is not added by itself; an empty text means none."""
    a, b = await channel(world, "a"), await channel(world, "b")
    made = await world.check(channels="*")
    assert made["channels"] == f"{a},{b}"
    await channel(world, "c")
    assert (await world.seen(made))["channels"] == f"{a},{b}"
    for given, expected in (("b", b), (a, a), (f"{b},a,{a}", f"{a},{b}"), (" a , b ", f"{a},{b}"), ("", "")):
        edited = await world.api("POST", f"checks/{made['uuid']}", {"channels": given})
        assert edited.json()["channels"] == expected
    assert (await world.check())["channels"] == ""


async def test_a_channel_that_is_unknown_foreign_or_meant_twice_is_refused(world: World) -> None:
    """In Healthchecks' words, and nothing is made."""
    other = await world.new_project("Other")
    made = await world.api("POST", "channels/", {"kind": "email", "address": "a@example.com"}, key=other.api_key)
    await channel(world, "twin")
    await channel(world, "twin")
    for given, words in (
        ("nobody", "invalid channel identifier: nobody"),
        (made.json()["id"], f"invalid channel identifier: {made.json()['id']}"),
        ("twin", "non-unique channel identifier: twin"),
        ("twin,,x", "non-unique channel identifier: twin"),
        (",", "empty channel identifier"),
    ):
        answer = await world.api("POST", "checks/", {"channels": given})
        assert (answer.status_code, answer.json()) == (400, {"error": words})
    assert (await world.api("GET", "checks/")).json() == {"checks": []}


# ---- its status


async def test_the_status_is_right_even_if_nobody_sweeps(world: World) -> None:
    """up, then grace past the slot, then down past the deadline: computed when read, for one and for the list."""
    made = await world.check(timeout=60, grace=30)
    await world.ping(made)
    seen = await world.seen(made)
    assert seen["status"] == "up"
    assert at(seen["next_ping"]) - at(seen["last_ping"]) == timedelta(seconds=60)
    for ahead, status in ((62, "grace"), (32, "down")):
        await world.advance(ahead)
        assert (await world.seen(made))["status"] == status
        assert (await world.api("GET", "checks/")).json()["checks"][0]["status"] == status
    assert (await world.rows("SELECT status FROM monitors"))[0]["status"] == "up"


async def test_a_start_is_shown_beside_the_state_and_in_v1_as_the_state(world: World) -> None:
    """`started` until the end is heard, which gives last_duration in whole seconds."""
    made = await world.check()
    assert "last_duration" not in made
    await world.ping(made, "/start")
    seen = await world.seen(made)
    assert (seen["status"], seen["started"], seen["last_ping"]) == ("new", True, None)
    old = await world.client.get(f"/api/v1/checks/{made['uuid']}", headers={"X-Api-Key": world.project.api_key})
    assert old.json()["status"] == "started"
    await world.advance(3)
    await world.ping(made)
    seen = await world.seen(made)
    assert (seen["status"], seen["started"], seen["last_duration"], seen["n_pings"]) == ("up", False, 3, 2)


async def test_expect_first_arms_a_check_that_was_never_heard(world: World) -> None:
    """Without it a new check waits for ever; with it, when made or later, it goes down."""
    silent = await world.check(name="silent")
    armed = await world.check(name="armed", expect_first=True)
    later = await world.check(name="later")
    edited = (await world.api("POST", f"checks/{later['uuid']}", {"expect_first": True})).json()
    assert silent["deadline"] is None
    assert at(armed["deadline"]) - at(armed["next_ping"]) == timedelta(seconds=30)
    assert edited["deadline"] is not None
    await world.advance(100)
    assert [(await world.seen(c))["status"] for c in (silent, armed, later)] == ["new", "down", "down"]


async def test_pause_and_resume_are_as_in_healthchecks(world: World) -> None:
    """Paused expects nothing; resumed is new with last ping cleared, armed from now; a running one cannot be resumed: 409."""
    made = await world.check()
    await world.ping(made)
    for _ in range(2):
        paused = await world.api("POST", f"checks/{made['uuid']}/pause")
        assert (paused.status_code, paused.json()["status"], paused.json()["next_ping"]) == (200, "paused", None)
    resumed = (await world.api("POST", f"checks/{made['uuid']}/resume")).json()
    assert (resumed["status"], resumed["last_ping"], resumed["n_pings"]) == ("new", None, 1)
    assert resumed["deadline"] is not None
    answer = await world.api("POST", f"checks/{made['uuid']}/resume")
    assert answer.status_code == 409
    assert "not paused" in answer.json()["error"]


# ---- what it said


async def test_pings_are_listed_newest_first_with_their_bodies(world: World) -> None:
    """Healthchecks' fields and types; a body comes back byte for byte, as an attachment of plain text."""
    made = await world.check(methods="POST")
    run = str(uuid4())
    body = b"\x00\xff<script>\r\n"
    for suffix, options in (
        ("/start", {"method": "POST", "params": {"rid": run}}),
        ("", {"content": body, "params": {"rid": run}, "headers": {"User-Agent": "job/1"}}),
        ("/7", {"method": "POST"}),
        ("/log", {"content": b"words"}),
        ("", {"method": "GET"}),
    ):
        assert (await world.ping(made, suffix, **options)).status_code == 200
    pings = (await world.api("GET", f"checks/{made['uuid']}/pings/")).json()["pings"]
    assert [(p["n"], p["type"]) for p in pings] == [(5, "ign"), (4, "log"), (3, "fail"), (2, "success"), (1, "start")]
    success = pings[3]
    assert (success["rid"], success["ua"], success["method"], success["scheme"]) == (run, "job/1", "POST", "http")
    assert 0 <= success["duration"] < 5
    assert "duration" not in pings[4]
    assert (pings[2]["exitstatus"], pings[2]["body_url"]) == (7, None)
    path = success["body_url"].removeprefix("http://missedbeat.test")
    got = await world.client.get(path, headers={"X-Api-Key": world.project.api_key})
    assert (got.content, got.headers["content-type"]) == (body, "text/plain")
    assert got.headers["content-disposition"].startswith("attachment")
    for n in ("1", "99", "0", "-1", "x", "1e3", "９", "9" * 30):
        assert (await world.api("GET", f"checks/{made['uuid']}/pings/{n}/body")).json() == {"error": "not found"}


async def test_flips_tell_when_it_turned(world: World) -> None:
    """Every turning, newest first, up only for up; narrowed by seconds, start (inclusive) and end (exclusive)."""
    made = await world.check()
    await world.ping(made)
    await world.advance(100)
    await world.ping(made, "/fail")
    await world.advance(100)
    await world.api("POST", f"checks/{made['uuid']}/pause")

    async def ups(query: str = "") -> list[int]:
        answer = await world.api("GET", f"checks/{made['uuid']}/flips/{query}")
        assert answer.status_code == 200, answer.text
        return [flip["up"] for flip in answer.json()["flips"]]

    flips = (await world.api("GET", f"checks/{made['uuid']}/flips/")).json()["flips"]
    assert [flip["up"] for flip in flips] == [0, 0, 1]
    assert await ups("?seconds=50") == [0]
    second_fail = int(at(flips[1]["timestamp"]).timestamp())
    assert await ups(f"?start={second_fail}") == [0, 0]
    assert await ups(f"?end={second_fail}") == [1]
    assert await ups(f"?start={second_fail}&end={second_fail + 5}") == [0]
    for query in ("seconds=-1", "seconds=x", "start=1e400", "end=99999999999999999999", "seconds=31536001", "start=1.5"):
        answer = await world.api("GET", f"checks/{made['uuid']}/flips/?{query}")
        assert answer.status_code == 400
        assert query.partition("=")[0] in answer.json()["error"]


async def test_transitions_and_runs_are_read_page_by_page(world: World) -> None:
    """Newest first, 100 at a time; `before` with the last one's instant gives the rest, without gap or repeat."""
    made = await world.check(timeout=3600)
    for n in range(105):
        await world.ping(made, "/fail" if n % 2 else "")
    for part, key in (("transitions", "n"), ("runs", "at")):
        first = (await world.api("GET", f"checks/{made['uuid']}/{part}/")).json()[part]
        answer = await world.client.get(
            f"/api/v3/checks/{made['uuid']}/{part}/",
            params={"before": first[-1]["at"]},
            headers={"X-Api-Key": world.project.api_key},
        )
        rest = answer.json()[part]
        assert (len(first), len(rest)) == (100, 5)
        every = [one[key] for one in first + rest]
        assert every == sorted(set(every), reverse=True)
    newest = (await world.api("GET", f"checks/{made['uuid']}/transitions/")).json()["transitions"][0]
    assert (newest["n"], newest["from"], newest["to"], newest["reason"], newest["announced_to"]) == (
        105,
        "down",
        "up",
        "heard",
        [],
    )
    assert "A success was heard" in newest["explain"]


async def test_runs_say_how_executions_went(world: World) -> None:
    """A run with its id and duration, a missed slot without."""
    made = await world.check(timeout=60, grace=1)
    await world.ping(made, "/start", params={"rid": (run := str(uuid4()))})
    await world.advance(0.5)
    await world.ping(made, "", params={"rid": run})
    await world.advance(100)
    await world.sweep()
    missed, ran = (await world.api("GET", f"checks/{made['uuid']}/runs/")).json()["runs"]
    assert (ran["id"], ran["attempt"], ran["outcome"]) == (run, 1, "success")
    assert 0.5 <= ran["duration"] < 5
    assert (missed["id"], missed["outcome"], missed["started_at"], missed["duration"]) == (None, "missed", None, None)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "1", "9999-99-99T00:00:00Z", "0001-01-01T00:00:00+14:00", "\0"])
async def test_a_before_that_is_no_instant_is_refused_by_name(world: World, text: str) -> None:
    """400, never a 500; what is plainly meant is read."""
    made = await world.check()
    key = {"X-Api-Key": world.project.api_key}
    path = f"/api/v3/checks/{made['uuid']}/transitions/"
    answer = await world.client.get(path, params={"before": text}, headers=key)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("before")
    for good in (
        "2026-10-18T03:00:00+00:00",
        "2026-10-18T03:00:00%2B02:00",
        "2026-10-18T03:00:00.123456+00:00",
        "2026-10-18",
        "2026-10-18T03:00:00Z",
    ):
        assert (await world.client.get(f"{path}?before={good}", headers=key)).status_code == 200


# ---- gone


async def test_a_deleted_check_is_gone_with_its_ping_url(world: World) -> None:
    """The answer is what it was; afterwards everything is 404, its incident is closed, its slug is free."""
    made = await world.check(slug="free")
    await world.ping(made, "/fail")
    gone = await world.api("DELETE", f"checks/{made['uuid']}")
    assert (gone.status_code, gone.json()["uuid"], gone.json()["status"]) == (200, made["uuid"], "down")
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/pause"), ("GET", "/pings/"), ("GET", "/flips/")):
        answer = await world.api(method, f"checks/{made['uuid']}{path}", {})
        assert (answer.status_code, answer.json()) == (404, {"error": "not found"})
    assert (await world.ping(made)).status_code == 404
    assert (await world.api("GET", "incidents/")).json()["incidents"][0]["closed_by"] == "deleted"
    assert (await world.check(slug="free"))["slug"] == "free"


async def test_the_list_asks_the_database_as_often_for_two_hundred_checks_as_for_one(world: World) -> None:
    """No query per check."""
    await channel(world, "a")
    await world.check(channels="*")
    with statements() as for_one:
        await world.api("GET", "checks/")
    await world.run(
        """INSERT INTO monitors (project_id, id, unique_key, created_at, kind, period, grace)
        SELECT project_id, gen_random_uuid(), gen_random_uuid()::text, now(), 'every', 60, 60
        FROM monitors, generate_series(1, 199)"""
    )
    with statements() as for_many:
        answer = await world.api("GET", "checks/")
    assert len(answer.json()["checks"]) == 200
    assert len(for_many) == len(for_one) <= 5


async def test_a_project_may_have_more_checks_than_a_statement_takes_parameters(world: World) -> None:
    """PostgreSQL takes 65,535 of them: the list must not stop there."""
    check = await world.check(channels=await channel(world, "a"), aliases=[{"service": "sentry", "token": "job"}])
    many = [str(uuid4()) for _ in range(70_000)] + [check["uuid"]]
    listing = Listing(world.project.id, "any", await world.now(), await world.now(), links=True)
    async with world.sessions() as session:
        (found,) = await listings.read(session, listing, many)
        assert await listings.read(session, listing, []) == []
    assert (found.id, list(found.channels), found.aliases) == (check["uuid"], [check["channels"]], [("sentry", "job")])
