"""Celery's schedules in the words of the service: they must name the very same instants."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.schedules import BaseSchedule, crontab, schedule
from hypothesis import given
from hypothesis import strategies as st
from missedbeat.celery.schedules import describe, expression_of, next_due
from missedbeat.timetable import field_of, zone_name

app = Celery("schedules", timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (crontab(), "* * * * *"),
        (crontab(minute="*/10"), "*/10 * * * *"),
        (crontab(minute=[0, 30], hour={3}), "0,30 3 * * *"),
        (crontab(0, 3, day_of_week="mon-fri"), "0 3 * * 1-5"),
        (crontab(0, 3, day_of_week="sunday,sat"), "0 3 * * 0,6"),
        (crontab(0, 3, day_of_week=1, day_of_month="1-7"), "0 3 1-7 * 1"),
        (crontab(0, 0, day_of_month="2-30/2", month_of_year="jan,dec"), "0 0 2,4,6,8,10,12,14,16,18,20,22,24,26,28,30 1,12 *"),
        (crontab(0, 0, month_of_year="*/3"), "0 0 * */3 *"),
        (crontab(minute="50-10", hour="*/2"), "0-10,50-59 */2 * * *"),
        (crontab(minute="0-59"), "* * * * *"),
    ],
)
def test_a_crontab_becomes_five_short_fields_of_numbers(written: crontab, read: str) -> None:
    """Lists, sets, names and steps, as they are given to `crontab`."""
    assert expression_of(written) == read


@given(st.sets(st.integers(0, 59), min_size=1), st.sets(st.integers(1, 31), min_size=1), st.sets(st.integers(0, 6), min_size=1))
def test_no_field_says_more_or_less_than_it_was_given(minutes: set[int], days: set[int], weekdays: set[int]) -> None:
    """What is written short is read as the same numbers again, by Celery itself."""
    assert crontab(minute=field_of(minutes, 0, 59)).minute == minutes
    assert crontab(day_of_week=field_of(weekdays, 0, 6)).day_of_week == weekdays
    assert crontab._expand_cronspec(field_of(days, 1, 31), 31, 1) == days


def test_an_interval_is_told_in_seconds() -> None:
    """As number or timedelta, whole seconds without a fraction."""
    assert describe(schedule(30.0, app=app)) == {"kind": "every", "seconds": 30}
    assert describe(schedule(timedelta(hours=6), app=app)) == {"kind": "every", "seconds": 21600}
    assert describe(schedule(0.5, app=app)) == {"kind": "every", "seconds": 0.5}


def test_a_crontab_is_due_by_the_clock_of_its_app() -> None:
    """Or by that of its own zone, if it has one, as those of django-celery-beat."""
    assert describe(crontab(0, 3, app=app)) == {"kind": "crontab", "expression": "0 3 * * *", "zone": "Europe/Berlin"}
    elsewhere = crontab(0, 3, app=app)
    elsewhere.tz = ZoneInfo("Asia/Tokyo")
    assert describe(elsewhere)["zone"] == "Asia/Tokyo"


class EveryOtherFriday(BaseSchedule):  # type: ignore[misc]
    """A schedule of a user's own: one method is all that Celery asks for."""

    def is_due(self, last_run_at: datetime) -> Any:
        return False, 1234.0


@pytest.mark.parametrize(
    "opaque",
    [
        schedule(3600, relative=True, app=app),
        EveryOtherFriday(app=app),
        crontab(0, 3, app=app, nowfun=lambda: datetime.now(ZoneInfo("Asia/Tokyo"))),
        schedule("nonsense", app=app),
        object(),
    ],
    ids=["relative", "own", "own clock", "nonsense", "no schedule at all"],
)
def test_what_celery_alone_understands_is_declared(opaque: Any) -> None:
    """Rather no schedule than a wrong one."""
    assert describe(opaque)["kind"] == "declared"


def test_the_next_time_of_a_declared_one_is_celerys_own() -> None:
    """Also where it is overdue: then it lies in the past."""
    now = datetime.now(UTC)
    due = next_due(schedule(3600, app=app), now - timedelta(seconds=600))
    assert due is not None
    assert abs(due / 1000 - now.timestamp() - 3000) < 5
    due = next_due(schedule(3600, app=app), now - timedelta(seconds=4000))
    assert due is not None
    assert abs(due / 1000 - now.timestamp() + 400) < 5


class NotOnHolidays(crontab):  # type: ignore[misc]
    """One that decides anew each time it is asked."""

    def is_due(self, last_run_at: datetime) -> Any:
        return False, 60.0


@pytest.mark.parametrize("kind", [EveryOtherFriday, NotOnHolidays])
def test_when_a_schedule_wants_to_be_asked_again_is_not_when_it_is_due(kind: type[crontab]) -> None:
    """Who took it for that would miss a run every minute, and cry wolf."""
    assert next_due(kind(app=app), datetime.now(UTC)) is None


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        (ZoneInfo("America/New_York"), "America/New_York"),
        ("Europe/Berlin", "Europe/Berlin"),
        (UTC, "UTC"),
        (timezone(timedelta(hours=2)), "Etc/GMT-2"),
        (timezone(timedelta(hours=-5)), "Etc/GMT+5"),
        (timezone(timedelta(hours=5, minutes=30)), None),
        ("Europe/Nowhere", None),
        (None, None),
    ],
)
def test_a_zone_is_named_as_iana_names_it(zone: Any, name: str | None) -> None:
    """Also a fixed offset of whole hours; any other has no name, and its schedule is declared."""
    assert zone_name(zone) == name


def test_a_crontab_in_a_zone_without_a_name_is_declared() -> None:
    """A wrong zone would cry wolf twice a year, or every day."""
    odd = crontab(0, 3, app=app)
    odd.tz = timezone(timedelta(hours=5, minutes=45))
    assert describe(odd) == {"kind": "declared", "zone": "UTC"}
