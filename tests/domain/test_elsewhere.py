"""A schedule in the words of other schedulers means what it means here, or is not said."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.elsewhere import as_cron, as_on_calendar, as_task
from app.domain.schedule import Calendar, Cron, Declared, Every, OnCalendar, next_after, parse
from app.errors import Invalid

START = datetime(2027, 1, 30, 22, 58, tzinfo=UTC)


def slots(calendar: Calendar, count: int = 40) -> list[datetime]:
    """The next ones, in order."""
    found: list[datetime] = []
    at = START
    for _ in range(count):
        following = next_after(calendar, at)
        if following is None:
            break
        found.append(following)
        at = following
    return found


def field(least: int, most: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    """A field of cron: a star, a number or name, a range, a step, a list of these."""
    number = st.integers(least, most)
    one = number.map(str) if not names else st.one_of(number.map(str), st.sampled_from(names))
    span = st.tuples(number, number).filter(lambda ends: ends[0] < ends[1]).map(lambda ends: f"{ends[0]}-{ends[1]}")
    step = st.tuples(st.one_of(st.just("*"), span), st.integers(1, 5)).map(lambda both: f"{both[0]}/{both[1]}")
    return st.one_of(st.just("*"), step, st.lists(st.one_of(one, span), min_size=1, max_size=3).map(",".join))


EXPRESSIONS = st.tuples(
    field(0, 59), field(0, 23), field(1, 31), field(1, 12, ("jan", "MAR", "dec")), field(0, 7, ("sun", "Wed", "sat"))
).map(" ".join)  # fmt: skip


def read(expression: str) -> Cron | None:
    """None for what never fires."""
    try:
        calendar = parse(expression, "UTC", START)
    except Invalid:
        return None
    assert isinstance(calendar, Cron)
    return calendar


@given(EXPRESSIONS)
def test_what_systemd_is_told_elapses_when_cron_would_run(expression: str) -> None:
    """Any expression, days of the month *or* of the week included."""
    cron = read(expression)
    if cron is not None:
        lines = as_on_calendar(cron)
        assert lines is not None
        assert slots(OnCalendar("\n".join(lines), "UTC")) == slots(cron), lines


@given(EXPRESSIONS)
def test_five_fields_for_every_cron_are_the_same_times_without_a_seventh_day(expression: str) -> None:
    """Kubernetes and GitHub know 0 for Sunday alone."""
    cron = read(expression)
    if cron is not None:
        plain = as_cron(cron)
        assert plain is not None
        assert slots(Cron(plain, "UTC")) == slots(cron), plain
        assert "7" not in plain.split()[4]


@pytest.mark.parametrize("alias", ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"])
def test_aliases_are_written_out(alias: str) -> None:
    """GitHub refuses them."""
    plain = as_cron(Cron(alias, "UTC"))
    assert plain is not None
    assert slots(Cron(plain, "UTC"), 3) == slots(Cron(alias, "UTC"), 3)
    assert "@" not in plain


def test_a_period_becomes_cron_where_it_divides_an_hour_a_day_or_is_a_week() -> None:
    """Then all gaps are as long as it; 45 minutes or 36 hours have no words in cron."""
    said = 0
    for minutes in range(1, 60 * 24 * 8):
        plain = as_cron(Every(timedelta(minutes=minutes)))
        if plain is not None:
            found = slots(Cron(plain, "UTC"), 5)
            assert {b - a for a, b in pairwise(found)} == {timedelta(minutes=minutes)}, plain
            said += 1
    assert said == 11 + 8 + 1
    assert as_cron(Every(timedelta(seconds=30))) is None


def test_what_only_some_know_is_not_said() -> None:
    """The last day of a month, the second Tuesday, a program's own times."""
    for expression in ("0 3 L * *", "0 3 * * 2#2", "5/10 * * * *", "5-5/10 * * * *", "0 3 *,2 * 1"):
        assert as_cron(Cron(expression, "UTC")) is None
        assert as_on_calendar(Cron(expression, "UTC")) is None
    assert as_cron(Declared(None, None, "UTC")) is None
    assert as_cron(OnCalendar("Mon *-*-* 03:00", "UTC")) is None


def test_lines_of_systemd_have_their_own_zone_or_the_checks() -> None:
    """A timer goes by the clock of its machine otherwise."""
    lines = as_on_calendar(OnCalendar("Mon 03:00\n*-*-* 04:00 Asia/Tokyo", "Europe/Berlin"))
    assert lines == ["Mon 03:00 Europe/Berlin", "*-*-* 04:00 Asia/Tokyo"]


@pytest.mark.parametrize(
    ("cron", "options"),
    [
        ("30 2 * * *", "/SC DAILY /ST 02:30"),
        ("0 3 * * 1-5", "/SC WEEKLY /D MON,TUE,WED,THU,FRI /ST 03:00"),
        ("5 4 1 * *", "/SC MONTHLY /D 1 /ST 04:05"),
        ("7 * * * *", "/SC HOURLY /ST 00:07"),
        ("* * * * *", "/SC MINUTE /MO 1"),
        ("*/15 * * * *", "/SC MINUTE /MO 15"),
        ("*/7 * * * *", None),
        ("0 */6 * * *", None),
        ("0 3 1 1 *", None),
        ("0 3 1 * 1", None),
        ("0 3 1,15 * *", None),
        (None, None),
    ],
)
def test_windows_is_told_what_it_has_words_for(cron: str | None, options: str | None) -> None:
    """By its own documentation; anything else must be filled in."""
    assert as_task(cron) == options
