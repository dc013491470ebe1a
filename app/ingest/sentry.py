"""Sentry's check-ins: by URL, as JSON, and in the envelopes that its SDKs send, where everything but check-ins is let through.

Sources: develop.sentry.dev (envelopes, check-ins), Relay's endpoints and relay-monitors, sentry-sdk 2.
"""

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import brotli

from app.domain.alias import Service
from app.domain.declaration import Declaration
from app.domain.state import Signal
from app.errors import Invalid
from app.ingest.answers import NO_MONITOR, NOT_FOUND, Answer
from app.ingest.read import Headers
from app.ingest.reply import JSON
from app.ingest.said import Request, Said, keyed, run_id

MOST_ENVELOPE = 1_000_000  # bytes of an envelope that are read; SDKs send check-ins in envelopes of their own
MOST_OPENED = 4_000_000  # bytes of them when they are no longer compressed
MOST_ITEMS = 100
MOST_CHECK_IN = 100_000  # bytes of one that comes by itself
KEY = re.compile(r"\bsentry_key=([^\s,]+)")
STATUSES = {"in_progress": Signal.START, "ok": Signal.SUCCESS, "error": Signal.FAIL}
UNITS = {
    "minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7),
    "month": timedelta(days=31), "year": timedelta(days=365),
}  # fmt: skip
"""A month and a year by the calendar have no one length: the longest month, so that no month is late, and 365 days."""
DETAILS = ("environment", "release", "duration")


def read_check_in(request: Request) -> Sequence[Said]:
    """`/api/<project>/cron/<slug>/<public_key>/?status=…`, or the same as a JSON object."""
    if request.headers.get(b"content-type", b"").startswith(JSON):
        given = _object(request.body, "the body")
    else:
        given = dict(reversed(request.fields))  # of several of one name the first counts
    return [_said(request.part("key") or _key(request), request.part("name"), given)]


def reply_check_in(answer: Answer, _: re.Match[str]) -> tuple[int, bytes, bytes]:
    """202 and nothing more, as Relay does; a refusal says why."""
    return _refused(answer) if answer.status >= 400 else (202, b"", JSON)


def read_envelope(request: Request) -> Sequence[Said]:
    """The check-ins of an envelope, none where it holds other things: those are dropped, so that no SDK with our DSN fails."""
    key, found = _key(request), []
    for kind, payload in _items(_opened(request)):
        if kind == "check_in":
            given = _object(payload, "check_in")
            slug = given.get("monitor_slug")
            found.append(_said(key, slug if isinstance(slug, str) else "", given))
    return found


def reply_envelope(answer: Answer, _: re.Match[str]) -> tuple[int, bytes, bytes]:
    """200 and an id of its own, as Relay does."""
    return _refused(answer) if answer.status >= 400 else (200, json.dumps({"id": uuid4().hex}).encode(), JSON)


def _refused(answer: Answer) -> tuple[int, bytes, bytes]:
    if answer == NOT_FOUND:
        return 403, b'{"detail":"sentry_key: there is no such key"}', JSON
    words = "no such monitor: make it, or send a monitor_config" if answer == NO_MONITOR else answer.text
    return answer.status, json.dumps({"detail": words}).encode(), JSON


# a check-in


def _said(key: str, slug: str, given: dict[str, Any]) -> Said:
    status = given.get("status")
    if not isinstance(status, str) or status not in STATUSES:
        raise Invalid("status: say in_progress, ok or error")
    declared, wrong = None, ""
    if given.get("monitor_config") is not None:
        try:
            declared = read_config(given["monitor_config"])
        except Invalid as error:
            wrong = f"monitor_config: {error}"
    lines = tuple((name, str(given[name])) for name in DETAILS if isinstance(given.get(name), (str, int, float)))
    address = keyed(Service.SENTRY, key, slug)
    return Said(address, STATUSES[status], run_id=_run_id(given), lines=lines, declared=declared, wrong=wrong)


def _run_id(given: dict[str, Any]) -> str | None:
    """The check-in's id in one form, dashes or not; none, 0 and a UUID of zeros all mean the newest run that is open."""
    said = str(given.get("check_in_id") or "").replace("-", "").lower()
    return run_id(said) if said.strip("0") else None


def read_config(given: object) -> Declaration:
    """A monitor_config: its schedule, and what of the rest is there; margin and runtime are minutes. Raises Invalid."""
    if not isinstance(given, dict):
        raise Invalid("is not an object")
    schedule, zone = given.get("schedule"), given.get("timezone")
    if not isinstance(schedule, dict):
        raise Invalid("schedule: is missing")
    if zone is not None and not isinstance(zone, str):
        raise Invalid("timezone: is not a string")
    margin, runtime = (_count(given, name) for name in ("checkin_margin", "max_runtime"))
    failures, successes = (_count(given, name) for name in ("failure_issue_threshold", "recovery_threshold"))
    expression, period = _schedule(schedule)
    return Declaration(
        expression=expression,
        zone=zone or None,
        period=period,
        grace=None if margin is None else timedelta(minutes=max(1, margin)),
        max_runtime=None if runtime is None else timedelta(minutes=max(1, runtime)),
        failures_to_alert=failures,
        successes_to_recover=successes,
    )


def _schedule(schedule: dict[str, Any]) -> tuple[str, timedelta | None]:
    if schedule.get("type") == "crontab":
        if not isinstance(schedule.get("value"), str) or not schedule["value"].strip():
            raise Invalid("schedule: a crontab has its expression as value")
        return schedule["value"], None
    value, unit = _count(schedule, "value"), schedule.get("unit")
    if schedule.get("type") != "interval" or not value or not isinstance(unit, str) or unit not in UNITS:
        raise Invalid(f"schedule: a crontab, or an interval of a value and a unit: {', '.join(UNITS)}")
    return "", value * UNITS[unit]


def _count(given: dict[str, Any], name: str) -> int | None:
    """A number of at most a million, also where it stands in quotes, as in Sentry's own documentation."""
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,7}", value, re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1_000_000 or value != int(value):
        raise Invalid(f"{name}: is not a whole number")
    return int(value)


# an envelope


def _items(envelope: bytes) -> Iterator[tuple[str, bytes]]:
    """Kind and payload of each item; what is cut off is left out."""
    line, at = _line(envelope, 0)
    _object(line, "the envelope's header")
    for _ in range(MOST_ITEMS):
        line, at = _line(envelope, at)
        if not line and at >= len(envelope):
            return
        if not line.strip():
            continue
        header = _object(line, "an item's header")
        length = header.get("length")
        if isinstance(length, int) and length >= 0:
            payload, after = envelope[at : at + length], at + length
            at = after + 1 if envelope[after : after + 1] == b"\n" else after
            if len(payload) < length:
                return
        else:
            payload, at = _line(envelope, at)
        yield str(header.get("type")), payload


def _line(envelope: bytes, at: int) -> tuple[bytes, int]:
    end = envelope.find(b"\n", at)
    return (envelope[at:], len(envelope)) if end < 0 else (envelope[at:end], end + 1)


def _opened(request: Request) -> bytes:
    """The body without its compression, at most so many bytes of it."""
    coding = request.headers.get(b"content-encoding", b"").strip().lower()
    if coding in (b"", b"identity"):
        return request.body
    try:
        if coding == b"br":
            opened: bytes = brotli.Decompressor().process(request.body, output_buffer_limit=MOST_OPENED)
            return opened[:MOST_OPENED]
        if coding in (b"gzip", b"deflate"):
            plain = coding == b"deflate" and request.body[:1] != b"\x78"  # without zlib's header, as some send it
            return zlib.decompressobj(-15 if plain else 47).decompress(request.body, MOST_OPENED)
    except (zlib.error, brotli.error):
        raise Invalid(f"the body is not what its Content-Encoding says: {coding.decode('latin-1')}") from None
    raise Invalid("Content-Encoding: gzip, deflate and br are understood")


def _object(raw: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise Invalid(f"{what} is no JSON") from None
    if not isinstance(found, dict):
        raise Invalid(f"{what} is no JSON object")
    return found


def _key(request: Request) -> str:
    """The public key: in X-Sentry-Auth or Authorization, else in the query."""
    return _key_in(request.headers) or request.get("sentry_key")


def _key_in(headers: Headers) -> str:
    for name in (b"x-sentry-auth", b"authorization"):
        found = KEY.search(headers.get(name, b"").decode("latin-1"))
        if found is not None:
            return found[1]
    return ""
