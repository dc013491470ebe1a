"""What a batch is answered."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.events.batch import MOST_NAMED


@dataclass(slots=True)
class Answer:
    """Counts of what was done, and in words what was not. As docs/events.md has it."""

    accepted: int = 0
    repeated: int = 0
    ignored: int = 0
    unknown_monitors: int = 0
    flagged: int = 0
    broken: int = 0
    warnings: dict[str, None] = field(default_factory=dict)
    errors: list[tuple[int, str]] = field(default_factory=list)
    server_time: datetime | None = None

    def warn(self, words: str) -> None:
        """Say it once."""
        self.warnings.setdefault(words)

    def to_json(self) -> dict[str, Any]:
        """As it goes out; `error` only where a line could not be read."""
        first = {"error": f"line {self.errors[0][0]}: {self.errors[0][1]}"} if self.errors else {}
        return first | {
            "accepted": self.accepted,
            "repeated": self.repeated,
            "ignored": self.ignored,
            "unknown_monitors": self.unknown_monitors,
            "flagged": self.flagged,
            "broken": self.broken,
            "warnings": list(self.warnings)[:MOST_NAMED],
            "errors": [{"line": line, "error": why} for line, why in self.errors],
            "server_time": None if self.server_time is None else int(self.server_time.timestamp() * 1000),
        }
