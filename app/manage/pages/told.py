"""Who was told of an incident and how that went, in words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.manage.pages.when import short
from app.store.channels import Sent

LONGEST_ANSWER = 200
NOTHING = 0.1  # seconds
OUTCOMES = {
    "delivered": "took it", "retry": "did not take it, and is tried again", "limited": "asked us to wait",
    "unauthorised": "refused our credentials", "gone": "says that it is gone", "refused": "refused it",
}  # fmt: skip
OF = {"monitor.down": "this", "monitor.up": "the recovery", "channel.failed": "a channel that failed"}


@dataclass(frozen=True, slots=True)
class Told:
    """One delivery: its state (`failing`: it waits, and was tried), that in words, when, and what the receiver answered where it
    did not take it."""

    state: str
    words: str
    at: datetime | None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened: when, how it looks (`down`, `up`, `seen`, `closed`, or the state of a delivery), in words, and
    more about it, such as what a receiver said."""

    at: datetime
    look: str
    words: str
    more: str = ""


def _what(told: Mapping[str, Any]) -> str:
    """What somebody was told of."""
    return "the false alarm" if told.get("reason") == "withdrawn" else OF.get(told["kind"], "it")


def attempts(sent: Sent) -> list[Step]:
    """Each try to hand a message over, what the receiver said to it, and how it ended where no try ended it."""
    row, name = sent.row, sent.channel or "A channel that was deleted"
    what = _what(row.told)
    steps = [_tried(name, what, tried) for tried in row.attempts]
    if row.state == "suppressed":
        steps.append(Step(row.settled_at or row.created_at, row.state, f"{name} was not told of {what}", row.reason or ""))
    elif row.state == "waiting" and row.tries:
        steps.append(Step(row.due_at, "waiting", f"{name} is tried again"))
    elif (opens := _opens(sent)) is not None:
        steps.append(Step(opens, "waiting", f"{name} is told of {what}: its hours begin"))
    elif row.state in ("waiting", "sending"):
        steps.append(Step(row.created_at, "waiting", f"{name} is being told of {what}"))
    return steps


def _tried(name: str, what: str, tried: Mapping[str, Any]) -> Step:
    outcome, status = str(tried.get("outcome")), tried.get("status")
    answer = f"{tried.get('answer') or ''}"[:LONGEST_ANSWER]
    more = [answer, f"status {status}" if status else "", _took(tried.get("took"))]
    look = outcome if outcome == "delivered" else "dead" if outcome in ("refused", "gone") else "failing"
    words = f"{name} was told of {what}" if outcome == "delivered" else f"{name} {OUTCOMES.get(outcome, outcome)}"
    return Step(datetime.fromisoformat(str(tried["at"])), look, words, " · ".join(part for part in more if part))


def _took(seconds: float | None) -> str:
    """How long somebody kept us waiting; empty where that was nothing."""
    return f"took {short(seconds)}" if seconds is not None and seconds >= NOTHING else ""


def told(deliveries: Iterable[Sent]) -> list[Told]:
    """Each of these deliveries; a channel that is gone has no name."""
    return [_told(one, one.channel or "A channel that was deleted") for one in deliveries]


def _opens(sent: Sent) -> datetime | None:
    """When the hours of its channel begin, for which it waits; None where it does not."""
    waits = sent.row.state == "waiting" and sent.row.first_try_at is None
    return sent.closed_until if waits and sent.closed_until is not None and sent.closed_until > sent.row.created_at else None


def _told(sent: Sent, channel: str) -> Told:
    row, opens = sent.row, _opens(sent)
    what = _what(row.told)
    answer = f"{row.attempts[-1].get('answer', '')}"[:LONGEST_ANSWER] if row.attempts else ""
    match row.state:
        case "delivered":
            return Told(row.state, f"{channel} was told of {what}", row.settled_at)
        case "waiting" if row.tries:
            times = "once" if row.tries == 1 else f"{row.tries} times"
            return Told("failing", f"{channel} could not be told of {what} yet, tried {times}; next", row.due_at, answer)
        case "waiting" if opens is not None:
            return Told(row.state, f"{channel} is told of {what} once its hours begin,", opens)
        case "waiting" | "sending":
            return Told(row.state, f"{channel} is being told of {what}", None)
        case "dead":
            reason = row.reason or "given up"
            said = f"{channel} could not be told of {what}: {reason}"
            return Told(row.state, said, row.settled_at, "" if answer in reason else answer)
        case _:
            return Told(row.state, f"{channel} was not told of {what}: {row.reason or 'not needed any more'}", row.settled_at)
