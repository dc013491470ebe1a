"""Installs this project with the named extras, and the projects in further folders, into the environment it is run by, all
editable.

One moving line on a terminal, two standing lines elsewhere; pip's own words are kept in .venv/install.log and shown only
when it fails.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

LOG = Path(sys.prefix) / "install.log"


def main(extras: str, *folders: str) -> int:
    """Install `.[extras]` and the folders under constraints.txt; pip's exit code."""
    command = [sys.executable, "-m", "pip", "install", "--no-input", "-c", "constraints.txt", "-e", f".[{extras}]"]
    for folder in folders:
        command += ["-e", folder]
    environment = os.environ | {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    print(f"Installing into .venv: {extras.replace(',', ', ')} (once, a minute or so)", flush=True)
    began = time.monotonic()
    with LOG.open("w", encoding="utf-8") as log:
        pip = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for line in pip.stdout or ():
            log.write(line)
            show(line)
    code = pip.wait()
    if code:
        show("")
        print("".join(LOG.read_text(encoding="utf-8").splitlines(keepends=True)[-25:]), file=sys.stderr)
        print(f"The installation failed; all of pip's words are in {LOG}.", file=sys.stderr)
        return code
    show("")
    print(f"Installed in {time.monotonic() - began:.0f} s", flush=True)
    return 0


def show(line: str) -> None:
    """Replace the moving line by this one; nothing where nobody watches."""
    if sys.stdout.isatty() and (not line or line.startswith(("Collecting", "Downloading", "Installing", "Building"))):
        print("\r\033[K" + line.strip()[:76], end="", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
