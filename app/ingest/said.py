"""What a request in another service's words is made of, before it is a ping: the parts of its path, its query, its body; and
what these say. How each service puts it stands in `dialects.py` and `sentry.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_to_bytes

from app.domain import tokens
from app.domain.alias import Service, check_alias
from app.domain.declaration import Declaration
from app.domain.state import Signal
from app.errors import Invalid
from app.ingest.ping import MOST_EXIT
from app.ingest.read import Headers
from app.store.addresses import Address

LONGEST_RUN_ID = 200
MOST_FIELDS = 200


@dataclass(frozen=True, slots=True)
class Request:
    """`path`: the named parts of its path as they came, percent signs and all; `fields`: its query, in order."""

    path: Mapping[str, str | None]
    fields: Sequence[tuple[str, str]]
    headers: Headers
    body: bytes = b""

    def part(self, name: str) -> str:
        """A part of the path, decoded; empty where it is not there. Raises Invalid for what is no UTF-8."""
        try:
            return unquote_to_bytes(self.path.get(name) or "").decode()
        except UnicodeDecodeError:
            raise Invalid(f"{name}: is not UTF-8") from None

    def get(self, *names: str) -> str:
        """The first value of the first of these fields that is given; else empty."""
        return next((value for name in names for given, value in self.fields if given == name), "")

    def lines(self, *names: str) -> tuple[tuple[str, str], ...]:
        """All values of these fields that say something, as they came, to be kept for people."""
        return tuple((name, value) for name, value in self.fields if name in names and value)


@dataclass(frozen=True, slots=True)
class Said:
    """A check-in in our words. `message` and `lines` are kept as its body; `body` stands below them. `declared`: what it says
    of its schedule, `wrong` why that cannot be."""

    address: Address
    signal: Signal
    exit_status: int | None = None
    run_id: str | None = None
    message: str = ""
    lines: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    create: bool = False
    declared: Declaration | None = None
    wrong: str = ""

    def text(self, note: str = "") -> str:
        """What is kept for people to read: the message, then a line for each detail."""
        lines = [clean(self.message), *(f"{name}: {clean(value)}" for name, value in self.lines), clean(note)]
        return "\n".join(line for line in lines if line)


def read_fields(query: bytes) -> list[tuple[str, str]]:
    """The fields of a query or form, in order, whatever bytes it holds. Raises Invalid for more than anybody means."""
    try:
        return parse_qsl(query.decode(errors="replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Invalid(f"more than {MOST_FIELDS} parameters") from None


def keyed(service: Service, key: str, name: str) -> Address:
    """Where a URL leads that holds a project's key and what the monitor is called there. Raises Invalid for no possible name."""
    check_alias(service, name)
    return Address(service, tokens.hashed(key).hex(), name)


def run_id(text: str) -> str | None:
    """A run id as it can be kept; None where there is none."""
    return clean(text)[:LONGEST_RUN_ID] or None


def exit_status(text: str) -> int | None:
    """An exit status; None for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= MOST_EXIT else None


def clean(text: str) -> str:
    """Text as it can be stored: no NUL, no lone surrogates."""
    return text.replace("\0", "").encode(errors="replace").decode()
