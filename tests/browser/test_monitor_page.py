"""One check in a real browser: made and edited by its form, looked at while it runs and fails, by keys alone, without scripts."""

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.screen import Site, screen, see
from tests.manage.pages.visitor import Person

pytestmark = pytest.mark.anyio

HOSTILE = b"</code></pre><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


async def all_of(site: Site) -> list[dict[str, Any]]:
    """The checks there are, as the API shows them."""
    return list((await site.world.api("GET", "checks/")).json()["checks"])


async def shows(page: Page, words: str) -> None:
    """What the settings mean is told so, without a reload."""
    await expect(page.locator("#preview")).to_contain_text(words)


async def test_every_kind_of_schedule_is_made_with_its_meaning_told_while_typing(
    site: Site, window: Browser, anna: Person
) -> None:
    """A period, cron and OnCalendar; each leads to the page of its check, and an edit shows what is there."""
    async with screen(window, site, anna) as page:
        for kind, fields, words in (
            ("every", {"Every": "90"}, "counted from when it was last heard"),
            ("cron", {"Expression": "30 2 * * 1-5", "Time zone": "Europe/Berlin"}, "At 02:30 on weekdays, Europe/Berlin."),
            ("oncalendar", {"Expression": "Sat *-*-* 04:00", "Time zone": "Asia/Tokyo"}, "Saturdays, Asia/Tokyo."),
        ):
            await see(page, f"{site.project}/monitors")
            await page.get_by_role("link", name="New check" if kind != "every" else "Make a check by hand").click()
            await expect(page.get_by_label("Name")).to_be_focused()
            await page.keyboard.type(f"made {kind}")
            if kind == "every":
                await expect(page.get_by_label("Expression")).to_be_hidden()
            else:
                await page.get_by_label("At set times, by cron or OnCalendar").check()
            for label, value in fields.items():
                await page.get_by_label(label, exact=True).fill(value)
            await shows(page, words)
            await expect(page.locator("#preview .coming li")).to_have_count(5)
            await page.get_by_role("button", name="Make the check").click()
            await expect(page.get_by_role("heading", name=f"made {kind}", level=1)).to_be_visible()
            await page.get_by_role("link", name="Edit").click()
            for label, value in fields.items():
                await expect(page.get_by_label(label, exact=True)).to_have_value(value)
            await shows(page, words)
    assert sorted(check["kind"] for check in await all_of(site)) == ["cron", "every", "oncalendar"]


async def test_a_wrong_expression_is_said_while_typing_and_beside_its_field(site: Site, window: Browser, anna: Person) -> None:
    """It is told at once, saved by nobody, and mended where it stands."""
    async with screen(window, site, anna) as page:
        await see(page, f"{site.project}/monitors/new")
        await page.get_by_label("At set times, by cron or OnCalendar").check()
        field = page.get_by_label("Expression")
        await field.fill("61 * * * *")
        await shows(page, "is not cron (bad minute)")
        await page.get_by_label("Name").fill("kept")
        await page.get_by_role("button", name="Make the check").click()
        await expect(page.locator("#schedule-wrong")).to_contain_text("is not cron (bad minute)")
        await expect(page.get_by_role("alert")).to_contain_text("Nothing was saved yet")
        await expect(page.get_by_label("Name")).to_have_value("kept")
        await page.get_by_label("Expression").fill("1 * * * *")
        await shows(page, "Every hour at minute 1")
        await page.get_by_role("button", name="Make the check").click()
        await expect(page.get_by_role("heading", name="kept", level=1)).to_be_visible()


async def test_an_edit_tells_what_it_would_have_alerted_and_moves_the_deadline(site: Site, window: Browser, anna: Person) -> None:
    """A job that came every hour, under a period of half an hour: the replay counts what would have been missed."""
    world = site.world
    check = await world.check(name="hourly", timeout=3600, grace=1800)
    for _ in range(5):
        await world.advance(3600)
        await world.ping(check)
    async with screen(window, site, anna) as page:
        await see(page, f"{site.project}/monitors")
        await page.get_by_role("link", name="hourly").click()
        await page.get_by_role("link", name="Edit").click()
        await page.get_by_label("Every", exact=True).fill("2")
        await shows(page, "with these settings it would have been down never")
        await page.get_by_label("Every: unit").select_option("minutes")
        await page.get_by_label("Grace", exact=True).fill("1")
        await shows(page, "with these settings it would have been down 4 times")
        await page.get_by_label("Every", exact=True).fill("3")
        await page.get_by_label("Every: unit").select_option("hours")
        before = await world.seen(check)
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("#sentence")).to_contain_text("Expected next")
        assert (await world.seen(check))["deadline"] > before["deadline"]


async def test_its_page_turns_with_it_and_shows_what_it_said_as_text(site: Site, window: Browser, anna: Person) -> None:
    """Running, failed with a hostile body, up by a button, paused and gone; all but the buttons without a touch."""
    world = site.world
    check = await world.check(name="nightly <i>backup</i>", timeout=3600, grace=600)
    async with screen(window, site, anna) as page:
        await see(page, f"{site.project}/monitors")
        await page.get_by_role("link", name="nightly <i>backup</i>").click()
        await expect(page.locator("#live")).to_have_text("Live")
        await page.evaluate("window.mark = 1")
        await world.ping(check, "/start")
        await expect(page.locator("#sentence")).to_contain_text("Running since")
        await world.advance(20)
        await world.ping(check, "/fail", content=HOSTILE)
        await expect(page.locator("#sentence")).to_contain_text("The job itself reported failure")
        await page.locator("#body-2 summary").click()
        await expect(page.locator("#body-2 code")).to_have_text(HOSTILE.decode())
        await world.ping(check, "/log", content=b"a word")
        await expect(page.locator("#ping-3")).to_be_visible()
        await expect(page.locator("#body-2 code")).to_be_visible()  # what the reader opened stays open
        assert await page.evaluate("window.mark") == 1, "it was loaded anew"
        await expect(
            page.locator("#address").get_by_role("button", name="Copy").first
        ).to_be_visible()  # as before it was refreshed
        assert "owned" not in await page.title()
        async with page.expect_download() as kept:
            await page.locator("#body-2").get_by_role("link", name="Download").click()
        assert (await (await kept.value).path()).read_bytes() == HOSTILE
        await page.get_by_role("button", name="Ping now").click()
        await expect(page.locator(".one-state")).to_have_text("up")
        await expect(page.locator("#ping-4")).to_contain_text("dashboard")
        await page.get_by_role("button", name="Pause").click()
        await expect(page.locator(".one-state")).to_have_text("paused")
        await page.get_by_role("button", name="Resume").click()
        await expect(page.locator(".one-state")).to_have_text("new")
        await page.get_by_role("link", name="Delete").click()
        await page.get_by_role("button", name="Delete this check").click()
        await expect(page).to_have_url(f"{site.url}{site.project}/monitors")
    assert await all_of(site) == []


async def test_a_check_is_made_with_keys_alone(site: Site, window: Browser, anna: Person) -> None:
    """From the first field to the button; what has the focus is always seen, and typing is never interrupted."""
    async with screen(window, site, anna) as page:
        await see(page, f"{site.project}/monitors/new")
        await page.keyboard.type("by keys")
        for _ in range(4):
            await page.keyboard.press("Tab")
        await page.keyboard.press("ArrowDown")
        await expect(page.get_by_label("At set times, by cron or OnCalendar")).to_be_checked()
        await page.keyboard.press("Tab")
        await page.keyboard.type("0 4 * * *", delay=40)
        await expect(page.get_by_label("Expression")).to_be_focused()
        await shows(page, "At 04:00 every day")
        await page.get_by_role("button", name="Make the check").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="by keys", level=1)).to_be_visible()
    (check,) = await all_of(site)
    assert check["schedule"] == "0 4 * * *"


async def test_all_of_it_works_with_scripts_off(site: Site, window: Browser, anna: Person) -> None:
    """The meaning by a button, the errors, the saving, the acts."""
    async with screen(window, site, anna, scripts=False) as page:
        await see(page, f"{site.project}/monitors/new")
        await page.get_by_label("Name").fill("plain")
        await page.get_by_label("At set times, by cron or OnCalendar").check()
        await page.get_by_label("Expression").fill("*/15 * * * *")
        await page.get_by_role("button", name="What it means").click()
        await shows(page, "Every 15 minutes, UTC.")
        await expect(page.get_by_label("Name")).to_have_value("plain")
        await page.get_by_role("button", name="Make the check").click()
        await expect(page.get_by_role("heading", name="plain", level=1)).to_be_visible()
        await page.get_by_role("button", name="Ping now").click()
        await expect(page.locator(".one-state")).to_have_text("up")
        await page.get_by_role("link", name="Edit").click()
        await page.get_by_role("button", name="What it means").click()
        await shows(page, "1 check-in since")
        await page.get_by_role("link", name="Cancel").click()
        await page.get_by_role("button", name="Pause").click()
        await expect(page.locator(".one-state")).to_have_text("paused")
