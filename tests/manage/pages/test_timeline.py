"""The days, months and durations of a check, as pictures and in words."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.domain.horizon import Blackout
from app.domain.uptime import Stretch
from app.manage.pages.durations import HEIGHT, percentile, plot, told
from app.manage.pages.timeline import days, months, timeline
from app.manage.pages.when import When
from app.store.glances import RunGlance

NOW = datetime(2026, 12, 5, 13, 5, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def down(start: datetime, seconds: float, since: datetime = NOW - 40 * DAY) -> list[Stretch]:
    """A life that was up, but for so long."""
    end = start + timedelta(seconds=seconds)
    return [Stretch("up", since, start), Stretch("down", start, end), Stretch("up", end, NOW)]


@pytest.mark.parametrize(
    ("seconds", "look"), [(10, "little"), (3600, "little"), (4400, "much"), (50_000, "much")]
)  # of a day; from 72 minutes on
def test_a_days_colour_is_its_share_of_downtime(seconds: float, look: str) -> None:
    """Ten seconds make no red day; what is filled grows with it, and the title says how long."""
    found = days(down(NOW - 2 * DAY, seconds), (), When(NOW), 30)
    assert [day.look for day in found if day.look != "up"] == [look] * (1 if seconds < 39_000 else 2)
    picture = timeline(found)
    assert f"day-{look}" in picture
    assert "The last 30 days: down on" in picture
    assert "Thu 3 Dec: up" in picture


def test_days_before_the_first_count_for_nothing_and_pauses_neither() -> None:
    """Of what was not there, paused or not heard, nothing is said."""
    life = [Stretch("up", NOW - 3 * DAY, NOW - 2 * DAY), Stretch("paused", NOW - 2 * DAY, NOW)]
    found = days(life, (), When(NOW), 10)
    assert [day.look for day in found] == ["none"] * 6 + ["up"] * 2 + ["none"] * 2
    deaf = days([Stretch("down", NOW - DAY, NOW)], [Blackout(NOW - 2 * DAY, NOW)], When(NOW), 10)
    assert {day.look for day in deaf} == {"none"}
    assert deaf[-1].title == "Sat 5 Dec: nothing to count"


def test_days_begin_at_the_readers_midnight_even_when_the_clock_changes() -> None:
    """A day on which the clock is put back has 25 hours, and together they are the whole time."""
    now = datetime(2026, 10, 27, 12, tzinfo=UTC)
    life = [Stretch("up", now - 10 * DAY, now)]
    found = days(life, (), When(now, "Europe/Berlin"), 4)
    assert [day.up.counted for day in found] == [timedelta(hours=n) for n in (24, 25, 24, 13)]
    assert found[1].label == "Sun 25 Oct"


def test_months_are_whole_months_of_the_readers_calendar() -> None:
    """Twelve, this one's so far the last, over the turn of the year."""
    found = months([Stretch("up", NOW - 400 * DAY, NOW)], (), When(NOW, "Asia/Tokyo"), 12)
    assert (found[0].label, found[-1].label) == ("January 2026", "December 2026")
    assert found[1].up.counted == 28 * DAY
    assert sum((month.up.counted for month in found), timedelta()) == NOW - found[0].start


def test_many_turns_are_counted_as_one_by_one() -> None:
    """The cut to what is near a day loses nothing: all days together are the whole life."""
    step = timedelta(hours=5)
    life = [Stretch("down" if n % 2 else "up", NOW - n * step, NOW - (n - 1) * step) for n in range(200, 0, -1)]
    found = days(life, (), When(NOW), 30)
    cut = found[0].start
    for status in ("up", "down"):
        whole = sum((s.end - max(s.start, cut) for s in life if s.status == status and s.end > cut), timedelta())
        assert sum((getattr(day.up, status) for day in found), timedelta()) == whole


def run(outcome: str | None, seconds: float | None) -> RunGlance:
    """One that took so long."""
    end = None if seconds is None else NOW + timedelta(seconds=seconds)
    return RunGlance(UUID(int=1), NOW, outcome, NOW, end, None, 1, None, None)


def test_the_plot_tells_outcomes_apart_by_shape_and_says_it_in_words() -> None:
    """What is usual as a band, what is allowed as a line, none of it by colour alone."""
    runs = [run("success", 60)] * 19 + [run("failed", 60), run("missed", None), run("overrun", 60), run(None, None)]
    picture = plot(runs, 90)
    shapes = dict(re.findall(r'<path class="(run-\w+)" d="(M[^M"]*)', picture))
    assert len({re.sub(r"^M\d+", "", shape) for shape in shapes.values()}) == len(shapes) == 5
    assert 'class="band"' in picture
    assert 'class="limit"' in picture
    assert (
        "Half took no longer than 1 min, 95 of 100 no longer than 1 min; the longest 1 min. A run may take 1 min 30 s." in picture
    )
    assert told(runs, 90) in picture
    assert 'class="limit"' not in plot(runs, None)
    assert plot([run("missed", None)], 90) == ""
    heights = [int(y) for y in re.findall(r"M\d+ (\d+)", plot([run("success", 0.001), run("success", 1e6)], None))]
    assert all(0 <= y <= HEIGHT for y in heights)


def test_a_percentile_is_a_value_that_was_there() -> None:
    """The smallest that so many of a hundred are not above."""
    assert [percentile(range(1, 101), percent) for percent in (50, 95, 100)] == [50, 95, 100]
    assert percentile([7], 95) == 7
    assert percentile([], 95) == 0
