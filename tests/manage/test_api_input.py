"""Bad input: always 400 with words that name the field, never a 500, and nothing is changed."""

import json
import re
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from tests.world import World

pytestmark = pytest.mark.anyio

YEAR = 31_536_000
CRON = "schedule is not a valid cron or OnCalendar expression"
NUMBERS = ("timeout", "grace")
COUNTS = ("failures_to_alert", "successes_to_recover")
TEXTS = ("name", "slug", "tags", "desc", "schedule", "tz", "channels")
KEYWORDS = ("subject", "subject_fail", "start_kw", "success_kw", "failure_kw")
FLAGS = ("manual_resume", "expect_first", "filter_subject", "filter_body", "filter_http_body", "filter_default_fail")

NULLS: dict[str, tuple[Any, ...]] = {
    "is not a number": (None, True, False, "60", [60], {}),
    "is not a string": (None, 5, 1e20, True, [], {}),
    "is not a boolean": (None, 0, 1, "true", []),
}
ZONES = ("", "Mars/Base", "utc+1", "../etc/passwd", "localtime", "Europe/Berlin ")
SCHEDULES = (
    "", " ", "\n", "nonsense", "* * * *", "60 * * * *", "* * * * * *", "0 0 30 2 *", "@reboot", "0 0 * * *é", "2001-01-01",
    "*-02-30", "0 0 31 2,4,6,9,11 *", "*-*-* 03:00 Mars/Base", "＊ * * * *",
)  # fmt: skip


def each(fields: tuple[str, ...], values: tuple[Any, ...], words: str) -> list[tuple[dict[str, Any], str]]:
    """Every field with every value, and what is said to it."""
    return [({field: value}, f"{field} {words}") for field in fields for value in values]


UNIQUES: tuple[list[Any], ...] = (["x"], [None], [["name"]], [{}], ["name", 1])
NO_OBJECTS: tuple[Any, ...] = (None, "sentry", [], 1)
ALIASES: tuple[dict[str, Any], ...] = (
    {}, {"service": "sentry"}, {"token": "job"}, {"service": None, "token": "job"}, {"service": "sentry", "token": 5},
    {"service": "nobody", "token": "job"}, {"service": "sentry", "token": ""}, {"service": "sentry", "token": "a/b"},
    {"service": "cronitor", "token": "a\0b"}, {"service": "cronradar", "token": "x" * 201},
    {"service": "uptimekuma", "token": "abc"},
    {"service": "betterstack", "token": "a b c d"}, {"service": "sentry", "token": "job", "monitor": "x"},
)  # fmt: skip
REFUSED: list[tuple[dict[str, Any], str]] = [
    *each((*NUMBERS, *COUNTS, "max_runtime", "max_wait"), (0, -1), "is too small"),
    *each((*NUMBERS, "early"), (-1, -1e20), "is too small"),
    *each((*NUMBERS, "early", "max_runtime", "max_wait"), (YEAR + 1, 1e20, 10**4000), "is too large"),
    *each(COUNTS, (101, 1e20), "is too large"),
    *each((*NUMBERS, *COUNTS, "early", "max_runtime", "max_wait"), (10.5,), "is not a number"),
    *each((*NUMBERS, *COUNTS), NULLS["is not a number"], "is not a number"),
    *each(("early", "max_runtime", "max_wait"), (True, "60", []), "is not a number"),
    *each((*TEXTS, *KEYWORDS), NULLS["is not a string"], "is not a string"),
    *each(FLAGS, NULLS["is not a boolean"], "is not a boolean"),
    *each(KEYWORDS, ("x" * 201,), "is too long"),
    *each((*TEXTS, *KEYWORDS), ("a\0b",), "has a NUL character"),
    *each(("name", "slug", "schedule"), ("x" * 101, "é" * 101), "is too long"),
    *each(("tags",), ("x" * 501, "é" * 600), "is too long"),
    *each(("desc",), ("x" * 10_001,), "is too long"),
    *each(("slug",), ("Backup", "a b", "a/b", "ä", "a\n", "a.b", "💥"), "does not match pattern"),
    *each(("methods",), ("GET", "post", None, 1, []), "has unexpected value"),
    *each(("unique",), ("name", None, {}, 1), "is not an array"),
    *(({"unique": items}, "an item in 'unique' has unexpected value") for items in UNIQUES),
    *each(("tz",), ZONES, "is not a valid timezone"),
    ({"schedule": "0 3 * * *", "tz": "Mars/Base"}, "tz is not a valid timezone"),
    *each(("schedule",), SCHEDULES, CRON.removeprefix("schedule ")),
    ({"timeout": 60, "early": 60}, "early is too large"),
    *each(("aliases",), ("name", None, {}, 1), "is not an array"),
    *each(("aliases",), ([{"service": "sentry", "token": "a"}] * 21,), "is too long"),
    *(({"aliases": [item]}, "an item in 'aliases' is not an object") for item in NO_OBJECTS),
    *(({"aliases": [item]}, "an item in 'aliases' has unexpected value") for item in ALIASES),
    ({"channels": "nobody"}, "invalid channel identifier: nobody"),
    ({"channels": ","}, "empty channel identifier"),
]
RAW: list[tuple[bytes, str]] = [
    *(
        (body, "could not parse request body")
        for body in (b"{", b"nope", b"\xff\xfe", b'{"a": NaN}', b'{"name": Infinity}', b"{'a': 1}")
    ),
    (b'{"name": "\\ud800"}', "json validation error: name has half of a surrogate pair"),
    (b'{"\\udfff": 1}', "json validation error: a name has half of a surrogate pair"),
    (b'{"name": "x", "unknown": ["\\ud800"]}', "json validation error: unknown has half of a surrogate pair"),
    (b"[" * 10_000, "could not parse request body"),
    (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "could not parse request body"),
    (b'{"name": "x", "timeout": ' + b"9" * 5000 + b"}", "json validation error: timeout is too large"),
    (b'{"timeout": -' + b"9" * 5000 + b"}", "json validation error: timeout is too small"),
    (b'{"grace": 1e400}', "json validation error: grace is too large"),
    (b'{"aliases": [{"token": 1e400}]}', "json validation error: aliases has a number that is out of range"),
    *((body, "json validation error: value is not an object") for body in (b"[]", b"1", b'"x"', b"true")),
]


async def test_every_field_is_refused_by_name_when_a_check_is_made_and_when_it_is_edited(world: World) -> None:
    """In the words of the protocol; the check and the list stay as they are."""
    made = await world.check(name="as it is")
    wrong = []
    for body, words in REFUSED:
        for path in ("checks/", f"checks/{made['uuid']}"):
            answer = await world.api("POST", path, body)
            said = answer.json().get("error", "").removeprefix("json validation error: ")
            if (answer.status_code, said) != (400, words):
                wrong.append((path, str(body)[:80], answer.status_code, said))
    assert wrong == []
    assert (await world.api("GET", "checks/")).json() == {"checks": [made]}


@pytest.mark.parametrize("path", ["checks/", "channels/"])
async def test_a_body_that_is_no_json_object_is_refused(world: World, path: str) -> None:
    """Broken, deep, huge, half a surrogate pair anywhere: 400 in words, whatever the Content-Type."""
    key = {"X-Api-Key": world.project.api_key}
    for body, words in RAW:
        for kind in ("application/json", "text/plain"):
            answer = await world.client.post(f"/api/v3/{path}", content=body, headers={**key, "content-type": kind})
            assert (answer.status_code, answer.json()) == (400, {"error": words}), body[:40]
    assert (await world.api("GET", "checks/")).json() == {"checks": []}


NO_NEED = (b"null", b"[]", b"1", b'"x"', b"{", b"nope", b"\xff\xfe", b" null\n")


async def test_every_get_takes_a_body_that_is_no_object_for_none(world: World) -> None:
    """Some clients send `null` with every GET; so do HEAD and DELETE, and `null` says nothing in a POST either."""
    key = {"X-Api-Key": world.project.api_key}
    check = await world.check()
    await world.api("POST", "channels/", {"kind": "email", "name": "e", "address": "a@example.com"})
    await world.ping(check, "/fail", content=b"body")
    things = {"check": check["uuid"], "n": "1", "project": str(world.project.id)}
    for name, path in (("channel", "channels/"), ("incident", "incidents/")):
        things[name] = (await world.api("GET", path)).json()[path.strip("/")][0]["id"]
    routes = [r for r in iter_route_contexts(world.web.app.routes) if r.path and r.path.startswith("/api/v3") and r.methods]
    asked = 0
    for path in [route.path or "" for route in routes if "GET" in (route.methods or ())]:
        url = re.sub(r"{(\w+)}", lambda found: things.get(found[1], "x"), path)
        without = await world.client.get(url, headers=key)
        assert without.status_code == (404 if "/deliveries/{" in path else 200), path
        for body in NO_NEED:
            answer = await world.client.request("GET", url, content=body, headers=key)
            assert answer.status_code == without.status_code, (path, body, answer.text)
        asked += 1
    assert asked >= 20
    for method, path, status in (("POST", "checks/", 201), ("POST", f"checks/{check['uuid']}/pause", 200)):
        assert (await world.client.request(method, f"/api/v3/{path}", content=b"null", headers=key)).status_code == status
    for body in NO_NEED:
        made = await world.check()
        path = f"/api/v3/checks/{made['uuid']}"
        assert (await world.client.request("DELETE", path, content=body, headers=key)).status_code == 200


async def test_a_body_of_more_than_a_megabyte_is_not_read(world: World) -> None:
    """413, by whatever method; a megabyte is read."""
    key = {"X-Api-Key": world.project.api_key}
    for method, path in (("POST", "checks/"), ("GET", "checks/"), ("DELETE", "checks/x")):
        answer = await world.client.request(method, f"/api/v3/{path}", content=b'{"name": "' + b"x" * 1_000_000, headers=key)
        assert (answer.status_code, answer.json()) == (413, {"error": "the body is larger than 1 MB"})
    just = b'{"unknown": "' + b"x" * 999_985 + b'"}'
    assert len(just) == 1_000_000
    assert (await world.client.post("/api/v3/checks/", content=just, headers=key)).status_code == 201


async def test_a_refused_schedule_says_why(world: World) -> None:
    """`error` keeps the words that clients know; `detail` is for people."""
    answer = (await world.api("POST", "checks/", {"schedule": "0 0 30 2 *"})).json()
    assert answer["error"] == f"json validation error: {CRON}"
    assert "never fires" in answer["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"timeout": 1, "grace": 1},
        {"timeout": YEAR, "grace": YEAR},
        {"timeout": 60.0, "grace": 3e1},
        {"early": None, "max_runtime": None, "max_wait": None},
        {"early": 0, "timeout": 1},
        {"early": 86_399},
        {"name": "x" * 100, "tags": "é" * 500, "slug": "x" * 100, "desc": "x" * 10_000},
        {"name": "", "slug": "", "tags": "", "desc": "", "channels": "", "methods": ""},
        {"subject": "", "start_kw": "", "filter_body": False, "filter_default_fail": False},
        {"subject": "a", "subject_fail": "b" * 200, "start_kw": "é" * 200, "filter_body": True, "filter_default_fail": True},
        {"success_kw": "kept", "failure_kw": "without filter_subject", "filter_http_body": True},
        {"aliases": []},
        {"aliases": [{"service": "sentry", "token": "ä b." + "x" * 196}, {"service": "uptimekuma", "token": "aB3_"}]},
        {"unknown": None, "nested": {"a": ["\0"]}, "kind": None, "status": 5, "last_ping": None},
        {"unique": []},
        {"schedule": "@daily"},
        {"schedule": "0 3 * * *\n", "tz": "Asia/Kolkata"},
        {"schedule": "*-*-* 03:00\nMon 05:00"},
        {"schedule": "0 0 29 2 *", "timeout": 60},
        {"failures_to_alert": 100, "successes_to_recover": 100},
    ],
)  # fmt: skip
async def test_what_is_at_the_edge_is_taken(world: World, body: dict[str, Any]) -> None:
    """The limits themselves, defaults, unknown keys even null ones, and what a client posts back that it read."""
    answer = await world.api("POST", "checks/", body)
    assert answer.status_code == 201, answer.text
    again = await world.api("POST", f"checks/{answer.json()['uuid']}", answer.json())
    assert (again.status_code, again.json()) == (200, answer.json())


async def test_line_breaks_and_control_characters_become_spaces(world: World) -> None:
    """A name stands in mail headers and chat lines; a description keeps its lines."""
    made = await world.check(name="a\r\nBcc: b\x1b[31m\x7f\u2028c", tags="x\ny\tz", desc="a\nb")
    assert made["name"] == "a  Bcc: b [31m  c"
    assert (made["tags"], made["desc"]) == ("x y z", "a\nb")
    assert len((await world.api("GET", "checks/?tag=x&tag=y&tag=z")).json()["checks"]) == 1


async def test_the_floor_of_timeout_and_grace_is_a_setting(world: World) -> None:
    """MISSEDBEAT_MIN_PERIOD; here 1."""
    assert world.settings.min_period == 1
    made = await world.check(timeout=1, grace=1)
    assert (made["timeout"], made["grace"]) == (1, 1)


async def test_early_must_stay_shorter_than_the_period_it_is_edited_to(world: World) -> None:
    """What is given alone is looked at together with what stands."""
    made = await world.check(timeout=60, early=50)
    answer = await world.api("POST", f"checks/{made['uuid']}", {"timeout": 50})
    assert answer.json()["error"] == "json validation error: early is too large"
    assert (await world.seen(made))["timeout"] == 60


async def test_a_query_that_cannot_be_stored_finds_nothing_or_is_refused(world: World) -> None:
    """NUL and broken UTF-8 in tag and slug: never a 500."""
    for value in ("%00", "%ff%fe", "%ed%a0%80", "x" * 5000, "%25", "'; DROP TABLE monitors; --"):
        for name in ("tag", "slug"):
            answer = await world.client.get(f"/api/v3/checks/?{name}={value}", headers={"X-Api-Key": world.project.api_key})
            assert answer.status_code == (400 if value == "%00" else 200)
            assert value != "%00" or answer.json()["error"] == f"json validation error: {name} has a NUL character"
    many = "&".join(f"tag=t{n}" for n in range(2000))
    assert (await world.api("GET", f"checks/?{many}")).json() == {"checks": []}


UNKNOWN = "f618072a-7bde-4eee-af63-71a77c5723bc"
MALFORMED = (
    "nope", "0", UNKNOWN.replace("-", ""), UNKNOWN[:-1], f"{{{UNKNOWN}}}", f"urn:uuid:{UNKNOWN}", f"{UNKNOWN[:-1]}g",
    f"{UNKNOWN}%0a", "%00", "%ff", "..%2f..", "a" * 40, "a" * 5000, f"１{UNKNOWN[1:]}",
)  # fmt: skip


async def test_a_malformed_id_answers_like_an_unknown_one(world: World) -> None:
    """404 `not found` for every resource; the form of an id tells nothing."""
    paths = (
        "checks/{}",
        "checks/{}/pings/",
        "checks/{}/flips/",
        "checks/{}/pings/1/body",
        "channels/{}",
        "incidents/{}",
        "deliveries/{}",
        "projects/{}",
    )
    for path in paths:
        for given in (UNKNOWN, *MALFORMED):
            answer = await world.client.get(f"/api/v3/{path.format(given)}", headers={"X-Api-Key": world.project.api_key})
            assert (answer.status_code, answer.json()) == (404, {"error": "not found"}), (path, given)


async def test_an_id_is_read_in_either_case(world: World) -> None:
    """As in ping URLs."""
    made = await world.check()
    assert (await world.api("GET", f"checks/{made['uuid'].upper()}")).json() == made


async def test_other_methods_and_paths_are_refused_in_json(world: World) -> None:
    """405 and 404 with the same shape as every error."""
    for method, path, status in (("PUT", "checks/", 405), ("PATCH", "checks/x", 405), ("GET", "nothing", 404), ("GET", "", 404)):
        answer = await world.api(method, path)
        assert answer.status_code == status
        assert list(json.loads(answer.text)) == ["error"]
    for path in ("/api/v4/checks/", "/api/v0/checks/", "/api/", "/api/v3/checks//", "/api/v3/checks%0a", "/livez%0a"):
        assert (await world.client.get(path, headers={"X-Api-Key": world.project.api_key})).status_code == 404


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v3/checks/", "GET, OPTIONS, POST"),
        ("/api/v1/checks/x", "DELETE, GET, OPTIONS, POST"),
        ("/api/v3/checks/x/pause", "OPTIONS, POST"),
        ("/api/v2/status/", "GET, HEAD, OPTIONS"),
        ("/api/docs", "GET, OPTIONS"),
        ("/badge/x/y.svg", "GET, HEAD, OPTIONS"),
        ("/livez", "GET, HEAD"),
        ("/metrics", "GET"),
    ],
)
async def test_another_method_is_told_all_that_the_path_has(world: World, path: str, allowed: str) -> None:
    """405 with `Allow`, and each of them is one that the path has."""
    answer = await world.client.put(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    for method in allowed.split(", "):
        assert (await world.client.request(method, path)).status_code != 405
