"""What the doctor says of one thing."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `wrong` makes the exit status 1, a `note` is worth knowing."""

    about: str
    state: Literal["ok", "note", "wrong"]
    words: str
    remedy: str = ""

    def line(self) -> str:
        """As it is printed."""
        return f"{self.state:<5} {self.about:<12} {self.words}{'. ' + self.remedy if self.remedy else ''}"

    def as_json(self) -> dict[str, Any]:
        """As --json prints it."""
        return asdict(self)
