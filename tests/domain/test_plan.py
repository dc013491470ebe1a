"""Plans, and what people are told near a limit."""

import pytest

from app.domain.plan import PLANS, PlanName, least, notice, plan_of


def test_every_plan_is_in_the_table_and_only_the_free_one_limits() -> None:
    """Unlimited is what everybody has who asks for nothing."""
    assert set(PLANS) == set(PlanName)
    free, unlimited = plan_of("free"), plan_of("unlimited")
    assert (free.monitors, free.members, free.log) == (20, 3, 100)
    assert (unlimited.monitors, unlimited.members, unlimited.log) == (None, None, None)


@pytest.mark.parametrize(
    ("count", "limit", "words"),
    [
        (15, 20, ""),
        (16, 20, "This project has 16 of 20 checks: room for 4 more."),
        (20, 20, "This project has 20 of 20 checks: there is no room for more."),
        (23, 20, "This project has 23 of 20 checks: there is no room for more."),
        (10_000, None, ""),
    ],
)
def test_from_four_fifths_of_a_limit_on_people_are_told(count: int, limit: int | None, words: str) -> None:
    """What is left, and when nothing is."""
    assert notice(count, limit, "checks") == words


def test_of_several_limits_the_strictest_counts() -> None:
    """None is no limit."""
    assert least(None, None) is None
    assert least(None, 20) == 20
    assert least(5, 20) == 5
