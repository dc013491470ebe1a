"""What the bench says of what it measured."""

import json
from pathlib import Path

from bench.report import GOALS, Goal, Part, table, write
from bench.rounds import spread, turned


def test_a_goal_is_met_up_to_its_limit_and_missed_beyond() -> None:
    """At least and at most are told apart, in the verdict and in the line that is printed."""
    assert Goal(1, "p99", 15.0, 15, "ms").met
    assert not Goal(1, "p99", 15.1, 15, "ms").met
    assert Goal(1, "of bare", 0.25, 0.25, most=False).met
    assert not Goal(1, "of bare", 0.24, 0.25, most=False).met
    assert Goal(1, "of bare", 0.24, 0.25, most=False).row() == ["1", "of bare", "0.24", "≥ 0.25", "MISSED"]


def test_a_table_is_markdown_with_straight_columns() -> None:
    """It is read on a terminal, and pasted into docs/performance.md as it is."""
    lines = table(GOALS, [Goal(6, "memory", 144, 150, "MB").row(), Goal(1, "rate", 12_345, 3, most=False).row()]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| ---- | ------ | -------: | -----: | ---: |"
    assert lines[3] == "| 1    | rate   |   12,345 | ≥ 3.00 |  met |"


def test_everybody_begins_a_round_once_and_medians_count() -> None:
    """What the machine does at the beginning of a round meets each in turn."""
    assert [turned("abc", number) for number in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]
    assert str(spread([3.0, 1.0, 200.0])) == "3.00 (1.00 to 200)"


def test_a_part_measured_again_takes_its_own_place_and_no_other(tmp_path: Path) -> None:
    """Parts are measured one by one where a machine is shared; the file holds the last of each."""
    path = tmp_path / "build" / "bench.json"
    for name, value in (("pings", 1.0), ("lists", 2.0), ("pings", 3.0)):
        write(path, name, Part(figures={"rate": spread([value])}, goals=[Goal(1, name, value, 2)]), {"cores": 2})
    kept = json.loads(path.read_text())
    assert {name: part["figures"]["rate"]["median"] for name, part in kept.items()} == {"pings": 3.0, "lists": 2.0}
    assert kept["pings"]["goals"][0]["met"] is False
