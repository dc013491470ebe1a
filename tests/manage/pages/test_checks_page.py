"""The table of checks: the worst first, filtered, fifty at a time, paused many at once."""

import re
from uuid import uuid4

import pytest

from app.domain.role import Role
from tests.manage.pages.visitor import Browser, Page, Person, joined
from tests.many import copy
from tests.world import World

pytestmark = pytest.mark.anyio


def names(page: Page) -> list[str]:
    """The checks of the table, from the top."""
    return re.findall(r'<th scope="row"><a href="[^"]*">([^<]*)</a>', page.html)


@pytest.fixture
async def path(world: World, browser: Browser, anna: Person) -> str:
    """The table of the world's project, for a member who is signed in."""
    await joined(world, anna, Role.MEMBER)
    await browser.sign_in(anna)
    return f"/projects/{world.project.id}/monitors"


async def test_the_worst_stands_first_and_what_is_looked_for_alone(world: World, browser: Browser, path: str) -> None:
    """By words in name, slug and tags, by tag, by state, by schedule; a filter that fits nothing says so."""
    fine = await world.check(name="Fine", tags="prod db", timeout=3600)
    down = await world.check(name="Failing", slug="nightly")
    late = await world.check(name="Late one", schedule="* * * * *", tz="UTC", grace=3600)
    await world.check(name="Silent")
    for check in (fine, late):
        await world.ping(check)
    await world.ping(down, "/fail")
    await world.advance(90)
    assert names(await browser.see(path)) == ["Failing", "Late one", "Fine", "Silent"]
    for query, found in (
        ("words=NIGHT", ["Failing"]), ("words=prod+fine", ["Fine"]), ("tag=db", ["Fine"]), ("state=late", ["Late one"]),
        ("kind=cron", ["Late one"]), ("state=down&words=fine", []), ("state=nonsense", []), ("tag=d", []),
    ):  # fmt: skip
        assert names(await browser.see(f"{path}?{query}")) == found, query
    assert "No check is like that." in (await browser.see(f"{path}?words=nothing")).text
    assert (await browser.see(f"{path}?words=nothing")).value("words") == "nothing"
    assert "4 checks: 1 down, 1 late, 1 up, 1 new" in (await browser.see(path)).text


async def test_pages_of_fifty_leave_none_out(world: World, browser: Browser, path: str) -> None:
    """Each link leads on from the last one shown, with the filter kept."""
    await world.check(tags="many")
    await copy(world, 119)
    await world.run("UPDATE monitors SET name = left(id::text, 8)")
    seen: list[str] = []
    query, pages = "tag=many", 0
    while query:
        page = await browser.see(f"{path}?{query}")
        seen, pages = seen + names(page), pages + 1
        more = re.search(r'monitors\?([^"]*after[^"]*)"', page.html)
        query = more[1].replace("&amp;", "&") if more else ""
        assert not query or "tag=many" in query
    assert (pages, len(seen), seen) == (3, 120, sorted(seen))


async def test_many_are_paused_and_resumed_at_once_and_members_are_told(world: World, browser: Browser, path: str) -> None:
    """Only those that were chosen; another project's, unknown ones and nonsense are as if they had not been named."""
    chosen, other = [await world.check(name="a"), await world.check(name="b")], await world.check(name="c")
    stranger = await world.new_project("Theirs")
    theirs = (await world.api("POST", "checks/", {"timeout": 60}, key=stranger.api_key)).json()
    given = [check["uuid"] for check in (*chosen, theirs)] + [str(uuid4())]
    assert (await browser.send(f"{path}/pause", {"monitor": given})).goes_to == path
    statuses = {check["name"]: (await world.seen(check))["status"] for check in (*chosen, other)}
    assert statuses == {"a": "paused", "b": "paused", "c": "new"}
    assert (await world.api("GET", f"checks/{theirs['uuid']}", key=stranger.api_key)).json()["status"] == "new"
    assert len(await world.rows("SELECT * FROM pauses")) == 2
    assert (await browser.send(f"{path}/resume", {"monitor": [*given, other["uuid"]]})).goes_to == path
    assert {(await world.seen(check))["status"] for check in (*chosen, other)} == {"new"}
    assert (await browser.send(f"{path}/pause")).goes_to == path, "nothing chosen is nothing done"
    assert (await browser.send(f"{path}/pause", {"monitor": "nonsense"})).status == 404


async def test_a_viewer_looks_on(world: World, anna: Person) -> None:
    """Without boxes and buttons, without the ping key of a project that has no check; and is refused."""
    await joined(world, anna, Role.VIEWER)
    own = f"/projects/{world.project.id}"
    async with Browser(world) as browser:
        await browser.sign_in(anna)
        for path in (own, f"{own}/monitors"):
            page = await browser.see(path)
            assert "Waiting for your first ping" in page.text
            assert world.project.ping_key not in page.html
        check = await world.check(name="a")
        page = await browser.see(f"{own}/monitors")
        assert (names(page), "checkbox" in page.html, "New check" in page.text) == (["a"], False, False)
        assert (await browser.send(f"{own}/monitors/pause", {"monitor": check["uuid"]})).status == 403


async def test_the_axis_of_a_day_shows_the_same_checks(world: World, browser: Browser, path: str) -> None:
    """With what ran and what is expected; the filter is kept from view to view."""
    check = await world.check(name="Hourly", timeout=3600, tags="db")
    await world.ping(check)
    page = await browser.see(f"{path}?view=day&tag=db")
    assert names(page) == ["Hourly"]
    assert "Last 1 run: 1 succeeded" in page.html
    slots = re.findall(r'class="slot" d="([^"]*)"', page.html)
    assert slots
    assert 3 <= slots[0].count("M") <= 6
    assert f"{path}?tag=db" in page.html
    assert f"{path}?tag=db&amp;view=day" in (await browser.see(f"{path}?tag=db")).html
    assert names(await browser.see(f"{path}?view=day&tag=none")) == []
