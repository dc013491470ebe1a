"""Everything the doctor looks at, in the order in which it is best mended."""

from collections.abc import Callable, Iterator

from app.doctor.address import check_address
from app.doctor.check import Check
from app.doctor.database import check_database
from app.doctor.machine import check_machine
from app.doctor.mail import check_mail
from app.doctor.written import check_written
from app.settings import Settings

PARTS: tuple[tuple[str, Callable[[Settings], Iterator[Check]]], ...] = (
    ("settings", check_written),
    ("database", check_database),
    ("address", check_address),
    ("mail", check_mail),
    ("machine", check_machine),
)


def examine(settings: Settings) -> Iterator[Check]:
    """One after the other. What the machine does not let us look at is said, and the rest is looked at all the same."""
    for about, look in PARTS:
        try:
            yield from look(settings)
        except (OSError, UnicodeError) as error:
            yield Check(about, "wrong", f"it cannot be looked at: {error}", "Run the doctor as the user that the service runs as")
