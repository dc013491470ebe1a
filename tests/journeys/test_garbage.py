"""When a process looks for what nobody refers to any more: not while it starts, and for as long as it runs."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from app.main import Web
from app.serve import Serve
from app.smtpd import run_smtpd
from app.worker import run_worker

LIFE = """
import gc
from app.garbage import look_later, spare_what_stays

class Round:
    def __init__(self):
        self.itself = self
    def __del__(self):
        print("gone")

look_later()
for _ in range(20_000):
    Round()
print("started")
spare_what_stays()
for _ in range(20_000):
    Round()
print("running", flush=True)
"""


def test_none_is_looked_for_while_a_process_starts_and_all_is_found_afterwards() -> None:
    """What was made at the start goes in one look at its end, what was made later from time to time."""
    done = subprocess.run([sys.executable, "-c", LIFE], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    started, running = lines.index("started"), lines.index("running")
    assert "gone" not in lines[:started]
    assert lines[started:running].count("gone") > 20_000


@pytest.mark.parametrize("long_lived", [Web._lifespan, run_worker, run_smtpd, Serve._keep_running])
def test_every_process_that_runs_for_long_looks_again(long_lived: Callable[..., Any]) -> None:
    """The command line lets none look while it starts; whoever forgot to begin again would grow until it died."""
    assert "    spare_what_stays()\n" in inspect.getsource(long_lived)
