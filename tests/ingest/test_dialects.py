"""Other services' ping URLs: heard as pings, answered in those services' own words."""

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Awaitable
from typing import Any
from uuid import uuid4

import brotli
import httpx
import pytest

from app.domain import tokens
from app.domain.alias import KEYED, Service
from app.store import addresses
from tests.many import patiently
from tests.patient import client_of
from tests.world import World, living

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef0123456789abcdef"  # as another service would make one
CK = "ck_app_0123456789abcdef0123"
HOURLY = {
    "schedule": {"type": "crontab", "value": "0 * * * *"},
    "checkin_margin": 5,
    "max_runtime": 20,
    "timezone": "Europe/Berlin",
}


async def alias(world: World, check: dict[str, Any], service: Service, token: str) -> None:
    """Another service's name for a check."""
    async with world.sessions() as session:
        project = world.project.id
        key = f"{project}:{token}" if service in KEYED else token
        await addresses.add(session, service, key, project, (await monitor_of(world, check))["id"])
        await session.commit()


async def foreign_key(world: World, service: Service, key: str, scope: str = "ping") -> str:
    """A key of another service, registered for the project."""
    await world.run(
        "INSERT INTO api_keys (project_id, id, scope, hash, hint, service, created_at) VALUES (:p, :i, :c, :h, '', :s, now())",
        p=world.project.id, i=uuid4(), c=scope, h=tokens.hashed(key), s=str(service),
    )  # fmt: skip
    return key


async def monitor_of(world: World, check: dict[str, Any]) -> dict[str, Any]:
    """Its row."""
    return (await world.rows("SELECT * FROM monitors WHERE id = :id", id=check["uuid"]))[0]


async def heard(world: World) -> list[tuple[str, str | None, str]]:
    """What was kept: signal, run id, body; oldest first."""
    rows = await world.rows("SELECT signal, run_id, body FROM check_ins ORDER BY monitor_id, n")
    return [(row["signal"], row["run_id"], bytes(row["body"] or b"").decode(errors="replace")) for row in rows]


async def call(world: World, path: str, method: str = "GET", **options: Any) -> httpx.Response:
    """A request as that service's client would send it, without our headers."""
    return await world.client.request(method, path, **options)


# ---- CronRadar


async def test_cronradar_urls_have_the_keys_the_other_way_round(world: World) -> None:
    """Monitor first, key last; their JSON, one word for each suffix; the message is kept."""
    key = await foreign_key(world, Service.CRONRADAR, CK)
    check = await world.check(max_runtime=600)
    await alias(world, check, Service.CRONRADAR, "Nightly Backup.v2")
    path = f"/ping/Nightly%20Backup.v2/{key}"
    for suffix, word, at in [
        ("", "ok", "pingedAt"),
        ("/start", "started", "startedAt"),
        ("/complete", "completed", "completedAt"),
    ]:
        answer = await call(world, path + suffix, "POST")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json()["status"] == word
        assert answer.json()["monitor"] == "Nightly Backup.v2"
        assert answer.json()[at].endswith("Z")
    assert (await call(world, f"{path}/fail", "POST", params={"message": "no space left"})).json()["status"] == "failed"
    assert [(signal, body) for signal, _, body in await heard(world)] == [
        ("success", ""), ("start", ""), ("success", ""), ("fail", "no space left"),
    ]  # fmt: skip
    assert (await world.seen(check))["status"] == "down"


@pytest.mark.parametrize("which", ["ours", "ping scope", "ck_", "any form"])
async def test_cronradar_is_told_by_our_keys_by_its_own_and_by_any_that_is_registered(world: World, which: str) -> None:
    """Whichever key stands last in the path, the check with that slug is pinged."""
    key = world.project.api_key
    if which == "ping scope":
        key = tokens.new_api_key("ping")
        await foreign_key(world, "", key)  # type: ignore[arg-type]
    elif which != "ours":
        key = await foreign_key(world, Service.CRONRADAR, CK if which == "ck_" else "SECRET.key-1")
    check = await world.check(slug="my-job")
    assert (await call(world, f"/ping/my-job/{key}")).json()["status"] == "ok"
    assert (await world.seen(check))["status"] == "up"


async def test_cronradar_takes_the_key_by_basic_as_well(world: World) -> None:
    """Their documentation's older form: `curl -u KEY: …/ping/<monitor>`."""
    await foreign_key(world, Service.CRONRADAR, CK)
    check = await world.check(slug="my-job", max_runtime=60)
    assert (await call(world, "/ping/my-job/start", "POST", auth=(CK, ""))).json()["status"] == "started"
    assert (await call(world, "/ping/my-job", auth=(CK, ""))).json()["status"] == "ok"
    assert (await world.seen(check))["n_pings"] == 2


async def test_cronradar_learns_what_it_must_from_a_refusal(world: World) -> None:
    """404 for an unknown monitor, on which its SDK syncs; 401 for a key that opens nothing; neither leaves anything."""
    await foreign_key(world, Service.CRONRADAR, CK)
    unknown = await call(world, f"/ping/my-job/{CK}")
    assert (unknown.status_code, unknown.json()) == (404, {"error": "monitor not found"})
    for key in ("ck_app_wrong", tokens.new_api_key("rw"), world.project.api_key_readonly):
        refused = await call(world, f"/ping/my-job/{key}")
        assert (refused.status_code, refused.json()) == (401, {"error": "unknown api key"})
    assert (await call(world, "/ping/my-job/nokey")).text == "not found"
    assert await world.rows("SELECT id FROM monitors") == []


async def test_a_cronradar_schedule_makes_the_monitor_and_moves_with_it(world: World) -> None:
    """`?schedule=` on an unknown key registers it; another one later changes it; a bad one is named, and costs no ping."""
    key = await foreign_key(world, Service.CRONRADAR, CK)
    path = f"/ping/jobs.Nightly/{key}"
    bad = await call(world, f"{path}/start", "POST", params={"schedule": "61 * * * *"})
    assert bad.status_code == 400
    assert "61 * * * *" in bad.json()["error"]
    assert await world.rows("SELECT id FROM monitors") == []
    params = {"schedule": "0 2 * * *", "gracePeriod": "300", "name": "Nightly"}
    assert (await call(world, f"{path}/start", "POST", params=params)).status_code == 200
    (check,) = (await world.api("GET", "checks/")).json()["checks"]
    assert [check[name] for name in ("name", "slug", "schedule", "tz", "grace", "started")] == [
        "Nightly", "jobsnightly", "0 2 * * *", "UTC", 300, True,
    ]  # fmt: skip
    await call(world, f"{path}/complete", "POST", params={"schedule": "0 3 * * *"})
    assert (await world.seen(check))["schedule"] == "0 3 * * *"
    assert (await call(world, path, params={"schedule": "nonsense at night"})).status_code == 200
    shown = await world.seen(check)
    assert (shown["schedule"], shown["n_pings"], shown["grace"]) == ("0 3 * * *", 3, 300)
    assert "not taken over" in (await heard(world))[-1][2]


async def test_our_own_slugs_may_look_like_anything(world: World) -> None:
    """A slug with ck_ or mb_ in front, or a query with a state, is still ours where the key is."""
    for slug in ("ck_app", "mb_rw_x"):
        await world.check(slug=slug)
        assert (await call(world, f"/ping/{world.project.ping_key}/{slug}")).text == "OK"
        for query in ("state=run", "state=of+the+art", "my_state=run"):
            assert (await call(world, f"/ping/{world.project.ping_key}/{slug}?{query}")).text == "OK"
        assert (await call(world, f"/ping/{world.project.ping_key}/{slug}/start")).text == "OK"
    assert (await call(world, f"/ping/{world.project.ping_key}/ck_new?create=1")).text == "Created"


# ---- Cronitor


async def test_cronitor_says_state_series_and_the_rest_in_its_query(world: World) -> None:
    """As cronitor's Python client pings: run and complete with one series; metrics, host and env are kept for people."""
    check = await world.check(slug="nightly-job", max_runtime=600)
    path, series = f"/p/{world.project.api_key}/nightly-job", "1763689200.123"
    answer = await call(
        world, path, params={"state": "run", "series": series, "stamp": "1763689200.5", "env": "prod", "host": "db1"}
    )
    assert (answer.status_code, answer.text) == (200, "OK")
    assert (await world.seen(check))["started"]
    await world.advance(30)
    query = {"state": "complete", "series": series, "message": "done", "metric": ["count:5", "duration:30.1"]}
    await call(world, path, params=query)
    await call(world, path, "POST", params={"state": "fail", "msg": "broke", "status_code": "3"}, content=b"the log")
    await call(world, path, params={"state": "ok"})
    await call(world, path, "HEAD")
    assert await heard(world) == [
        ("start", series, "env: prod\nhost: db1"),
        ("success", series, "done\nmetric: count:5\nmetric: duration:30.1"),
        ("fail", None, "broke\nstatus_code: 3\nthe log"),
        ("success", None, ""),
        ("success", None, ""),
    ]
    assert (await world.rows("SELECT exit_status FROM check_ins WHERE signal = 'fail'"))[0]["exit_status"] == 3
    assert (await world.seen(check))["status"] == "up"


async def test_cronitor_makes_a_monitor_of_any_key_once(calm: World) -> None:
    """Twenty first pings at once make one monitor, with the name as it was written and a slug of its own."""
    key = await foreign_key(calm, Service.CRONITOR, KEY)
    got = await asyncio.gather(*(call(calm, f"/p/{key}/Job%20N%C2%B01?state=run&series={n}") for n in range(20)))
    assert {answer.status_code for answer in got} == {200}
    (check,) = (await calm.api("GET", "checks/")).json()["checks"]
    assert (check["name"], check["slug"], check["n_pings"]) == ("Job N°1", "job-n1", 20)


async def test_cronitors_command_line_pings_below_ping(world: World) -> None:
    """`/ping/<api_key>/<key>?state=…&try=1`, the form of cronitor-cli, with their key or ours."""
    for key in (await foreign_key(world, Service.CRONITOR, KEY), world.project.api_key):
        answer = await call(world, f"/ping/{key}/d3x0c1?state=run&try=1&stamp=1763689200.500&host=h")
        assert (answer.status_code, answer.text) == (200, "OK")
    assert [signal for signal, _, _ in await heard(world)] == ["start", "start"]


async def test_cronitor_says_403_to_what_it_does_not_record(world: World) -> None:
    """An unknown key, a read-only one, a full project; an unknown state is 400. Nothing is made."""
    assert (await call(world, f"/p/{KEY}/job?state=run")).status_code == 403
    assert (await call(world, f"/p/{world.project.api_key_readonly}/job?state=run")).status_code == 403
    assert (await call(world, f"/p/{world.project.api_key}/job?state=stop")).text.startswith("state: say run")
    await world.run("UPDATE projects SET monitor_limit = 0")
    full = await call(world, f"/p/{world.project.api_key}/job")
    assert (full.status_code, full.text) == (403, "the project has as many monitors as its plan allows")
    assert await world.rows("SELECT id FROM monitors") == []


# ---- Sentry Crons


async def test_sentry_by_url(world: World) -> None:
    """in_progress, ok and error; a check-in id names the run with dashes or without, none closes the newest; 202 and no more."""
    check = await world.check(slug="my-monitor", max_runtime=600)
    path = f"/api/42/cron/my-monitor/{world.project.api_key}/"
    run = uuid4()
    for query in [
        {"status": "in_progress", "check_in_id": str(run), "environment": "dev"},
        {"status": "ok", "check_in_id": run.hex, "duration": "2.5"},
        {"status": "in_progress"},
        {"status": "error", "check_in_id": "0" * 32},
    ]:
        answer = await call(world, path, params=query)
        assert (answer.status_code, answer.content) == (202, b"")
    assert await heard(world) == [
        ("start", run.hex, "environment: dev"), ("success", run.hex, "duration: 2.5"), ("start", None, ""), ("fail", None, ""),
    ]  # fmt: skip
    assert await world.rows("SELECT run_id FROM runs WHERE ended_at IS NULL") == []
    assert (await world.seen(check))["status"] == "down"


async def test_a_monitor_config_makes_the_monitor_and_keeps_it_as_declared(world: World) -> None:
    """Schedule, zone, margin, runtime and thresholds are taken over; the same again moves no deadline, another changes it."""
    path = f"/api/42/cron/hourly/{world.project.api_key}/"
    config = {**HOURLY, "failure_issue_threshold": 2, "recovery_threshold": 3}
    assert (await call(world, path, "POST", json={"status": "ok", "monitor_config": config})).status_code == 202
    (row,) = await world.rows("SELECT * FROM monitors")
    assert [row[name] for name in ("kind", "expression", "zone", "grace", "max_runtime", "status")] == [
        "cron", "0 * * * *", "Europe/Berlin", 300, 1200, "up",
    ]  # fmt: skip
    assert [row[name] for name in ("failures_to_alert", "successes_to_recover", "name", "slug")] == [2, 3, "hourly", "hourly"]
    await world.advance(10)
    await call(world, path, "POST", json={"status": "in_progress", "check_in_id": "a", "monitor_config": config})
    again = (await world.rows("SELECT * FROM monitors"))[0]
    assert (again["due"], again["floor"]) == (row["due"], None)
    interval = {"schedule": {"type": "interval", "value": "2", "unit": "hour"}}
    await call(world, path, "POST", json={"status": "ok", "check_in_id": "a", "monitor_config": interval})
    changed = (await world.rows("SELECT * FROM monitors"))[0]
    assert [changed[name] for name in ("kind", "period", "grace", "max_runtime")] == ["every", 7200, 300, 1200]
    assert (changed["due"] - changed["last_end_at"]).total_seconds() == 7200


async def test_first_check_ins_at_once_make_one_monitor(world: World) -> None:
    """Twenty workers start together, each with its check-in id: one monitor, twenty runs."""
    path = f"/api/42/cron/Hourly%20Job/{world.project.api_key}/"

    def check_in(n: int) -> Awaitable[httpx.Response]:
        body = {"status": "in_progress", "check_in_id": f"{n:032x}", "monitor_config": HOURLY}
        return patiently(lambda: call(world, path, "POST", json=body))

    got = await asyncio.gather(*(check_in(n) for n in range(1, 21)))
    assert {answer.status_code for answer in got} == {202}
    assert await world.rows("SELECT name, slug, heard FROM monitors") == [
        {"name": "Hourly Job", "slug": "hourly-job", "heard": 20}
    ]


async def test_what_is_read_does_not_depend_on_what_is_kept(dsn: str) -> None:
    """With a body limit of nothing, JSON and forms still say what they say."""
    async with living(dsn, ping_body_limit=0) as world:
        check = await world.check(slug="job")
        await alias(world, check, Service.SNITCH, "c2354d53d2")
        await call(world, "/c2354d53d2", "POST", data={"s": "1", "m": "broken"})
        await call(world, f"/api/1/cron/job/{world.project.api_key}/", "POST", json={"status": "ok"})
        assert await heard(world) == [("fail", None, ""), ("success", None, "")]


async def test_a_job_that_only_declared_itself_is_missed(world: World) -> None:
    """The first check-in of a monitor made so is a start; when it never ends, people hear of it."""
    body = {"status": "in_progress", "monitor_config": HOURLY}
    await call(world, f"/api/1/cron/hourly/{world.project.api_key}", "POST", json=body)
    await world.advance(1201 + 10)
    await world.sweep()
    assert (await world.rows("SELECT status FROM monitors")) == [{"status": "down"}]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "schedule: is missing"),
        ([], "is not an object"),
        ({"schedule": {"type": "crontab"}}, "a crontab has its expression"),
        ({"schedule": {"type": "crontab", "value": "* * * *"}}, "is neither cron nor OnCalendar"),
        ({"schedule": {"type": "crontab", "value": "* * * * *"}, "timezone": "Mars/Base"}, "not a time zone"),
        ({"schedule": {"type": "crontab", "value": "* * * * *"}, "timezone": 3}, "timezone: is not a string"),
        ({"schedule": {"type": "interval", "value": 1, "unit": "second"}}, "an interval of a value and a unit"),
        ({"schedule": {"type": "interval", "value": 0, "unit": "hour"}}, "an interval of a value and a unit"),
        ({"schedule": {"type": "interval", "value": 2, "unit": "year"}}, "365 days"),
        ({"schedule": {"type": "interval", "value": 1e300, "unit": "hour"}}, "value: is not a whole number"),
        ({**HOURLY, "checkin_margin": "soon"}, "checkin_margin: is not a whole number"),
        ({**HOURLY, "max_runtime": 900_000}, "max_runtime: lasts 365 days at most"),
        ({**HOURLY, "failure_issue_threshold": 0}, "failures_to_alert: a number from 1"),
    ],
)
async def test_a_config_that_makes_no_sense_is_named_and_costs_no_check_in(world: World, config: Any, words: str) -> None:
    """Unknown monitor: 400 in words and nothing made. Known one: the check-in counts, and says what was wrong."""
    path, body = f"/api/1/cron/my-job/{world.project.api_key}/", {"status": "ok", "monitor_config": config}
    refused = await call(world, path, "POST", json=body)
    assert refused.status_code == 400
    assert words in refused.json()["detail"]
    assert await world.rows("SELECT id FROM monitors") == []
    check = await world.check(slug="my-job")
    assert (await call(world, path, "POST", json=body)).status_code == 202
    assert (await world.seen(check))["status"] == "up"
    assert words in (await heard(world))[0][2]


async def test_sentry_is_told_why(world: World) -> None:
    """403 for a key nobody knows, 404 for a monitor, 403 for a full project, 400 for a status; nothing is made."""
    key = world.project.api_key
    for path, status in [
        (f"/api/1/cron/job/{KEY}/?status=ok", 403),
        ("/api/1/cron/job/?status=ok", 403),
        (f"/api/1/cron/job/{key}/?status=ok", 404),
        (f"/api/1/cron/job/{key}/?status=missed", 400),
        (f"/api/1/cron/job/{key}/", 400),
    ]:
        answer = await call(world, path)
        assert (answer.status_code, list(answer.json())) == (status, ["detail"]), path
    await world.run("UPDATE projects SET monitor_limit = 0")
    full = await call(world, f"/api/1/cron/job/{key}/", "POST", json={"status": "ok", "monitor_config": HOURLY})
    assert (full.status_code, "plan" in full.json()["detail"]) == (403, True)
    assert await world.rows("SELECT id FROM monitors") == []


def envelope(*items: tuple[str, Any], length: bool = True) -> bytes:
    """As sentry-sdk writes one."""
    lines = [json.dumps({"sent_at": "2026-11-21T00:00:00Z"}).encode()]
    for kind, content in items:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        lines += [json.dumps({"type": kind, **({"length": len(payload)} if length else {})}).encode(), payload]
    return b"\n".join(lines) + b"\n"


def check_in(status: str, slug: str = "my-job", **more: Any) -> tuple[str, Any]:
    """A check-in as sentry-sdk's decorator sends it."""
    plain = {"type": "check_in", "monitor_slug": slug, "check_in_id": "ab" * 16, "status": status, "duration": None}
    return "check_in", {**plain, "environment": "production", "release": None, **more}


PACKED = {
    "": lambda body: body,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
}


@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize("length", [True, False])
async def test_check_ins_come_in_envelopes(world: World, coding: str, length: bool) -> None:
    """Compressed or not, several in one, other items between them; the key in the header that SDKs send."""
    await foreign_key(world, Service.SENTRY, KEY)
    headers = {"X-Sentry-Auth": f"Sentry sentry_key={KEY}, sentry_version=7, sentry_client=sentry.python/2.75.0"}
    headers |= {"Content-Type": "application/x-sentry-envelope", **({"Content-Encoding": coding} if coding else {})}
    items = [
        ("event", {"message": "boom"}), check_in("in_progress", monitor_config=HOURLY), ("attachment", b"no newline"),
        check_in("ok", duration=1.5, monitor_config=HOURLY),
    ]  # fmt: skip
    answer = await call(
        world, "/api/42/envelope/", "POST", content=PACKED[coding](envelope(*items, length=length)), headers=headers
    )
    assert (answer.status_code, len(answer.json()["id"])) == (200, 32)
    assert await heard(world) == [
        ("start", "ab" * 16, "environment: production"), ("success", "ab" * 16, "environment: production\nduration: 1.5"),
    ]  # fmt: skip
    (check,) = (await world.api("GET", "checks/")).json()["checks"]
    assert (check["slug"], check["schedule"], check["status"]) == ("my-job", "0 * * * *", "up")


async def test_an_sdk_with_our_dsn_never_errs(world: World) -> None:
    """Events, transactions, sessions and what comes next are let through, key or no key, without a look into the database."""
    items = [("event", {"message": "boom"}), ("transaction", {}), ("sessions", {}), ("thing_of_tomorrow", b"\x00\xff" * 100)]
    for query in ("", "?sentry_key=nobody"):
        answer = await call(world, f"/api/1/envelope/{query}", "POST", content=envelope(*items))
        assert answer.status_code == 200
    large = await call(world, "/api/1/envelope/", "POST", content=envelope(("attachment", b"x" * 3_000_000)))
    assert large.status_code == 200


async def test_an_envelope_is_read_as_far_as_it_matters(world: World) -> None:
    """A check-in counts whatever comes after it; what a bomb would unfold to is never held."""
    check = await world.check(slug="my-job")
    path = f"/api/1/envelope/?sentry_key={world.project.api_key}"
    large = envelope(check_in("ok"), ("attachment", b"x" * 3_000_000))
    assert (await call(world, path, "POST", content=large)).status_code == 200
    assert await world.rows("SELECT signal, body_truncated FROM check_ins") == [{"signal": "success", "body_truncated": False}]
    bombs = {
        "gzip": gzip.compress(b"{}\n" + b"\n" * 200_000_000, 1),
        "br": brotli.compress(b"{}\n" + b"\n" * 50_000_000, quality=1),
    }
    for coding, bomb in bombs.items():
        tracemalloc.start()
        answer = await call(world, path, "POST", content=bomb, headers={"Content-Encoding": coding})
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (answer.status_code, peak < 20_000_000) == (200, True), (coding, peak)
    assert (await world.seen(check))["n_pings"] == 1


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", b"no gzip", 400),
        ("br", b"\xff no brotli", 400),
        ("deflate", b"x no deflate", 400),
        ("zstd", b"", 400),
        ("", b"", 400),
        ("", b"{", 400),
        ("", b"[]\n", 400),
        ("", b"\xff\xfe\n", 400),
        ("", b"{}\n" + b"[" * 20_000, 400),
        ("", b'{}\n{"type":"check_in"}\nnothing\n', 400),
        ("", b'{}\n{"type":"check_in"}\n{"status":"ok"}\n', 400),
        ("", b'{}\n{"type":"check_in","length":99999999999999999999}\n{"status":"ok"}\n', 200),
        ("", b'{}\n{"type":"check_in","length":-1}\n{"status":"ok","monitor_slug":7}\n', 400),
    ],
)
async def test_broken_envelopes_are_refused_in_words(world: World, coding: str, body: bytes, status: int) -> None:
    """Never a 500."""
    headers = {"Content-Encoding": coding} if coding else {}
    answer = await call(world, f"/api/1/envelope/?sentry_key={world.project.api_key}", "POST", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert status == 200 or answer.json()["detail"]


async def test_a_bad_check_in_beside_a_good_one_is_told(world: World) -> None:
    """An unknown monitor in an envelope is 404, and what else is in it counts."""
    check = await world.check(slug="my-job")
    body = envelope(check_in("ok"), check_in("ok", slug="unknown"))
    answer = await call(world, f"/api/1/envelope/?sentry_key={world.project.api_key}", "POST", content=body)
    assert (answer.status_code, "no such monitor" in answer.json()["detail"]) == (404, True)
    assert (await world.seen(check))["n_pings"] == 1


# ---- A token that stands for a monitor


async def test_a_snitch_stands_at_the_root(world: World) -> None:
    """`s` empty or 0 is success, else fail; in the query or as a form; 202 and their thanks. An unknown token is no page."""
    check = await world.check()
    await alias(world, check, Service.SNITCH, "c2354d53d2")
    requests: list[dict[str, Any]] = [
        {}, {"params": {"m": "all well", "s": "0"}}, {"params": {"s": "127", "m": "not found"}}, {"params": {"s": "bad"}},
        {"method": "POST", "data": {"m": "just checking in", "s": ""}}, {"method": "POST", "content": b"output"},
    ]  # fmt: skip
    for options in requests:
        answer = await call(world, "/c2354d53d2", **options)
        assert (answer.status_code, answer.text) == (202, "Got it, thanks!\n")
    assert [(signal, body) for signal, _, body in await heard(world)] == [
        ("success", ""), ("success", "all well"), ("fail", "not found\nstatus: 127"), ("fail", "status: bad"),
        ("success", "just checking in"), ("success", "output"),
    ]  # fmt: skip
    assert [r["exit_status"] for r in await world.rows("SELECT exit_status FROM check_ins ORDER BY n")][:4] == [
        None,
        0,
        127,
        None,
    ]
    unknown = await call(world, "/c2354d53d3")
    assert (unknown.status_code, unknown.json()) == (404, {"error": "not found"})
    assert unknown.headers["x-content-type-options"] == "nosniff"


async def test_the_apps_own_routes_come_before_any_token(world: World) -> None:
    """A token called like a page is never heard there."""
    check = await world.check()
    await alias(world, check, Service.SNITCH, "livez")
    assert (await call(world, "/livez")).status_code != 202
    assert (await world.seen(check))["n_pings"] == 0


async def test_better_stack(world: World) -> None:
    """The token alone, /fail, or an exit status, with the output as body."""
    check = await world.check()
    await alias(world, check, Service.BETTER_STACK, "XYZ1234abc")
    path = "/api/v1/heartbeat/XYZ1234abc"
    for suffix, body in [("", b""), ("/fail", b"log"), ("/0", b"fine"), ("/3", b"broken"), ("/", b"")]:
        answer = await call(world, path + suffix, "POST", content=body)
        assert (answer.status_code, answer.text) == (200, "OK"), suffix
    assert [(signal, body) for signal, _, body in await heard(world)] == [
        ("success", ""), ("fail", "log"), ("success", "fine"), ("fail", "broken"), ("success", ""),
    ]  # fmt: skip
    assert (await call(world, f"{path}/256")).status_code == 400
    assert (await call(world, "/api/v1/heartbeat/unknown")).status_code == 404
    assert (await call(world, "/api/v1/checks/", headers={"X-Api-Key": world.project.api_key})).status_code == 200


async def test_uptime_kuma(world: World) -> None:
    """up and down; message and response time are kept; `{"ok": …}` always."""
    check = await world.check()
    await alias(world, check, Service.UPTIME_KUMA, "pushToken32")
    for query in (
        {},
        {"status": "up", "msg": "OK", "ping": "12.5"},
        {"status": "down", "msg": "no disk"},
        {"status": "up", "ping": ""},
    ):
        answer = await call(world, "/api/push/pushToken32", params=query)
        assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert [(signal, body) for signal, _, body in await heard(world)] == [
        ("success", ""), ("success", "OK\nping: 12.5"), ("fail", "no disk"), ("success", ""),
    ]  # fmt: skip
    unknown = await call(world, "/api/push/otherToken")
    assert (unknown.status_code, unknown.json()) == (404, {"ok": False, "msg": "Monitor not found or not active."})


async def test_an_alertmanagers_watchdog_counts_while_it_fires(world: World) -> None:
    """The webhook's firing is life; its resolved is none, and is kept as ignored."""
    check = await world.check()
    alert = {
        "status": "firing", "labels": {"alertname": "Watchdog", "severity": "none"}, "annotations": {},
        "startsAt": "2026-11-21T00:00:00.000Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "e25963d69425c836",
    }  # fmt: skip
    message = {
        "version": "4", "groupKey": '{}:{alertname="Watchdog"}', "truncatedAlerts": 0, "receiver": "deadman",
        "groupLabels": {"alertname": "Watchdog"}, "commonLabels": alert["labels"], "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
    }  # fmt: skip
    for status in ("firing", "resolved"):
        body = {**message, "status": status, "alerts": [{**alert, "status": status}]}
        assert (await world.ping(check, method="POST", json=body)).status_code == 200
    assert [signal for signal, _, _ in await heard(world)] == ["success", "ignored"]


# ---- What holds for all of them


async def in_every_dialect(world: World) -> list[tuple[str, str]]:
    """A check known to all services, and its URL in each with where a message goes in it."""
    check = await world.check(slug="everywhere", max_runtime=600)
    for service in (Service.SNITCH, Service.BETTER_STACK, Service.UPTIME_KUMA):
        await alias(world, check, service, "token-everywhere")
    key = world.project.api_key
    return [
        (f"/ping/everywhere/{key}", "message"), (f"/p/{key}/everywhere", "message"),
        (f"/ping/{key}/everywhere?state=complete", "msg"),
        (f"/api/1/cron/everywhere/{key}/?status=ok", "environment"), ("/token-everywhere", "m"),
        ("/api/v1/heartbeat/token-everywhere", "-"), ("/api/push/token-everywhere", "msg"),
    ]  # fmt: skip


async def test_every_method_counts_and_options_is_a_preflight(world: World) -> None:
    """HEAD, GET and POST are pings; OPTIONS and a method nobody has are none."""
    for path, _ in await in_every_dialect(world):
        for method in ("HEAD", "GET", "POST"):
            answer = await call(world, path, method)
            assert answer.status_code in (200, 202), (method, path)
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["cache-control"] == "no-store"
        preflight = await call(world, path, "OPTIONS")
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, "*"), path
        assert (await call(world, path, "TRACE")).status_code in (404, 405)
    assert len(await heard(world)) == 7 * 3


async def test_previewers_filters_and_idempotency_hold_everywhere(world: World) -> None:
    """A look at a link makes and wakes nothing; the method filter is kept; the same Idempotency-Key counts once."""
    paths = await in_every_dialect(world)
    for path, _ in paths:
        assert (await call(world, path, headers={"user-agent": "Slackbot-LinkExpanding 1.0"})).status_code in (200, 202)
    assert {signal for signal, _, _ in await heard(world)} == {"ignored"}
    preview = {"user-agent": "Slackbot 1.0"}
    assert (await call(world, f"/p/{world.project.api_key}/new-one", headers=preview)).status_code == 403
    made = await call(world, f"/ping/new-one/{world.project.api_key}?schedule=@daily", headers=preview)
    assert made.status_code == 404
    assert len(await world.rows("SELECT id FROM monitors")) == 1
    before = len(await heard(world))
    for path, _ in paths:
        await call(world, path, "POST", headers={"Idempotency-Key": "the-same"})
    assert len(await heard(world)) == before + 1
    await world.run("UPDATE monitors SET methods = 'POST'")
    for path, _ in paths:
        await call(world, path)
    assert {signal for signal, _, _ in (await heard(world))[before + 1 :]} == {"ignored"}


async def test_the_throttle_and_our_faults_are_said_in_each_services_shape(dsn: str) -> None:
    """429 and 503 with Retry-After; in JSON where that service speaks JSON."""
    async with living(dsn, ping_limit=7) as world:
        paths = [path for path, _ in await in_every_dialect(world)]
        for path in paths:
            assert (await call(world, path)).status_code in (200, 202)
        throttled = [await call(world, path) for path in paths]
        assert {answer.status_code for answer in throttled} == {429}
        world.web.inbox.close()
        refused = [await call(world, path) for path in paths]
        assert {answer.status_code for answer in refused} == {503}
        for answer in [*throttled, *refused]:
            assert int(answer.headers["retry-after"]) >= 1
        for answers in (throttled, refused):
            assert [next(iter(answers[n].json())) for n in (0, 3, 6)] == ["error", "detail", "ok"]


HOSTILE = [
    "%00",
    "%ff%fe",
    "x" * 10_000,
    "%ED%A0%80",
    "a&m=b&msg=c&message=d",
    "&".join(f"a{n}=1" for n in range(500)),
    "%",
    "+%0d%0a",
]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_words_never_break_it(world: World, value: str) -> None:
    """NUL, bad UTF-8, surrogates, floods: the ping counts or is refused in words, and the service goes on."""
    for path, name in await in_every_dialect(world):
        query = "&series=" if path.startswith("/p") else "&check_in_id="
        for extra in (f"{name}={value}", f"{query}{value}"):
            target = f"{path}{'&' if '?' in path else '?'}{extra}"
            answer = await call(world, target)
            assert answer.status_code in (200, 202, 400), (target[:80], answer.text)
    schedule = await call(world, f"/ping/new/{world.project.api_key}?schedule=@daily&gracePeriod={value}&name={value}")
    assert schedule.status_code in (200, 400), schedule.text
    name = value.partition("&")[0] or "x"
    for path in (
        f"/ping/{name}/{world.project.api_key}",
        f"/p/{world.project.api_key}/{name}",
        f"/p/{name}/x",
        f"/{name}",
        f"/api/push/{name}",
    ):
        assert (await call(world, path)).status_code in (200, 400, 401, 403, 404), path[:80]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"\xff", b"[" * 50_000, b'{"status": "\\ud800"}', b"{}"])
async def test_hostile_json_never_breaks_it(world: World, body: bytes) -> None:
    """400 with a reason."""
    headers = {"content-type": "application/json"}
    answer = await call(world, f"/api/1/cron/job/{world.project.api_key}/", "POST", content=body, headers=headers)
    assert (answer.status_code, bool(answer.json()["detail"])) == (400, True)


async def test_lone_surrogates_and_nul_in_json_are_kept_as_they_can_be(world: World) -> None:
    """A check-in is not lost for what stands in its environment."""
    await world.check(slug="job")
    body = b'{"status": "ok", "environment": "a\\u0000b\\ud800", "check_in_id": "\\ud800\\u0000x", "duration": 1e400}'
    headers = {"content-type": "application/json"}
    answer = await call(world, f"/api/1/cron/job/{world.project.api_key}/", "POST", content=body, headers=headers)
    assert answer.status_code == 202
    assert (await heard(world))[0][1:] == ("?x", "environment: ab?\nduration: inf")


async def test_a_project_is_reached_by_its_own_keys_only(world: World) -> None:
    """Aliases of one project lead nobody else's key anywhere."""
    other = await world.new_project("Other")
    check = await world.check(slug="job")
    await alias(world, check, Service.CRONITOR, "Their Job")
    assert (await call(world, f"/api/1/cron/job/{other.api_key}/?status=ok")).status_code == 404
    assert (await call(world, f"/ping/Their%20Job/{other.api_key}")).status_code == 404
    await call(world, f"/p/{other.api_key}/Their%20Job")
    assert (await world.seen(check))["n_pings"] == 0
    await world.run("UPDATE api_keys SET revoked_at = now()")
    assert (await call(world, f"/p/{world.project.api_key}/Their%20Job")).status_code == 403


async def test_behind_a_prefix_the_same_urls_are_understood(dsn: str) -> None:
    """A public address with a path, stripped by the proxy or not, and a key with a percent sign in it."""
    async with living(dsn) as world:
        web = type(world.web)(world.settings.model_copy(update={"base_url": "http://missedbeat.test/beat"}), world.dsn)
        flushing = asyncio.create_task(web.inbox.run())
        async with client_of(web) as client:
            for prefix in ("", "/beat"):
                assert (await client.get(f"{prefix}/p/{world.project.api_key}/100%2541")).status_code == 200
        web.inbox.close()
        await flushing
        await web.dispose()
        assert await world.rows("SELECT name, heard FROM monitors") == [{"name": "100%41", "heard": 2}]
