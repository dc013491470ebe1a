"""What a program declares of its schedule, and the rule that becomes of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.alias import Service
from app.domain.declaration import NEW, Declaration
from app.domain.schedule import Cron, Every
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
        Declaration(failures_to_alert=101), Declaration(successes_to_recover=0),
    ],
)  # fmt: skip
def test_what_can_be_no_rule_is_refused(declared: Declaration) -> None:
    """In words that name the part."""
    with pytest.raises(Invalid, match=r"^\w+: "):
        declared.rule_after(RULE, NOW, LEAST)
