"""The public address of a badge: a badge key, which opens nothing else, a tag, and a signature over both, so that whoever has
one badge cannot make up the address of another."""

import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote
from uuid import UUID

from app.errors import NotFound
from app.store.vault import Vault

EVERYTHING = "*"
FORMS = ("svg", "json", "shields")
SIGNED = 22  # characters of a signature, 132 bits
REST = re.compile(
    rf"(?P<signature>[A-Za-z0-9_-]{{{SIGNED}}})(?P<two>-2)?(?:/(?P<tag>.+))?\.(?P<form>{'|'.join(FORMS)})", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which badge an address means: the tag, in which form, telling how many states apart."""

    tag: str
    form: str
    states: int


def address(vault: Vault, base_url: str, key: UUID, asked: Asked) -> str:
    """The address of a badge. The tag is quoted twice, as Healthchecks does, so that no proxy on the way takes `%2F` for `/`."""
    signed = _signature(vault, key, asked.tag) + ("-2" if asked.states == 2 else "")
    name = "" if asked.tag == EVERYTHING else "/" + quote(quote(asked.tag, safe=""), safe="")
    return f"{base_url}/badge/{key}/{signed}{name}.{asked.form}"


def read(vault: Vault, key: UUID, rest: str) -> Asked:
    """What stands behind the key in an address. Raises NotFound for all that we did not sign."""
    found = REST.fullmatch(rest)
    for asked in _meant(found) if found else ():
        if hmac.compare_digest(_signature(vault, key, asked.tag), found["signature"] if found else ""):
            return asked
    raise NotFound("not found")


def _meant(found: re.Match[str]) -> Iterator[Asked]:
    """What an address can mean: the tag quoted once or twice, and `-2`, for two states, behind it or behind the signature."""
    form, states = found["form"], 2 if found["two"] else 3
    if found["tag"] is None:
        yield Asked(EVERYTHING, form, states)
        return
    for tag in (found["tag"], unquote(found["tag"])):
        yield Asked(tag, form, states)
        if tag.endswith("-2"):
            yield Asked(tag.removesuffix("-2"), form, 2)


def _signature(vault: Vault, key: UUID, tag: str) -> str:
    return vault.sign("badge", f"{key}/{tag}")[:SIGNED]
