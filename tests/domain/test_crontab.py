"""Celery's crontab: due exactly when Celery's own is, held against the real one, which is ticked as a Beat ticks it.

A Beat remembers when it last sent an entry, asks its schedule how long to wait from then, and sends it when `is_due` says so.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from celery import Celery
from celery.schedules import ParseException, crontab
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.schedule import Cron, Crontab, describe, last_before, next_after, parse_crontab
from app.errors import Invalid
from tests.domain.test_dst import AROUND, MINUTE, SAMPLE, changes, check, expressions

NOW = datetime(2026, 6, 1, 12, 0, 0, 500_000, tzinfo=UTC)  # a Monday
YEARS = range(2024, 2029)
DAY = timedelta(days=1)
MICRO = timedelta(microseconds=1)
APP = Celery(set_as_current=False)


class Beat:
    """One entry of a Beat and the clock on its machine."""

    def __init__(self, expression: str, zone: str) -> None:
        minute, hour, day, month, weekday = expression.split()
        self._now = NOW
        self._crontab = crontab(minute, hour, weekday, day, month, nowfun=lambda: self._now, app=APP)
        self._crontab.tz = ZoneInfo(zone)

    def sends_after(self, last_sent: datetime) -> datetime:
        """When it sends the entry next, asleep for as long as it was told to be."""
        self._now, due = last_sent, False
        while not due:
            due, wait = self._crontab.is_due(last_sent)
            self._now += timedelta(seconds=0 if due else wait)
        return self._now

    def sends(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Everything it sends between two instants, up since the first."""
        sent = self.sends_after(start)
        while sent < end:
            yield sent
            sent = self.sends_after(sent)


@cache
def changes_of(zone: str) -> tuple[datetime, ...]:
    """The clock changes of five years."""
    return tuple(changes(ZoneInfo(zone), YEARS))


def prove(names: tuple[str, ...], share: int) -> tuple[int, int]:
    """Hold the slots around every clock change of five years against Celery's; how many changes and cases that made."""
    seen, cases = set(), 0
    for name in names:
        for change in changes_of(name):
            start = change - AROUND
            instants = [start + step * MINUTE for step in range(2 * AROUND // MINUTE)]
            walls = tuple(at.astimezone(ZoneInfo(name)).replace(tzinfo=None, fold=0) for at in instants)
            if (change, walls) in seen:  # another name for the same clock
                continue
            seen.add((change, walls))
            for written in expressions(walls)[len(seen) % share :: share]:
                expression = f"{written[:-1]}0" if written.endswith(" 7") else written  # 7 is no Sunday of Celery's
                slots = list(Beat(expression, name).sends(start - MINUTE, change + AROUND))
                check(Crontab(expression, name), slots, start, change)
                cases += 1
    return len(seen), cases


def test_around_a_clock_change_a_crontab_is_due_when_celery_says_so() -> None:
    """Forwards, backwards and asked from beside the change, in the zones that are odd."""
    turns, cases = prove(SAMPLE, 6)
    assert turns >= 150
    assert cases >= 800


@pytest.mark.prove
def test_around_every_clock_change_of_five_years_a_crontab_is_due_when_celery_says_so() -> None:
    """The same for every IANA zone and every expression."""
    turns, cases = prove(tuple(sorted(available_timezones() - {"localtime"})), 1)
    assert turns >= 250
    assert cases >= 8000


# ---- Whatever is written


def fields(low: int, high: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    """A field of a crontab: a star, a step, a number, a range that may go over the end, a list of these, a name."""
    number = st.integers(low, high).map(str)
    span = st.tuples(number, number).map("-".join)
    part = st.one_of(
        number,
        span,
        st.integers(1, 70).map(lambda step: f"*/{step}"),
        st.tuples(span, st.integers(1, 9)).map(lambda both: f"{both[0]}/{both[1]}"),
        *(st.sampled_from(names) for _ in names[:1]),
    )
    return st.just("*") | part | st.lists(part, min_size=2, max_size=3).map(",".join)


days = st.just("*") | fields(1, 31)
months = st.just("*") | st.just("*") | fields(1, 12, ("mar", "Oct", "jan-jun", "september"))
weekdays = st.just("*") | fields(0, 6, ("sun", "Mon-Fri", "sat-mon", "friday"))
crontabs = st.tuples(fields(0, 59), fields(0, 23) | fields(0, 4), days, months, weekdays).map(" ".join)


@st.composite
def starts(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and an instant, mostly shortly before its clock changes, never in the hour after that."""
    zone = draw(st.sampled_from(SAMPLE))
    if draw(st.integers(0, 9)) == 0:
        return zone, datetime(2024, 1, 1, tzinfo=UTC) + draw(st.integers(0, 1800)) * DAY
    before = draw(st.timedeltas(MINUTE, AROUND) | st.timedeltas(MINUTE, timedelta(hours=4)))
    return zone, draw(st.sampled_from(changes_of(zone))) - before


def hold(expression: str, zone: str, start: datetime) -> None:
    """The next 30 slots are what Celery says, those backwards are the same, and nothing lies between."""
    try:
        beat = Beat(expression, zone)
    except ValueError:  # no month it names has such a day
        with pytest.raises(Invalid, match="never fires"):
            parse_crontab(expression, zone, NOW)
        return
    schedule = parse_crontab(expression, zone, NOW)
    sent = start
    for _ in range(30):
        before, sent = sent, beat.sends_after(sent)
        if sent - start > 3660 * DAY:
            return
        assert next_after(schedule, before) == sent
        assert last_before(schedule, sent) == sent
        if before != start:
            assert last_before(schedule, sent - MICRO) == before
        assert next_after(schedule, before + (sent - before) / 2) == sent


@given(crontabs, starts())
@settings(deadline=None, max_examples=150)
def test_any_crontab_is_due_when_celery_says_so(expression: str, where: tuple[str, datetime]) -> None:
    """Lists, names, steps, ranges over the end, both day fields, at any time of five years."""
    hold(expression, *where)


@pytest.mark.prove
@given(crontabs, starts())
@settings(deadline=None, max_examples=5000)
def test_thousands_of_crontabs_are_due_when_celery_says_so(expression: str, where: tuple[str, datetime]) -> None:
    """The same, longer."""
    hold(expression, *where)


alphabet = st.sampled_from("0123456789 0123456789 *****,,--//monJANfri")
garbage = st.lists(st.text(alphabet, min_size=1, max_size=6).filter(str.strip), min_size=5, max_size=5)


@given(garbage)
@settings(deadline=None, max_examples=500)
def test_what_celery_refuses_is_refused_and_what_is_taken_celery_takes(texts: list[str]) -> None:
    """Never another meaning. We are stricter in one thing: Celery overlooks what follows a range or a step."""
    expression = " ".join(text.replace(" ", "") or "*" for text in texts)
    try:
        read = parse_crontab(expression, "UTC", NOW)
    except Invalid:
        return
    minute, hour, day, month, weekday = expression.split()
    theirs = crontab(minute, hour, weekday, day, month, app=APP)
    assert theirs.minute
    assert next_after(read, NOW) == Beat(expression, "UTC").sends_after(NOW)


@pytest.mark.parametrize(
    "part", ["60", "-1", "1-60", "*/0", "5/2", "1-5/", "1,,2", "", "*-5", "*5", "foo", "mon-fo", "1-5/x", "1..5", "?", "L", "1#2"]
)
def test_what_is_no_field_of_celerys_is_no_field_of_ours(part: str) -> None:
    """And the refusal names the part and what would do."""
    with pytest.raises((ValueError, ParseException)):
        crontab(part, app=APP)
    with pytest.raises(Invalid, match="crontab takes five fields"):
        parse_crontab(f"{part} * * * *", "UTC", NOW)


# ---- By example


def slots(expression: str, zone: str, start: str, count: int) -> list[str]:
    """The first slots after a moment, as people of that zone write them."""
    found, t = [], datetime.fromisoformat(start)
    for _ in range(count):
        slot = next_after(Crontab(expression, zone), t)
        assert slot is not None
        assert slot.tzinfo is UTC
        found.append(slot.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes"))
        t = slot
    return found


EXAMPLES = {
    "a slot in the skipped hour comes as much later as the clock was put forward": (
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T12:00+01:00",
        ["2026-03-29T03:30+02:00", "2026-03-30T02:30+02:00"],
    ),
    "a wildcard job too": (
        "*/20 * * * *",
        "Europe/Berlin",
        "2026-03-29T01:30+01:00",
        ["2026-03-29T01:40+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:20+02:00"],
    ),
    "the repeated hour counts once, for wildcard jobs too": (
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-10-25T01:10+02:00",
        ["2026-10-25T01:30+02:00", "2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00", "2026-10-25T03:00+01:00"],
    ),
    "in Chatham the 03:00 that is skipped comes at 04:00, and the real 03:50 before it is left out": (
        "0,50 3 * * *",
        "Pacific/Chatham",
        "2026-09-26T12:00+12:45",
        ["2026-09-27T04:00+13:45", "2026-09-28T03:00+13:45", "2026-09-28T03:50+13:45"],
    ),
    "a midnight that does not exist comes at one o'clock": (
        "0 0 * * *",
        "Africa/Cairo",
        "2026-04-23T12:00+02:00",
        ["2026-04-24T01:00+03:00", "2026-04-25T00:00+03:00"],
    ),
    "a Monday that is a 1st": (
        "0 3 1 * mon",
        "UTC",
        "2026-06-01T12:00+00:00",
        ["2027-02-01T03:00+00:00", "2027-03-01T03:00+00:00"],
    ),
    "nights over midnight, by a range over the end": (
        "0 22-1/2 * * *",
        "UTC",
        "2026-06-01T12:00+00:00",
        ["2026-06-01T22:00+00:00", "2026-06-02T00:00+00:00", "2026-06-02T22:00+00:00"],
    ),
}


@pytest.mark.parametrize("what", EXAMPLES)
def test_celerys_ways_by_example(what: str) -> None:
    """Written out, and real: a Beat sends at the same instants."""
    expression, zone, start, expected = EXAMPLES[what]
    assert slots(expression, zone, start, len(expected)) == expected
    sent = Beat(expression, zone).sends(datetime.fromisoformat(start), datetime.fromisoformat(expected[-1]) + MINUTE)
    assert [at.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes") for at in sent] == expected


def test_cron_and_crontab_differ_in_their_days() -> None:
    """cron: the 1st and every Monday. Celery: a Monday that is a 1st."""
    assert next_after(Cron("0 3 1 * 1", "UTC"), NOW) == datetime(2026, 6, 8, 3, tzinfo=UTC)
    assert next_after(Crontab("0 3 1 * 1", "UTC"), NOW) == datetime(2027, 2, 1, 3, tzinfo=UTC)


def test_every_value_written_out_is_made_short() -> None:
    """As a program writes it that lists what Celery made of its arguments; the longest there is still goes."""
    everything = " ".join(",".join(map(str, range(low, high))) for low, high in ((0, 60), (0, 24), (1, 32), (1, 13), (0, 7)))
    assert parse_crontab(everything, "UTC", NOW) == Crontab("* * * * *", "UTC")
    longest = " ".join(",".join(str(n) for n in range(low, high) if n != low + 2) for low, high in ((0, 60), (0, 24), (1, 32)))
    assert next_after(parse_crontab(f"{longest} 1,2,4,5,6,7,8,9,10,11,12 0,1,3,4,5,6", "UTC", NOW), NOW) is not None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("* * * *", "takes five fields"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 2,4,6,9,11 *", "never fires"),
        ("0 0 * * 7", "'7' is no day of week"),
        ("0 0 0 * *", "'0' is no day of month"),
        ("0 0 * * frı", "not plain ASCII"),
        ("1," * 200 + "1 * * * *", "409 characters; at most 400"),
    ],
)
def test_a_crontab_that_cannot_be_is_refused_with_a_sentence_that_says_why(text: str, why: str) -> None:
    """Invalid names the field and the fault."""
    with pytest.raises(Invalid) as refusal:
        parse_crontab(text, "Europe/Berlin", NOW)
    assert str(refusal.value).startswith("schedule: ")
    assert why in str(refusal.value)


def test_a_crontab_is_described_as_celerys() -> None:
    """So that nobody takes it for cron."""
    assert describe(Crontab("0 3 * * 1", "Europe/Berlin")) == "crontab 0 3 * * 1 (Europe/Berlin)"
