"""The strip of runs: what it shows is said in words too."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.manage.pages.strip import HEIGHT, LEAST, MOST, STEP, strip
from app.store.glances import RunGlance

NOW = datetime(2026, 12, 5, 13, 5, 9, tzinfo=UTC)


def run(outcome: str | None, seconds: float | None = 10) -> RunGlance:
    """One that took so long; None: not known."""
    end = None if seconds is None else NOW + timedelta(seconds=seconds)
    return RunGlance(UUID(int=1), NOW, outcome, NOW, end, None, 1, None, None)


def test_a_strip_says_in_words_what_it_shows() -> None:
    """The most common first; an outcome of a later version is drawn, and no word of it is made up."""
    runs = [run("success")] * 3 + [run("failed"), run("missed", None), run(None, None), run("of tomorrow")]
    assert 'aria-label="Last 7 runs: 3 succeeded, 1 failed, 1 missed, 1 running, 1 ended otherwise"' in strip(runs)
    assert 'aria-label="Last 1 run: 1 succeeded"' in strip([run("success")])
    assert strip([]) == ""


def test_the_newest_run_stands_at_the_right_and_each_outcome_has_a_path_of_its_own() -> None:
    """However many there are, sixty are shown; colours alone tell nothing: shapes differ."""
    picture = strip([run("success")] * 99 + [run("failed"), run("missed"), run("overrun"), run(None)])
    paths = dict(re.findall(r'<path class="(run-\w+)" d="([^"]*)"/>', picture))
    assert set(paths) == {"run-up", "run-failed", "run-missed", "run-overrun", "run-running"}
    assert paths["run-running"].startswith(f"M{(MOST - 1) * STEP} ")
    assert paths["run-up"].count("M") == MOST - 4
    alone = [
        re.findall(r' d="([^"]*)"', strip([run(outcome)]))[0] for outcome in ("success", "failed", "missed", "overrun", None)
    ]
    assert len(set(alone)) == 5


def test_height_is_duration_and_one_long_run_does_not_flatten_the_others() -> None:
    """A run of a hundredth is still seen; the longest is the highest; one of unknown length is half as high."""
    picture = strip([run("success", 1), run("success", 100), run("success", None)])
    heights = [int(found) for found in re.findall(r"v(\d+)h-", picture)]
    assert heights == [LEAST, HEIGHT - 4, HEIGHT // 2]
