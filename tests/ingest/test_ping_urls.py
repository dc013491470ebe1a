"""The ping URLs on the wire: forms, answers, headers, and what is kept."""

import asyncio
from uuid import uuid4

import pytest

from tests.world import World, living

pytestmark = pytest.mark.anyio
RUN = "0a1b2c3d-0000-4000-8000-00000000000a"


async def pings(world: World, check: dict[str, object]) -> list[dict[str, object]]:
    """The log of a check, oldest first."""
    found = (await world.api("GET", f"checks/{check['uuid']}/pings/")).json()["pings"]
    return list(reversed(found))


async def test_every_form_by_id_says_what_its_suffix_says(world: World) -> None:
    """success, start, fail, log and exit statuses, with and without a trailing slash, by every method clients use."""
    check = await world.check()
    for method, suffix in [
        ("GET", ""), ("HEAD", "/"), ("POST", "/start"), ("PUT", "/fail"), ("PATCH", "/log"), ("DELETE", "/0"), ("GET", "/255/"),
        ("GET", "/000"),
    ]:  # fmt: skip
        answer = await world.ping(check, suffix, method=method)
        assert (answer.status_code, answer.text) == (200, "" if method == "HEAD" else "OK"), (method, suffix)
        assert answer.headers["ping-body-limit"] == "100000"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cache-control"] == "no-store"
    kept = await pings(world, check)
    assert [p["type"] for p in kept] == ["success", "success", "start", "fail", "log", "success", "fail", "success"]
    assert [p["n"] for p in kept] == list(range(1, 9))


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/ping/{id}/256", 400, "invalid url format"),
        ("/ping/{id}/99999999999999999999999", 400, "invalid url format"),
        ("/ping/{id}?rid=nonsense", 400, "invalid uuid format"),
        ("/ping/{id}?rid=", 400, "invalid uuid format"),
        ("/ping/{undashed}", 404, "not found"),
        ("/ping/{id}/stop", 404, "not found"),
        ("/ping/{id}/-1", 404, "not found"),
        ("/ping/{id}/start/x", 404, "not found"),
        ("/ping/{unknown}", 404, "not found"),
        ("/ping/{unknown}/256", 404, "not found"),
        ("/ping/", 404, "not found"),
        ("/ping/x", 404, "not found"),
        ("/ping/%00/%ff", 404, "not found"),
        ("/ping/{key}/my-job", 404, "not found"),
        ("/ping/{key}/My-Job", 400, "invalid url format"),
        ("/ping/{key}/my-job/256?create=1", 400, "invalid url format"),
        ("/ping/{key}/my-job?create=1&rid=bad", 400, "invalid uuid format"),
        ("/ping/{key}/my-job?create=true", 404, "not found"),
        ("/ping/{key}/my.job?create=1", 404, "not found"),
        ("/ping/wrongkey/my-job?create=1", 404, "not found"),
    ],
)
async def test_what_is_refused_is_refused_in_words_and_leaves_nothing(world: World, path: str, status: int, words: str) -> None:
    """4xx answers name what is wrong; nothing is stored, nothing created."""
    check = await world.check()
    given = {"id": check["uuid"], "undashed": check["uuid"].replace("-", ""), "unknown": uuid4(), "key": world.project.ping_key}
    answer = await world.client.get(path.format(**given))
    assert (answer.status_code, answer.text) == (status, words)
    assert await world.rows("SELECT n FROM check_ins") == []
    assert len(await world.rows("SELECT id FROM monitors")) == 1


async def test_a_slug_makes_its_monitor_once_when_asked(world: World) -> None:
    """create=1: 201 the first time, 200 later; the monitor has the documented defaults and all of the project's channels."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    path = f"/ping/{world.project.ping_key}/my-job"
    first = await world.client.get(f"{path}?create=1")
    assert (first.status_code, first.text) == (201, "Created")
    assert (await world.client.get(f"{path}/start?create=1")).status_code == 200
    assert (await world.client.get(path)).text == "OK"
    (check,) = (await world.api("GET", "checks/")).json()["checks"]
    shown = [check[name] for name in ("name", "slug", "timeout", "grace", "n_pings")]
    assert shown == ["my-job", "my-job", 86400, 3600, 3]
    assert check["channels"] != ""


async def test_the_body_is_kept_as_it_came_and_cut_at_the_limit(dsn: str) -> None:
    """Any bytes of any type; over the limit it is truncated and counts; over 10 MB it is refused."""
    async with living(dsn, ping_body_limit=1000) as world:
        check = await world.check()
        for body in (b"\x00\xff\xfe plain", "Üñï".encode("utf-16"), b"x" * 5000):
            headers = {"content-type": "application/json", "content-encoding": "gzip"}
            answer = await world.ping(check, content=body, headers=headers)
            assert (answer.status_code, answer.headers["ping-body-limit"]) == (200, "1000")
        kept = await world.rows("SELECT body, body_truncated FROM check_ins ORDER BY n")
        assert [bytes(row["body"]) for row in kept] == [b"\x00\xff\xfe plain", "Üñï".encode("utf-16"), b"x" * 1000]
        assert [row["body_truncated"] for row in kept] == [False, False, True]
        assert (await world.api("GET", f"checks/{check['uuid']}/pings/1/body")).content == b"\x00\xff\xfe plain"
        assert (await world.ping(check, content=b"x" * 10_000_001)).status_code == 413
        assert len(await world.rows("SELECT n FROM check_ins")) == 3


async def test_options_is_a_preflight_and_no_ping(world: World) -> None:
    """A browser asking for permission says nothing about the job."""
    check = await world.check()
    answer = await world.ping(check, method="OPTIONS")
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "*")
    assert (await world.seen(check))["n_pings"] == 0
    assert (await world.ping(check, method="TRACE")).status_code == 405


async def test_a_run_id_is_kept_in_one_form_and_times_its_run(world: World) -> None:
    """Upper or lower case, it is the same run: the end gives the duration."""
    check = await world.check(max_runtime=600)
    await world.ping(check, "/start", params={"rid": RUN.upper()})
    await world.advance(5)
    await world.ping(check, params={"rid": RUN})
    start, end = await pings(world, check)
    assert start["rid"] == end["rid"] == RUN
    assert 5 <= float(str(end["duration"])) < 6
    assert (await world.seen(check))["last_duration"] == 5


async def test_an_idempotency_key_counts_once_a_day(world: World) -> None:
    """The same key again answers 200 and counts once; another signal or key counts; after 24 h it counts again."""
    check, headers = await world.check(timeout=200_000), {"Idempotency-Key": "abc"}
    for _ in range(3):
        assert (await world.ping(check, headers=headers)).status_code == 200
    assert (await world.seen(check))["n_pings"] == 1
    await world.ping(check, "/log", headers=headers)
    await world.ping(check, headers={"Idempotency-Key": "abd"})
    assert (await world.seen(check))["n_pings"] == 3
    await world.advance(86_401)
    await world.ping(check, headers=headers)
    assert (await world.seen(check))["n_pings"] == 4
    assert (await world.ping(check, headers={"Idempotency-Key": "x" * 201})).status_code == 400


async def test_a_method_filter_keeps_what_it_filters_out_as_ignored(world: World) -> None:
    """With methods POST a GET is answered 200, logged as ign, and changes nothing."""
    check = await world.check(methods="POST")
    assert (await world.ping(check)).status_code == 200
    assert (await world.seen(check))["status"] == "new"
    await world.ping(check, method="POST")
    assert (await world.seen(check))["status"] == "up"
    assert [p["type"] for p in await pings(world, check)] == ["ign", "success"]


async def test_only_trusted_proxies_name_the_sender(dsn: str) -> None:
    """X-Forwarded-For counts from a trusted peer alone, read from the right; garbage in it fails no ping."""
    async with living(dsn, trusted_proxies="127.0.0.0/8,10.0.0.0/8") as world:
        check = await world.check()
        for value in ("203.0.113.7", "6.6.6.6, 203.0.113.7, 10.1.1.1", "garbage, \x01", ",,,", ""):
            assert (await world.ping(check, headers={"x-forwarded-for": value})).status_code == 200
        kept = [p["remote_addr"] for p in await pings(world, check)]
        assert kept == ["203.0.113.7", "203.0.113.7", "127.0.0.1", "127.0.0.1", "127.0.0.1"]
    async with living(dsn) as world:
        check = await world.check()
        await world.ping(check, headers={"x-forwarded-for": "203.0.113.7", "user-agent": "a" * 500})
        (kept_ping,) = await pings(world, check)
        assert kept_ping["remote_addr"] == "127.0.0.1"
        assert kept_ping["ua"] == "a" * 200


async def test_two_hundred_pings_at_once_are_numbered_without_a_gap(calm: World) -> None:
    """n is exact however the batches fall."""
    check = await calm.check()
    answers = await asyncio.gather(*(calm.ping(check, "/log") for _ in range(200)))
    assert {a.status_code for a in answers} == {200}
    assert [row["n"] for row in await calm.rows("SELECT n FROM check_ins ORDER BY n")] == list(range(1, 201))


async def test_twenty_first_pings_at_once_make_one_monitor(calm: World) -> None:
    """create=1 from twenty clients: one 201, nineteen 200, one monitor, twenty check-ins."""
    path = f"/ping/{calm.project.ping_key}/burst?create=1"
    answers = await asyncio.gather(*(calm.client.get(path) for _ in range(20)))
    assert sorted(a.status_code for a in answers) == [200] * 19 + [201]
    (check,) = (await calm.api("GET", "checks/")).json()["checks"]
    assert check["n_pings"] == 20


async def test_a_deploy_and_a_first_ping_at_once_are_one_check(calm: World) -> None:
    """`unique` with the slug, and create=1, together: neither is refused, and the schedule is the deploy's."""
    for n in range(10):
        body = {"name": "m", "slug": f"job-{n}", "timeout": 600, "unique": ["slug"]}
        deploy = calm.api("POST", "checks/", body)
        ping = calm.client.get(f"/ping/{calm.project.ping_key}/job-{n}?create=1")
        answers = await asyncio.gather(*((deploy, ping) if n % 2 else (ping, deploy)))
        assert sorted(answer.status_code for answer in answers) == [200, 201], [answer.text for answer in answers]
    checks = (await calm.api("GET", "checks/")).json()["checks"]
    assert [check["timeout"] for check in checks] == [600] * 10
