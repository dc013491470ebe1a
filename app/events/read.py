"""From the bytes of a request to a batch: unpacked within bounds, line by line, each bad line by its number and none of the good
ones lost for it. Pure, and slow for a large body: it belongs into a thread."""

import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from app import json_body
from app.errors import Invalid, TooLarge
from app.events.batch import MOST_NAMED, Batch
from app.events.lines import add_event, read_envelope

MOST = 10_000_000  # bytes, packed or unpacked
MOST_LINES = 50_000
LONGEST_LINE = 2_000_000  # bytes
STEP = 512  # bytes unpacked at a time: what stands before a broken place is kept but for so much
PIECE = 65_536
GZIP = b"\x1f\x8b"
TORN = "the body ends in the middle: what came before is kept"


def read(body: bytes, torn: bool, now: datetime, least: timedelta) -> Batch:
    """The batch. `torn`: the body did not arrive whole; `least`: the shortest period and grace there are. Raises TooLarge, and
    Invalid where nothing of it can be used."""
    problem = TORN if torn else ""
    if body.startswith(GZIP):
        body, why = _unpacked(body)
        problem = problem or why
    if body.count(b"\n") > MOST_LINES:
        raise TooLarge(f"the body has more than {MOST_LINES} lines: halve the batch")
    lines = _lines(body)
    number, first = next(lines, (1, b""))
    try:
        batch = Batch(read_envelope(_object(first)))
    except Invalid as error:
        raise Invalid(f"line {number}: {error}; the first line says who speaks" + (f"; {problem}" if problem else "")) from None
    last = number
    for number, line in lines:
        last = number
        try:
            add_event(batch, number, _object(line), now, least)
        except Invalid as error:
            batch.refuse(number, str(error))
    if problem:
        batch.errors = [(n, why) for n, why in batch.errors if n != last][: MOST_NAMED - 1]
        batch.refuse(last, problem)
    return batch


def _unpacked(body: bytes) -> tuple[bytes, str]:
    """What was packed, as far as it can be unpacked, and what is wrong with the rest. Never more than MOST is unpacked."""
    out, rest = bytearray(), body
    while rest:
        packed, position = zlib.decompressobj(wbits=31), 0
        while not packed.eof:
            taken, position = rest[position : position + STEP], position + STEP
            try:
                _unpack(packed, taken, out)
            except zlib.error:
                return bytes(out), "the gzip is broken: what came before is kept"
            if not taken:
                return bytes(out), TORN
        rest = packed.unused_data + rest[position:]
    return bytes(out), ""


def _unpack(packed: Any, taken: bytes, out: bytearray) -> None:
    while True:
        piece = packed.decompress(taken, PIECE)
        out += piece
        if len(out) > MOST:
            raise TooLarge(f"the body is larger than {MOST // 1_000_000} MB unpacked: halve the batch")
        taken = packed.unconsumed_tail
        if packed.eof or not (piece or taken):
            return


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Each line that is not blank, with its number."""
    start, number = 0, 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        number += 1
        line = body[start:end].strip()
        start = end + 1
        if line:
            yield number, line


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > LONGEST_LINE:
        raise Invalid(f"is longer than {LONGEST_LINE // 1_000_000} MB")
    try:
        found = json_body.loads(line.decode("utf-8-sig"))
    except RecursionError:
        raise Invalid("is nested too deeply") from None
    except ValueError:
        raise Invalid("is no JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise Invalid("is no JSON object")
    return found
