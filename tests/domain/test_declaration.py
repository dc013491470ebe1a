"""What a program declares of its schedule, and the rule that becomes of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.alias import Service
from app.domain.declaration import NEW, Declaration, grace_for, read_schedule
from app.domain.schedule import Cron, Crontab, Declared, Every, OnCalendar, Schedule
from app.errors import Invalid

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LEAST = timedelta(seconds=10)
RULE = NEW[Service.SENTRY]


def test_what_is_not_said_stays_as_it_is() -> None:
    """A person's early, thresholds and zone outlive a declaration that names none of them."""
    before = replace(RULE, schedule=Cron("0 2 * * *", "Europe/Berlin"), early=timedelta(minutes=1), failures_to_alert=3)
    assert Declaration().rule_after(before, NOW, LEAST) == before
    assert Declaration(expression="0 2 * * *").rule_after(before, NOW, LEAST) is not None
    after = Declaration(expression="0 3 * * *", grace=timedelta(minutes=9)).rule_after(before, NOW, LEAST)
    assert after == replace(before, schedule=Cron("0 3 * * *", "Europe/Berlin"), grace=timedelta(minutes=9))


def test_the_same_words_are_the_same_rule() -> None:
    """However often they are said, with blanks or without."""
    declared = Declaration(expression="0  3 * * *", zone="UTC", max_runtime=timedelta(minutes=5))
    once = declared.rule_after(RULE, NOW, LEAST)
    assert declared.rule_after(once, NOW, LEAST) == once


def test_what_is_too_short_becomes_the_shortest_that_is_kept() -> None:
    """A grace of nothing is a grace of ten seconds."""
    assert Declaration(grace=timedelta()).rule_after(RULE, NOW, LEAST).grace == LEAST


def test_an_early_that_is_longer_than_a_new_interval_is_given_up() -> None:
    """Else no check-in could be told from the one before."""
    before = replace(RULE, schedule=Every(timedelta(hours=2)), early=timedelta(minutes=30))
    assert Declaration(period=timedelta(minutes=10)).rule_after(before, NOW, LEAST).early is None
    assert Declaration(period=timedelta(hours=1)).rule_after(before, NOW, LEAST).early == timedelta(minutes=30)


@pytest.mark.parametrize(
    "declared",
    [
        Declaration(period=timedelta(seconds=9)), Declaration(period=timedelta(days=366)), Declaration(expression="0 0 30 2 *"),
        Declaration(expression="* * * * *", zone="Mars"), Declaration(grace=timedelta(days=366)),
        Declaration(failures_to_alert=101), Declaration(successes_to_recover=0), Declaration(max_wait=timedelta(days=366)),
        Declaration(schedule=Every(timedelta(seconds=9))), Declaration(schedule=Every(timedelta(days=366))),
    ],
)  # fmt: skip
def test_what_can_be_no_rule_is_refused(declared: Declaration) -> None:
    """In words that name the part."""
    with pytest.raises(Invalid, match=r"^\w+: "):
        declared.rule_after(RULE, NOW, LEAST)


# ---- A whole schedule, as a sync says it


def test_a_whole_schedule_takes_the_place_of_the_one_before() -> None:
    """With how long a run may wait for its start; both may be said again without a change."""
    declared = Declaration(schedule=Crontab("0 3 * * 1", "Europe/Berlin"), max_wait=timedelta(minutes=2))
    after = declared.rule_after(RULE, NOW, LEAST)
    assert after == replace(RULE, schedule=Crontab("0 3 * * 1", "Europe/Berlin"), max_wait=timedelta(minutes=2))
    assert declared.rule_after(after, NOW, LEAST) == after
    assert Declaration(grace=timedelta(minutes=9)).rule_after(after, NOW, LEAST).max_wait == timedelta(minutes=2)


def test_a_declared_schedule_that_is_declared_again_keeps_what_it_was_told() -> None:
    """A Beat that starts anew says its next due, or that it knows none; the gap it had stays known."""
    due, hour = NOW + timedelta(hours=1), timedelta(hours=1)
    before = replace(RULE, schedule=Declared(due, hour, "UTC"))
    for said in (due, due - hour, None):
        again = Declaration(schedule=Declared(said, None, "Europe/Berlin")).rule_after(before, NOW, LEAST)
        assert again.schedule == Declared(due, hour, "Europe/Berlin")
    later = Declaration(schedule=Declared(due + 2 * hour, None, "UTC")).rule_after(before, due, LEAST)
    assert later.schedule == Declared(due + 2 * hour, 2 * hour, "UTC")


def test_another_kind_of_schedule_begins_anew() -> None:
    """What was told of the one before says nothing of this one."""
    before = replace(RULE, schedule=Declared(NOW, timedelta(hours=1), "UTC"))
    assert Declaration(schedule=Every(LEAST)).rule_after(before, NOW, LEAST).schedule == Every(LEAST)
    fresh = Declared(NOW, None, "UTC")
    assert Declaration(schedule=fresh).rule_after(RULE, NOW, LEAST).schedule == fresh


def test_an_expression_said_beside_a_ping_leaves_celerys_crontab_what_it_is() -> None:
    """Another client in the same program says the same five fields, which as cron would mean other days."""
    before = replace(RULE, schedule=Crontab("0 3 1 * 1", "Europe/Berlin"))
    assert Declaration(expression="0 3 1 * 1").rule_after(before, NOW, LEAST) == before
    assert Declaration(expression="0 4 1 * 1").rule_after(before, NOW, LEAST).schedule == Cron("0 4 1 * 1", "Europe/Berlin")
    told = replace(RULE, schedule=Declared(NOW, None, "Europe/Berlin"))
    assert Declaration(expression="0 4 * * *").rule_after(told, NOW, LEAST).schedule == Cron("0 4 * * *", "Europe/Berlin")


@pytest.mark.parametrize(
    ("schedule", "seconds"),
    [
        (Every(timedelta(seconds=30)), 60), (Every(timedelta(minutes=15)), 90), (Every(timedelta(days=1)), 3600),
        (Every(timedelta(seconds=1234)), 123), (Crontab("* * * * *", "UTC"), 60), (Crontab("*/30 * * * *", "UTC"), 180),
        (Crontab("0 9,11 * * *", "UTC"), 720), (Crontab("0 3 * * *", "UTC"), 3600), (Crontab("0 0 29 2 *", "UTC"), 3600),
        (OnCalendar("2030-01-01", "UTC"), 60), (Declared(NOW, timedelta(minutes=20), "UTC"), 120),
        (Declared(NOW, None, "UTC"), 60), (Declared(None, None, "UTC"), 60),
    ],
)  # fmt: skip
def test_grace_is_a_tenth_of_the_least_gap_where_nobody_says(schedule: Schedule, seconds: int) -> None:
    """Between a minute and an hour, in whole seconds."""
    assert grace_for(schedule, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("given", "schedule"),
    [
        ({"kind": "crontab", "expression": "0 3 * * mon", "zone": "Europe/Berlin"}, Crontab("0 3 * * mon", "Europe/Berlin")),
        ({"kind": "crontab", "expression": " 0  3 * * 0,1,2,3,4,5,6"}, Crontab("0 3 * * *", "UTC")),
        ({"kind": "every", "seconds": 300}, Every(timedelta(minutes=5))),
        ({"kind": "every", "seconds": 89.5}, Every(timedelta(seconds=90))),
        ({"kind": "every", "seconds": 31_536_000}, Every(timedelta(days=365))),
        ({"kind": "declared", "next_due": 1_760_000_000_999, "zone": "Asia/Tokyo"},
         Declared(datetime.fromtimestamp(1_760_000_000, UTC), None, "Asia/Tokyo")),
        ({"kind": "declared", "next_due": None}, Declared(None, None, "UTC")),
        ({"kind": "declared", "zone": "<LocalTimezone: UTC+01>"}, Declared(None, None, "UTC")),
    ],
)  # fmt: skip
def test_a_schedule_of_a_sync_is_read(given: dict[str, Any], schedule: Schedule) -> None:
    """As docs/events.md says; a declared one needs its zone only for people, and does without one that we do not know."""
    assert read_schedule(given, NOW) == schedule


BAD_NUMBERS: dict[str, list[object]] = {
    "seconds": [0, -1, 31_536_001, True, None, "60", float("nan")],
    "next_due": [-1, 1e15, True, "now", float("inf"), []],
}


@pytest.mark.parametrize("field", BAD_NUMBERS)
def test_a_number_of_a_sync_that_cannot_be_is_refused_by_its_name(field: str) -> None:
    """Nothing, too much, not finite, no number at all."""
    for bad in BAD_NUMBERS[field]:
        with pytest.raises(Invalid, match=f"^schedule: `{field}` is "):
            read_schedule({"kind": "every" if field == "seconds" else "declared", field: bad}, NOW)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "kind is cron, crontab, every or declared"),
        ({"kind": ["cron"]}, "kind is cron, crontab, every or declared"),
        ({"kind": "crontab"}, "five fields as `expression`"),
        ({"kind": "crontab", "expression": "0 0 30 2 *"}, "never fires"),
        ({"kind": "crontab", "expression": "0 3 * *"}, "takes five fields"),
        ({"kind": "crontab", "expression": "0 3 * * *", "zone": "Mars/Olympus\n"}, "'Mars/Olympus' is none we know"),
        ({"kind": "crontab", "expression": "0 3 * * *", "zone": 7}, "IANA zone such as"),
    ],
)
def test_a_schedule_of_a_sync_that_cannot_be_is_refused_in_words(given: dict[str, Any], why: str) -> None:
    """They name the part and say what would do; nothing is watched by half."""
    with pytest.raises(Invalid) as refusal:
        read_schedule(given, NOW)
    assert why in str(refusal.value)
    assert str(refusal.value).startswith(("schedule: ", "zone: "))
    assert str(refusal.value).isprintable()
