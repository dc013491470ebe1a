"""docs/promises.md names what exists."""

import re

from tests.faults.rig import ROOT

TABLE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")


def test_every_promise_names_its_mechanism_and_a_test_that_exists() -> None:
    """P1 to P20, each with a file that holds it and a test that proves it."""
    rows = re.findall(r"^\| \*\*P(\d+) .*$", TABLE, re.M)
    assert [int(n) for n in rows] == list(range(1, 21))
    for line in (line for line in TABLE.splitlines() if line.startswith("| **P")):
        _, _, holds, proves, *_ = line.split("|")
        files, tests = re.findall(r"`([a-z]\S*\.py)`", holds), re.findall(r"`(tests/\S+\.py)::(\w+)`", proves)
        assert files, line
        assert tests, line
        for file in files:
            assert (ROOT / file).is_file(), file
        for file, name in tests:
            assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.M), f"{file}::{name}"
