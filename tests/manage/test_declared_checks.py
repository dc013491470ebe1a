"""Checks whose schedule a program declared, as the API shows and edits them: Celery's crontab, and what its scheduler knows."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.domain.schedule import Crontab, Declared, Schedule
from app.domain.state import Rule
from app.store import monitors
from app.store.rows import rule_of
from tests.world import World

pytestmark = pytest.mark.anyio

CRONTAB = Crontab("0 3 1 * 1", "Europe/Berlin")
LONG = Crontab("1,2,4,8,9,11,15,16,18,22,23,25,29,30,32,36,37,39,43,44,46,50,51,53,57,58 1,2,4,8,9,11 1,2,4,8,9,11,15 * *", "UTC")
HOUR = timedelta(hours=1)
EDITS = [{"name": "b"}, {"grace": 120}, {"tags": "prod"}, {"max_wait": 60}, {"schedule": None}, {"schedule": None, "tz": None}]


async def declared(world: World, schedule: Schedule) -> dict[str, Any]:
    """A check with this schedule, as the API shows it."""
    monitor = uuid4()
    async with world.sessions.begin() as session:
        rule = Rule(schedule, HOUR, max_wait=timedelta(minutes=2))
        names = {"name": "a", "slug": f"a-{monitor}", "source": "shop"}
        await monitors.create(session, world.project.id, monitor, rule, await world.now(), names)
    return await world.seen({"uuid": str(monitor)})


async def kept(world: World, check: dict[str, Any]) -> Schedule:
    """Its schedule as it is kept."""
    async with world.sessions() as session:
        return rule_of(await monitors.get(session, world.project.id, UUID(check["uuid"]))).schedule


async def post(world: World, check: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The check after an edit."""
    answer = await world.api("POST", f"checks/{check['uuid']}", fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_crontab_is_shown_as_cron_is(world: World) -> None:
    """With `schedule` and `tz`, which every client knows, and `kind` says what it really is."""
    check = await declared(world, CRONTAB)
    assert (check["kind"], check["schedule"], check["tz"]) == ("crontab", "0 3 1 * 1", "Europe/Berlin")
    assert (check["max_wait"], "timeout" in check) == (120, False)


async def test_what_only_its_scheduler_knows_is_shown_by_a_word(world: World) -> None:
    """No client takes it for an expression of its own, and the next due is where it always is."""
    due = (await world.now()).replace(microsecond=0) + HOUR
    check = await declared(world, Declared(due, HOUR, "Asia/Tokyo"))
    assert (check["kind"], check["schedule"], check["tz"]) == ("declared", "declared", "Asia/Tokyo")
    assert await kept(world, check) == Declared(due, HOUR, "Asia/Tokyo")
    assert (await post(world, check, expect_first=True))["next_ping"] == due.isoformat()
    for bare in (Declared(None, None, "UTC"), Declared(due, None, "UTC")):
        assert await kept(world, await declared(world, bare)) == bare


@pytest.mark.parametrize("schedule", [CRONTAB, LONG, Declared(None, HOUR, "UTC")])
@pytest.mark.parametrize("edit", EDITS)
async def test_an_edit_of_anything_else_leaves_the_schedule_alone(world: World, schedule: Schedule, edit: dict[str, Any]) -> None:
    """Also where the client sends `schedule` and `tz` back as they were shown, as many do with all they read."""
    check = await declared(world, schedule)
    await post(world, check, **{name: check[name] if value is None else value for name, value in edit.items()})
    assert await kept(world, check) == schedule


async def test_another_schedule_makes_it_an_ordinary_check(world: World) -> None:
    """What a person sets is read as everywhere: cron, OnCalendar or a period."""
    for schedule in (CRONTAB, Declared(None, None, "Europe/Berlin")):
        assert (await post(world, await declared(world, schedule), schedule="0 4 1 * 1"))["kind"] == "cron"
        assert (await post(world, await declared(world, schedule), schedule="Mon 04:00", tz="UTC"))["kind"] == "oncalendar"
        assert (await post(world, await declared(world, schedule), timeout=600))["kind"] == "every"


async def test_another_zone_alone_makes_no_cron_of_a_crontab(world: World) -> None:
    """Day of month and weekday still both have to match."""
    check = await declared(world, CRONTAB)
    assert (await post(world, check, tz="UTC"))["kind"] == "crontab"
    assert (await post(world, check, tz="Asia/Tokyo", schedule="0 3 1 * 1"))["kind"] == "crontab"
    assert await kept(world, check) == Crontab("0 3 1 * 1", "Asia/Tokyo")


async def test_a_copy_of_a_declared_check_is_refused_in_words(world: World) -> None:
    """A new check has no scheduler that could say when; a crontab copied becomes cron, and one too long for it is refused."""
    for schedule, why in (("declared", "is not a valid cron or OnCalendar"), (LONG.expression, "is too long")):
        answer = await world.api("POST", "checks/", {"schedule": schedule, "tz": "UTC"})
        assert answer.status_code == 400
        assert f"schedule {why}" in answer.json()["error"]


async def test_a_wait_goes_back_to_its_default_by_null(world: World) -> None:
    """As max_runtime does."""
    check = await declared(world, CRONTAB)
    assert (await post(world, check, max_wait=30))["max_wait"] == 30
    assert (await post(world, check, max_wait=None))["max_wait"] is None


async def test_unique_by_timeout_finds_no_check_whose_gap_is_as_long(world: World) -> None:
    """The gap of a declared schedule is kept where a period is, and is none."""
    check = await declared(world, Declared(None, HOUR, "UTC"))
    made = await world.api("POST", "checks/", {"timeout": 3600, "unique": ["timeout"]})
    assert (made.status_code, made.json()["uuid"] == check["uuid"]) == (201, False)
    again = await world.api("POST", "checks/", {"timeout": 3600, "unique": ["timeout"]})
    assert (again.status_code, again.json()["uuid"]) == (200, made.json()["uuid"])
