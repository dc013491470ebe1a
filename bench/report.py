"""What a part of the bench found: tables for people, figures for programs, goals that are met or missed."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.rounds import shown


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal of this project, by its number. `most`: whether `limit` is the most it may be, or the least."""

    number: int
    words: str
    measured: float
    limit: float
    unit: str = ""
    most: bool = True

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.measured <= self.limit if self.most else self.measured >= self.limit

    def row(self) -> list[str]:
        """As a line of the table of goals."""
        limit = f"{'≤' if self.most else '≥'} {shown(self.limit)}"
        return [str(self.number), self.words, with_unit(shown(self.measured), self.unit), limit, "met" if self.met else "MISSED"]


@dataclass(slots=True)
class Part:
    """One part. `lines`: tables and remarks, in order, as Markdown that can be read as it is; `figures`: the same as data."""

    lines: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)

    def say(self, *lines: str) -> None:
        """Add to the text, each a paragraph of its own."""
        for line in lines:
            self.lines += [line, ""]


GOALS = ["goal", "what", "measured", "limit", "met?"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown with straight columns; all but the first two to the right."""
    wide = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    ruled = ["-" * wide[n] if n < 2 else "-" * (wide[n] - 1) + ":" for n in range(len(head))]
    lines = [[cell.ljust(wide[n]) if n < 2 else cell.rjust(wide[n]) for n, cell in enumerate(row)] for row in [head, *rows]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [lines[0], ruled, *lines[1:]])


def with_unit(value: str, unit: str) -> str:
    """A figure and what it counts."""
    return f"{value} {unit}".rstrip()


def write(path: Path, name: str, part: Part, machine: dict[str, Any]) -> None:
    """Put a part into the file, in the place of what an earlier run said of it."""
    path.parent.mkdir(exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    goals = [{**asdict(goal), "met": goal.met} for goal in part.goals]
    known[name] = {"machine": machine, "figures": part.figures, "goals": goals}
    path.write_text(json.dumps(known, indent=1, default=asdict) + "\n")
