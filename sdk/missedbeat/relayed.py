"""An event on its way from a child of a prefork pool to the main process: as the text that will be sent, and before it what the
main process must know of it. The main process is what bounds a busy pool, so the child does the work."""

from __future__ import annotations

import json
import sys
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple

from missedbeat.event import Event, Told

WHOLE = 4096  # PIPE_BUF: a write up to this size is never torn, whoever else writes
WORDS_KEPT = 500
_encoder = json.JSONEncoder(default=str, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_encode = _encoder.encode  # `dumps` makes one each time


class Relayed(NamedTuple):
    """What came: the event without its further words, what its process had to drop before it, and what is to be sent."""

    event: Event
    dropped: dict[str, int]
    told: Told


def in_text(said: dict[str, Any]) -> bytes:
    """One line. What no service can store is replaced the same way wherever it stands: a NUL, and half of a surrogate pair.
    Raises ValueError and TypeError for what JSON cannot hold, such as NaN, and what the words of a value raise."""
    return _encode(said).replace("\\u0000", "\\ufffd").encode(errors="replace")


def pack(event: Event, boot: str, dropped: dict[str, int]) -> bytes | None:
    """The line for it, without most of the words of its error if they make it too long; None if even that is."""
    line = _line(event, boot, dropped)
    if len(line) > WHOLE:
        line = _line(_shortened(event), boot, dropped)
    return line if len(line) <= WHOLE else None


def unpack(line: bytes) -> Relayed | None:
    """What a line says; None where it is none of ours: somebody wrote to a descriptor that is not theirs."""
    try:
        kind, ts, att, x, lost, run, monitor, text = line.split(b"\t", 7)
        if text[:1] != b"{" or text[-1:] != b"}":
            return None
        known = sys.intern(kind.decode())
        event = Event(known, "", 0, int(ts), sys.intern(_name(monitor)), _name(run), int(att), x.decode())
        return Relayed(event, json.loads(lost) if lost else {}, Told(known, event.ts, text))
    except ValueError:
        return None


def _line(event: Event, boot: str, dropped: dict[str, int]) -> bytes:
    lost = _encode(dropped) if dropped else ""
    run, monitor = encode_basestring_ascii(event.run)[1:-1], encode_basestring_ascii(event.monitor)[1:-1]
    head = f"{event.type}\t{event.ts}\t{event.att}\t{event.x}\t{lost}\t{run}\t{monitor}\t"
    return head.encode() + in_text(event.said(boot)) + b"\n"


def _name(field: bytes) -> str:
    return json.loads(b'"' + field + b'"') if b"\\" in field else field.decode()


def _shortened(event: Event) -> Event:
    """Without most of its words: what happened is worth more than why."""
    more: list[Any] = [value[:WORDS_KEPT] if isinstance(value, str) else value for value in event.more]
    return event._replace(more=tuple(more))
