"""What operators and their tools ask: is it alive, is it ready, what does it count."""

import pytest

from tests.world import World, living

pytestmark = pytest.mark.anyio


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


async def test_every_answer_carries_strict_headers(world: World) -> None:
    """Pages, errors, pings: nothing may be framed, sniffed or sent along as a referrer."""
    check = await world.check()
    for path in ("/livez", "/nowhere", "/api/v3/checks/", "/api/v3/nowhere", "/ping/x", f"/ping/{check['uuid']}", "/api/docs"):
        headers = (await world.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
        assert "default-src 'none'" in headers["content-security-policy"], path
