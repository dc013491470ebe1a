"""Whether we are well, by our figures."""

from dataclasses import replace

import pytest

from app.domain.fitness import NEVER, Audit, Vitals, clock_complaint, complaints, grave

WELL = Vitals(
    sweep_lag=0.5, sweep_age=1, deliver_age=1, oldest_delivery=3000, stuck_delivery=0.4, horizon_lag=3, canary_age=9,
    set_back=0, held=0, deaf_today=0, days_ahead=14, set_aside=0, audits={"chain_broken": Audit(0, "")}, audit_age=30, untold=1,
    untold_age=20,
)  # fmt: skip


def test_who_is_well_complains_of_nothing() -> None:
    """An old delivery that waits for its next try is no trouble of ours."""
    assert complaints(WELL) == []
    assert complaints(replace(WELL, canary_age=NEVER)) == []
    assert clock_complaint(-2.0) == []


@pytest.mark.parametrize(
    ("change", "about", "stops_the_heartbeat"),
    [
        ({"sweep_age": 11.0}, "sweep", True),
        ({"sweep_age": NEVER}, "sweep", True),
        ({"set_back": 3600.0}, "clock", True),
        ({"canary_age": 61.0}, "canary", False),
        ({"held": 300.0}, "mass silence", False),
        ({"deliver_age": 11.0}, "deliver", True),
        ({"deliver_age": NEVER}, "deliver", True),
        ({"sweep_lag": 61.0}, "sweep_lag", True),
        ({"stuck_delivery": 121.0}, "delivery", True),
        ({"horizon_lag": 46.0}, "horizon", True),
        ({"horizon_lag": NEVER}, "horizon", True),
        ({"days_ahead": 2}, "partitions", False),
        ({"audit_age": NEVER}, "audit", False),
        ({"audit_age": 301.0}, "audit", False),
        ({"audits": {"chain_broken": Audit(2, "transition 3")}}, "audit chain_broken", False),
        ({"untold_age": 1801.0}, "notices", False),
    ],
)
def test_each_thing_that_is_wrong_is_said_with_what_to_do(
    change: dict[str, object], about: str, stops_the_heartbeat: bool
) -> None:
    """One complaint for one cause; what keeps alerts from people is grave, and withholds the heartbeat."""
    ill = replace(WELL, **change)  # type: ignore[arg-type]
    (complaint,) = complaints(ill)
    assert complaint.about == about
    assert complaint.words
    assert complaint.remedy
    assert bool(grave(ill)) is stops_the_heartbeat


def test_the_grave_comes_first() -> None:
    """Of several complaints."""
    ill = replace(WELL, days_ahead=0, stuck_delivery=500.0)
    assert [complaint.about for complaint in complaints(ill)] == ["delivery", "partitions"]


def test_clocks_far_apart_are_said_in_either_direction() -> None:
    """Over half a minute."""
    assert "45 s apart" in clock_complaint(-45)[0].words
    assert clock_complaint(31)
