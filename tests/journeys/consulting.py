"""The doctor asked as a user asks it, in a folder and with settings of the test's own."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.journeys.running import COMMAND, environment


def asked(folder: Path, *words: str, **settings: str) -> tuple[int, dict[str, tuple[str, str]], str]:
    """Exit status, (state, words) of each thing that is not ok else of any, and all that was printed."""
    command = [COMMAND, "doctor", "--json", *words]
    done = subprocess.run(
        command, env=environment(**settings), capture_output=True, text=True, check=False, cwd=folder, timeout=60
    )
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["healthy"] is (done.returncode == 0)
    found: dict[str, tuple[str, str]] = {}
    for check in said["checks"]:
        assert check["state"] != "wrong" or check["remedy"]
        if check["about"] not in found or check["state"] != "ok":
            found[check["about"]] = (check["state"], check["words"])
    return done.returncode, found, done.stdout + done.stderr


def refused(folder: Path, command: str, **settings: str) -> str:
    """The one line that a command says which must not start: no traceback, nothing on stdout, exit status 1."""
    done = subprocess.run(
        [COMMAND, command], env=environment(**settings), capture_output=True, text=True, check=False, cwd=folder, timeout=60
    )
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    return line
