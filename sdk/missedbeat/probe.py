"""`missedbeat probe`: is the worker, or the Beat, of this container alive? It reads a file that a thread of theirs writes, and
imports neither an application nor Celery: nothing but what it needs for that, for it is run every few seconds.

The file stands where MISSEDBEAT_PROBE says, with the role at its end. It is one line: when it was written (by the clock that
nobody sets), the process, whether it is alive and ready (1 or 0), and why in words.
"""

import os
import sys
import time

ROLES = ("worker", "beat")
STALE = 60.0
USAGE = (
    "usage: missedbeat probe [--ready] [--stale SECONDS] [FILE]\n\n"
    "Exits 0 if the worker or Beat that writes FILE (else MISSEDBEAT_PROBE) is alive, and with --ready if it can do its work\n"
    "now; else 1. Says in one line why. What was written over SECONDS (60) ago is from a process that hangs or is gone."
)


def line_of(live: bool, ready: bool, words: str) -> str:
    """What is written."""
    return f"{time.monotonic():.1f} {os.getpid()} {live:d} {ready:d} {' '.join(words.split())}\n"


def main(arguments: "list[str]") -> int:
    """Say in one line how it is; 0 if it is well, else 1."""
    if any(one in ("-h", "--help") for one in arguments):
        print(USAGE)
        return 0
    said = _read(arguments)
    if said is None:
        print(USAGE)
        return 1
    path, asks_ready, stale = said
    if not path:
        print("Which file? Set MISSEDBEAT_PROBE to the same path for this and for the worker.")
        return 1
    found = [(role, _line(f"{path}.{role}")) for role in ROLES]
    verdicts = [_verdict(role, line, asks_ready, stale) for role, line in found if line]
    if not verdicts:
        print(f"nothing has written {path}.worker or {path}.beat: none has begun, or MISSEDBEAT_PROBE is not set for it")
        return 1
    print("; ".join(words for _, words in verdicts))
    return 0 if all(fine for fine, _ in verdicts) else 1


def _read(arguments: "list[str]") -> "tuple[str, bool, float] | None":
    path, asks_ready, stale, rest = os.environ.get("MISSEDBEAT_PROBE", ""), False, STALE, list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--ready":
            asks_ready = True
        elif word == "--stale" and rest and rest[0].isdigit():
            stale = float(rest.pop(0))
        elif word.startswith("-"):
            return None
        else:
            path = word
    return path, asks_ready, stale


def _line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - pathlib takes its time to import
            return file.readline()
    except OSError:
        return ""


def _verdict(role: str, line: str, asks_ready: bool, stale: float) -> "tuple[bool, str]":
    try:
        at, process, live, ready, words = line.rstrip("\n").split(" ", 4)
        age = time.monotonic() - float(at)
    except ValueError:
        return False, f"{role}: its file makes no sense"
    if not -1 <= age <= stale:
        since = f"for {age:.0f} s" if age >= 0 else "since this machine was started"
        return False, f"{role} {process}: nothing heard of it {since}: it hangs, or is gone"
    return (ready if asks_ready else live) == "1", f"{role} {process}: {words}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
