"""A channel limited to tags and to hours, by its form and on the pages that show it."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain.hours import DAYS
from app.domain.role import Role
from app.domain.tokens import unique_key
from tests.manage.pages.test_channels import made, mine
from tests.manage.pages.visitor import Browser, Person, joined
from tests.world import World

pytestmark = pytest.mark.anyio

OFFICE = {"when": "hours", "days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00", "zone": "Europe/Berlin"}


@pytest.fixture
async def owner(world: World, browser: Browser, anna: Person) -> Person:
    """Anna, signed in as the owner of the world's project."""
    await joined(world, anna, Role.OWNER)
    await browser.sign_in(anna)
    return anna


async def test_a_channel_is_limited_to_tags_and_to_hours_by_its_form(world: World, browser: Browser, owner: Person) -> None:
    """Pages say so in words, the form shows them again, and of the checks only those count that it hears of."""
    for name, tags in (("a", "billing"), ("b", "prod"), ("c", "payroll prod")):
        await world.check(name=name, tags=tags, channels="*")
    path = await made(world, browser, "email", address="a@example.com", tags="billing  payroll", everything="1", **OFFICE)
    page = await browser.see(path)
    words = "hears down and up, of checks tagged billing or payroll, Mon–Fri 08:00–18:00 Europe/Berlin."
    assert words in page.text
    assert "It hears of 2 of 3 checks. Of a check without one of its tags it never hears." in page.text
    assert words[:-1].removeprefix("hears ") in (await browser.see(mine(world))).text
    assert [name in (await browser.see(f"/projects/{world.project.id}/monitors?channel={path.rpartition('/')[2]}")).text
            for name in ("billing", "payroll")] == [True, True]  # fmt: skip
    form = (await browser.see(f"{path}/edit")).html
    assert 'name="when" value="hours" checked' in form
    assert re.findall(r'name="days" value="(\w+)" checked', form) == OFFICE["days"]
    for name in ("from", "to", "zone"):
        assert re.search(rf'name="{name}"[^>]* value="{OFFICE[name]}"', form), name
    unlimited = {**OFFICE, "hears": "all", "when": "always", "tags": "", "address": "a@example.com"}
    assert (await browser.send(f"{path}/edit", unlimited)).goes_to == path
    assert "hears down and up." in (await browser.see(path)).text
    log = (await browser.see(f"/projects/{world.project.id}/log")).text
    assert "changed: hours, tags" in log


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"days": []}, "choose some of mon"),
        ({"from": "8"}, "write a time such as 08:00"),
        ({"to": "25:00"}, "write a time between 00:00 and 23:59"),
        ({"zone": "Berlin"}, "choose a time zone such as Europe/Berlin"),
    ],
)
async def test_hours_that_are_none_are_refused_beside_their_field(
    world: World, browser: Browser, owner: Person, wrong: dict[str, Any], words: str
) -> None:
    """With all that was typed; by the API as well."""
    given = {**OFFICE, **wrong}
    answer = await browser.send(mine(world), {"kind": "email", "address": "a@example.com", "hears": "all", **given})
    assert answer.status == 400
    assert words in answer.text
    assert "Nothing was saved yet" in answer.text
    assert 'name="when" value="hours" checked' in answer.html
    assert re.findall(r'name="days" value="(\w+)" checked', answer.html) == given["days"]
    hours = {name: given[name] for name in ("days", "from", "to", "zone")}
    said = await world.api("POST", "channels/", {"kind": "email", "address": "a@example.com", "hours": hours})
    if given["days"]:  # to the API none are all of them
        assert (said.status_code, words in said.text) == (400, True)


async def test_outside_of_its_hours_pages_say_when_it_is_told(world: World, browser: Browser, owner: Person) -> None:
    """The channel's own, and that of the incident which waits for it."""
    begins = await world.now() + timedelta(hours=3)
    hours = {
        "when": "hours",
        "days": list(DAYS),
        "from": f"{begins:%H:%M}",
        "to": f"{begins + timedelta(hours=1):%H:%M}",
        "zone": "UTC",
    }
    path = await made(world, browser, "email", name="day", address="a@example.com", everything="1", **hours)
    check = await world.check(channels="*")
    await world.ping(check, "/fail")
    await world.deliver()
    assert f"what is to be told waits until {begins:%H:%M}" in re.sub(r"\d+ \w+ (?=\d\d:)", "", (await browser.see(path)).text)
    (incident,) = await world.rows("SELECT id FROM incidents")
    page = (await browser.see(f"/projects/{world.project.id}/incidents/{incident['id']}")).text
    assert "day is told of this: its hours begin" in page
    assert "day is told of this once its hours begin" in (await browser.see(f"/projects/{world.project.id}")).text


async def test_a_check_says_who_is_told_and_within_which_limits(world: World, browser: Browser, owner: Person) -> None:
    """A channel that is disabled, or hears only that it is up, is nobody to be told that it is down."""
    check = await world.check(name="nightly", channels="")
    page = f"/projects/{world.project.id}/monitors/{unique_key(UUID(check['uuid']))}"
    assert "Nobody is told of it: no channel hears it" in (await browser.see(page)).text
    await made(world, browser, "email", name="glad", address="a@example.com", hears="up", everything="1")
    gone = await made(world, browser, "email", name="gone", address="b@example.com", everything="1", **OFFICE)
    assert "Told to glad (up only), gone (in its hours)." in (await browser.see(page)).text
    await world.run("UPDATE channels SET disabled_at = missedbeat_now() WHERE id = CAST(:id AS uuid)", id=gone.rpartition("/")[2])
    said = (await browser.see(page)).text
    assert "Told to glad (up only), gone (disabled, in its hours). No channel of it hears that it is down." in said
    assert "nobody" in (await browser.see(f"/projects/{world.project.id}/monitors")).text
    form = (await browser.see(f"{page}/edit")).text
    assert "glad E-mail, up only" in form
    assert "gone disabled; E-mail, down and up, Mon–Fri 08:00–18:00 Europe/Berlin" in form


async def test_hours_that_cannot_be_read_break_no_page(world: World, browser: Browser, owner: Person) -> None:
    """As of a zone that is not known any more: they say so, and can be mended."""
    path = await made(world, browser, "email", name="day", address="a@example.com", everything="1", **OFFICE)
    await world.check(name="nightly", channels="*")
    await world.run("""UPDATE channels SET hours = jsonb_set(hours, '{zone}', '"Mars/Olympus"')""")
    for page in (mine(world), path):
        seen = await browser.see(page)
        assert (seen.status, "its hours cannot be read: change them" in seen.text) == (200, True)
    assert (await browser.see(f"/projects/{world.project.id}/monitors/new")).status == 200
    assert (await browser.see(f"{path}/edit")).status == 200
    mended = {**OFFICE, "hears": "all", "address": "a@example.com"}
    assert (await browser.send(f"{path}/edit", mended)).goes_to == path
