"""How long a batch takes, learned from the last ones."""

import random

import pytest

from app.ingest.pace import FEWEST, Pace

MOST = 500


def learned(fixed: float, each: float, sizes: list[int], noise: float = 0.0) -> Pace:
    """From batches of these sizes on a machine that takes so long."""
    pace, chance = Pace(), random.Random(1)
    for size in sizes:
        pace.took(size, (fixed + each * size) * (1 + chance.uniform(-noise, noise)))
    return pace


@pytest.mark.parametrize(("fixed", "each"), [(0.005, 0.0002), (0.1, 0.004), (0.3, 0.00001)])
def test_what_a_batch_costs_and_what_each_ping_are_told_apart(fixed: float, each: float) -> None:
    """Whatever sizes load makes, and with what the machine does besides."""
    pace = learned(fixed, each, [random.Random(2).randrange(1, MOST) for _ in range(3)] + [3, 400, 30, 250, 500, 100, 5], 0.1)
    for size in (100, MOST):
        assert pace.of(size) == pytest.approx(fixed + each * size, rel=0.25)


def test_batches_are_as_large_as_time_allows() -> None:
    """On a quick machine nobody is limited; where each ping is dear, so many as can be recorded in time."""
    assert learned(0.005, 0.0002, [1, 20, 64, 200, 3]).most(0.5, MOST) == MOST
    assert learned(0.1, 0.004, [1, 20, 64, 200, 3]).most(0.5, MOST) == pytest.approx(100, rel=0.1)
    assert learned(0.0, 1.0, [1, 2, 3]).most(0.5, MOST) == FEWEST


def test_a_database_that_is_slow_by_itself_is_asked_for_as_many_at_once_as_cost_little_more() -> None:
    """Small batches would not be quicker, only more."""
    assert learned(0.8, 0.0002, [1, 20, 64, 200, 3]).most(0.5, MOST) == MOST
    assert learned(0.8, 0.004, [1, 20, 64, 200, 3]).most(0.5, MOST) == pytest.approx(200, rel=0.1)


def test_batches_all_alike_say_nothing_new_of_each_ping() -> None:
    """A flood makes every batch the largest: what was known of them stays, and the time that they take now is believed."""
    chance = random.Random(3)
    pace = learned(0.1, 0.001, [1, 20, 64, 200, *(chance.randrange(MOST - 8, MOST) for _ in range(50))], 0.2)
    assert pace.of(MOST) == pytest.approx(0.6, rel=0.25)
    assert 0.06 < pace.of(FEWEST) < 0.3


def test_one_stall_is_forgotten_after_a_few_batches() -> None:
    """Seconds lost with a full batch make the next ones small, not for long."""
    pace = learned(0.01, 0.0003, [1, 20, 64, MOST])
    pace.took(MOST, 5.0)
    assert pace.most(0.5, MOST) < MOST
    sizes = []
    for _ in range(12):
        sizes.append(pace.most(0.5, MOST))
        pace.took(sizes[-1], 0.01 + 0.0003 * sizes[-1])
    assert sizes[-1] == MOST
