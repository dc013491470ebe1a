"""What a channel is limited to, in its form: what it hears, of which checks, and when."""

from dataclasses import dataclass
from typing import Any

from app.domain.hours import DAYS, MIDNIGHT, read_hours
from app.manage.api.check_given import LONGEST_TAGS
from app.manage.channel import HEARS
from app.manage.pages.form import Form
from app.store.tables import ChannelRow

OFFICE = {"days": list(DAYS[:5]), "from": "08:00", "to": "18:00"}
NAMES = {"mon": "Monday", "tue": "Tuesday", "wed": "Wednesday", "thu": "Thursday", "fri": "Friday", "sat": "Saturday",
         "sun": "Sunday"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """As the form shows them: `when` is always or hours."""

    tags: str
    when: str
    zone: str
    days: list[str]
    start: str
    end: str


def read(form: Form) -> dict[str, Any]:
    """The columns that the form asks for; what is wrong stands beside its field then."""
    hears = form.text("hears")
    if hears not in HEARS:
        form.refuse("hears", "choose what it is told")
    return {"hears": hears, "tags": form.text("tags", LONGEST_TAGS), "hours": _hours(form)}


def shown(form: Form, row: ChannelRow | None, zone: str) -> Limits:
    """What was typed, else what the channel has, else the hours of an office in the reader's zone."""
    kept: dict[str, Any] = {"zone": zone, **OFFICE} | ((row.hours if row is not None else None) or {})
    sent = bool(form.typed("when"))
    return Limits(
        tags=form.typed("tags", row.tags if row is not None else ""),
        when=form.typed("when", "hours" if row is not None and row.hours else "always"),
        zone=form.typed("zone", kept["zone"]), days=form.several("days") if sent else kept["days"],
        start=form.typed("from", kept["from"]), end=form.typed("to", "00:00" if kept["to"] == MIDNIGHT else kept["to"]),
    )  # fmt: skip


def _hours(form: Form) -> dict[str, Any] | None:
    if form.text("when") != "hours":
        return None
    try:
        return read_hours(form.text("zone"), form.several("days"), form.text("from"), form.text("to")).to_json()
    except ValueError as error:
        name, _, words = str(error).partition(": ")
        form.refuse(name, words)
        return None
