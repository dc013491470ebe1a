"""What only its scheduler knows: the due it declared, and what is expected before and after that."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import process_time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.domain import slot as slots
from app.domain.schedule import Declared, describe, early_of, last_before, next_after, slot_of, written

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MICRO = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HOURLY = Declared(NOW, HOUR, "UTC")

gaps = st.integers(10, 3660 * 86400).map(lambda seconds: timedelta(seconds=seconds))
dues = st.integers(0, 7_258_118_400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))  # to the end of 2199


@given(dues, gaps, dues | dues.map(lambda t: t + MICRO))
def test_a_declared_due_is_one_of_evenly_spaced_slots(due: datetime, gap: timedelta, t: datetime) -> None:
    """Forwards and backwards, however far away: due, and every gap before and after."""
    declared = Declared(due, gap, "UTC")
    before, after = last_before(declared, t), next_after(declared, t)
    assert before is not None
    assert after is not None
    assert before <= t < after
    assert after - before == gap
    assert (after - due) % gap == timedelta()
    assert last_before(declared, after - MICRO) == before
    assert next_after(declared, before) == after


@given(dues, dues)
def test_without_a_gap_there_is_one_slot(due: datetime, t: datetime) -> None:
    """The due itself, and nothing is known of any other."""
    declared = Declared(due, None, "UTC")
    assert next_after(declared, t) == (due if due > t else None)
    assert last_before(declared, t) == (due if due <= t else None)


def test_without_a_due_nothing_is_known() -> None:
    """Neither a slot nor an error."""
    unknown = Declared(None, None, "UTC")
    assert next_after(unknown, NOW) is last_before(unknown, NOW) is slot_of(unknown, NOW, HOUR, None) is None
    assert slots.following(unknown, NOW) is slots.opening_after(unknown, NOW, None) is slots.last_by(unknown, NOW) is None
    assert early_of(unknown, NOW, None) == 5 * MINUTE


def test_a_check_in_belongs_to_the_declared_slot_it_is_near() -> None:
    """As with every calendar: a quarter of the gap early, 5 min at most; else late for the last."""
    assert slot_of(HOURLY, NOW - 5 * MINUTE, MINUTE, None) == NOW
    assert slot_of(HOURLY, NOW - 6 * MINUTE, MINUTE, None) == NOW - HOUR
    assert slot_of(HOURLY, NOW + 30 * MINUTE, MINUTE, None) == NOW
    assert slot_of(Declared(NOW, None, "UTC"), NOW + 30 * DAY, MINUTE, None) == NOW
    assert slots.belongs_to(HOURLY, NOW + MINUTE, HOUR, None, None) == NOW
    assert slots.in_window(HOURLY, NOW + MINUTE, NOW, HOUR, None)


def test_without_a_newer_declaration_the_next_is_expected_a_gap_later() -> None:
    """A scheduler that says nothing any more does not end the watch, and slots missed are counted."""
    assert slots.following(HOURLY, NOW) == NOW + HOUR
    assert slots.missed_until(HOURLY, NOW, NOW + 3 * HOUR) == (NOW + 3 * HOUR, 4)
    assert slots.opening_after(HOURLY, NOW + 10 * DAY, None) == NOW + 10 * DAY + HOUR


def test_no_question_walks_over_the_slots_between() -> None:
    """Every ten seconds for two hundred years: answered at once."""
    declared = Declared(datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=10), "UTC")
    began = process_time()
    far = datetime(2199, 1, 1, tzinfo=UTC)
    assert next_after(declared, far) == far + timedelta(seconds=10)
    assert last_before(declared, far) == far
    assert slots.opening_after(declared, far, HOUR) is not None
    assert slots.missed_until(declared, NOW, far)[1] == slots.COUNTED_AT_MOST
    assert process_time() - began < 0.1


# ---- What it is told


def test_a_newer_due_is_taken_with_the_gap_to_the_one_before() -> None:
    """From the second declaration on the gap is known."""
    first = Declared(None, None, "UTC").told(NOW, NOW - HOUR)
    assert first == Declared(NOW, None, "UTC")
    second = first.told(NOW + DAY, NOW)
    assert second == Declared(NOW + DAY, DAY, "UTC")
    assert last_before(second, NOW) == NOW
    assert second.told(NOW + DAY + HOUR, NOW + DAY) == Declared(NOW + DAY + HOUR, HOUR, "UTC")


@pytest.mark.parametrize("due", [NOW, NOW - DAY, NOW + timedelta(seconds=9.9), NOW - timedelta(seconds=3)])
def test_what_is_told_again_or_late_changes_nothing(due: datetime) -> None:
    """Batches come twice and out of order, and what is due soon is computed anew with every heartbeat, a second off."""
    assert HOURLY.told(due, NOW + MINUTE) == HOURLY
    ahead = replace(HOURLY, due=NOW + HOUR)
    assert ahead.told(NOW, NOW + MINUTE) == ahead
    assert ahead.told(NOW + HOUR + timedelta(seconds=4), NOW + MINUTE) == ahead


@pytest.mark.parametrize("due", [NOW + 20 * MINUTE, NOW + 30 * DAY])
def test_another_plan_before_the_due_came_knows_only_its_own_due(due: datetime) -> None:
    """Monthly instead of hourly, or the other way round: nothing is missed for a month, and no slot of the old plan expected."""
    hourly = replace(HOURLY, due=NOW + HOUR)
    planned = hourly.told(due, NOW + MINUTE)
    assert planned == Declared(due, None, "UTC")
    assert slots.following(planned, NOW) == due


def test_a_dispatch_heard_before_its_due_by_our_clock_is_no_other_plan() -> None:
    """The scheduler's clock may be a little ahead of ours."""
    assert HOURLY.told(NOW + 2 * HOUR, NOW - timedelta(seconds=2)) == Declared(NOW + 2 * HOUR, 2 * HOUR, "UTC")


@given(dues, st.none() | gaps, st.lists(st.tuples(dues, dues), max_size=5))
def test_what_is_told_never_breaks_the_progression(
    due: datetime, gap: timedelta | None, told: list[tuple[datetime, datetime]]
) -> None:
    """Whatever comes in whatever order: whole seconds, a gap of ten seconds to ten years or none, and never no due."""
    declared = Declared(due, gap, "UTC")
    for newer, now in told:
        before, declared = declared, declared.told(newer + timedelta(milliseconds=123), now)
        assert declared.told(newer, now) == declared
        assert declared.due in (before.due, newer)
        assert declared.gap is None or timedelta(seconds=10) <= declared.gap <= timedelta(days=3660)


@given(dues, dues)
def test_a_due_still_to_come_is_never_lost_behind_a_later_one(known: datetime, due: datetime) -> None:
    """Else a job would go unwatched until the later one."""
    now = due - MINUTE
    assume(abs(known - due) >= timedelta(seconds=10))
    told = Declared(known, None, "UTC").told(due, now)
    assert next_after(told, now) is not None
    assert (next_after(told, now) or due) <= due


# ---- For people


def test_a_declared_schedule_is_described_with_its_next_due() -> None:
    """In the zone of its program, to the second."""
    assert describe(Declared(None, None, "UTC")) == "when its scheduler says"
    due = datetime(2026, 6, 2, 1, 0, 30, tzinfo=UTC)
    assert describe(Declared(due, DAY, "Europe/Berlin")) == "when its scheduler says (2026-06-02 03:00:30, Europe/Berlin)"
    assert written(HOURLY) == "declared"
