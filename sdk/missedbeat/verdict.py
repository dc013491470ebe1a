"""What an answer of the server means for what was sent: decided here, done in `sender.py`."""

from __future__ import annotations

import random
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import NamedTuple

from missedbeat.post import Answer

SPACING = 1.0
LONGEST_BACKOFF = 30.0  # the first heartbeat after an outage must not come when it is taken for silence
LONGEST_WAIT = 300.0  # of what a server may ask for
REFUSED_FOR = 600.0

FINAL = frozenset({400, 422})
LATER = frozenset({0, 408, 425, 429})


class Fate(Enum):
    """Of what was sent."""

    ARRIVED = "arrived"
    KEEP = "keep"
    HALVE = "halve"
    GIVE_UP = "give up"


class Verdict(NamedTuple):
    """What becomes of a batch, and how long to be silent. `complaint`: what a person should know."""

    fate: Fate
    pause: float
    complaint: str = ""


def judge(answer: Answer, failures: int, now: float, jitter: Callable[[float, float], float] = random.uniform) -> Verdict:
    """`failures`: how many attempts failed before this one; `now`: seconds since 1970."""
    status = answer.status
    if 200 <= status < 300:
        return Verdict(Fate.ARRIVED, SPACING)
    if status in FINAL:
        said = answer.body().get("error") or answer.said[:200]
        return Verdict(Fate.GIVE_UP, SPACING, f"The server did not understand some events: {said}")
    if status == 413:
        return Verdict(Fate.HALVE, SPACING)
    if status in LATER or status >= 500:
        asked = _asked(answer.retry_after, now)
        return Verdict(Fate.KEEP, asked if asked is not None else max(SPACING, jitter(0.0, ceiling(failures))))
    return Verdict(Fate.KEEP, REFUSED_FOR, _refusal(answer))


def ceiling(failures: int) -> float:
    """The longest pause after so many failures in a row: 2, 4, 8, … 30 s."""
    return float(min(LONGEST_BACKOFF, 2.0 ** min(failures + 1, 10)))


def _refusal(answer: Answer) -> str:
    """What to do about an answer that waiting alone will not change."""
    if answer.status in (401, 403, 410):
        return (
            f"The server refuses the key ({answer.status}): set MISSEDBEAT_KEY to a read-write key of the project. "
            "Nothing is sent for 10 minutes."
        )
    if 300 <= answer.status < 400:
        return f"The server points elsewhere ({answer.status} {answer.location}): set MISSEDBEAT_URL to its final address."
    return f"No events can be sent to this address ({answer.status}): check MISSEDBEAT_URL. The next attempt is in 10 minutes."


def _asked(retry_after: str, now: float) -> float | None:
    """How long the server wants to be left alone; None if it does not say."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - now
        except (ValueError, TypeError):
            return None
    return min(max(seconds, SPACING), LONGEST_WAIT) if seconds == seconds else None  # noqa: PLR0124 - not for NaN
