"""A schedule in words says exactly when it is due: the words are read back by somebody who knows nothing of the expression."""

import re
from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.domain.schedule import Calendar, Cron, Crontab, Declared, Every, OnCalendar, next_after
from app.domain.wording import MONTHS, WEEKDAYS, in_words
from app.errors import Invalid
from tests.domain.test_schedule import crons, fields, instants, on_calendars

WEEK = [*WEEKDAYS[1:], WEEKDAYS[0]]
CLOCK = r"\d\d:\d\d(?::\d\d)?"
DayTest = Callable[[date], bool]


# ---- The reader


def numbers(words: str) -> set[int]:
    """'1, 3 and 5 to 7', with or without st, nd, rd and th."""
    found: set[int] = set()
    for part in re.split(", | and ", words):
        first, _, last = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", part).partition(" to ")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def names(words: str, known: Sequence[str]) -> set[int]:
    """'Mondays and Tuesday', '…, from June to August': places in `known`, from 0."""
    found: set[int] = set()
    for part in re.split(", | and ", words):
        first, _, last = part.partition(" to ")
        start = known.index(first.removesuffix("s") if known is WEEK else first)
        found |= set(range(start, known.index(last or known[start]) + 1))
    return found


def seconds_of_day(words: str) -> set[int]:
    """The times of a day."""
    day = range(86400)
    if found := re.fullmatch(rf"at ({CLOCK}(?:, {CLOCK})*(?: and {CLOCK})?)", words):
        return {seconds(clock) for clock in re.findall(CLOCK, found[1])}
    if found := re.fullmatch(r"every (?:(\d+) )?(second|minute)s?", words):
        step = int(found[1] or 1) * (60 if found[2] == "minute" else 1)
        return set(day[::step])
    if found := re.fullmatch(rf"every (?:(\d+) )?(minute|hour)s? from ({CLOCK}) to ({CLOCK})", words):
        step = int(found[1] or 1) * (60 if found[2] == "minute" else 3600)
        return set(range(seconds(found[3]), seconds(found[4]) + 1, step))
    if words == "every hour on the hour":
        return set(day[::3600])
    if found := re.fullmatch(r"every (?:hour|\d+ minutes) at minutes? (.+)", words):
        return {3600 * hour + 60 * minute for hour in range(24) for minute in numbers(found[1])}
    found = re.fullmatch(r"(?:at )?(?:(.*second.*?) of )?(every minute|minutes? .+) of (every hour|hours? .+)", words)
    assert found is not None, words
    wanted = [[0] if part is None else unit(part, size) for part, size in zip(found.groups(), (60, 60, 24), strict=True)]
    return {3600 * h + 60 * m + s for h in wanted[2] for m in wanted[1] for s in wanted[0]}


def unit(words: str, size: int) -> set[int]:
    return set(range(size)) if words.startswith("every") else numbers(words.partition(" ")[2])


def seconds(clock: str) -> int:
    return sum(int(part) * size for part, size in zip(clock.split(":"), (3600, 60, 1), strict=False))


def of_month(words: str) -> DayTest:
    """'the 1st, 3rd to 5th, last day and last weekday', 'every 2nd day from the 1st to the 31st'."""
    if found := re.fullmatch(r"every (\w+) day from the (\w+) to the (\w+)", words):
        step, first, last = (min(numbers(number)) for number in found.groups())
        return lambda day: day.day in range(first, last + 1, step)
    parts = re.split(", | and ", words.removeprefix("the "))
    return lambda day: any(in_month(part, day) for part in parts)


def in_month(part: str, day: date) -> bool:
    last = monthrange(day.year, day.month)[1]
    if part == "last weekday":
        days = (date(day.year, day.month, last - back) for back in range(3))
        return day == next(one for one in days if one.weekday() < 5)
    if found := re.fullmatch(r"(?:(\w+) )?last day", part):
        return day.day == last + 1 - (min(numbers(found[1])) if found[1] else 1)
    return day.day in numbers(part)


def of_week(words: str) -> DayTest:
    """'on weekdays', 'from Monday to Friday', 'on Mondays and the 2nd Friday of the month'."""
    if words == "on weekdays":
        return lambda day: day.weekday() < 5
    if words.startswith("from "):
        return lambda day: day.weekday() in names(words.removeprefix("from "), WEEK)
    parts = re.split(", | and ", words.removeprefix("on "))
    return lambda day: any(in_week(part, day) for part in parts)


def in_week(part: str, day: date) -> bool:
    if found := re.fullmatch(r"the (\w+) (\w+) of the month", part):
        nth = 0 if found[1] == "last" else min(numbers(found[1]))
        left = monthrange(day.year, day.month)[1] - day.day
        return day.weekday() == WEEK.index(found[2]) and (left < 7 if nth == 0 else (day.day + 6) // 7 == nth)
    return day.weekday() in names(part, WEEK)


def days_of(words: str) -> DayTest:
    """Everything behind the times."""
    listed = rf"(?:{'|'.join(MONTHS)})(?:(?:, | and )(?:{'|'.join(MONTHS)}))*"
    years = months = None
    if found := re.search(r" in (\d{4}.*)$", words):
        years, words = numbers(found[1]), words[: found.start()]
    if found := re.search(rf" (?:in ({listed})|from ((?:{'|'.join(MONTHS)}) to \w+))$", words):
        months, words = names(found[1] or found[2], MONTHS), words[: found.start()]
    elif found := re.search(rf" of ({listed})$", words):
        months, words = names(found[1], MONTHS), words[: found.start()] + " of the month"
    day = which_days(words.strip())
    return lambda d: (years is None or d.year in years) and (months is None or d.month - 1 in months) and day(d)


def which_days(words: str) -> DayTest:
    if words in ("", "every day"):
        return lambda _: True
    if found := re.fullmatch(r"on (.+) of the month and also (.+)", words):
        by_month, by_week = of_month(found[1]), of_week(found[2])
        return lambda day: by_month(day) or by_week(day)
    if found := re.fullmatch(r"(.+) if that is (.+) of the month", words):
        by_week, by_month = of_week(found[1]), of_month(found[2])
        return lambda day: by_month(day) and by_week(day)
    if found := re.fullmatch(
        r"on ((?:the|every) (?:(?! of the month).)*\b(?:day|weekday|\d+(?:st|nd|rd|th))) of the month", words
    ):
        return of_month(found[1])
    return of_week(words)


def read(words: str) -> tuple[list[int], DayTest]:
    """The seconds of a day, and which days."""
    words = words.removesuffix(", UTC")
    split = re.search(
        r" every day| on (?:weekdays|the |every \w+ day|[A-Z])| from [A-Z]| in (?:[A-Z]|\d{4})|(?<=.)$",
        words.replace("on the hour", "on_the_hour"),
    )
    assert split is not None
    at = split.start()
    return sorted(seconds_of_day(words[:at])), days_of(words[at:])


def told_after(words: str, t: datetime, days: int) -> datetime | None:
    """The first time after `t` by the words, within so many days."""
    times, on_day = read(words)
    for n in range(days):
        day = t.date() + timedelta(days=n)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        if on_day(day):
            for second in times:
                if midnight + timedelta(seconds=second) > t:
                    return midnight + timedelta(seconds=second)
    return None


# ---- What must hold

special_days = st.sampled_from(["L", "LW", "1,L", "15,LW", "*", "1-31", "*/2", "1-7"])
special_weekdays = st.sampled_from(["5L", "1#2", "1#1,5#3", "0", "7", "6,7", "1-5", "*", "1-7", "2,5L"])
special = st.tuples(fields(0, 59), fields(0, 23), special_days, st.sampled_from(["*", "2", "6-8", "1,7"]), special_weekdays)
hours = st.tuples(st.sampled_from(["0", "30", "*/15", "5-59/15", "*/7", "*", "0,30"]), fields(0, 23))
usual = st.tuples(hours, special_days, special_weekdays).map(lambda p: f"{p[0][0]} {p[0][1]} {p[1]} * {p[2]}")
more_days = st.sampled_from(["*-*~3", "*-*~1,3", "*-2~1", "*-*-1,15", "*-6..8-*", "*-*-*", "2026..2028-*-*"])
more = st.tuples(more_days, st.sampled_from(["*:*:0/10", "*:0/15", "0/2:30", "*:*:*", "3:00:15", "*:00", "8..18:0/30"]))
calendars = st.one_of(
    st.builds(Cron, st.one_of(crons, usual, special.map(" ".join)), st.just("UTC")),
    st.builds(OnCalendar, st.one_of(on_calendars, more.map(" ".join)), st.just("UTC")),
    st.builds(
        Crontab, st.tuples(fields(0, 59), fields(0, 23), fields(1, 28), st.just("*"), fields(0, 6)).map(" ".join), st.just("UTC")
    ),
)


def agree(calendar: Calendar, t: datetime) -> None:
    """The next time by the words is the next slot."""
    t = t.replace(microsecond=0)
    try:
        slot = next_after(calendar, t)
    except Invalid:
        assume(False)
    days = 800
    told = told_after(in_words(calendar), t, days)
    assert told == (slot if slot is not None and slot.date() < t.date() + timedelta(days=days) else None)


drawn = given(calendars, instants)
test_the_words_say_when_it_is_due = settings(deadline=None, max_examples=600)(drawn(agree))
test_the_words_say_when_it_is_due_at_length = pytest.mark.prove(settings(deadline=None, max_examples=20_000)(drawn(agree)))


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("30 2 * * 1-5", "at 02:30 on weekdays"),
        ("@daily", "at 00:00 every day"),
        ("@hourly", "every hour on the hour"),
        ("17 * * * 7", "every hour at minute 17 on Sundays"),
        ("*/15 * * * *", "every 15 minutes"),
        ("5/15 * * * *", "every 15 minutes at minutes 5, 20, 35 and 50"),
        ("*/10 9-17 * * MON-FRI", "every 10 minutes from 09:00 to 17:50 on weekdays"),
        ("0 */2 * * *", "every 2 hours from 00:00 to 22:00"),
        ("*/7 1,5 * * *", "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of hours 1 and 5"),
        ("0 0 1 1,7 *", "at 00:00 on the 1st of January and July"),
        ("0 0 13 * 5", "at 00:00 on the 13th of the month and also on Fridays"),
        ("0 0 */10 * 5", "at 00:00 on Fridays if that is the 1st, 11th, 21st and 31st of the month"),
        ("0 0 */4 6-8 *", "at 00:00 on every 4th day from the 1st to the 29th of June, July and August"),
        ("0 12 L * 5L", "at 12:00 on the last day of the month and also on the last Friday of the month"),
        ("1 2 * 6-8 2-4", "at 02:01 from Tuesday to Thursday from June to August"),
    ],
)
def test_words_that_people_use(expression: str, words: str) -> None:
    """Times that are few by name, regular ones as such, else field by field."""
    assert in_words(Cron(expression, "Europe/Berlin")) == f"{words}, Europe/Berlin"


def test_words_of_the_other_kinds() -> None:
    """Lines of an OnCalendar each with its zone; a period; what only its scheduler knows."""
    two = OnCalendar("Mon *-*-* 08:00 America/New_York\n*-*~1 00:00:30", "UTC")
    assert in_words(two) == "at 08:00 on Mondays, America/New_York; and at 00:00:30 on the last day of the month, UTC"
    assert in_words(OnCalendar("2026-12-24 18:00", "UTC")) == "at 18:00 on the 24th of December in 2026, UTC"
    assert in_words(Every(timedelta(minutes=90))) == "every 1 h 30 min, counted from when it was last heard"
    assert in_words(Declared(None, None, "UTC")) == "when its scheduler says"
    evenings = Crontab("0 22-1 1-7 * mon", "UTC")
    assert in_words(evenings) == "at 00:00, 01:00, 22:00 and 23:00 on Mondays if that is the 1st to 7th of the month, UTC"
