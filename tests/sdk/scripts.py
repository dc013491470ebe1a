"""Programs of a few lines, run as their users run them: as processes of their own that report to a collector."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from tests.sdk.brokers import ROOT, tied
from tests.sdk.celery_processes import KEY


def environment(url: str | None, **more: str) -> dict[str, str]:
    """What a program is told: where to report to, and what else it needs; nothing of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MISSEDBEAT_")}
    told = {} if url is None else {"MISSEDBEAT_URL": url, "MISSEDBEAT_KEY": KEY}
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT / "sdk"), **told, **more}


def script(folder: Path, text: str) -> Path:
    """The program as a file; `missedbeat` is imported already."""
    path = folder / f"program{len(list(folder.glob('*.py')))}.py"
    path.write_text("import missedbeat\n" + dedent(text))
    return path


def begun(folder: Path, text: str, url: str | None, **more: str) -> subprocess.Popen[str]:
    """The program, running; it dies with the test run."""
    return subprocess.Popen(
        tied(sys.executable, str(script(folder, text))), env=environment(url, **more), cwd=folder, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ran(folder: Path, text: str, url: str | None, **more: str) -> tuple[int, str, str]:
    """The program, run to its end: exit code, output, errors."""
    process = begun(folder, text, url, **more)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err
