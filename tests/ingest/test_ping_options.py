"""What a ping may say beside its path: words in its body, a message, its own time, a key in the headers, and who must not be
taken for the job."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from tests.world import World, living

pytestmark = pytest.mark.anyio
JSON = {"accept": "application/json"}


async def pings(world: World, check: dict[str, Any]) -> list[dict[str, Any]]:
    """The log of a check, oldest first."""
    found = (await world.api("GET", f"checks/{check['uuid']}/pings/")).json()["pings"]
    return list(reversed(found))


async def types(world: World, check: dict[str, Any]) -> list[str]:
    return [ping["type"] for ping in await pings(world, check)]


async def body_of(world: World, check: dict[str, Any], n: int) -> bytes:
    return (await world.api("GET", f"checks/{check['uuid']}/pings/{n}/body")).content


# words


async def test_keywords_in_the_body_say_what_a_ping_means(world: World) -> None:
    """filter_http_body: failure before success before start; what fits nothing is kept as ign and changes nothing."""
    check = await world.check(filter_http_body=True, start_kw="begin", success_kw="done", failure_kw="error,fatal")
    for body in (b"hello", b"begin", b"all done", b"done, but fatal", b""):
        answer = await world.ping(check, content=body)
        assert (answer.status_code, answer.text) == (200, "OK")
    assert await types(world, check) == ["ign", "start", "success", "fail", "ign"]
    assert (await world.seen(check))["status"] == "down"


async def test_what_no_keyword_fits_may_count_as_failure(world: World) -> None:
    """filter_default_fail; and an old client's JSON content type changes nothing, for a body is text."""
    check = await world.check(filter_http_body=True, success_kw="done", filter_default_fail=True)
    await world.ping(check, content=b"done", headers={"content-type": "application/json"})
    assert (await world.seen(check))["status"] == "up"
    await world.ping(check, content=b"{}", headers={"content-type": "application/json"})
    assert await types(world, check) == ["success", "fail"]


async def test_a_message_is_kept_before_the_body_and_read_by_filters(world: World) -> None:
    """?message= is the body of a client that has none."""
    check = await world.check(filter_http_body=True, failure_kw="disk full", filter_default_fail=False)
    await world.ping(check, params={"message": "disk full\nöäü"})
    await world.ping(check, params={"message": "first"}, content=b"then \xff")
    assert await types(world, check) == ["fail", "ign"]
    assert await body_of(world, check, 1) == "disk full\nöäü".encode()
    assert await body_of(world, check, 2) == b"first\nthen \xff"


# bystanders


@pytest.mark.parametrize(
    "agent",
    [
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) BingPreview/1.0b",
        "TelegramBot (like TwitterBot)",
        "WhatsApp/2.23.20.0",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) facebookexternalhit/1.1 Facebot Twitterbot/1.0",
        "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    ],
)
async def test_a_link_previewer_is_no_sign_of_life(world: World, agent: str) -> None:
    """A ping URL pasted into a chat keeps no dead job alive, and makes no monitor."""
    check = await world.check()
    answer = await world.ping(check, headers={"user-agent": agent})
    assert (answer.status_code, answer.text) == (200, "OK")
    assert await types(world, check) == ["ign"]
    assert (await world.seen(check))["status"] == "new"
    made = await world.client.get(f"/ping/{world.project.ping_key}/new?create=1", headers={"user-agent": agent})
    assert made.status_code == 404


@pytest.mark.parametrize(
    "agent",
    [
        "curl/8.5.0",
        "Wget/1.21",
        "python-requests/2.32",
        "Go-http-client/2.0",
        "runitor/1.3",
        "Alertmanager/0.27",
        "robot-backup/1",
        "",
    ],
)
async def test_ordinary_clients_count(world: World, agent: str) -> None:
    """Nobody who pings is taken for a previewer."""
    check = await world.check()
    await world.ping(check, headers={"user-agent": agent})
    assert await types(world, check) == ["success"]


async def test_a_watchdog_that_is_over_is_no_sign_of_life(world: World) -> None:
    """Alertmanager posts `firing` while it lives; its `resolved` says the opposite, also where the body was cut off."""
    check = await world.check()
    alert = {
        "status": "firing",
        "labels": {"alertname": "Watchdog"},
        "startsAt": "2026-10-18T03:00:00Z",
        "generatorURL": "x" * 200,
    }
    group = {"receiver": "missedbeat", "status": "firing", "alerts": [alert], "version": "4", "groupKey": "{}:{}"}
    over = {**group, "status": "resolved", "alerts": [{**alert, "status": "resolved"}]}
    for message in (group, over, {**over, "alerts": [{**alert, "note": "y" * 120_000}]}, {"status": "resolved"}, {"alerts": 1}):
        await world.ping(check, content=json.dumps(message).encode(), headers={"content-type": "application/json"})
    assert await types(world, check) == ["success", "ign", "ign", "success", "success"]


# a key in the headers


async def test_a_key_in_the_headers_stands_for_the_one_in_the_path(world: World) -> None:
    """`/ping/<slug>` with the ping key or an API key that may write, as bearer or X-Api-Key; suffixes as ever."""
    check = await world.check(slug="start")
    for headers in (
        {"authorization": f"Bearer {world.project.ping_key}"},
        {"authorization": f"bearer {world.project.api_key}"},
        {"x-api-key": world.project.api_key},
    ):
        assert (await world.client.get("/ping/start", headers=headers)).status_code == 200
        assert (await world.client.get("/ping/start/fail", headers=headers)).status_code == 200
        made = await world.client.get("/ping/other?create=1", headers=headers)
        assert made.status_code in (200, 201)
    assert await types(world, check) == ["success", "fail"] * 3
    for wrong in (world.project.api_key_readonly, "mb_rw_" + "0" * 36, "x" * 22, ""):
        answer = await world.client.get("/ping/start", headers={"authorization": f"Bearer {wrong}"})
        assert (answer.status_code, answer.text) == (404, "not found"), wrong
    foreign = await world.new_project("other")
    assert (await world.client.get("/ping/start", headers={"x-api-key": foreign.api_key})).status_code == 404


async def test_headers_of_others_do_not_disturb(world: World) -> None:
    """A token for a proxy on the way, basic or bearer, changes nothing about a URL that holds its key."""
    check = await world.check(slug="job")
    for value in ("Basic dXNlcjpwYXNz", "Bearer eyJhbGciOi.eyJzdWIi.c2ln", "Bearer", "Bearer \xff", "x" * 300):
        headers = {b"authorization": value.encode("latin-1")}
        assert (await world.ping(check, headers=headers)).status_code == 200
        assert (await world.client.get(f"/ping/{world.project.ping_key}/job", headers=headers)).status_code == 200
    assert (await world.seen(check))["n_pings"] == 10


# receipts


async def test_a_receipt_says_what_the_ping_came_to(world: World) -> None:
    """With `Accept: application/json`: number, monitor, slot, what is expected next, and what the sender should know."""
    check = await world.check(name="nightly", slug="nightly", timeout=3600, grace=60)
    receipt = (await world.ping(check, headers=JSON)).json()
    assert set(receipt) >= {"id", "n", "monitor", "slot", "next_expected", "deadline", "warnings"}
    assert (receipt["n"], receipt["warnings"], receipt["monitor"]["slug"]) == (1, [], "nightly")
    seen = await world.seen(check)
    assert receipt["next_expected"][:19] == seen["next_ping"][:19]
    assert receipt["deadline"][:19] == seen["deadline"][:19]
    assert check["uuid"] not in json.dumps(receipt)
    long = (await world.ping(check, headers=JSON, content=b"x" * 100_001)).json()
    assert long["warnings"] == ["the body was cut off after 100000 bytes"]
    refused = await world.client.get("/ping/nothing/here", headers=JSON)
    assert (refused.status_code, refused.json()) == (404, {"error": "not found"})


@pytest.mark.parametrize(
    ("accept", "as_json"),
    [
        ("application/json", True),
        ("application/json;q=0.9, */*;q=0.1", True),
        ("*/*", False),
        ("application/json, text/plain, */*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("application/json;q=0", False),
        ("application/json;q=nonsense", False),
        ("", False),
    ],
)
async def test_only_who_prefers_json_is_given_json(world: World, accept: str, as_json: bool) -> None:
    """Clients of the old protocol that name JSON among everything else go on getting OK."""
    answer = await world.ping(await world.check(), headers={"accept": accept})
    assert answer.headers["content-type"].startswith("application/json" if as_json else "text/plain")
    assert as_json or answer.text == "OK"


async def test_a_repeat_is_answered_like_the_first_time(world: World) -> None:
    """The same Idempotency-Key gets the same status and the same receipt, whatever has been heard since."""
    headers = JSON | {"Idempotency-Key": "k1", "x-api-key": world.project.ping_key}
    first = await world.client.get("/ping/fresh?create=1", headers=headers)
    await world.client.get("/ping/fresh", headers={"x-api-key": world.project.ping_key})
    again = await world.client.get("/ping/fresh?create=1", headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()


async def test_a_receipt_says_why_a_ping_was_ignored(world: World) -> None:
    """Method, filters, a pause: the sender is told, once, in words."""
    posts = await world.check(methods="POST")
    assert (await world.ping(posts, headers=JSON)).json()["warnings"] == ["ignored: only POST counts here"]
    words = await world.check(filter_http_body=True, success_kw="done")
    assert (await world.ping(words, headers=JSON)).json()["warnings"] == ["ignored: the filters keep it out"]
    paused = await world.check(manual_resume=True)
    await world.api("POST", f"checks/{paused['uuid']}/pause")
    receipt = (await world.ping(paused, headers=JSON)).json()
    assert (receipt["warnings"], receipt["signal"]) == (["ignored: it is paused until resumed"], "ignored")


# the client's own time


async def report(world: World, check: dict[str, Any], ago: float, **options: Any) -> Any:
    """A ping about `ago` seconds before now."""
    at = (await world.now() - timedelta(seconds=ago)).isoformat()
    headers = {"x-api-key": options.pop("key", world.project.api_key)} | options.pop("headers", {})
    return await world.ping(check, options.pop("suffix", ""), params={"at": at}, headers=headers, **options)


async def test_a_success_reported_late_withdraws_the_alert(world: World) -> None:
    """The job was fine, its network was not: up again, told as a false alarm, the incident closed so."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    check = await world.check(timeout=600, grace=60, channels="*")
    await world.ping(check)
    await world.advance(670)
    await world.sweep()
    assert (await world.seen(check))["status"] == "down"
    assert (await report(world, check, ago=100)).status_code == 200
    assert (await world.seen(check))["status"] == "up"
    (incident,) = (await world.api("GET", "incidents/")).json()["incidents"]
    assert incident["closed_by"] == "withdrawn"
    told = await world.rows("SELECT told->>'kind' AS kind, told->>'explain' AS why FROM deliveries ORDER BY seq")
    assert [row["kind"] for row in told] == ["monitor.down", "monitor.up"]
    assert "was wrong: the job was fine" in told[1]["why"]


async def test_own_times_need_a_key_of_the_project(world: World) -> None:
    """Who may move history must be known: no key, a read-only one, a ping key or another project's is refused, nothing kept."""
    check = await world.check()
    foreign = await world.new_project("other")
    none = await world.ping(check, params={"at": "2026-10-18T03:00:00Z"})
    assert (none.status_code, none.text) == (401, "at: needs an API key that may write, as Authorization: Bearer")
    for key in (world.project.api_key_readonly, world.project.ping_key, foreign.api_key):
        assert (await report(world, check, 10, key=key)).status_code == 401
    bad = await world.ping(check, params={"at": "yesterday"}, headers={"x-api-key": world.project.api_key})
    assert (bad.status_code, bad.text.startswith("at: ")) == (400, True)
    assert (await world.seen(check))["n_pings"] == 0
    path = f"/ping/{world.project.ping_key}/late?create=1&at=2026-10-18T03:00:00Z"
    assert (await world.client.get(path, headers={"x-api-key": foreign.api_key})).status_code == 401
    assert len(await world.rows("SELECT id FROM monitors")) == 1


async def test_a_report_says_its_own_time_and_counts_from_it(world: World) -> None:
    """The deadline follows from when it happened; the log shows both times."""
    check = await world.check(timeout=600, grace=60)
    await report(world, check, ago=120)
    (kept,) = await world.rows("SELECT received_at - reported_at AS ago FROM check_ins")
    assert abs(kept["ago"] - timedelta(seconds=120)) < timedelta(seconds=2)
    (row,) = await world.rows("SELECT deadline - missedbeat_now() AS left FROM monitors")
    assert abs(row["left"] - timedelta(seconds=540)) < timedelta(seconds=2)


async def test_a_wrong_clock_is_corrected_by_what_it_says_now(world: World) -> None:
    """A client an hour behind, that sends its Date, reports the right time; a time in the future counts as now."""
    check = await world.check(timeout=600, grace=60)
    behind = (await world.now() - timedelta(hours=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    receipt = (await report(world, check, ago=3600 + 120, headers=JSON | {"date": behind})).json()
    assert receipt["warnings"] == []
    (kept,) = await world.rows("SELECT received_at - reported_at AS ago FROM check_ins")
    assert abs(kept["ago"] - timedelta(seconds=120)) < timedelta(seconds=3)
    ahead = (await report(world, check, ago=-900, headers=JSON)).json()
    assert ahead["warnings"] == ["at lies in the future: the time of reception counts"]


async def test_reports_from_before_the_oldest_partition_are_kept_too(world: World) -> None:
    """A laptop that was away for weeks: its report is recorded, not refused for ever."""
    check = await world.check(timeout=86_400 * 90, grace=60)
    for days in (45, 59, 90, 130, 300, 30_000):
        answer = await report(world, check, ago=days * 86_400, headers=JSON)
        assert answer.status_code == 200, answer.text
        assert days < 60 or "60 days" in answer.json()["warnings"][0]
    assert (await world.seen(check))["n_pings"] == 6


@pytest.mark.parametrize(
    "date",
    ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT",
     "Mon, 01 Jan 2024 00:00:00 +99999999999999999999", "yesterday", ""],
)  # fmt: skip
@pytest.mark.parametrize("at", ["1", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
async def test_a_clock_that_makes_no_sense_fails_no_ping(world: World, date: str, at: str) -> None:
    """Whatever it says of now and then: with the key it counts, without it is refused, and never an error of ours."""
    check = await world.check(timeout=86_400, grace=60)
    assert (await world.ping(check, params={"at": at}, headers={"date": date})).status_code == 401
    headers = {"date": date, "x-api-key": world.project.api_key}
    assert (await world.ping(check, params={"at": at}, headers=headers)).status_code == 200


# too many


async def test_a_fail_that_quotes_an_alert_is_a_fail(world: World) -> None:
    """Only a plain ping can be a Watchdog's; what says itself what it is counts as that."""
    check = await world.check()
    await world.ping(check, "/fail", content=b'{"status": "resolved", "alerts": []}')
    assert await types(world, check) == ["fail"]


async def test_a_refused_twin_in_the_same_moment_keeps_nobody_from_making_a_monitor(calm: World) -> None:
    """Of first pings together one comes with another project's key: the others make their monitor all the same."""
    foreign = await calm.new_project("other")
    path = f"/ping/{calm.project.ping_key}/crowd?create=1"
    bad = calm.client.get(f"{path}&at=2026-10-18T03:00:00Z", headers={"x-api-key": foreign.api_key})
    got = await asyncio.gather(bad, *(calm.client.get(path) for _ in range(5)))
    assert sorted(answer.status_code for answer in got) == [200, 200, 200, 200, 201, 401]


async def test_keys_of_a_service_that_look_alike_are_two_jobs(world: World) -> None:
    """`db:backup` and `dbbackup` would have one slug: each has a monitor of its own, so that neither hides the other's death."""
    for key in ("db:backup", "dbbackup", "db:backup"):
        assert (await world.client.get(f"/p/{world.project.api_key}/{key}?state=complete")).status_code == 200
    checks = (await world.api("GET", "checks/")).json()["checks"]
    assert sorted((check["name"], check["n_pings"]) for check in checks) == [("db:backup", 2), ("dbbackup", 1)]


async def test_a_monitor_may_have_its_pings_and_no_more(dsn: str) -> None:
    """MISSEDBEAT_PING_LIMIT a minute: above it 429 with Retry-After and nothing stored; log has a measure of its own."""
    async with living(dsn, ping_limit=3) as world:
        check, other = await world.check(), await world.check()
        codes = [(await world.ping(check)).status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        refused = await world.ping(check)
        assert 1 <= int(refused.headers["retry-after"]) <= 21
        assert (await world.ping(check, "/log")).status_code == 200
        assert (await world.ping(other)).status_code == 200
        assert (await world.seen(check))["n_pings"] == 4
        await world.advance(20)
        assert [(await world.ping(check)).status_code for _ in range(2)] == [200, 429]
        await world.sweep()
        await world.advance(600)
        assert [(await world.ping(check)).status_code for _ in range(4)] == [200, 200, 200, 429]
