"""Expected occurrences: to which slot something belongs, which slot is expected next, when its window opens. Pure time
arithmetic; what follows from a slot that was missed stands in `monitor.py`."""

from datetime import datetime, timedelta

from app.domain import schedule as schedules
from app.domain.schedule import Every, Schedule

COUNTED_AT_MOST = 100
INSTANT = timedelta(microseconds=1)  # the smallest there is: what comes at an instant comes after the one before it


def early(schedule: Schedule, slot: datetime, given: timedelta | None) -> timedelta:
    """How long before `slot` a check-in already counts: as given, else the smaller of 5 min and a quarter of the gap."""
    if not isinstance(schedule, Every):
        return schedules.early_of(schedule, slot, given)
    return given if given is not None else min(schedules.EARLY_AT_MOST, schedule.period / 4)


def belongs_to(
    schedule: Schedule, t: datetime, grace: timedelta, given_early: timedelta | None, satisfied: datetime | None
) -> datetime | None:
    """The slot of something heard at `t`; None for a calendar without any slot yet.

    `every`: the slot is named by the instant that satisfied it first, and lasts until period - early later.
    """
    if not isinstance(schedule, Every):
        return schedules.slot_of(schedule, t, grace, given_early)
    if satisfied is not None and t < satisfied + schedule.period - early(schedule, t, given_early):
        return satisfied
    return t


def following(schedule: Schedule, after: datetime) -> datetime | None:
    """The slot expected after `after` (an end, or a slot); None when the calendar never fires again."""
    if isinstance(schedule, Every):
        return after + schedule.period
    return schedules.next_after(schedule, after)


def opening_after(schedule: Schedule, end: datetime, given_early: timedelta | None) -> datetime | None:
    """The first slot whose window opens after a blackout that ended at `end`; `every` goes on as if heard then."""
    if isinstance(schedule, Every):
        return following(schedule, end)
    slot = following(schedule, end - INSTANT)
    while slot is not None and slot - early(schedule, slot, given_early) < end:
        slot = following(schedule, max(slot, end + (given_early or timedelta()) - INSTANT))
    return slot


def in_window(schedule: Schedule, t: datetime, slot: datetime | None, grace: timedelta, given_early: timedelta | None) -> bool:
    """Whether `t` lies in the slot's window [slot - early, slot + grace]; with `every` any instant does."""
    if isinstance(schedule, Every):
        return True
    return slot is not None and slot - early(schedule, slot, given_early) <= t <= slot + grace


def missed_until(schedule: Schedule, first: datetime, now: datetime) -> tuple[datetime, int]:
    """The last slot from the missed one `first` to `now`, and how many slots that is, counted up to 100."""
    if isinstance(schedule, Every):
        count = max(0, (now - first) // schedule.period)
        return first + count * schedule.period, count + 1
    last, count = first, 1
    while count < COUNTED_AT_MOST:
        slot = schedules.next_after(schedule, last)
        if slot is None or slot > now:
            break
        last, count = slot, count + 1
    return last, count


def last_by(schedule: Schedule, t: datetime) -> datetime | None:
    """The last slot of a calendar at or before `t`."""
    return None if isinstance(schedule, Every) else schedules.last_before(schedule, t)
