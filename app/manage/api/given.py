"""Reading what a body gives, field by field, with the words that Healthchecks' clients know: `json validation error: …`.

A field that is not given is None; null and wrong types are refused. What the fields mean stands beside the resources.
"""

import unicodedata
from collections.abc import Collection
from typing import Any

from app.domain.message import clean
from app.errors import Invalid

BREAKS = ("Cc", "Zl", "Zp")


class Fields:
    """One body. Every method raises Invalid naming the field."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given

    def has(self, name: str) -> bool:
        """Whether the field was given at all."""
        return name in self._given

    def is_null(self, name: str) -> bool:
        """Whether the field was given as null."""
        return self.has(name) and self._given[name] is None

    def text(self, name: str, longest: int) -> str | None:
        """Text of at most `longest` characters, line breaks and all; NUL cannot be stored."""
        if not self.has(name):
            return None
        value = self._given[name]
        if not isinstance(value, str):
            raise wrong(name, "is not a string")
        if len(value) > longest:
            raise wrong(name, "is too long")
        if "\0" in value:
            raise wrong(name, "has a NUL character")
        return value

    def line(self, name: str, longest: int) -> str | None:
        """Text on one line: breaks and control characters become spaces."""
        value = self.text(name, longest)
        return None if value is None else "".join(" " if unicodedata.category(c) in BREAKS else c for c in value)

    def number(self, name: str, least: int, most: int) -> int | None:
        """A whole number from `least` to `most`; 60.0 is one, true is not."""
        if not self.has(name):
            return None
        value = self._given[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise wrong(name, "is not a number")
        if isinstance(value, float) and not value.is_integer():
            raise wrong(name, "is not a number")
        if value < least:
            raise wrong(name, "is too small")
        if value > most:
            raise wrong(name, "is too large")
        return int(value)

    def flag(self, name: str) -> bool | None:
        """True or false."""
        value = self._given.get(name)
        if self.has(name) and not isinstance(value, bool):
            raise wrong(name, "is not a boolean")
        return value

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        """One of a few words."""
        value = self._given.get(name)
        if self.has(name) and (not isinstance(value, str) or value not in choices):
            raise wrong(name, "has unexpected value")
        return value

    def choices(self, name: str, choices: Collection[str]) -> list[str]:
        """Some of a few words; none where the field is not given."""
        value = self._given.get(name, [])
        if not isinstance(value, list):
            raise wrong(name, "is not an array")
        for item in value:
            if not isinstance(item, str) or item not in choices:
                raise wrong(f"an item in '{name}'", "has unexpected value")
        return value

    def items(self, name: str, most: int) -> list[dict[str, Any]] | None:
        """A list of objects, of at most `most`."""
        if not self.has(name):
            return None
        value = self._given[name]
        if not isinstance(value, list):
            raise wrong(name, "is not an array")
        if len(value) > most:
            raise wrong(name, "is too long")
        for item in value:
            if not isinstance(item, dict):
                raise wrong(f"an item in '{name}'", "is not an object")
        return value

    def refuse_others(self, known: Collection[str]) -> None:
        """On resources of our own a key that is not known is a mistake; `api_key` says who asks."""
        for name in self._given:
            if name not in known and name != "api_key":
                raise wrong(clean(name, 100), "is not known here")


def wrong(field: str, problem: str, detail: str = "") -> Invalid:
    """The refusal of a field, in Healthchecks' words; `detail` says more to people."""
    return Invalid(f"json validation error: {field} {problem}", detail)
