"""The measuring of large tables measures: small, so that it takes a minute at most."""

import os
import subprocess
import sys

import pytest

FIGURES = (
    "idle tick", "figures, read every 5 s", "all audits", "counts", "list of 50, growth", "list of 1,000, growth",
    "pings, large tables", "pings, growth", "40 monitors due at once", "400 monitors due at once",
)  # fmt: skip


@pytest.mark.prove
def test_every_figure_of_large_tables_is_measured() -> None:
    """Loaded, loaded with pings, lists and silence; 0 or 1 says whether each goal is met, which so few rows do not tell."""
    small = {"MONITORS": "4000", "CHECK_INS": "120000", "ROUNDS": "1", "SECONDS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "bench.scale"], env={**os.environ, **small}, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    assert [figure for figure in FIGURES if f"  {figure}" not in done.stdout] == [], done.stdout + done.stderr
    assert "check_ins (partitions)" in done.stdout
    assert " 0 not answered" in done.stdout
    assert "40 down, 40 to be told" in done.stdout
