"""Asks the advisory source about every pinned package: fails on a known vulnerability, never for want of a network.

It always says what happened, for "nothing known" and "nobody asked" must not look the same.
"""

import json
import subprocess
import sys
from pathlib import Path

DEADLINE_SECONDS = 60
COMMAND = ["-r", "constraints.txt", "--no-deps", "--disable-pip", "--format=json", "--progress-spinner=off", "--timeout=5"]


def main() -> int:
    """1 when a pinned package has a known vulnerability, else 0."""
    auditor = Path(sys.prefix) / "bin" / "pip-audit"
    try:
        answer = subprocess.run(
            [auditor, *COMMAND], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return say(f"audit: SKIPPED, the advisory source did not answer within {DEADLINE_SECONDS} s")
    try:
        packages = json.loads(answer.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (answer.stderr.strip().splitlines() or ["no answer"])[-1]
        return say(f"audit: SKIPPED, the advisory source cannot be reached: {reason[:200]}")
    return verdict(packages)


def verdict(packages: list[dict]) -> int:
    """What the answers come to: 1 for any vulnerability, and how many packages were really looked up."""
    asked = [package for package in packages if "skip_reason" not in package]
    found = [(package, flaw) for package in asked for flaw in package["vulns"]]
    for package, flaw in found:
        fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
        say(f"audit: {package['name']} {package['version']} has {flaw['id']}, fixed in {fixed}")
    if not asked:
        return say("audit: SKIPPED, the source that was reached knows none of these packages")
    say(f"audit: {len(found)} known vulnerabilities in {len(asked)} of {len(packages)} pinned packages looked up")
    return 1 if found else 0


def say(words: str) -> int:
    """Print a line at once; 0, so that a skip can be returned in one breath."""
    print(words, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
