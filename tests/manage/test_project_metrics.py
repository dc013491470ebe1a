"""Metrics of a project, read as Prometheus reads them."""

from datetime import datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.journeys.running import serving, until
from tests.many import copy, statements
from tests.receivers import HttpReceiver, Reply
from tests.world import World, living

pytestmark = pytest.mark.anyio

NASTY = ['quote " end', "back\\slash", "line\nbreak", "\\n", "\\", '"', "}", 'a="b"', "Größe 备份", "a,b", "", " x ", "cr\rlf"]


async def scraped(world: World, key: str | None = None) -> httpx.Response:
    """What a scrape is answered."""
    headers = {"Authorization": f"Bearer {key or world.project.api_key_readonly}"}
    return await world.client.get(f"/projects/{world.project.id}/metrics/", headers=headers)


async def values(world: World) -> dict[str, dict[str, float]]:
    """Metric -> name of the check, or tag, or both name and outcome -> value. Every series is there once."""
    answer = await scraped(world)
    assert answer.status_code == 200, answer.text
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(answer.text):
        assert (family.type, bool(family.documentation)) == ("gauge", True)
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            name = " ".join(sample.labels[label] for label in ("name", "tag", "outcome") if label in sample.labels)
            assert name not in series, (sample.name, name)
            series[name] = sample.value
    return found


# ---- what they say


async def test_every_state_is_told_as_of_now(world: World) -> None:
    """Healthchecks' metrics, though no sweeper runs. A tag is up while none of its checks is down."""
    silent = await world.check(name="down", tags="prod db")
    await world.ping(silent)
    await world.advance(30)
    late = await world.check(name="late", tags="prod web")
    await world.ping(late)
    await world.advance(70)
    made = {name: await world.check(name=name, tags="web") for name in ("new", "up", "started", "paused")}
    await world.ping(made["up"])
    await world.ping(made["started"], "/start")
    await world.api("POST", f"checks/{made['paused']['uuid']}/pause")
    found = await values(world)
    names = ["down", "late", "new", "up", "started", "paused"]
    assert found["hc_check_up"] == {name: float(name != "down") for name in names}
    assert found["hc_check_grace"] == {name: float(name == "late") for name in names}
    assert found["hc_check_started"] == {name: float(name == "started") for name in names}
    assert found["hc_check_paused"] == {name: float(name == "paused") for name in names}
    assert found["hc_tag_up"] == {"prod": 0, "db": 0, "web": 1}
    assert (found["hc_checks_total"], found["hc_checks_down_total"]) == ({"": 6}, {"": 1})


async def test_lines_have_the_labels_that_dashboards_of_healthchecks_look_for(world: World) -> None:
    """Name, tags and unique_key, in the form in which Healthchecks writes them."""
    check = await world.check(name="Alice", tags="a b")
    (row,) = await world.rows("SELECT unique_key FROM monitors WHERE id = :id", id=check["uuid"])
    answer = await scraped(world)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    labels = f'{{name="Alice", tags="a b", unique_key="{row["unique_key"]}"}}'
    lines = answer.text.splitlines()
    for line in (f"hc_check_up{labels} 1", f"hc_check_paused{labels} 0", 'hc_tag_up{tag="a"} 1', "hc_checks_total 1"):
        assert line in lines
    assert check["uuid"] not in answer.text


async def test_what_is_ours_is_told_where_there_is_something_to_tell(world: World) -> None:
    """Duration, last success, next expected, and how the newest runs ended; a check never heard has none of them."""
    await world.check(name="silent")
    check = await world.check(name="job", max_runtime=600)
    await world.ping(check, "/start")
    await world.advance(20)
    await world.ping(check)
    succeeded = (await world.now()).timestamp()
    found = await values(world)
    assert found["missedbeat_check_last_duration_seconds"] == {"job": pytest.approx(20, abs=2)}
    await world.ping(check, "/fail")
    found = await values(world)
    assert "missedbeat_check_last_duration_seconds" not in found, "an end without a start has none"
    assert found["missedbeat_check_last_success_timestamp_seconds"] == {"job": pytest.approx(succeeded, abs=2)}
    due = datetime.fromisoformat((await world.seen(check))["next_ping"]).timestamp()
    assert found["missedbeat_check_next_expected_timestamp_seconds"] == {"job": pytest.approx(due, abs=1)}
    assert found["missedbeat_check_recent_runs"] == {"job success": 1, "job failed": 1}
    assert (await values(world))["hc_check_up"] == {"silent": 1, "job": 0}


async def test_missed_slots_count_as_runs_and_open_runs_do_not(world: World) -> None:
    """Every slot that nobody was heard in counts by itself, however they are kept."""
    check = await world.check(name="job")
    await world.ping(check)
    await world.advance(95 + 3 * 60)
    await world.sweep()
    await world.ping(check)
    await world.ping(check, "/start")
    (missed,) = await world.rows("SELECT sum(count) AS n FROM runs WHERE outcome = 'missed'")
    assert missed["n"] > 1
    assert (await values(world))["missedbeat_check_recent_runs"] == {"job success": 2, "job missed": missed["n"]}


async def test_only_the_newest_runs_are_counted(world: World) -> None:
    """A hundred for each check, none older than 31 days: what a scrape costs does not grow with what was ever heard."""
    for name in ("many", "old"):
        check = await world.check(name=name)
        await world.ping(check, "/fail")
    await world.run("""
        INSERT INTO runs (project_id, monitor_id, key, at, outcome, attempt, count)
        SELECT project_id, id, 100 + n, missedbeat_now(), 'success', 1, 1 FROM monitors, generate_series(1, 150) AS n
        WHERE name = 'many'""")
    assert (await values(world))["missedbeat_check_recent_runs"] == {"many success": 100, "old failed": 1}
    await world.advance(32 * 86400)
    assert "missedbeat_check_recent_runs" not in await values(world)


async def test_any_name_and_tag_arrive_as_they_are(world: World) -> None:
    """Quotes, backslashes and line breaks are escaped, so that no name can make up a line."""
    for name in NASTY:
        check = await world.check()
        await world.run("UPDATE monitors SET name = :name, tags = :name WHERE id = :id", name=name, id=check["uuid"])
    found = await values(world)
    assert set(found["hc_check_up"]) == set(NASTY)
    assert set(found["hc_tag_up"]) == {tag for name in NASTY for tag in name.split(" ") if tag}
    assert found["hc_checks_total"] == {"": len(NASTY)}


async def test_a_row_that_makes_no_sense_does_not_take_the_others_with_it(world: World) -> None:
    """It is told as it is stored."""
    for name in ("spoiled", "sound"):
        await world.ping(await world.check(name=name))
    await world.run("UPDATE monitors SET kind = 'nonsense' WHERE name = 'spoiled'")
    await world.advance(100)
    assert (await values(world))["hc_check_up"] == {"spoiled": 1, "sound": 0}


async def test_a_channel_that_fails_and_what_died_there_are_seen(world: World) -> None:
    """By the channel's name; one that works says 0."""
    async with HttpReceiver() as refuses, HttpReceiver() as fails, HttpReceiver() as works:
        refuses.always, fails.always = Reply(400), Reply(500)
        for name, receiver in (("refuses", refuses), ("fails", fails), ('wo"rks', works)):
            await world.api("POST", "channels/", {"kind": "webhook", "name": name, "url": receiver.url()})
        await world.ping(await world.check(channels="*"), "/fail")
        await world.deliver()
    answer = await scraped(world)
    found = {
        (sample.name, sample.labels["channel"], sample.labels["kind"]): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if "channel" in sample.labels
    }
    failing, dead = "missedbeat_channel_failing", "missedbeat_channel_dead_deliveries"
    assert {name: value for (metric, name, _), value in found.items() if metric == failing} == {
        "refuses": 0, "fails": 1, 'wo"rks': 0,
    }  # fmt: skip
    assert {name: value for (metric, name, _), value in found.items() if metric == dead} == {
        "refuses": 1, "fails": 0, 'wo"rks': 0,
    }  # fmt: skip


async def test_a_project_without_checks_has_metrics_too(world: World) -> None:
    """Nothing is up, nothing is down."""
    assert await values(world) == {"hc_checks_total": {"": 0}, "hc_checks_down_total": {"": 0}}


# ---- who may read them


async def test_both_forms_answer_the_same_to_those_who_may(world: World) -> None:
    """In the header any key that reads, with and without the last slash; in the address a read-only one alone."""
    await world.check(name="job")
    keys = world.project
    project = f"/projects/{keys.id}"
    expected = (await scraped(world)).text
    for path in (f"{project}/metrics", f"{project}/metrics/"):
        for key in (keys.api_key, keys.api_key_readonly):
            for headers in ({"Authorization": f"Bearer {key}"}, {"X-Api-Key": key}):
                assert (await world.client.get(path, headers=headers)).text == expected
    for path in (f"{project}/metrics/{keys.api_key_readonly}", f"{project}/checks/metrics/{keys.api_key_readonly}"):
        assert (await world.client.get(path)).text == expected


async def test_those_who_may_not_learn_nothing(world: World) -> None:
    """A wrong key, another project's, a read-write key in the address, a revoked one: as for an unknown project."""
    await world.check(name="job")
    mine, other = world.project, await world.new_project("Other")
    unknown = await world.client.get(f"/projects/{uuid4()}/metrics/{mine.api_key_readonly}")
    assert (unknown.status_code, unknown.json()) == (404, {"error": "not found"})
    in_address = [mine.api_key, other.api_key_readonly, other.api_key, mine.ping_key, "x", "R" * 32, "é"]
    in_header = [other.api_key_readonly, other.api_key, mine.ping_key, "x", mine.api_key_readonly[:-1]]
    refused = [await world.client.get(f"/projects/{mine.id}/metrics/{key}") for key in in_address]
    for key in in_header:
        refused.append(await scraped(world, key))
        refused.append(await world.client.get(f"/projects/{mine.id}/metrics", headers={"X-Api-Key": key}))
    refused.append(await world.client.get(f"/projects/x/metrics/{mine.api_key_readonly}"))
    await world.run("UPDATE api_keys SET revoked_at = now() WHERE scope = 'ro'")
    refused += [await scraped(world), await world.client.get(f"/projects/{mine.id}/metrics/{mine.api_key_readonly}")]
    for answer in refused:
        assert (answer.status_code, answer.content, answer.headers) == (404, unknown.content, unknown.headers), answer.url
    bare = await world.client.get(f"/projects/{mine.id}/metrics/")
    assert (bare.status_code, bare.json()) == (401, {"error": "missing api key"})
    assert bare.content == (await world.client.get(f"/projects/{uuid4()}/metrics/")).content


async def test_scrapes_count_as_calls_where_calls_are_limited(dsn: str) -> None:
    """A key in an address is no way round the limit."""
    async with living(dsn, api_limit=3) as world:
        path = f"/projects/{world.project.id}/metrics/{world.project.api_key_readonly}"
        answers = [(await world.client.get(path)).status_code for _ in range(3)]
        assert answers == [200] * 3
        assert (await world.client.get(path)).status_code == (await scraped(world)).status_code == 429


async def test_a_scrape_of_200_checks_costs_as_many_statements_as_one_of_5(world: World) -> None:
    """No query for each check."""
    await world.ping(await world.check(name="job", tags="prod"))
    await scraped(world)  # the first use of a key in a minute is noted
    sent = []
    for more in (4, 195):
        await copy(world, more)
        with statements() as scrape:
            answer = await scraped(world)
        assert f"hc_checks_total {5 if more == 4 else 200}\n" in answer.text
        sent.append(scrape)
    assert sent[0] == sent[1]
    assert len([statement for statement in sent[1] if "monitors" in statement]) == 2


async def test_a_key_in_an_address_stands_in_no_log(tmp_path: Path) -> None:
    """Of the real processes, whether the answer is good, refused, or an outage's."""
    log = tmp_path / "data.log"
    async with serving(tmp_path / "data") as service:
        made = service.new_project("Scraped")
        path = f"/projects/{made['project_id']}/metrics"

        async def scrape(rest: str = made["api_key_readonly"]) -> int:
            return (await service.client.get(f"{path}/{rest}")).status_code

        async def is_away() -> bool:
            return await scrape() == 503

        assert (await scrape(), await scrape(made["api_key"]), await scrape(f"{made['api_key_readonly']}/x")) == (200, 404, 404)
        service.kill("postgres")
        await until(is_away, 10)
        await service.ready()
        assert await scrape() == 200
    assert "the database cannot be reached" in log.read_text()
    assert made["api_key"] not in log.read_text()
    assert made["api_key_readonly"] not in log.read_text()
