"""Incidents on their pages: the list with its filters, the file for spreadsheets, one of them whole."""

import csv
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest

from app.domain.role import Role
from app.domain.tokens import unique_key
from app.manage.pages.incidents import PAGE, cell
from tests.manage.pages.visitor import Browser, Person, joined, signed_up
from tests.receivers import HttpReceiver, Reply
from tests.world import World

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1).total_seconds()


@pytest.fixture
async def owner(world: World, browser: Browser, anna: Person) -> Person:
    """Anna, signed in as the owner of the world's project."""
    await joined(world, anna, Role.OWNER)
    await browser.sign_in(anna)
    return anna


async def failed(world: World, **fields: Any) -> dict[str, Any]:
    """A check that has just failed."""
    check = await world.check(**fields)
    await world.ping(check)
    await world.ping(check, "/fail", content=b"disk full")
    return check


async def incident_of(world: World, check: dict[str, Any]) -> str:
    """The id of its newest incident."""
    query = "SELECT id FROM incidents WHERE monitor_id = :id ORDER BY opened_at DESC LIMIT 1"
    return str((await world.rows(query, id=check["uuid"]))[0]["id"])


async def test_the_list_is_found_by_state_check_reason_and_period(world: World, browser: Browser, owner: Person) -> None:
    """Each of them alone and together; what makes no sense is left out, and the links keep what was asked."""
    mine = f"/projects/{world.project.id}/incidents"
    closed = await failed(world, name="nightly backup", timeout=86400 * 30)
    await world.ping(closed)
    await world.advance(3 * DAY)
    silent = await world.check(name="rotate logs", timeout=60, grace=60)
    await world.ping(silent)
    await world.advance(200)
    await world.sweep()
    key = unique_key(UUID(silent["uuid"]))
    today = (await world.now()).date()
    before = (today - timedelta(days=2)).isoformat()
    expected = {
        "": {"nightly backup", "rotate logs"}, "?state=open": {"rotate logs"}, "?state=closed": {"nightly backup"},
        "?words=BACK+night": {"nightly backup"}, "?reason=missed": {"rotate logs"}, f"?until={before}": {"nightly backup"},
        f"?since={before}": {"rotate logs"}, f"?monitor={key}": {"rotate logs"},
        f"?monitor={key}&state=closed": set(), "?state=all&since=never&reason=x&monitor=1&after=1-2": {
            "nightly backup", "rotate logs"},
    }  # fmt: skip
    for query, names in expected.items():
        page = await browser.see(mine + query)
        assert page.status == 200, query
        assert {name for name in ("nightly backup", "rotate logs") if f">{name}</a>" in page.html} == names, query
    assert "Of rotate logs only" in (await browser.see(f"{mine}?monitor={key}")).text
    assert "No incident is like that" in (await browser.see(f"{mine}?words=nothing")).text


async def test_a_long_list_has_pages_that_leave_out_none_and_repeat_none(world: World, browser: Browser, owner: Person) -> None:
    """Fifty at a time, though all of them opened in the same instant."""
    await failed(world, name="job")
    await world.run(
        """INSERT INTO incidents SELECT project_id, gen_random_uuid(), gen_random_uuid(), 'job ' || n, opened_at, 1, reason,
        evidence, opened_at, 'heard' FROM incidents, generate_series(1, 119) n"""
    )
    seen: list[str] = []
    path = f"/projects/{world.project.id}/incidents?words=job"
    for _ in range(3):
        page = await browser.see(path)
        seen += [part.partition('"')[0] for part in page.html.split('<tr id="incident-')[1:]]
        path = (
            page.html.partition(f'href="/projects/{world.project.id}/incidents?words')[2].partition('"')[0].replace("&amp;", "&")
        )
        path = f"/projects/{world.project.id}/incidents?words{path}"
    assert len(seen) == len(set(seen)) == 120
    assert len(seen[:PAGE]) == PAGE
    assert "Older incidents" not in page.html


async def test_the_file_holds_what_was_looked_for_and_no_formula(world: World, browser: Browser, owner: Person) -> None:
    """Words of others never begin a formula in a spreadsheet; neither ping URLs nor ids stand in it."""
    check = await failed(world, name='=HYPERLINK("http://evil.test")')
    other = await failed(world, name="other")
    await world.ping(other)
    await browser.send(f"/projects/{world.project.id}/incidents/{await incident_of(world, check)}/acknowledge")
    answer = await browser.see(f"/projects/{world.project.id}/incidents.csv?state=open")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="incidents.csv"'
    (row,) = csv.DictReader(StringIO(answer.html))
    assert row["check"] == '\'=HYPERLINK("http://evil.test")'
    assert (row["reason"], row["closed_at"], row["acknowledged_by"]) == ("failed", "", owner.email)
    assert "reported failure" in row["why"]
    assert check["uuid"] not in answer.html
    everything = await browser.see(f"/projects/{world.project.id}/incidents.csv")
    assert [one["check"] for one in csv.DictReader(StringIO(everything.html))] == ["other", row["check"]]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_a_cell_of_a_file_is_no_formula(text: str) -> None:
    """What a spreadsheet takes for its beginning is quoted; all else stays as it is."""
    assert cell(text) == f"'{text}"
    assert [cell(value) for value in (None, 3, "a=b", "", "\u202e=1")] == ["", "3", "a=b", "", "'=1"]


async def test_a_file_of_many_is_whole(world: World, browser: Browser, owner: Person) -> None:
    """More than are read at once."""
    await failed(world, name="job")
    await world.run(
        """INSERT INTO incidents SELECT project_id, gen_random_uuid(), gen_random_uuid(), 'job',
        opened_at - n % 7 * interval '1 s', 1, reason, evidence, opened_at, 'heard' FROM incidents, generate_series(1, 1203) n"""
    )
    answer = await browser.see(f"/projects/{world.project.id}/incidents.csv")
    assert len({row["incident"] for row in csv.DictReader(StringIO(answer.html))}) == 1204


async def test_only_who_may_export_has_the_file_and_only_who_may_change_checks_acknowledges(world: World) -> None:
    """A member sees no way to the file, a viewer no button either; both are refused where they try."""
    check = await failed(world, name="job")
    mine = f"/projects/{world.project.id}/incidents"
    one = f"{mine}/{await incident_of(world, check)}"
    for role, has_button in ((Role.MEMBER, True), (Role.VIEWER, False)):
        person = await signed_up(world, f"{role}@example.org")
        await joined(world, person, role)
        async with Browser(world) as browser:
            await browser.sign_in(person)
            assert "CSV" not in (await browser.see(mine)).text
            assert (await browser.see(f"{mine}.csv")).status == 403
            assert ("I have seen it" in (await browser.see(one)).text) is has_button
            if not has_button:
                assert (await browser.send(f"{one}/acknowledge")).status == 403


async def test_one_incident_tells_its_whole_story(world: World, browser: Browser, owner: Person) -> None:
    """It went down, who was told, what the receivers said, who has seen it, how it closed; and what that was decided from."""
    async with HttpReceiver(Reply(503, body=b"come back <later>")) as receiver:
        made = {"kind": "webhook", "name": "on <call>", "url": receiver.url()}
        assert (await world.api("POST", "channels/", made)).status_code == 201
        check = await failed(world, name="nightly <i>backup", timeout=3600, grace=600, channels="*")
        await world.deliver()
        path = f"/projects/{world.project.id}/incidents/{await incident_of(world, check)}"
        page = await browser.see(path)
        for words in ("It went down", "on <call> did not take it, and is tried again", "come back <later>", "status 503",
                      "The job itself reported failure", "every 1 h", "Grace 10 min", "Heard last", "fail at"):  # fmt: skip
            assert words in page.text, words
        assert (await browser.send(f"{path}/acknowledge")).goes_to == path
        await world.advance(10)
        await world.deliver()
        await world.ping(check)
        await world.deliver()
    page = await browser.see(path)
    for words in (
        f"Seen by {owner.email}",
        "on <call> was told of this",
        "It was heard again",
        "closed was down for",
        "all its incid",
    ):
        assert words.casefold() in page.text.casefold(), words
    assert "I have seen it" not in page.text
    assert f'href="/projects/{world.project.id}/monitors/{unique_key(UUID(check["uuid"]))}"' in page.html


async def test_the_button_leads_back_to_where_it_stood(world: World, browser: Browser, owner: Person) -> None:
    """The page of this project that the browser came from, and never elsewhere."""
    check = await failed(world)
    mine = f"/projects/{world.project.id}"
    one = f"{mine}/incidents/{await incident_of(world, check)}"
    referers = {
        f"http://missedbeat.test{mine}": mine,
        f"http://missedbeat.test{mine}/incidents?state=open": f"{mine}/incidents?state=open",
        "http://missedbeat.test/account": one, "http://evil.test//evil.test": one, "": one, "http://x/projects": one,
        "http://[": one,
    }  # fmt: skip
    for referer, wanted in referers.items():
        assert (await browser.send(f"{one}/acknowledge", referer=referer)).goes_to == wanted, referer
    (row,) = await world.rows("SELECT acknowledged_by FROM incidents")
    assert row["acknowledged_by"] == owner.email


async def test_an_incident_of_a_deleted_check_is_still_told(world: World, browser: Browser, owner: Person) -> None:
    """It closed with the check, and leads to no page that is gone."""
    check = await failed(world, name="job")
    path = f"/projects/{world.project.id}/incidents/{await incident_of(world, check)}"
    assert (await world.api("DELETE", f"checks/{check['uuid']}")).status_code == 200
    page = await browser.see(path)
    assert "The check was deleted" in page.text
    assert f"/monitors/{unique_key(UUID(check['uuid']))}" not in page.html


async def test_a_message_leads_to_the_page_of_its_incident(world: World, browser: Browser, owner: Person) -> None:
    """Whoever opens it from there, signed in, reads what it is about."""
    async with HttpReceiver() as receiver:
        made = {"kind": "webhook", "name": "pager", "url": receiver.url()}
        assert (await world.api("POST", "channels/", made)).status_code == 201
        await failed(world, name="nightly backup", channels="*")
        await world.deliver()
        link = receiver.requests[0].json()["data"]["incident_url"]
    page = await browser.see(link.removeprefix("http://missedbeat.test"))
    assert page.status == 200
    assert "nightly backup: incident" in page.text


async def test_a_false_alarm_is_no_downtime(world: World, browser: Browser, owner: Person) -> None:
    """Late news: the page of the incident says so, that of the check counts nothing, and the file for spreadsheets neither."""
    check = await world.check(name="nightly backup", timeout=3600, grace=60)
    await world.ping(check)
    await world.advance(3 * 3600)
    await world.sweep()
    headers = {"x-api-key": world.project.api_key}
    for minutes in (121, 62, 3):
        at = (await world.now() - timedelta(minutes=minutes)).isoformat()
        assert (await world.ping(check, params={"at": at}, headers=headers)).status_code == 200
    mine = f"/projects/{world.project.id}"
    page = await browser.see(f"{mine}/incidents/{await incident_of(world, check)}")
    assert "it was a false alarm" in page.text
    assert "the news of that came late" in page.text
    assert "false alarm" in (await browser.see(f"{mine}/incidents")).text
    shown = await browser.see(f"{mine}/monitors/{unique_key(UUID(check['uuid']))}")
    assert "never down" in shown.html
    assert "100 %" in shown.text
    (line,) = csv.DictReader(StringIO((await browser.see(f"{mine}/incidents.csv")).html))
    assert (line["seconds"], line["closed_by"], line["fine_until"]) == ("0", "withdrawn", line["closed_at"])


async def test_an_alarm_that_late_news_puts_off_counts_from_then(world: World, browser: Browser, owner: Person) -> None:
    """Two hours of five were none."""
    check = await world.check(name="nightly backup", timeout=3600, grace=60)
    await world.ping(check)
    await world.advance(6 * 3600)
    await world.sweep()
    headers = {"x-api-key": world.project.api_key}
    for hours in (5, 4):
        at = (await world.now() - timedelta(hours=hours)).isoformat()
        await world.ping(check, params={"at": at}, headers=headers)
    mine = f"/projects/{world.project.id}"
    page = await browser.see(f"{mine}/incidents/{await incident_of(world, check)}")
    assert "for 2 h 59 min" in page.text
    assert "Until then all had been well" in page.text
    assert "down 2 h 59 min" in (await browser.see(f"{mine}/monitors/{unique_key(UUID(check['uuid']))}")).html
