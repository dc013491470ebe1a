"""The answers a ping may get, in Healthchecks' words where its clients know them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What a ping is answered: HTTP status and a line of text; `result` is how it is counted; `receipt` for who asked for one."""

    status: int
    text: str
    result: str
    retry_after: int | None = None
    receipt: dict[str, Any] | None = None


OK = Answer(200, "OK", "ok")
IGNORED = Answer(200, "OK", "ignored")
NOTHING = Answer(200, "OK", "nothing")  # it held no check-in
REPEATED = Answer(200, "OK", "repeated")
CREATED = Answer(201, "Created", "created")
NOT_FOUND = Answer(404, "not found", "not_found")
NO_MONITOR = Answer(404, "not found", "no_monitor")  # the project is known, and has none of that name
FULL = Answer(404, "not found", "full")  # nor may it make one more
BAD_URL = Answer(400, "invalid url format", "bad_request")
BAD_RUN_ID = Answer(400, "invalid uuid format", "bad_request")
BAD_KEY = Answer(400, "Idempotency-Key is longer than 200 characters", "bad_request")
BAD_AT = Answer(400, "at: give an instant such as 2026-10-18T03:00:00Z, or seconds since 1970", "bad_request")
KEY_MISSING = Answer(401, "at: needs an API key that may write, as Authorization: Bearer", "bad_request")
KEY_WRONG = Answer(401, "wrong api key", "bad_request")
TOO_LARGE = Answer(413, "the body is larger than 10 MB", "too_large")
TOO_SLOW = Answer(408, "the body did not arrive in time", "too_slow")
BAD_METHOD = Answer(405, "use HEAD, GET or POST", "bad_request")
BUSY = Answer(503, "busy, nothing was recorded: try again", "refused", retry_after=1)
LATE = Answer(503, "the database was too slow, nothing was recorded: try again", "late", retry_after=1)
AWAY = Answer(503, "the database cannot be reached, this may not be recorded: try again", "error", retry_after=2)


def too_many(wait: float) -> Answer:
    """More pings than the monitor may have a minute; `wait`: seconds until the next may come."""
    return Answer(429, "too many pings of this monitor, nothing was recorded", "throttled", retry_after=max(1, int(wait + 0.999)))
