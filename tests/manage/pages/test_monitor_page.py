"""The page of one check: what stands on it, what can be done there, and to whom it tells where the check is pinged."""

import pytest

from app.domain.role import Role
from tests.manage.pages.visitor import Browser, Person, joined, signed_up
from tests.world import World

pytestmark = pytest.mark.anyio

HOSTILE = b"</code></pre><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
async def owner(world: World, browser: Browser, anna: Person) -> Person:
    """Anna, signed in as the owner of the world's project."""
    await joined(world, anna, Role.OWNER)
    await browser.sign_in(anna)
    return anna


def page_of(world: World, check: dict[str, object]) -> str:
    """The path of its page."""
    return f"/projects/{world.project.id}/monitors/{check['unique_key']}"


async def made(world: World, **fields: object) -> dict[str, object]:
    """A check, with the name its page goes by."""
    check = await world.check(**fields)
    (row,) = await world.rows("SELECT unique_key FROM monitors WHERE id = CAST(:id AS uuid)", id=check["uuid"])
    return {**check, **row}


async def test_the_page_says_how_it_stands_from_its_first_day_on(world: World, browser: Browser, owner: Person) -> None:
    """New, running, up, late, down with the reason, up again, paused: each in a sentence."""
    check = await made(world, name="nightly", timeout=3600, grace=600)
    page = page_of(world, check)
    assert "Nothing was heard yet, and nothing is expected until it is heard first." in (await browser.see(page)).text
    await world.ping(check, "/start")
    text = (await browser.see(page)).text
    assert "It never ended yet." in text
    assert "Running since" in text
    await world.advance(30)
    await world.ping(check)
    text = (await browser.see(page)).text
    assert "Last heard" in text
    assert "and given 10 min more." in text
    assert "How long the last run took Half took no longer than 30" in text
    await world.advance(3700)
    assert "Unless it is heard it is down" in (await browser.see(page)).text
    await world.advance(600)
    assert "It was not heard in time." in (await browser.see(page)).text, "noticed by who looks before the sweeper does"
    await world.sweep()
    text = (await browser.see(page)).text
    assert "Down since" in text
    assert "by its schedule, every 1 h; not heard of by" in text
    await world.ping(check, "/fail", content=b"no space")
    await world.ping(check)
    assert "8 bytes: no space" in (await browser.see(page)).text
    await browser.send(f"{page}/pause")
    assert "nothing is expected of it until it is heard again or resumed." in (await browser.see(page)).text


async def test_a_body_is_shown_as_text_and_kept_byte_for_byte(world: World, browser: Browser, owner: Person) -> None:
    """Markup in it is no markup; the whole is an attachment of plain text."""
    check = await made(world, name="<b>bold</b>")
    whole = HOSTILE + b"\x00\xff" * 4000
    await world.ping(check, "/fail", content=whole)
    page = await browser.see(page_of(world, check))
    assert "<script>alert" not in page.html
    assert "<img src=x" not in page.html
    assert "<b>bold" not in page.html
    assert "</code></pre><script>alert(1)</script>" in page.text
    assert "The first 2048 bytes." in page.text
    kept = await browser.see(f"{page_of(world, check)}/log/1")
    assert kept.answer.content == whole
    assert kept.headers["content-type"].startswith("text/plain")
    assert kept.headers["content-disposition"] == 'attachment; filename="ping-1.txt"'
    assert (await browser.see(f"{page_of(world, check)}/log/2")).status == 404
    assert (await browser.see(f"{page_of(world, check)}/log/{'9' * 40}")).status == 404


async def test_whoever_only_looks_on_learns_no_ping_url(world: World, browser: Browser, owner: Person) -> None:
    """The id of a check is all that it takes to ping it: no page tells it to a viewer, nor does a path."""
    check = await made(world, name="nightly")
    await world.ping(check, "/fail")
    mine = f"/projects/{world.project.id}"
    assert f"/ping/{check['uuid']}" in (await browser.see(page_of(world, check))).html
    vera = await signed_up(world, "vera@example.org")
    await joined(world, vera, Role.VIEWER)
    async with Browser(world) as viewer:
        await viewer.sign_in(vera)
        for path in (page_of(world, check), mine, f"{mine}/monitors", f"{mine}/monitors?view=day", f"{mine}/tv"):
            page = await viewer.see(path)
            assert page.status == 200
            assert str(check["uuid"]) not in page.html, path
        for act in ("ping", "pause", "resume", "delete", "edit"):
            assert (await viewer.send(f"{page_of(world, check)}/{act}")).status == 403
        assert (await viewer.see(f"{page_of(world, check)}/edit")).status == 403


async def test_a_ping_by_hand_counts_like_any_other(world: World, browser: Browser, owner: Person) -> None:
    """It moves the deadline, stands in the log with where it came from, and is refused where a ping would be."""
    check = await made(world, name="nightly")
    await world.ping(check, "/fail")
    page = page_of(world, check)
    answer = await browser.send(f"{page}/ping")
    assert (answer.status, answer.goes_to) == (303, page)
    assert (await world.seen(check))["status"] == "up"
    (ping, _) = (await world.api("GET", f"checks/{check['uuid']}/pings/")).json()["pings"]
    assert (ping["type"], ping["ua"], ping["method"], ping["remote_addr"]) == ("success", "dashboard", "POST", "203.0.113.9")
    await world.api("POST", f"checks/{check['uuid']}", {"manual_resume": True})
    await browser.send(f"{page}/pause")
    refused = await browser.send(f"{page}/ping")
    assert refused.status == 409
    assert "ignored" in refused.text


async def test_pause_resume_and_delete_go_by_the_way_of_the_api(world: World, browser: Browser, owner: Person) -> None:
    """Twice is once; what is deleted is gone with its pages, after a page that asks."""
    check = await made(world, name="nightly")
    await world.ping(check)
    page = page_of(world, check)
    for act, status in (("pause", "paused"), ("pause", "paused"), ("resume", "new"), ("resume", "new")):
        assert (await browser.send(f"{page}/{act}")).status == 303
        assert (await world.seen(check))["status"] == status
    assert "for good" in (await browser.see(f"{page}/delete")).text
    assert (await world.seen(check))["status"] == "new"
    gone = await browser.send(f"{page}/delete")
    assert gone.goes_to == f"/projects/{world.project.id}/monitors"
    assert (await browser.see(page)).status == 404
    assert (await world.ping(check)).status_code == 404


async def test_runs_and_log_go_back_page_by_page(world: World, browser: Browser, owner: Person) -> None:
    """Fifty at a time, none twice and none left out; what the plan does not keep is not shown."""
    check = await made(world, name="busy", timeout=3600)
    for _ in range(53):
        await world.advance(1)
        await world.ping(check)
    page = page_of(world, check)
    first = await browser.see(page)
    assert first.html.count('<tr id="ping-') == 50
    assert first.html.count('<tr id="run-') == 50
    assert f"{page}?log=4#log" in first.html
    older = await browser.see(f"{page}?log=4")
    assert older.html.count('<tr id="ping-') == 3
    link = first.html.split("?runs=")[1].split("#")[0]
    assert (await browser.see(f"{page}?runs={link}")).html.count('<tr id="run-') == 3
    assert (await browser.see(f"{page}?log=junk&days=junk")).status == 200
    assert (await browser.see(f"{page}?runs=junk")).status == 400


async def test_a_day_is_as_red_as_its_share_of_downtime(world: World, browser: Browser, owner: Person) -> None:
    """Ten seconds are little; the month says of how much time that is."""
    check = await made(world, name="nightly", timeout=86400 * 5)
    await world.ping(check)
    await world.advance(7200)
    await world.ping(check, "/fail")
    await world.advance(10)
    await world.ping(check)
    text = (await browser.see(page_of(world, check))).html
    assert "day-little" in text
    assert "day-much" not in text
    await world.ping(check, "/fail")
    await world.advance(3600 * 5)
    await world.ping(check)
    assert "day-much" in (await browser.see(page_of(world, check))).html
