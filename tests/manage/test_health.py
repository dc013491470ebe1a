"""What operators and their tools ask: is it alive, is it ready, what does it count."""

import re

import pytest

from app.main import Web
from app.settings import Settings
from app.sweeper.audit import audit_once
from tests.patient import client_of
from tests.world import World, living

pytestmark = pytest.mark.anyio

# Where each figure that /metrics reads from the tables stands in /healthz/deep.
PLACES = {
    "missedbeat_sweep_lag_seconds": ("sweep", "lag_seconds"),
    "missedbeat_sweep_age_seconds": ("sweep", "age_seconds"),
    "missedbeat_deliver_age_seconds": ("deliveries", "age_seconds"),
    "missedbeat_oldest_delivery_seconds": ("deliveries", "oldest_seconds"),
    "missedbeat_stuck_delivery_seconds": ("deliveries", "stuck_seconds"),
    "missedbeat_horizon_lag_seconds": ("horizon_lag_seconds",),
    "missedbeat_canary_age_seconds": ("canary_age_seconds",),
    "missedbeat_clock_set_back_seconds": ("clock_set_back_seconds",),
    "missedbeat_held_seconds": ("held_seconds",),
    "missedbeat_blackout_seconds_day": ("blackout_seconds_day",),
    "missedbeat_partition_days_ahead": ("partition_days_ahead",),
    "missedbeat_monitors_set_aside_now": ("sweep", "set_aside"),
    "missedbeat_audit_age_seconds": ("audits", "age_seconds"),
    "missedbeat_notices_untold": ("notices_untold",),
}


async def test_ready_means_that_pings_are_taken_and_somebody_sweeps(world: World) -> None:
    """/livez always; /readyz only with a fresh tick and a fresh sweep, and it says what is missing."""
    assert (await world.client.get("/livez")).status_code == 200
    answer = await world.client.get("/readyz")
    assert answer.status_code == 503
    assert len(answer.json()["missing"]) == 3
    await world.sweep()
    await world.deliver()
    assert len((await world.client.get("/readyz")).json()["missing"]) == 1
    await world.advance(11)
    assert "nothing has swept" in str((await world.client.get("/readyz")).json()["missing"])


async def test_watchers_that_send_head_are_answered_as_with_get(world: World) -> None:
    """Of /livez, /readyz and the API's status."""
    await world.sweep()
    for path in ("/livez", "/readyz", *(f"/api/v{version}/status/" for version in (1, 2, 3))):
        asked, answer = await world.client.head(path), await world.client.get(path)
        assert (asked.status_code, asked.headers) == (answer.status_code, answer.headers), path
        assert asked.status_code == (503 if path == "/readyz" else 200)


async def test_metrics_tell_lags_read_from_the_tables(world: World) -> None:
    """A deadline nobody judged and a delivery nobody sent are seen, whoever is dead."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    first, second = await world.check(channels="*"), await world.check(channels="*")
    await world.ping(first)
    await world.ping(second, "/fail")
    await world.advance(200)
    text = (await world.client.get("/metrics")).text
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    assert 100 < float(figures["missedbeat_sweep_lag_seconds"]) < 120
    assert 190 < float(figures["missedbeat_oldest_delivery_seconds"]) < 210
    assert figures['missedbeat_deliveries{state="waiting"}'] == "1"
    assert figures['missedbeat_monitors{status="down"}'] == "1"
    assert float(figures['missedbeat_check_ins_total{result="ok"}']) >= 2
    assert int(figures["missedbeat_partition_days_ahead"]) >= 13


async def test_metrics_are_for_this_machine_or_for_whoever_holds_the_token(dsn: str) -> None:
    """Without a token a forwarded request finds nothing; with one only its bearer reads."""
    async with living(dsn) as world:
        assert (await world.client.get("/metrics", headers={"x-forwarded-for": "203.0.113.5"})).status_code == 404
    async with living(dsn, metrics_token="t" * 20) as world:
        assert (await world.client.get("/metrics")).status_code == 404
        assert (await world.client.get("/metrics", headers={"authorization": "Bearer " + "t" * 20})).status_code == 200


async def test_deep_health_says_what_is_wrong_and_what_to_do(world: World) -> None:
    """503 with words while anything is wrong, 200 once nothing is; figures, ticks, schema and versions either way."""
    answer = await world.client.get("/healthz/deep")
    assert answer.status_code == 503
    said = answer.json()
    assert {wrong["about"] for wrong in said["wrong"]} == {"sweep", "deliver", "audit"}
    assert all(wrong["words"] and wrong["remedy"] for wrong in said["wrong"])
    await world.sweep()
    await world.deliver()
    await audit_once(world.sessions)
    answer = await world.client.get("/healthz/deep")
    said = answer.json()
    assert (answer.status_code, said["wrong"]) == (200, [])
    assert len(said["web"]) == 1
    assert said["audits"]["findings"]["chain_broken"] == {"found": 0, "words": ""}
    assert said["schema"]["revision"] == said["schema"]["expected"]
    assert set(said["versions"]) == {"missedbeat", "python", "postgresql"}
    assert abs(said["clock_difference_seconds"]) < 5
    await world.advance(11)
    assert "nothing has swept for 1" in (await world.client.get("/healthz/deep")).text


async def test_deep_health_holds_every_figure_that_the_metrics_read_from_the_tables(world: World) -> None:
    """With the same value in both: verdicts held back, a blackout, a deadline nobody judged, a message nobody sent."""
    await world.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
    await world.ping(await world.check(channels="*"))
    await world.ping(await world.check(channels="*"), "/fail")
    await world.advance(200)
    await world.run(
        """INSERT INTO holds (opened_at, from_at, until, silent, projects)
        VALUES (missedbeat_now(), missedbeat_now() - interval '90 s', missedbeat_now() + interval '600 s', 30, 3)"""
    )
    await world.run("INSERT INTO blackouts VALUES (missedbeat_now() - interval '80 s', missedbeat_now() - interval '63 s')")
    await world.run("INSERT INTO notices (kind, key, words, at) VALUES ('x', 'x', 'x', missedbeat_now())")
    before, said, after = await figures(world), (await world.client.get("/healthz/deep")).json(), await figures(world)
    assert set(before) == set(PLACES)
    assert before["missedbeat_blackout_seconds_day"] == pytest.approx(17, abs=1)
    assert before["missedbeat_notices_untold"] == 1
    assert min(before["missedbeat_held_seconds"], before["missedbeat_sweep_lag_seconds"]) > 10
    for name, path in PLACES.items():
        there = said
        for word in path:
            there = there[word]
        assert before[name] <= there <= after[name], name


async def figures(world: World) -> dict[str, float]:
    """What /metrics reads from the tables, as of now."""
    text = (await world.client.get("/metrics")).text.partition("# HELP missedbeat_deliveries ")[0]
    return {name: float(value) for name, value in re.findall(r"^(missedbeat_\w+) (\S+)$", text, re.M)}


async def test_canaries_that_are_sent_and_do_not_come_through_are_said(world: World) -> None:
    """In the metric, and as a complaint after a minute, whether none ever came or none since; not while none is sent, nor for a
    pause between two of them."""
    assert await canary(world) == (-1, False)
    for seconds in (0, 40):
        await sent(world, seconds)
        assert (await canary(world))[1] is False
    await sent(world, 40)
    age, said = await canary(world)
    assert age >= 80
    assert said
    await sent(world, 10, heard=True)
    assert (await canary(world))[1] is False
    await world.advance(3600)
    assert await canary(world) == (-1, False)
    await sent(world, 0)
    assert (await canary(world))[1] is False
    await sent(world, 55)
    age, said = await canary(world)
    assert 60 < age < 3600
    assert said


async def sent(world: World, after: float, heard: bool = False) -> None:
    """A canary leaves so many seconds on; whether it came through."""
    await world.advance(after)
    await world.run(
        "INSERT INTO canaries (sent_at, heard_at) SELECT missedbeat_now(), CASE WHEN :heard THEN missedbeat_now() END",
        heard=heard,
    )


async def canary(world: World) -> tuple[float, bool]:
    """Its figure, and whether it is complained of."""
    said = (await world.client.get("/healthz/deep")).json()
    return said["canary_age_seconds"], "canary" in {wrong["about"] for wrong in said["wrong"]}


async def test_deep_health_is_for_whoever_may_read_the_metrics(dsn: str) -> None:
    """It tells more than strangers should know."""
    async with living(dsn, metrics_token="t" * 20) as world:
        assert (await world.client.get("/healthz/deep")).status_code == 404
        answer = await world.client.get("/healthz/deep", headers={"authorization": "Bearer " + "t" * 20})
        assert answer.status_code == 503


async def test_deep_health_answers_though_the_database_does_not() -> None:
    """503 that names the database, instead of an error."""
    nowhere = Web(Settings(secret_key="k" * 40, _env_file=None), "postgresql+psycopg://127.0.0.1:1/none")
    async with client_of(nowhere) as client:
        answer = await client.get("/healthz/deep")
    await nowhere.dispose()
    assert answer.status_code == 503
    assert [wrong["about"] for wrong in answer.json()["wrong"]] == ["database"]


async def test_every_answer_carries_strict_headers(world: World) -> None:
    """Pages, errors, pings: nothing may be framed, sniffed or sent along as a referrer."""
    check = await world.check()
    for path in ("/livez", "/nowhere", "/api/v3/checks/", "/api/v3/nowhere", "/ping/x", f"/ping/{check['uuid']}", "/api/docs"):
        headers = (await world.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
        assert "default-src 'none'" in headers["content-security-policy"], path
