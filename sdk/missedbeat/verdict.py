"""What an answer of the server means for what was sent: decided here, done in `sender.py`."""

from __future__ import annotations

import random
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import NamedTuple

from missedbeat.post import Answer, origin_of

SPACING = 1.0
LONGEST_BACKOFF = 30.0  # the first heartbeat after an outage must not come when it is taken for silence
LONGEST_WAIT = 300.0  # of what a server may ask for
REFUSED_FOR = 600.0
MOST_SAID = 20

FINAL = frozenset({400, 422})
REFUSALS = frozenset({401, 403, 410})
NOT_OUR_WORDS = frozenset({0, 408, 425, 429, 502, 503, 504})
"""The network, the load, or what stands before the service: nothing that what was sent could be the cause of."""


class Fate(Enum):
    """Of what was sent. SUSPECT: kept too, but something in it may be why it is not taken."""

    ARRIVED = "arrived"
    KEEP = "keep"
    SUSPECT = "suspect"
    HALVE = "halve"
    GIVE_UP = "give up"


class Verdict(NamedTuple):
    """What becomes of what was sent, and how long to be silent. `complaint`: what a person should know if it goes on so."""

    fate: Fate
    pause: float
    complaint: str = ""


def judge(
    answer: Answer,
    failures: int,
    now: float,
    jitter: Callable[[float, float], float] = random.uniform,
    is_refused: bool = False,
) -> Verdict:
    """`failures`: how many attempts failed before this one; `now`: seconds since 1970; `is_refused`: a refusal means the key, for
    it is not the first, and no events were sent with it."""
    status = answer.status
    if 200 <= status < 300:
        return Verdict(Fate.ARRIVED, SPACING)
    if status in FINAL and answer.body().get("error"):
        return Verdict(Fate.GIVE_UP, SPACING)
    if status == 413:
        return Verdict(Fate.HALVE, SPACING)
    if status in REFUSALS and is_refused:
        return Verdict(Fate.SUSPECT, REFUSED_FOR, f"{_complaint(answer)} Nothing is sent for 10 minutes.")
    fate = Fate.KEEP if status in NOT_OUR_WORDS or 300 <= status < 400 else Fate.SUSPECT
    asked = _asked(answer.retry_after, now) if status in NOT_OUR_WORDS or status >= 500 else None
    return Verdict(fate, asked if asked is not None else max(SPACING, jitter(0.0, ceiling(failures))), _complaint(answer))


def complaints(answer: Answer) -> list[str]:
    """What the server says of what it took and of what it could not read; without the numbers of lines, which say nothing."""
    body = answer.body()
    errors, warnings = (found if isinstance(found, list) else [] for found in (body.get("errors"), body.get("warnings")))
    named = [one["error"] for one in errors if isinstance(one, dict) and one.get("error")] or [body.get("error")]
    broken = [f"The server did not understand this, and left it out: {words}" for words in named if words]
    return [*broken[:MOST_SAID], *(str(words) for words in warnings[:MOST_SAID])]


def ceiling(failures: int) -> float:
    """The longest pause after so many failures in a row: 2, 4, 8, … 30 s."""
    return float(min(LONGEST_BACKOFF, 2.0 ** min(failures + 1, 10)))


def _complaint(answer: Answer) -> str:
    """What a person can do about it."""
    status = answer.status
    if status == 0:
        return f"The server cannot be reached ({answer.said}): check MISSEDBEAT_URL, and the network."
    if status in REFUSALS:
        return f"The server refuses the key ({status}): set MISSEDBEAT_KEY to a read-write key of the project."
    if 300 <= status < 400:
        return f"The server points elsewhere ({status} {origin_of(answer.location)}): set MISSEDBEAT_URL to its final address."
    if status in NOT_OUR_WORDS or status >= 500:
        return f"The server answers {status}: look at the server, or check MISSEDBEAT_URL."
    return f"No events can be sent to this address ({status}): check MISSEDBEAT_URL."


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
