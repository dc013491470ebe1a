"""`make bench`: every goal of speed, measured on this machine in ten minutes at most; ARGS="pings lists" measures some of them,
ARGS="minute" what is no goal and only measured where it is asked for.

Prints tables, writes build/bench.json, and ends with 1 when a goal is missed. The growth with very large tables (goal 2) is
`make bench-scale`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from bench import delivering, lists, minute, pages, pings, sdk, sign_in, sweeping, workers
from bench.machine import machine
from bench.report import GOALS, Goal, Part, table, write

PARTS: dict[str, Callable[[], Part]] = {
    "pings": pings.measure,
    "workers": workers.measure,
    "minute": minute.measure,
    "sweep": sweeping.measure,
    "deliveries": delivering.measure,
    "lists": lists.measure,
    "sdk": sdk.measure,
    "sign_in": sign_in.measure,
    "pages": pages.measure,
}
ONLY_ASKED = {"minute"}
FIGURES = Path("build/bench.json")


def main(asked: list[str]) -> int:
    """Measure these parts, or all; 1 when a goal is missed, 2 for a part that there is not."""
    unknown = [name for name in asked if name not in PARTS]
    if unknown:
        print(f"There is no part {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    goals: list[Goal] = []
    for name in asked or [name for name in PARTS if name not in ONLY_ASKED]:
        before = machine()
        print(f"## {name}\n\n{before['at']}, load average {before['load_average'][0]} before\n", flush=True)
        part = PARTS[name]()
        print("\n".join(part.lines), flush=True)
        write(FIGURES, name, part, before)
        goals += part.goals
    goals.sort(key=lambda goal: goal.number)
    missed = [goal for goal in goals if not goal.met]
    print(f"## Goals\n\n{table(GOALS, [goal.row() for goal in goals])}\n")
    print(f"{len(missed)} of {len(goals)} goals missed." if missed else "All goals are met.", f"Figures: {FIGURES}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
