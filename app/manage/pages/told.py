"""Who was told of an incident and how that went, in words."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from app.store.tables import DeliveryRow

LONGEST_ANSWER = 200
OF = {"monitor.down": "this", "monitor.up": "the recovery", "channel.failed": "a channel that failed"}


@dataclass(frozen=True, slots=True)
class Told:
    """One delivery: its state (`failing`: it waits, and was tried), that in words, when, and what the receiver answered where it
    did not take it."""

    state: str
    words: str
    at: datetime | None
    answer: str = ""


def told(deliveries: Iterable[tuple[DeliveryRow, str | None]]) -> list[Told]:
    """Each of these deliveries, with the name of its channel; one that is gone has none."""
    return [_told(row, name or "A channel that was deleted") for row, name in deliveries]


def _told(row: DeliveryRow, channel: str) -> Told:
    what = OF.get(row.told["kind"], "it")
    answer = f"{row.attempts[-1].get('answer', '')}"[:LONGEST_ANSWER] if row.attempts else ""
    match row.state:
        case "delivered":
            return Told(row.state, f"{channel} was told of {what}", row.settled_at)
        case "waiting" if row.tries:
            times = "once" if row.tries == 1 else f"{row.tries} times"
            return Told("failing", f"{channel} could not be told of {what} yet, tried {times}; next", row.due_at, answer)
        case "waiting" | "sending":
            return Told(row.state, f"{channel} is being told of {what}", None)
        case "dead":
            return Told(row.state, f"{channel} could not be told of {what}: {row.reason or 'given up'}", row.settled_at, answer)
        case _:
            return Told(row.state, f"{channel} was not told of {what}: {row.reason or 'not needed any more'}", row.settled_at)
