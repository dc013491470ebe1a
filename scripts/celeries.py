"""Makes the environments of `make matrix`: one below .venv/celeries for each generation of Celery in tests/sdk/celeries.txt, with
the Python that is named there, if this machine has it. What is there already stays: a stamp holds the pins it was made of."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PINS = Path(__file__).resolve().parent.parent / "tests" / "sdk" / "celeries.txt"
FOLDER = Path(sys.prefix) / "celeries"
UV = str(Path(sys.prefix) / "bin" / "uv")


class Celery(NamedTuple):
    """A generation: its version in two numbers, the Python it is played on, and its pins."""

    version: str
    python: str
    pins: tuple[str, ...]

    @property
    def program(self) -> Path:
        """The Python of its environment."""
        return FOLDER / self.version / "bin" / "python"


def generations() -> Iterator[Celery]:
    """As the file has them."""
    for block in PINS.read_text(encoding="utf-8").split("\n[")[1:]:
        head, *pins = block.split("\n")
        version, python = head.rstrip("]").split()
        yield Celery(version, python, tuple(filter(None, pins)))


def main() -> int:
    """Make what is missing; 1 when something could not be. A Python that is not here is no failure: the matrix says so."""
    failures = [words for celery in generations() if (words := made(celery))]
    print("\n".join(failures), file=sys.stderr, end="\n" if failures else "")
    return 1 if failures else 0


def made(celery: Celery) -> str:
    """Why it could not be, empty when it is there or its Python is not."""
    python, stamp = found(celery.python), FOLDER / celery.version / "pins"
    text = "\n".join((str(python), *celery.pins))
    if python is None or (stamp.is_file() and stamp.read_text(encoding="utf-8") == text):
        return ""
    print(f"Installing Celery {celery.version} on {celery.python} (once)", end=" ", flush=True)
    began = time.monotonic()
    shutil.rmtree(FOLDER / celery.version, ignore_errors=True)
    for command in (
        [UV, "venv", "--quiet", "--python", python, str(FOLDER / celery.version)],
        [UV, "pip", "install", "--quiet", "--no-deps", "--python", str(celery.program), *celery.pins],
    ):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"Celery {celery.version}: {' '.join(command[:4])} … failed\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    stamp.write_text(text, encoding="utf-8")
    print(f"{time.monotonic() - began:.0f} s", flush=True)
    return ""


def found(python: str) -> str | None:
    """Where a Python of that name is that runs: on the PATH, or among those of pyenv, whose names on the PATH may be empty."""
    number = python.removeprefix("python")
    others = [str(path) for path in sorted(Path.home().glob(f".pyenv/versions/{number}.*/bin/python"), reverse=True)]
    for program in [path for path in (shutil.which(python), *others) if path]:
        asked = [program, "-c", "import sys, ssl, venv; print(*sys.version_info[:2], sep='.')"]
        answer = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if answer.stdout.strip() == number:
            return program
    return None


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
