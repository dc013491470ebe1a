"""The form that makes a check and edits one: by the API's rules, each fault beside its field, nothing typed lost."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.domain.role import Role
from tests.manage.pages.visitor import Browser, Page, Person, joined, signed_up
from tests.world import World

pytestmark = pytest.mark.anyio

EVERY = {
    "name": "nightly backup", "kind": "every", "timeout": "1.5", "timeout_unit": "hours", "grace": "10", "grace_unit": "minutes",
    "schedule": "", "tz": "UTC",
}  # fmt: skip
CRON = {**EVERY, "kind": "calendar", "schedule": "30 2 * * 1-5", "tz": "Europe/Berlin"}


@pytest.fixture
async def owner(world: World, browser: Browser, anna: Person) -> Person:
    """Anna, signed in as the owner of the world's project."""
    await joined(world, anna, Role.OWNER)
    await browser.sign_in(anna)
    return anna


def monitors(world: World) -> str:
    """The path of the list."""
    return f"/projects/{world.project.id}/monitors"


async def all_of(world: World) -> list[dict[str, Any]]:
    """The checks there are, as the API shows them."""
    return list((await world.api("GET", "checks/")).json()["checks"])


async def the_one(world: World) -> dict[str, Any]:
    """The only one."""
    (check,) = await all_of(world)
    return check


def fault(page: Page, field: str) -> str:
    """What stands in red beside a field; empty where nothing does."""
    start = page.html.find(f'id="{field}-wrong">')
    return page.html[start:].partition(">")[2].partition("<")[0] if start > 0 else ""


async def test_what_is_typed_becomes_a_check(world: World, browser: Browser, owner: Person) -> None:
    """Every field, and the channels whose boxes are ticked; the answer leads to its page."""
    ids = [
        (await world.api("POST", "channels/", {"kind": "email", "name": name, "address": "a@example.org"})).json()["id"]
        for name in ("on call", "others")
    ]
    more = {
        "slug": "nightly", "tags": "db prod", "desc": "Line one\r\nLine two", "max_runtime": "30", "max_runtime_unit": "minutes",
        "early": "2", "early_unit": "minutes", "failures_to_alert": "3", "successes_to_recover": "2", "manual_resume": "1",
        "methods": "1", "failure_kw": "ERROR,FATAL", "filter_http_body": "1", "channel": ids[1], "expect_first": "1",
    }  # fmt: skip
    sent = await browser.send(f"{monitors(world)}/new", {**CRON, **more})
    assert sent.status == 303, sent.text
    check = await the_one(world)
    named = ("name", "slug", "tags", "desc", "schedule", "tz", "grace", "max_runtime", "early")
    assert {name: check[name] for name in named} == {
        "name": "nightly backup", "slug": "nightly", "tags": "db prod", "desc": "Line one\nLine two", "schedule": "30 2 * * 1-5",
        "tz": "Europe/Berlin", "grace": 600, "max_runtime": 1800, "early": 120,
    }  # fmt: skip
    assert (check["failures_to_alert"], check["successes_to_recover"], check["manual_resume"], check["methods"]) == (
        3,
        2,
        True,
        "POST",
    )
    assert (check["failure_kw"], check["filter_http_body"], check["channels"]) == ("ERROR,FATAL", True, ids[1])
    assert check["next_ping"] is not None, "it is expected from now on"
    assert (await browser.see(sent.goes_to)).status == 200


@pytest.mark.parametrize(
    ("typed", "kind", "shown"),
    [
        (EVERY, "every", {"timeout": 5400}),
        (CRON, "cron", {"schedule": "30 2 * * 1-5", "tz": "Europe/Berlin"}),
        ({**CRON, "schedule": "@daily"}, "cron", {"schedule": "@daily"}),
        (
            {**CRON, "schedule": "Mon..Fri *-*-* 02:30\r\nSat *-*-* 04:00"},
            "oncalendar",
            {"schedule": "Mon..Fri *-*-* 02:30\nSat *-*-* 04:00"},
        ),
    ],
)
async def test_every_kind_of_schedule_can_be_made_and_is_shown_for_editing_as_it_was_made(
    world: World, browser: Browser, owner: Person, typed: dict[str, str], kind: str, shown: dict[str, Any]
) -> None:
    """What the form shows of a check, sent back as it is, changes nothing of it, and moves no deadline."""
    sent = await browser.send(f"{monitors(world)}/new", {**typed, "expect_first": "1"})
    check = await the_one(world)
    assert check["kind"] == kind
    assert shown.items() <= check.items()
    assert check["slug"] == "nightly-backup"
    page = await browser.see(f"{sent.goes_to}/edit")
    again = {name: page.value(name) or "" for name in ("name", "slug", "tags", "timeout", "grace", "tz", "failures_to_alert")}
    units = {"timeout_unit": "minutes", "grace_unit": "minutes"}
    await world.advance(30)
    back = await browser.send(
        f"{sent.goes_to}/edit", {**again, **units, "kind": typed["kind"], "schedule": typed.get("schedule", "")}
    )
    assert back.goes_to == sent.goes_to, back.text
    assert await the_one(world) == check


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ({"timeout": "0"}, "timeout", "use at least 1 second"),
        ({"timeout": "soon"}, "timeout", "write a number, such as 15 or 1.5"),
        ({"timeout": ""}, "timeout", "write a number"),
        ({"timeout": "999999999"}, "timeout", "use at most 365 days"),
        ({"grace": "0,0001"}, "grace", "use whole seconds"),
        ({"slug": "Nightly Backup"}, "slug", "use small letters, digits, hyphens and underscores"),
        ({"slug": "taken"}, "slug", "another check of this project has it: choose another"),
        ({"kind": "calendar", "schedule": "61 * * * *"}, "schedule", "is not cron"),
        ({"kind": "calendar", "schedule": "0 0 30 2 *"}, "schedule", "never fires"),
        ({"kind": "calendar", "schedule": ""}, "schedule", "it is empty"),
        ({"kind": "calendar", "schedule": "@daily", "tz": "Mars/Olympus"}, "tz", "choose a zone of the list"),
        ({"early": "2", "early_unit": "days"}, "early", "it must be shorter than the period"),
        ({"failures_to_alert": "0"}, "failures_to_alert", "use at least 1"),
        ({"failures_to_alert": "many"}, "failures_to_alert", "write a whole number"),
        ({"failure_kw": "x" * 300}, "failure_kw", "make it shorter"),
        ({"name": "x" * 300}, "name", "make it shorter"),
    ],
)
async def test_a_fault_stands_beside_its_field_and_nothing_is_lost(
    world: World, browser: Browser, owner: Person, wrong: dict[str, str], field: str, words: str
) -> None:
    """In words that say what to do; the form comes back as it was typed."""
    await world.check(name="other", slug="taken")
    before = await the_one(world)
    page = await browser.send(f"{monitors(world)}/new", {**EVERY, "tags": "a <b>", **wrong})
    assert page.status == 400
    assert words in fault(page, field)
    assert page.value("tags") == "a <b>"
    assert await the_one(world) == before


async def test_all_faults_are_said_at_once(world: World, browser: Browser, owner: Person) -> None:
    """Nobody mends one to find the next."""
    page = await browser.send(f"{monitors(world)}/new", {**EVERY, "timeout": "x", "grace": "y", "slug": "No", "early": "z"})
    assert [bool(fault(page, field)) for field in ("timeout", "grace", "slug", "early", "name")] == [True] * 4 + [False]


async def test_an_edit_moves_the_deadline_as_the_api_does(world: World, browser: Browser, owner: Person) -> None:
    """The later of the new rule from the last check-in and a minute from now; a new name alone moves nothing."""
    sent = await browser.send(f"{monitors(world)}/new", EVERY)
    check = await the_one(world)
    await world.ping(check)
    before = await the_one(world)
    edit = f"{sent.goes_to}/edit"
    assert (await browser.send(edit, {**EVERY, "name": "renamed"})).status == 303
    assert (await the_one(world))["deadline"] == before["deadline"]
    await browser.send(edit, {**EVERY, "timeout": "3"})
    after = await the_one(world)
    assert datetime.fromisoformat(after["deadline"]) - datetime.fromisoformat(before["deadline"]) == timedelta(hours=1.5)
    twin = await world.check(name="twin", timeout=5400, grace=600)
    await world.ping(twin)
    now = await world.now()
    await world.api("POST", f"checks/{twin['uuid']}", {"timeout": 1, "grace": 1})
    await browser.send(edit, {**EVERY, "timeout": "1", "timeout_unit": "seconds", "grace": "1", "grace_unit": "seconds"})
    for one in await all_of(world):
        assert timedelta(seconds=55) < datetime.fromisoformat(one["deadline"]) - now < timedelta(seconds=90), one["name"]


async def test_what_a_program_says_of_when_is_said_and_not_edited(world: World, browser: Browser, owner: Person) -> None:
    """The schedule of an entry of Celery's Beat stays what it is, whatever a form sends; its grace is a person's."""
    check = await world.check(name="sdk", schedule="30 2 * * *", tz="UTC")
    await world.run("UPDATE monitors SET kind = 'crontab', source = 'shop' WHERE id = CAST(:id AS uuid)", id=check["uuid"])
    (row,) = await world.rows("SELECT unique_key FROM monitors")
    edit = f"{monitors(world)}/{row['unique_key']}/edit"
    page = await browser.see(edit)
    assert "Crontab 30 2 * * * (UTC). shop says when" in page.text
    assert page.value("schedule") is None
    assert (await browser.send(edit, {**CRON, "schedule": "0 0 * * *"})).status == 303
    after = await the_one(world)
    assert (after["kind"], after["schedule"], after["tz"], after["grace"]) == ("crontab", "30 2 * * *", "UTC", 600)


async def test_a_full_project_says_so_and_a_member_may_and_a_viewer_may_not(
    world: World, browser: Browser, owner: Person
) -> None:
    """The plan's limit in words; the form is for those who change checks."""
    await world.run("UPDATE projects SET plan = 'free' WHERE id = :id", id=world.project.id)
    for n in range(20):
        await world.check(name=f"job {n}")
    page = await browser.send(f"{monitors(world)}/new", EVERY)
    assert page.status == 400
    assert "The project has as many checks as its plan allows." in page.text
    for role, status in ((Role.MEMBER, 200), (Role.VIEWER, 403)):
        person = await signed_up(world, f"{role}@example.org")
        await joined(world, person, role)
        async with Browser(world) as other:
            await other.sign_in(person)
            for path in ("new", "preview"):
                answer = await (
                    other.see(f"{monitors(world)}/new") if path == "new" else other.send(f"{monitors(world)}/preview", EVERY)
                )
                assert answer.status == status, (role, path)


async def test_a_preview_keeps_nothing_and_says_what_is_wrong(world: World, browser: Browser, owner: Person) -> None:
    """The words of the schedule, and of a wrong one what is wrong; the form stands beside as it was typed."""
    page = await browser.send(f"{monitors(world)}/preview", CRON)
    assert page.status == 200
    assert "At 02:30 on weekdays, Europe/Berlin." in page.html.split('id="preview"')[1]
    page = await browser.send(f"{monitors(world)}/preview", {**CRON, "schedule": "61 * * * *"})
    assert "is not cron" in page.html.split('id="preview"')[1]
    assert page.value("name") == "nightly backup"
    assert await all_of(world) == []
    other = await world.new_project("Other")
    theirs = (await world.api("POST", "checks/", {"name": "theirs"}, key=other.api_key)).json()
    assert (await browser.send(f"{monitors(world)}/preview", {**CRON, "check": theirs["uuid"]})).status == 404
