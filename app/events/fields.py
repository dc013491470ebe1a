"""The fields of a line, each read as what it must be; what is no such thing is refused by its name."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from app.domain.alias import PING_ID, entry_token, job_token, task_token
from app.errors import Invalid
from app.store.addresses import Address

LONGEST_FREE = 100
LONGEST_WORDS = 500
LONGEST_MONITOR = 200
YEAR = 31_536_000
LATEST = 32_503_680_000_000  # ms: the year 3000


class Fields:
    """One object of JSON. Every method raises Invalid for a field that is not what it must be; null is as if left out."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def text(self, name: str, least: int, most: int) -> str:
        """Text of so many characters; empty where it may be left out."""
        found = self._given.get(name)
        if found is None and least == 0:
            return ""
        text = kept(name, found) if isinstance(found, str) else None
        if text is None or not least <= len(text) <= most:
            raise Invalid(f"{name}: must be text of {least} to {most} characters")
        return text

    def words(self, name: str, most: int = LONGEST_WORDS) -> str:
        """Free text for people, cut where it is too long."""
        found = self._given.get(name)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise Invalid(f"{name}: must be text")
        return found[:most].replace("\0", "").encode(errors="replace").decode()

    def number(self, name: str, least: float, most: float) -> float | None:
        """A number."""
        found = self._given.get(name)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not isfinite(found) or not least <= found <= most:
            raise Invalid(f"{name}: must be a number from {least:g} to {most:g}")
        return found

    def flag(self, name: str) -> bool:
        """True or false; false where it is left out."""
        found = self._given.get(name, False)
        if found is not None and not isinstance(found, bool):
            raise Invalid(f"{name}: must be true or false")
        return bool(found)

    def span(self, name: str, least: float = 0) -> timedelta | None:
        """A number of seconds, a year at most."""
        found = self.number(name, least, YEAR)
        return None if found is None else timedelta(seconds=found)

    def instant(self, name: str) -> datetime | None:
        """Milliseconds since 1970."""
        found = self.number(name, 0, LATEST)
        return None if found is None else datetime.fromtimestamp(found / 1000, UTC)

    def must(self, name: str) -> datetime:
        """The same, of one that may not be left out."""
        found = self.instant(name)
        if found is None:
            raise Invalid(f"{name}: is missing; say it in milliseconds since 1970")
        return found

    def items(self, name: str, most: int) -> list[Any]:
        """A list of anything; empty where it is left out."""
        found = self._given.get(name)
        if found is None:
            return []
        if not isinstance(found, list) or len(found) > most:
            raise Invalid(f"{name}: must be a list of at most {most}")
        return found

    def pairs(self, name: str, most: int) -> dict[str, Any]:
        """An object of anything; empty where it is left out."""
        found = self._given.get(name)
        if found is None:
            return {}
        if not isinstance(found, dict) or len(found) > most:
            raise Invalid(f"{name}: must be an object of at most {most}")
        return found


def kept(name: str, text: str) -> str:
    """Text as it can be stored. Raises Invalid for half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{name}: has half of a surrogate pair") from None
    return text.replace("\0", "")


def monitor_at(source: str, environment: str, given: object) -> Address:
    """Where `entry:…`, `task:…`, `job:…` or `check:…` leads."""
    if isinstance(given, str):
        kind, _, name = given.partition(":")
        name = kept("monitor", name)
        if 0 < len(name) <= LONGEST_MONITOR:
            match kind:
                case "entry":
                    return Address("celery", entry_token(source, name))
                case "task":
                    return Address("celery", task_token(source, name))
                case "job" if not PING_ID.fullmatch(name.lower()):
                    return Address("celery", job_token(environment, name), name)
                case "check" | "job":
                    return Address("ping", name.lower()) if PING_ID.fullmatch(name.lower()) else Address("slug", name)
    raise Invalid(
        f"monitor: must be entry:<name>, task:<name>, job:<key> or check:<id or slug>, a name of 1 to {LONGEST_MONITOR} "
        "characters"
    )
