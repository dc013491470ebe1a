"""A form that was sent: what was typed, what is wrong with it, and both back to the page where anything is."""

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from app.errors import Invalid
from app.web import read_body

MOST_BYTES = 64_000
MOST_FIELDS = 200
KIND = "application/x-www-form-urlencoded"


class Form:
    """`text` and `secret` read a field; `refuse` says what is wrong with one. A template shows `typed(name)`
    and `wrong[name]`."""

    def __init__(self, given: list[tuple[str, str]] | None = None) -> None:
        self._given = dict(reversed(given or []))  # of several of one name the first counts
        self._all = given or []
        self.wrong: dict[str, str] = {}

    @property
    def is_fine(self) -> bool:
        """Whether nothing was refused."""
        return not self.wrong

    def text(self, name: str, most: int = 200) -> str:
        """A line without spaces around it; empty where it is not there. One that is too long is refused."""
        line = " ".join(self._given.get(name, "").split())
        if len(line) > most:
            self.refuse(name, f"use at most {most} characters")
        return line[:most]

    def secret(self, name: str) -> str:
        """As it was typed; never shown again."""
        return self._given.get(name, "")

    def several(self, name: str) -> list[str]:
        """All values of one name, as boxes that were ticked."""
        return [value for key, value in self._all if key == name]

    def typed(self, name: str, otherwise: str = "") -> str:
        """What was typed into a field, for showing it again."""
        return self._given.get(name, otherwise)

    def refuse(self, name: str, words: str) -> None:
        """Say what is wrong with a field; of several faults the first is said."""
        self.wrong.setdefault(name, words)


async def form_of(request: Request) -> Form:
    """The form of a request. Raises Invalid for anything else, TooLarge over 64 kB, TooSlow."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await read_body(request, MOST_BYTES, "the form is larger than 64 kB")
    if body and kind != KIND:
        raise Invalid("this is not a form that a page of this service sends")
    try:
        fields = parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="replace")
    except ValueError:
        raise Invalid("the form has too many fields") from None
    return Form([(name, value.replace("\0", "")) for name, value in fields])


Sent = Annotated[Form, Depends(form_of)]
