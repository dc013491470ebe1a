"""A body of the API as a JSON object whose every value can be kept and answered; what cannot is refused by its field's name."""

import json
from math import inf
from typing import Any

from app.domain.message import clean
from app.errors import Invalid

LONGEST_NUMBER = 30  # digits
LONGEST_NAME = 100


class NoObject(Invalid):
    """Broken JSON, or JSON of something else."""


def parse(body: bytes) -> dict[str, Any]:
    """The object; an empty body and null are {}. Raises NoObject, or Invalid naming the field that cannot be kept."""
    try:
        found = loads(body.decode("utf-8-sig")) if body.strip() else None
    except (ValueError, RecursionError):
        raise NoObject("could not parse request body") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise NoObject("json validation error: value is not an object")
    for name, value in found.items():
        problem = _problem(name, value)
        if problem:
            raise Invalid(f"json validation error: {clean(name, LONGEST_NAME) or 'a name'} {problem}")
    return found


def loads(text: str) -> Any:
    """Any JSON; numbers nobody means are infinite in it. Raises ValueError, or RecursionError for what is nested too deeply."""
    return json.loads(text, parse_int=_whole, parse_constant=_refuse)


def _whole(digits: str) -> float:
    """A number nobody means is infinite: reading thousands of digits takes time, and more than that Python refuses."""
    return int(digits) if len(digits) <= LONGEST_NUMBER else float(digits) * inf


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _problem(name: str, value: object) -> str:
    """What is wrong with a field; empty where nothing is."""
    if value in (inf, -inf):
        return "is too large" if value == inf else "is too small"
    try:
        json.dumps({name: value}, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return "has half of a surrogate pair"
    except ValueError:
        return "has a number that is out of range"
    except RecursionError:
        return "is nested too deeply"
    return ""
