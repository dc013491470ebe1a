"""What a channel is limited to, as the API takes and shows it: `hears`, `tags`, `hours`."""

from typing import Any

from app.domain.hours import DAYS, read_hours
from app.manage.api.check_given import LONGEST_TAGS
from app.manage.api.given import Fields, wrong
from app.manage.channel import HEARS
from app.store.tables import ChannelRow

NAMES = ("hears", "tags", "hours")
_PARTS = ("zone", "days", "from", "to")
_LONGEST = 100


def given(fields: Fields, body: dict[str, Any]) -> dict[str, Any]:
    """The columns that a body asks for. Raises Invalid naming the field."""
    said: dict[str, Any] = {"hears": fields.choice("hears", HEARS), "tags": fields.line("tags", LONGEST_TAGS)}
    if said["tags"] is not None:
        said["tags"] = " ".join(said["tags"].split())
    found = {name: value for name, value in said.items() if value is not None}
    return found | {"hours": _hours(body["hours"])} if fields.has("hours") else found


def shown(row: ChannelRow) -> dict[str, Any]:
    """As they are; `hours` null at any time."""
    return {name: getattr(row, name) for name in NAMES}


def _hours(value: Any) -> dict[str, Any] | None:
    """As they are kept; None for any time."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise wrong("hours", "is not an object", "write null, or zone, days, from and to")
    fields = Fields(value)
    fields.refuse_others(_PARTS)
    zone, start, end = (fields.text(name, _LONGEST) for name in ("zone", "from", "to"))
    try:
        return read_hours(zone or "UTC", fields.choices("days", DAYS) or DAYS, start or "", end or "").to_json()
    except ValueError as error:
        name, _, words = str(error).partition(": ")
        raise wrong(f"hours.{name}", "has unexpected value", words) from None
