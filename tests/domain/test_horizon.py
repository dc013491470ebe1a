"""How far silence may be judged: behind the newest tick, behind a process that is gone, behind a canary under way."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.domain.digest import Silent, digest
from app.domain.horizon import Blackout, Canary, horizon_at
from app.domain.mass_silence import is_mass, may_hold

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MARGIN = timedelta(seconds=2)


def at(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def horizon(now: float, ticks: tuple[float, ...], canary: Canary = Canary()) -> float:  # noqa: B008
    """H in seconds after noon, where these processes ticked last."""
    found = horizon_at(at(now), at(max(ticks)), MARGIN, (), [at(t) for t in ticks], canary)
    return (found.at - NOON).total_seconds()


@pytest.mark.parametrize(
    ("now", "gone", "judged_to"),
    [
        (100, 100, 98),  # all of them tick
        (100, 98, 96),  # one is silent: what is due since waits
        (120, 98, 96),
        (128, 98, 96),
        (140, 98, 108),  # half a minute later than without it
        (158, 98, 126),
        (160, 98, 158),  # it was gone for long enough
    ],
)
def test_what_was_due_while_a_process_fell_silent_is_judged_half_a_minute_later(
    now: float, gone: float, judged_to: float
) -> None:
    """Its clients were refused, and are on their way to another; the wait ends."""
    assert horizon(now, (now, gone)) == judged_to


def test_the_horizon_never_goes_back_while_a_process_dies() -> None:
    """What was judged stays judged: H grows or stands still, second by second."""
    found = [horizon(now, (now, min(now, 50))) for now in range(40, 150)]
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("now", "heard", "failing", "sent", "judged_to"),
    [
        (100, None, None, None, 98),  # there is none
        (100, None, 10, 100, 98),  # none ever came through: it proves nothing
        (100, 95, None, 95, 95),  # the next is waited for
        (100, 80, 90, 100, 80),
        (120, 80, 90, 120, 88),  # half a minute at most
        (200, 95, None, 95, 198),  # nobody sends any more: its sender is gone, not our hearing
        (100 + 700, 100, 110, 800, 798),  # it is not trusted any more
    ],
)
def test_a_canary_under_way_is_waited_for(
    now: float, heard: float | None, failing: float | None, sent: float | None, judged_to: float
) -> None:
    """A deadline is judged once a canary sent after it came through, or half a minute later."""
    canary = Canary(*(None if t is None else at(t) for t in (heard, failing, sent)))
    assert horizon(now, (now,), canary) == judged_to


@pytest.mark.parametrize(
    ("now", "heard", "failing", "deaf"),
    [
        (100, 95, None, None),
        (100, 80, 90, None),  # two were lost: too early to say
        (115, 80, 90, (80, 115)),
        (3000, 80, 90, (80, 680)),  # ten minutes at most
        (100, None, 10, None),
        (300, 20, 290, None),  # it was not sent for a while
        (320, 20, 290, (280, 320)),
    ],
)
def test_canaries_that_do_not_come_through_are_a_blackout(
    now: float, heard: float | None, failing: float | None, deaf: tuple[float, float] | None
) -> None:
    """From the last that did, while they fail."""
    found = Canary(*(None if t is None else at(t) for t in (heard, failing, now))).deaf(at(now))
    assert found == (None if deaf is None else Blackout(at(deaf[0]), at(deaf[1])))


PROJECTS = [UUID(int=n) for n in range(10)]


@pytest.mark.parametrize(
    ("silent", "active", "held"),
    [
        ((7, 7, 7), 100, True),
        ((7, 7, 6), 100, False),  # not over twenty
        ((500, 500), 1000, False),  # two projects: their own trouble
        ((500, 500, 0), 1000, False),
        ((40, 40, 20), 1000, False),  # not over a tenth
        ((40, 40, 21), 1000, True),
    ],
)
def test_mass_silence_is_very_many_in_several_projects(silent: tuple[int, ...], active: int, held: bool) -> None:
    """Over 20 and over a tenth of all, in three projects or more."""
    assert is_mass(dict(zip(PROJECTS, silent, strict=False)), active) is held


def test_after_a_hold_that_ran_out_none_begins_for_a_while() -> None:
    """Suppression always ends."""
    assert may_hold(at(0), None)
    assert not may_hold(at(600), at(0))
    assert may_hold(at(601), at(0))


def test_a_digest_names_the_jobs_and_the_rest_by_number() -> None:
    """Those expected first in front, in the zone of each; as many as a message shows; nothing dangerous in a name."""
    deaf = Blackout(at(0), at(960))
    jobs = [Silent(f"job {n:02}", at(900 - n), "Europe/Berlin") for n in range(40)]
    told = digest(deaf, jobs, "Shop")
    lines = told.output.splitlines()
    assert lines[0] == "job 39: expected 2026-06-01 14:14:21 CEST"
    assert lines[-1] == f"and {40 - len(lines) + 1} more"
    assert len(told.output) < 1000
    assert "16 min" in told.explain
    assert "40 jobs were expected" in told.explain
    one = digest(deaf, [Silent("a\nb\x00c", at(1), "UTC")], "Shop")
    assert one.output == "a b c: expected 2026-06-01 12:00:01 UTC"
